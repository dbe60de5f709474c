package pod

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/postern-gateway/postern/dataplane"
	"github.com/postern-gateway/postern/dataplane/envoyproc"
	"github.com/postern-gateway/postern/dataplane/failing"
	"github.com/postern-gateway/postern/dataplane/identity"
)

// planeOptions are what the process has made for its plane.
type planeOptions struct {
	folder  string
	files   *identity.Folder
	remote  envoyproc.Remote
	failing *failing.Ledger
	// metadata is what the plane tells the control plane of this process.
	metadata *structpb.Struct
}

// goPlane is the Go proxy.
type goPlane struct {
	options  dataplane.Options
	threads  int
	ready    atomic.Bool
	ended    chan struct{}
	draining chan struct{}
	once     sync.Once
}

func newGoPlane(c Config, o planeOptions) *goPlane {
	p := &goPlane{threads: c.Concurrency, ended: make(chan struct{}), draining: make(chan struct{})}
	p.options = dataplane.Options{
		Target: target(c), NodeID: c.NodeID, Cluster: nodeCluster, Credentials: o.files.Client(c.ServerName), Log: c.Log,
		Ready: func() { p.ready.Store(true) }, Drain: p.draining, DrainTimeout: stopGrace, AccessLog: c.AccessLog,
		Failing: o.failing, Metadata: o.metadata,
	}
	return p
}

// target is the control plane as gRPC writes it.
func target(c Config) string { return "dns:///" + c.XDS }

func (p *goPlane) run(ctx context.Context) error {
	defer close(p.ended)
	runtime.GOMAXPROCS(p.threads)
	return dataplane.Run(ctx, p.options)
}

func (p *goPlane) serving(context.Context) bool { return p.ready.Load() }

func (p *goPlane) drain(ctx context.Context) error {
	p.once.Do(func() { close(p.draining) })
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.ended:
		return nil
	}
}

// metrics: the Go proxy counts nothing.
func (p *goPlane) metrics(context.Context) (string, error) { return "", nil }

// envoyPlane is an Envoy, and beside it the authorizer that it asks.
type envoyPlane struct {
	config     envoyproc.Config
	authorizer dataplane.AuthorizerOptions
	socket     string
	ready      atomic.Bool
	ended      chan struct{}
}

func newEnvoyPlane(c Config, o planeOptions) *envoyPlane {
	p := &envoyPlane{socket: filepath.Join(o.folder, "authorizer.sock"), ended: make(chan struct{})}
	failed := func(cluster, reason string) { c.Log.Error("upstream failure: "+reason, "cluster", cluster) }
	p.config = envoyproc.Config{
		Path: c.EnvoyPath, Folder: filepath.Join(o.folder, "envoy"), XDS: &o.remote, AuthorizerSocket: p.socket,
		NodeID: c.NodeID, NodeCluster: nodeCluster, Concurrency: c.Concurrency, OnUpstreamFailure: failed, AccessLog: c.AccessLog,
		Failing: o.failing, NodeMetadata: o.metadata,
	}
	p.authorizer = dataplane.AuthorizerOptions{
		Target: target(c), NodeID: c.NodeID + "-authorizer", Cluster: nodeCluster, Credentials: o.files.Client(c.ServerName), Log: c.Log,
		OnUpstreamFailure: failed, Failing: o.failing,
	}
	return p
}

func (p *envoyPlane) run(ctx context.Context) error {
	defer close(p.ended)
	lis, err := listenUnix(p.socket)
	if err != nil {
		return err
	}
	p.authorizer.Listener = lis
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return dataplane.RunAuthorizer(ctx, p.authorizer) })
	group.Go(func() error { return envoyproc.Run(ctx, p.config, p.authorizer.Log) })
	return group.Wait()
}

// serving asks until Envoy once says so.
func (p *envoyPlane) serving(ctx context.Context) bool {
	if !p.ready.Load() {
		if ok, err := p.config.Serving(ctx); err != nil || !ok {
			return false
		}
		p.ready.Store(true)
	}
	return true
}

func (p *envoyPlane) drain(ctx context.Context) error {
	if err := p.config.Drain(ctx); err != nil {
		return fmt.Errorf("drain Envoy: %w", err)
	}
	ticker := time.NewTicker(connectionsAsk)
	defer ticker.Stop()
	for {
		open, err := p.config.Connections(ctx)
		if err != nil {
			return fmt.Errorf("drain Envoy: %w", err)
		}
		if open == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d connections are open still: %w", open, ctx.Err())
		case <-p.ended:
			return nil
		case <-ticker.C:
		}
	}
}

func (p *envoyPlane) metrics(ctx context.Context) (string, error) { return p.config.Prometheus(ctx) }
