// Package status tells the cluster what became of its objects: the addresses of Ingresses in their status, written by one
// leader, and diagnostics and refusals as Events.
package status

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"

	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/controlplane/xds"
)

const (
	// EndpointsWait is how long an Ingress that a proxy has accepted waits for each of its backends to have an endpoint
	// before its address is written all the same, unless Options say otherwise.
	EndpointsWait = 30 * time.Second
	// The Lease's times are those of Kubernetes' own controllers (kube-controller-manager --leader-elect-lease-duration, …):
	// a leader that dies without a word is followed within LeaseDuration and a RetryPeriod.
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
	// handOffAfter is how long a leader to which no proxy is connected has addresses wait before another may lead.
	handOffAfter = 30 * time.Second
)

// Proxies is what the proxies have accepted: an *xds.Server, or a test's.
type Proxies interface {
	WaitServing(context.Context, xds.Revision) error
	Proxies() []xds.ProxyState
}

// Options say where the status comes from and where it goes.
type Options struct {
	// Controller is the name of the controller, as in an IngressClass's spec.controller: whom Events come from.
	Controller string
	// Identity names this replica, LeaseNamespace and LeaseName what the replicas share.
	Identity                  string
	LeaseNamespace, LeaseName string
	// PublishService has the addresses, or else they are PublishAddresses: IPs and host names. Without either no status is
	// written.
	PublishService   types.NamespacedName
	PublishAddresses []string
	// Namespaces are those whose Ingresses are served; none is all.
	Namespaces []string
	// Cluster is the one whose objects these are, as source.Place has it.
	Cluster string
	Proxies Proxies
	// EndpointsWait is as the constant; 0 is the constant.
	EndpointsWait time.Duration

	// times are those of the Lease but in tests.
	times times
}

type times struct{ lease, renew, retry, handOff time.Duration }

// Status is the controller.Observer that writes status and Events.
type Status struct {
	client     kubernetes.Interface
	log        *slog.Logger
	options    Options
	fixed      []address
	published  *feed
	acceptance *acceptance
	events     *events
	refusals   *refusals
	leads      atomic.Bool
}

var _ controller.Observer = (*Status)(nil)

// New makes a Status that does nothing before Run. Its error is an option that cannot be.
func New(client kubernetes.Interface, log *slog.Logger, o Options) (*Status, error) {
	if o.EndpointsWait == 0 {
		o.EndpointsWait = EndpointsWait
	}
	if o.times == (times{}) {
		o.times = times{lease: leaseDuration, renew: renewDeadline, retry: retryPeriod, handOff: handOffAfter}
	}
	if o.Identity == "" || o.LeaseNamespace == "" || o.LeaseName == "" {
		return nil, errors.New("a replica needs an identity and a Lease: set --identity, --lease-namespace and --lease-name")
	}
	if o.PublishService.Name != "" && len(o.PublishAddresses) > 0 {
		return nil, errors.New("--publish-service and --publish-address exclude each other")
	}
	fixed, err := parseAddresses(o.PublishAddresses)
	if err != nil {
		return nil, err
	}
	s := &Status{client: client, log: log, options: o, fixed: fixed, published: newFeed()}
	s.events = newEvents(client, log, eventSource{controller: o.Controller, instance: o.Identity})
	s.acceptance = newAcceptance(o)
	s.refusals = newRefusals(o, log, s.published, s.events)
	return s, nil
}

// Leads says whether this replica writes now.
func (s *Status) Leads() bool { return s.leads.Load() }

// Published implements controller.Observer. The newest publication stands for those before it.
func (s *Status) Published(p controller.Publication) { s.published.put(&p) }

// Refused implements controller.Observer.
func (s *Status) Refused(_ string, nack xds.NACK) { s.refusals.put(nack) }

// Run runs for the Lease, and while it is this replica's writes what there is to write, until ctx ends, which is no error.
// Losing the Lease ends the writing only.
func (s *Status) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { s.acceptance.run(ctx, s.published); return nil })
	group.Go(func() error { s.events.run(ctx); return nil })
	group.Go(func() error { s.refusals.run(ctx); return nil })
	group.Go(func() error {
		e := elector{client: s.client, log: s.log, options: s.options}
		return e.run(ctx, s.lead)
	})
	return group.Wait()
}

// lead is what the leader does, until ctx ends or another should lead: then it returns true.
func (s *Status) lead(ctx context.Context) (handOff bool) {
	s.leads.Store(true)
	defer s.leads.Store(false)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() { tellDiagnostics(ctx, s.published, s.events, s.options) })
	if s.options.PublishService.Name != "" || len(s.fixed) > 0 {
		group.Go(func() { s.writeAddresses(ctx) })
	}
	ended := s.waitAlone(ctx)
	cancel()
	return ended
}

// waitAlone returns true when addresses have long waited for a proxy and none is connected here, as with a single proxy
// and two replicas: the other replica may know better.
func (s *Status) waitAlone(ctx context.Context) bool {
	ticker := time.NewTicker(max(s.options.times.handOff/10, time.Millisecond))
	defer ticker.Stop()
	var since time.Time
	for {
		select {
		case <-ctx.Done():
			return false
		case now := <-ticker.C:
			if !s.acceptance.waitsAlone() {
				since = time.Time{}
				continue
			}
			if since.IsZero() {
				since = now
			}
			if now.Sub(since) >= s.options.times.handOff {
				s.log.Info("no proxy is connected to this replica: another may lead")
				return true
			}
		}
	}
}

// parseAddresses reads --publish-address.
func parseAddresses(texts []string) ([]address, error) {
	var out []address
	for _, text := range texts {
		if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
			out = append(out, address{ip: ip.String()})
			continue
		}
		name := strings.TrimSuffix(strings.ToLower(text), ".")
		// An address with a mistake in it is a valid name of numbers (RFC 1123, section 2.1: a last label is alphabetic).
		last := name[strings.LastIndexByte(name, '.')+1:]
		if len(validation.IsDNS1123Subdomain(name)) > 0 || strings.Trim(last, "0123456789") == "" {
			return nil, fmt.Errorf("--publish-address %s: write an IP address or a host name", text)
		}
		out = append(out, address{hostname: name})
	}
	return sorted(out), nil
}
