// Package cluster is postern controlplane: a Kubernetes cluster watched, translated and served to its proxies, with all that
// an operator looks at.
package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/controlplane/health"
	"github.com/postern-gateway/postern/controlplane/inspect"
	"github.com/postern-gateway/postern/controlplane/kube"
	"github.com/postern-gateway/postern/controlplane/metrics"
	"github.com/postern-gateway/postern/controlplane/names"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/controlplane/status"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/dataplane/identity"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/resolve"
)

// connectionAge is how long a proxy stays with one control plane before it asks anew: proxies spread over the replicas
// again after one was away, and a stream outlives its certificate no longer than that. It resends nothing.
const connectionAge = time.Hour

// Config is what postern controlplane was asked for.
type Config struct {
	Access  kube.Access
	Options options.Options
	// Namespaces are those that are watched; none is all.
	Namespaces []string
	DNSServers []string
	// XDS is the address that proxies ask at, XDSCertDir the folder with the certificates for it.
	XDS, XDSCertDir string
	// Health, Metrics and PProf are addresses; empty has none.
	Health, Metrics, PProf string
	// Inspect says where the inspection pages are, if anywhere.
	Inspect inspect.Flags
	// PublishService is NAMESPACE/NAME of the Service whose addresses Ingresses get; PublishAddresses are given in its place.
	PublishService   string
	PublishAddresses []string
	// LeaseNamespace and LeaseName are of the Lease that replicas share, Identity is this one's name in it.
	LeaseNamespace, LeaseName, Identity string
	// Version and Commit are of the binary.
	Version, Commit string
	Log             *slog.Logger
}

// Run serves until ctx ends or the process is interrupted, neither of which is an error.
func Run(ctx context.Context, c Config) error {
	p, err := c.prepare()
	if err != nil {
		return err
	}
	servers, err := c.listen(p)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // A second signal ends the process at once.
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range servers {
		group.Go(func() error { return s.Serve(ctx) })
	}
	if p.pages != nil {
		c.Log.Info("inspection is answered", "url", p.pages.URL)
		group.Go(func() error { return p.inspector.Serve(ctx, p.pages) })
		group.Go(func() error {
			p.asker.Run(ctx, p.inspector.Stir)
			return nil
		})
	}
	group.Go(func() error { return p.metrics.Run(ctx) })
	group.Go(func() error { return p.status.Run(ctx) })
	group.Go(func() error { return c.watchCertificate(ctx, p) })
	group.Go(func() error { return p.controller.Run(ctx) })
	return group.Wait()
}

// parts are what runs in the process.
type parts struct {
	settings   translator.Settings
	files      *identity.Folder
	xds        net.Listener
	source     *kube.Source
	controller *controller.Controller
	metrics    *metrics.Metrics
	status     *status.Status
	inspector  *inspect.Inspector
	// asker asks data planes what fails, where there is an inspector.
	asker *inspect.Asker
	// pages is where inspector answers, nil for nowhere.
	pages *inspect.Listener
}

// prepare makes every part, and finds what cannot be used before anything is started.
func (c Config) prepare() (*parts, error) {
	settings, err := c.Options.Settings()
	if err != nil {
		return nil, err
	}
	service, err := parseService(c.PublishService)
	if err != nil {
		return nil, err
	}
	if service.Name != "" {
		own := &settings.Resolve.ExternalNames.OwnServices
		*own = append(*own, resolve.ServiceKey{Namespace: service.Namespace, Name: service.Name})
	}
	resolver, err := names.Asking(c.DNSServers)
	if err != nil {
		return nil, err
	}
	files, err := identity.Open(c.XDSCertDir, identity.ControlPlane, c.Log)
	if err != nil {
		return nil, fmt.Errorf("--xds-cert-dir: %w", err)
	}
	access, err := c.Access.Config()
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(access)
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", access.Host, err)
	}
	p := &parts{settings: settings, files: files}
	p.source = kube.New(kube.Options{
		Client: client, Namespaces: c.Namespaces, Nodes: len(settings.Resolve.ExternalNames.Suffixes) > 0, Log: c.Log,
		OnFailure: func(kind string) { p.metrics.WatchFailed("", kind) },
	})
	p.controller = controller.New(controller.Config{
		Source: p.source, Settings: settings, Names: resolver, Own: names.OwnAddresses, Log: c.Log,
		XDS:   xds.Options{Log: c.Log, MaxConnectionAge: connectionAge},
		Serve: func(ctx context.Context, s *xds.Server) error { return s.ServeTLS(ctx, p.xds, files) },
	})
	p.status, err = status.New(client, c.Log, status.Options{
		Controller: cmp.Or(c.Options.ControllerName, options.Controller), Identity: c.Identity, LeaseNamespace: c.LeaseNamespace, LeaseName: c.LeaseName,
		PublishService: service, PublishAddresses: c.PublishAddresses, Namespaces: c.Namespaces, Proxies: p.controller.Server(),
	})
	if err != nil {
		return nil, err
	}
	p.metrics = metrics.New(metrics.Config{
		Server: p.controller.Server(), Leader: p.status.Leads, XDSCertificateEnd: files.NotAfter, Version: c.Version, Commit: c.Commit,
	})
	p.controller.Observe(p.metrics, p.status)
	if c.Inspect.Address != "" {
		// What backends answer, the data planes know, and do not tell.
		p.asker = inspect.NewAsker(p.controller.Server(), c.Log)
		p.inspector = inspect.New(inspect.Config{Server: p.controller.Server(), Failing: p.asker.Recent, Replica: c.Identity, Options: c.Options, Version: c.Version, Log: c.Log})
		p.controller.Observe(p.inspector)
	}
	c.warn(settings)
	return p, nil
}

// warn tells of settings that an operator may be surprised by.
func (c Config) warn(s translator.Settings) {
	for _, e := range s.Resolve.Entries {
		if e.TLS && s.Resolve.DefaultCertificate == nil && s.Resolve.DefaultTLSSecret.Name == "" {
			c.Log.Warn("there is no default certificate: names without one of their own fail their handshake; see --default-tls-secret and --tls-cert-dir")
		}
	}
	if len(s.Resolve.Edge.UpstreamTrust) == 0 && !s.Resolve.UpstreamSkipVerify {
		c.Log.Warn("this system has no CAs: backends that speak https need --upstream-ca FILE")
	}
}

// parseService reads --publish-service.
func parseService(text string) (types.NamespacedName, error) {
	if text == "" {
		return types.NamespacedName{}, nil
	}
	namespace, name, ok := strings.Cut(text, "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return types.NamespacedName{}, fmt.Errorf("--publish-service %s: write NAMESPACE/NAME", text)
	}
	return types.NamespacedName{Namespace: namespace, Name: name}, nil
}

// listen opens the addresses. xDS has its own from the start, so that a taken one is told at once; it is answered from the
// first snapshot on.
func (c Config) listen(p *parts) (servers []health.Server, err error) {
	var open []net.Listener
	defer func() {
		if err != nil {
			for _, l := range open {
				err = errors.Join(err, l.Close())
			}
		}
	}()
	listener := func(flag, address string) (net.Listener, error) {
		l, err := health.Listen(flag, address)
		if err == nil {
			open = append(open, l)
		}
		return l, err
	}
	if p.xds, err = listener("xds", c.XDS); err != nil {
		return nil, err
	}
	if c.Health != "" {
		l, err := listener("health", c.Health)
		if err != nil {
			return nil, err
		}
		servers = append(servers, health.Server{Name: "health", Listener: l, Handler: health.Handler(p.checks()), Log: c.Log})
	}
	if c.Metrics != "" {
		l, err := listener("metrics", c.Metrics)
		if err != nil {
			return nil, err
		}
		servers = append(servers, health.Server{Name: "metrics", Listener: l, Handler: p.metrics.Handler(), Log: c.Log})
	}
	if c.PProf != "" {
		l, err := health.ListenLoopback(c.PProf)
		if err != nil {
			return nil, err
		}
		open = append(open, l)
		servers = append(servers, health.PProf(l, c.Log))
	}
	if p.pages, err = c.Inspect.Open(c.Log); err != nil {
		return nil, err
	}
	return servers, nil
}

// checks are ready once a snapshot is served: what the API server says later, or does not say, takes no proxy's
// configuration away.
func (p *parts) checks() health.Checks {
	caches := func() error {
		if p.controller.Ready() == nil {
			return nil
		}
		var faults []error
		for _, fault := range p.source.Faults() {
			faults = append(faults, errors.New(fault.String()))
		}
		return errors.Join(faults...)
	}
	return health.Checks{
		Live:  []health.Check{{Name: "loop", Probe: p.controller.Live}},
		Ready: []health.Check{{Name: "caches", Probe: caches}, {Name: "snapshot", Probe: p.controller.Ready}},
	}
}

// watchCertificate reads --tls-cert-dir again when it changes.
func (c Config) watchCertificate(ctx context.Context, p *parts) error {
	if c.Options.TLSCertDir == "" {
		return nil
	}
	return options.CertificateWatch{
		Dir: c.Options.TLSCertDir, Last: p.settings.Resolve.DefaultCertificate,
		OnChange: func(certificate *model.Certificate) { p.controller.SetCertificate(certificate) },
		OnFault:  func(err error) { c.Log.Warn("the certificate before stays served", "error", err) },
	}.Run(ctx)
}
