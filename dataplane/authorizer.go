package dataplane

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/postern-gateway/postern/dataplane/ads"
	"github.com/postern-gateway/postern/dataplane/failing"
	"github.com/postern-gateway/postern/dataplane/inflight"
	"github.com/postern-gateway/postern/dataplane/proxy"
)

// AuthorizerUserAgent is how an authorizer calls itself to the control plane: a node that asks for secrets and clusters by
// name, when requests need them, and never for listeners.
const AuthorizerUserAgent = "postern-authorizer"

// AuthorizerOptions are what RunAuthorizer needs; all must be given, but Credentials for a unix socket.
type AuthorizerOptions struct {
	// Target, NodeID and Cluster are as in Options. The node id must differ from that of the Envoy.
	Target, NodeID, Cluster string
	// Credentials are as in Options.
	Credentials credentials.TransportCredentials
	// Listener is a socket that nobody but the Envoy may reach. RunAuthorizer closes it.
	Listener net.Listener
	Log      *slog.Logger
	// OnUpstreamFailure is as in Options.
	OnUpstreamFailure func(cluster, reason string)
	// Failing is as in Options.
	Failing *failing.Ledger
}

// RunAuthorizer answers an Envoy's ext_authz and ext_proc until ctx ends, as the Go data plane does within itself.
func RunAuthorizer(ctx context.Context, o AuthorizerOptions) error {
	p := proxy.New(proxy.Options{Log: o.Log, OnUpstreamFailure: o.OnUpstreamFailure, Failing: o.Failing, ClustersByName: true})
	late := &lateRemovals{to: p, pending: map[[2]string]*time.Timer{}, held: map[[2]string]bool{}}
	client, err := ads.New(ads.Options{
		Target: o.Target, NodeID: o.NodeID, Cluster: o.Cluster, Credentials: o.Credentials, Log: o.Log, Handler: late,
		UserAgent: AuthorizerUserAgent,
	})
	if err != nil {
		return err
	}
	p.Start(client)
	g := grpc.NewServer()
	authv3.RegisterAuthorizationServer(g, p.Authorizer())
	extprocv3.RegisterExternalProcessorServer(g, p.InFlight())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return client.Run(ctx) })
	group.Go(func() error {
		if err := g.Serve(o.Listener); err != nil && ctx.Err() == nil {
			return fmt.Errorf("serve the authorizer on %s: %w", o.Listener.Addr(), err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		stopWell(g, p.InFlight())
		return nil
	})
	err = group.Wait()
	late.stop()
	p.Close()
	return err
}

// stopMax is how long requests that are being decided about may take when an authorizer stops.
const stopMax = 2 * time.Second

// stopWell ends the streams of requests that an Envoy still answers, so that it goes on with them; of streams that break off it
// would break off the requests.
func stopWell(g *grpc.Server, bounds *inflight.Limiter) {
	bounds.End()
	late := time.AfterFunc(stopMax, g.Stop)
	defer late.Stop()
	g.GracefulStop()
}

// removalDelay is how long what the control plane takes back is kept: the Envoy is told of its new routes on a stream of
// its own, and by those of before it may ask a little longer.
const removalDelay = 2 * time.Second

// lateRemovals hands updates on, and removals later.
type lateRemovals struct {
	to ads.Handler

	mu sync.Mutex
	// held are the resources that were handed on, pending the removals that wait; both by type URL and name, under mu.
	held    map[[2]string]bool
	pending map[[2]string]*time.Timer
	stopped bool
}

// Apply implements ads.Handler.
func (l *lateRemovals) Apply(u ads.Update) map[string]error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := ads.Update{TypeURL: u.TypeURL, Resources: u.Resources}
	for _, r := range u.Resources {
		l.keep(u.TypeURL, r)
	}
	for _, name := range u.Removed {
		key := [2]string{u.TypeURL, name}
		if !l.held[key] {
			now.Removed = append(now.Removed, name)
			continue
		}
		if l.pending[key] == nil {
			l.pending[key] = time.AfterFunc(removalDelay, func() { l.remove(key) })
		}
	}
	return l.to.Apply(now)
}

// keep has a resource that comes again not be removed. l.mu is held.
func (l *lateRemovals) keep(typeURL string, r *discoveryv3.Resource) {
	key := [2]string{typeURL, r.GetName()}
	l.held[key] = true
	if t := l.pending[key]; t != nil {
		t.Stop()
		delete(l.pending, key)
	}
}

func (l *lateRemovals) remove(key [2]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped || l.pending[key] == nil {
		return
	}
	delete(l.pending, key)
	delete(l.held, key)
	l.to.Apply(ads.Update{TypeURL: key[0], Removed: []string{key[1]}})
}

func (l *lateRemovals) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	for _, t := range l.pending {
		t.Stop()
	}
}
