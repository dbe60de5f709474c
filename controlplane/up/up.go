// Package up serves manifests from files on one machine: control plane and data plane together, edits live at once.
package up

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/controlplane/files"
	"github.com/postern-gateway/postern/controlplane/inspect"
	"github.com/postern-gateway/postern/controlplane/names"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/dataplane"
	"github.com/postern-gateway/postern/dataplane/envoyproc"
	"github.com/postern-gateway/postern/dataplane/failing"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/source"
)

// The data planes.
const (
	DataPlaneGo    = "go"
	DataPlaneEnvoy = "envoy"
)

// DataPlanes are all of them, the default first.
var DataPlanes = []string{DataPlaneGo, DataPlaneEnvoy}

// liveWaitMax bounds how long an edit is waited for before it is reported as not yet live.
const liveWaitMax = 10 * time.Second

// Config is what postern up was asked for.
type Config struct {
	// Paths are files and folders of manifests; - is Stdin.
	Paths   []string
	Options options.Options
	// DataPlane is DataPlaneGo or DataPlaneEnvoy; EnvoyPath is empty to have Envoy looked for.
	DataPlane string
	EnvoyPath string
	// DNSServers are asked for names outside of the cluster, as ADDRESS or ADDRESS:PORT; without any, the system's are.
	DNSServers []string
	// Inspect says where the inspection pages are, if anywhere.
	Inspect inspect.Flags
	// Version is of the binary.
	Version string
	Stdin   io.Reader
	// Output is OutputText or OutputJSON. As text, Out gets what is served and what changes, Err the diagnostics and the
	// log; as JSON, Out gets all but the log.
	Output   string
	Out, Err io.Writer
	// OnReady is called, if not nil, when requests are answered.
	OnReady func()
	// OnLive is called, if not nil, when a revision is live in the data plane.
	OnLive func(xds.Revision)
}

// Run serves until ctx ends or the process is interrupted. Its error says in one sentence what kept it from serving.
func Run(ctx context.Context, c Config) error {
	if c.DataPlane != DataPlaneGo && c.DataPlane != DataPlaneEnvoy {
		return fmt.Errorf("--data-plane %s: write %s or %s", c.DataPlane, DataPlaneGo, DataPlaneEnvoy)
	}
	settings, err := c.Options.Settings()
	if err != nil {
		return err
	}
	resolver, err := names.Asking(c.DNSServers)
	if err != nil {
		return err
	}
	out := &report{teller: teller{output: c.Output, out: c.Out, err: c.Err}}
	made, err := options.EnsureCertificate(&settings)
	if err != nil {
		return err
	}
	if made && settings.Resolve.DefaultTLSSecret.Name == "" {
		out.say("https serves names without a certificate of their own with a self-signed one (see --tls-cert-dir)")
	}
	if edge := settings.Resolve.Edge; len(edge.UpstreamTrust) == 0 && !settings.Resolve.UpstreamSkipVerify {
		out.say("this system has no CAs: backends that speak https need --upstream-ca FILE")
	}
	state, err := files.Read(c.Paths, files.Options{Stdin: c.Stdin})
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(c.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	pages, err := c.Inspect.Open(log)
	if err != nil {
		return err
	}
	if err := checkFree(settings, pages); err != nil {
		return errors.Join(err, pages.Close())
	}
	folder, err := os.MkdirTemp("", "postern-")
	if err != nil {
		return errors.Join(fmt.Errorf("make a folder for sockets: %w", err), pages.Close())
	}
	defer os.RemoveAll(folder)
	// From here on there is something to end cleanly; before, as while standard input is read, a signal just ends the
	// process. A second signal does so in any case.
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop)
	r := &runner{config: c, settings: settings, state: state, names: resolver, report: out, folder: folder, log: log, pages: pages}
	return r.run(ctx)
}

// checkFree finds a taken address before a data plane is started, for a plain sentence. The pages, which may be nil, have
// theirs already.
func checkFree(s translator.Settings, pages *inspect.Listener) error {
	for _, e := range s.Resolve.Entries {
		l, err := net.Listen("tcp", e.Address.String())
		if err != nil {
			var op *net.OpError
			if errors.As(err, &op) {
				err = op.Err
			}
			if at, ok := pages.Port(); ok && at == e.Address.Port() && errors.Is(err, syscall.EADDRINUSE) {
				return fmt.Errorf("--%s %s cannot be listened on: --inspect has its port %d: give one of them another", e.Name, e.Address, at)
			}
			return fmt.Errorf("--%s %s cannot be listened on: %w", e.Name, e.Address, err)
		}
		// Until all are found free, or two entries could have one.
		defer l.Close()
	}
	return nil
}

// runner holds what one Run works with. Its fields are set before run and not written after, but settings and
// diagnostics, which the apply loop owns.
type runner struct {
	config   Config
	settings translator.Settings
	state    *files.State
	names    *names.Resolver
	report   *report
	folder   string
	log      *slog.Logger
	server   *xds.Server
	// pages is where inspector answers; without it there is neither.
	pages     *inspect.Listener
	inspector *inspect.Inspector
	// failing is what the data plane sees fail; nil where nobody looks.
	failing *failing.Ledger
}

// change is one reason to translate anew.
type change struct {
	what string
	at   time.Time
	// world gives the world that follows the one before; nil leaves it.
	world func(source.World) source.World
	// apply changes the settings; nil leaves them.
	apply func(*translator.Settings)
}

func (r *runner) run(ctx context.Context) error {
	r.inspect()
	socket := filepath.Join(r.folder, "xds.sock")
	listener, err := xds.ListenUnix(socket)
	if err != nil {
		return errors.Join(err, r.pages.Close())
	}
	group, ctx := errgroup.WithContext(ctx)
	world := r.state.World()
	began := time.Now()
	result := r.translate(world)
	if err := r.publish(ctx, group, translated{world, result, began}, change{}); err != nil {
		return errors.Join(err, listener.Close(), r.pages.Close())
	}
	if r.pages != nil {
		group.Go(func() error { return r.inspector.Serve(ctx, r.pages) })
		r.report.say("what is served can be looked at on %s", r.pages.URL)
	}
	r.report.diagnostics(result.Diagnostics)
	changes := make(chan change)
	group.Go(func() error { return r.server.Serve(ctx, listener) })
	group.Go(func() error { return r.dataPlane(ctx, socket, result) })
	group.Go(func() error {
		r.state.Watch(ctx, func(f files.Change) {
			send(ctx, changes, change{what: describe(f), at: f.At, world: func(before source.World) source.World {
				f.World.Names = before.Names
				return f.World
			}})
		})
		return nil
	})
	group.Go(func() error { return r.watchCertificate(ctx, changes) })
	group.Go(func() error {
		r.names.Run(ctx, func(answers []source.ResolvedName) {
			send(ctx, changes, change{world: func(before source.World) source.World {
				before.Names = answers
				return before
			}})
		})
		return nil
	})
	group.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case c := <-changes:
				if c.world != nil {
					world = c.world(world)
				}
				if c.apply != nil {
					c.apply(&r.settings)
				}
				began := time.Now()
				result := r.translate(world)
				r.report.diagnostics(result.Diagnostics)
				if err := r.publish(ctx, group, translated{world, result, began}, c); err != nil {
					return err
				}
			}
		}
	})
	return group.Wait()
}

// translate has the world translated as the machine is now, and the names that it leads to resolved from now on.
func (r *runner) translate(world source.World) translator.Result {
	own, err := names.OwnAddresses()
	if err != nil {
		// The last ones count.
		r.log.Warn("names outside of the cluster", "error", err)
		own = r.settings.Resolve.ExternalNames.Own
	}
	r.settings.Resolve.ExternalNames.Own = own
	result := translator.Translate(world, r.settings)
	r.names.Want(result.Gateway.OutsideNames)
	return result
}

func send(ctx context.Context, to chan<- change, c change) {
	select {
	case to <- c:
	case <-ctx.Done():
	}
}

// publish serves a result and reports, for a change that has a name, when it is live.
func (r *runner) publish(ctx context.Context, group *errgroup.Group, t translated, c change) error {
	snapshot, err := controller.Snapshot(nil, t.result)
	if err != nil {
		return err
	}
	for _, err := range snapshot.Check() {
		r.log.Error("a fault of Postern's own, please report it", "error", err)
	}
	revision := r.server.Publish(snapshot)
	r.published(snapshot, revision, t)
	if c.what == "" {
		return nil
	}
	group.Go(func() error {
		wait, cancel := context.WithTimeout(ctx, liveWaitMax)
		defer cancel()
		if err := r.server.Wait(wait, revision); err != nil {
			if ctx.Err() == nil {
				r.report.notLive(c.what, fmt.Sprintf("%s have passed; the data plane may be gone", liveWaitMax), nil)
			}
			return nil
		}
		if refused := refusals(r.server.Proxies(), revision); len(refused) > 0 {
			r.report.notLive(c.what, "the data plane refuses it; what it took before stays served", refused)
			return nil
		}
		r.report.live(c.what, time.Since(c.at))
		if r.config.OnLive != nil {
			r.config.OnLive(revision)
		}
		return nil
	})
	return nil
}

// dataPlane runs the chosen data plane until ctx ends.
func (r *runner) dataPlane(ctx context.Context, socket string, result translator.Result) error {
	ready := func() {
		r.report.served(result, r.config.DataPlane)
		r.report.refused(refusals(r.server.Proxies(), 0))
		if r.config.OnReady != nil {
			r.config.OnReady()
		}
	}
	if r.config.DataPlane == DataPlaneEnvoy {
		return r.envoy(ctx, socket, ready)
	}
	err := dataplane.Run(ctx, dataplane.Options{
		Target: "unix://" + socket, NodeID: "postern-up", Cluster: "postern", Log: r.log,
		Ready: ready, OnUpstreamFailure: r.report.upstreamFailure, Failing: r.failing, AccessLog: r.config.Out,
	})
	return ended(ctx, "the Go data plane", err)
}

// envoy runs an Envoy, and beside it the authorizer that it asks.
func (r *runner) envoy(ctx context.Context, socket string, ready func()) error {
	authorizer := filepath.Join(r.folder, "authorizer.sock")
	listener, err := xds.ListenUnix(authorizer)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		err := dataplane.RunAuthorizer(ctx, dataplane.AuthorizerOptions{
			Target: "unix://" + socket, NodeID: "postern-up-authorizer", Cluster: "postern", Listener: listener, Log: r.log,
			OnUpstreamFailure: r.report.upstreamFailure, Failing: r.failing,
		})
		return ended(ctx, "the authorizer", err)
	})
	group.Go(func() error {
		err := envoyproc.Run(ctx, envoyproc.Config{
			Path: r.config.EnvoyPath, Folder: filepath.Join(r.folder, "envoy"), XDSSocket: socket, AuthorizerSocket: authorizer,
			NodeID: "postern-up", NodeCluster: "postern", Concurrency: 2,
			OnReady: ready, OnUpstreamFailure: r.report.upstreamFailure, Failing: r.failing, AccessLog: r.config.Out,
		}, r.log)
		return ended(ctx, "Envoy", err)
	})
	return group.Wait()
}

// refusals are the resources that data planes have refused since a revision, each with its words. An older refusal
// that still stands is not that revision's, and was told when it came.
func refusals(proxies []xds.ProxyState, since xds.Revision) []string {
	var out []string
	for _, proxy := range proxies {
		for _, t := range proxy.Types {
			if t.LastNACK == nil || t.LastNACK.Revision < since {
				continue
			}
			for _, refused := range t.Refused {
				out = append(out, refused.Name+": "+t.LastNACK.Words)
			}
		}
	}
	return out
}

// ended turns the end of a data plane into an error unless it was asked to end.
func ended(ctx context.Context, name string, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	if err == nil {
		return fmt.Errorf("%s ended by itself", name)
	}
	return err
}
