// Package proxy serves HTTP by the configuration that it is handed.
//
// It listens on the listeners' addresses, ends TLS with certificates asked for by SNI, chooses a route as package
// match does, and forwards by net/http. Routes, clusters and endpoints are one immutable snapshot, swapped whole: a
// request keeps the one that it began with, and the next on the same connection sees the newer.
package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-gateway/postern/dataplane/authorize"
	"github.com/postern-gateway/postern/dataplane/config"
	"github.com/postern-gateway/postern/dataplane/failing"
	"github.com/postern-gateway/postern/dataplane/inflight"
	"github.com/postern-gateway/postern/dataplane/limits"
	"github.com/postern-gateway/postern/dataplane/match"
)

const (
	// warmUpMax is how long the first listeners wait for every cluster's endpoints and secrets (Envoy's
	// initial_fetch_timeout).
	warmUpMax = 15 * time.Second
	// defaultDrainTimeout is how long requests in flight may take when the proxy stops.
	defaultDrainTimeout = 5 * time.Second
)

// A Subscriber is told which named resources the proxy needs.
type Subscriber interface {
	Subscribe(typeURL, name string)
	Unsubscribe(typeURL, name string)
}

// Options are what a Proxy needs.
type Options struct {
	Log *slog.Logger
	// OnUpstreamFailure, if set, is called when a cluster begins to fail or fails for another reason, at most once a
	// second for each cluster. It must not block.
	OnUpstreamFailure func(cluster, reason string)
	// Failing, if set, is told of every request that a cluster failed.
	Failing *failing.Ledger
	// AccessLog is where the log that listeners ask for goes, a line at a time; nil is nowhere.
	AccessLog io.Writer
	// Ready, if set, is called once, when the first listeners listen.
	Ready func()
	// Listen opens a listener's socket; nil is net.Listen.
	Listen func(network, address string) (net.Listener, error)
	// DrainTimeout is how long requests in flight may take after Close; 0 is 5 s.
	DrainTimeout time.Duration
	// Now is the clock by which endpoints are left alone; nil is time.Now.
	Now func() time.Time
	// ConnectionsMax is how many connections of clients are open at once, over all listeners; 0 is limits.Connections.
	ConnectionsMax int
	// ClustersByName has clusters asked for by name, when the authorizer needs them: of a proxy without listeners.
	ClustersByName bool
}

// A Proxy is the data plane but for its way to the control plane: it implements ads.Handler.
type Proxy struct {
	options    Options
	subscriber Subscriber
	secrets    *secrets
	users      *userFiles
	authorizer *authorize.Checker
	bounds     *inflight.Limiter
	snapshot   atomic.Pointer[snapshot]
	requests   context.Context // of every request; ends when the proxy has drained
	end        context.CancelFunc
	inFlight   sync.WaitGroup
	// connections counts those of clients that are open.
	connections atomic.Int64
	// logging has one line written to the access log at a time.
	logging sync.Mutex
	// draining has answers end their connections, and no socket be opened.
	draining atomic.Bool
	closing  sync.WaitGroup // edges that were taken away
	failed   chan error     // capacity 1
	warmUp   *time.Timer

	mu          sync.Mutex                  // guards what follows, contents too
	listeners   map[string]*config.Listener // as last accepted; an edge goes on with its own until all is there
	edges       map[string]*edge
	routes      map[string]*match.Table
	limiters    map[string]limiters // by the route configuration's name
	upstreams   map[string]*upstream
	assignments map[string][]netip.AddrPort // by service name; present once they have arrived
	trust       shelf[x509.CertPool]
	clients     shelf[tls.Certificate]
	unknown     map[string]*failures // of clusters that routes name and that there are not
	subscribed  map[[2]string]bool   // type URL and name, of routes, endpoints, and secrets that clusters and chains name
	// clustersAsked are asked for by name; changed is closed and replaced by every update.
	clustersAsked map[string]bool
	changed       chan struct{}
	gotClusters   bool
	warm          bool // the first listeners have waited long enough
	ready         bool
	closed        bool
}

// A snapshot is everything that a request depends on but its listener. It is immutable.
type snapshot struct {
	routes    map[string]*match.Table
	limiters  map[string]limiters
	upstreams map[string]*upstream
}

// New makes a proxy that serves nothing yet.
func New(o Options) *Proxy {
	if o.Listen == nil {
		o.Listen = net.Listen
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.DrainTimeout = cmp.Or(o.DrainTimeout, defaultDrainTimeout)
	o.ConnectionsMax = cmp.Or(o.ConnectionsMax, limits.Connections())
	p := &Proxy{
		options: o, failed: make(chan error, 1),
		listeners: make(map[string]*config.Listener), edges: make(map[string]*edge),
		routes: make(map[string]*match.Table), limiters: make(map[string]limiters), upstreams: make(map[string]*upstream),
		assignments: make(map[string][]netip.AddrPort), trust: make(shelf[x509.CertPool]), clients: make(shelf[tls.Certificate]),
		unknown: make(map[string]*failures), subscribed: make(map[[2]string]bool),
		clustersAsked: make(map[string]bool), changed: make(chan struct{}),
	}
	p.requests, p.end = context.WithCancel(context.Background())
	p.snapshot.Store(&snapshot{})
	p.secrets = newSecrets(
		func(name string) { p.subscriber.Subscribe(config.SecretType, name) },
		func(name string) { p.subscriber.Unsubscribe(config.SecretType, name) },
	)
	p.users = newUserFiles(
		func(name string) { p.subscriber.Subscribe(config.SecretType, name) },
		func(name string) { p.subscriber.Unsubscribe(config.SecretType, name) },
	)
	p.authorizer, p.bounds = authorize.New(p, o.Log), inflight.New()
	return p
}

// Start tells the proxy whom to ask for named resources. It is called once, before the first update.
func (p *Proxy) Start(s Subscriber) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.subscriber = s
	p.warmUp = time.AfterFunc(warmUpMax, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.warm = true
		p.listen()
	})
}

// Failed gives the error for which the proxy cannot begin to serve, such as an address that is taken.
func (p *Proxy) Failed() <-chan error { return p.failed }

// publish swaps the snapshot. p.mu is held.
func (p *Proxy) publish() {
	p.snapshot.Store(&snapshot{routes: maps.Clone(p.routes), limiters: maps.Clone(p.limiters), upstreams: maps.Clone(p.upstreams)})
}

// listen puts the listeners in force that have all that they name, and are not in force yet. The first of them wait
// until every cluster has its endpoints and secrets, so that a start is not a burst of 503. It tells whether any listener that was
// in force has changed. p.mu is held.
func (p *Proxy) listen() bool {
	if p.closed || p.draining.Load() || !p.ready && !p.warm && !p.complete() {
		return false
	}
	opened, changed := false, false
	for _, name := range slices.Sorted(maps.Keys(p.listeners)) {
		l := p.listeners[name]
		if !p.supplied(l) {
			continue
		}
		if e := p.edges[name]; e != nil {
			if e.config.Load() != l {
				e.update(l)
				changed = true
			}
			continue
		}
		e, err := p.openEdge(l)
		if err != nil {
			if !p.ready {
				p.fail(err)
				return false
			}
			p.options.Log.Error("cannot listen", "reason", err)
			continue
		}
		p.edges[name] = e
		opened = true
		p.options.Log.Info("listening", "listener", name, "address", e.listener.Addr().String())
	}
	if opened && !p.ready {
		p.ready = true
		if p.options.Ready != nil {
			p.options.Ready()
		}
	}
	return changed
}

// fail ends a proxy that never began to serve.
func (p *Proxy) fail(err error) {
	select {
	case p.failed <- err:
	default:
	}
}

// complete tells whether listeners, their routes, clusters, endpoints and clusters' secrets have all arrived. p.mu is
// held.
func (p *Proxy) complete() bool {
	if !p.gotClusters || len(p.listeners) == 0 {
		return false
	}
	for _, l := range p.listeners {
		if !p.supplied(l) {
			return false
		}
	}
	for _, u := range p.upstreams {
		if !u.arrived || p.credentials(u.config).missing() != nil {
			return false
		}
	}
	return true
}

// supplied tells whether a listener's routes and the CAs of its clients have arrived. p.mu is held.
func (p *Proxy) supplied(l *config.Listener) bool {
	return !slices.ContainsFunc(l.Chains, func(c config.FilterChain) bool {
		if p.routes[c.HTTP.RouteConfig] == nil {
			return true
		}
		return c.TLS != nil && c.TLS.ClientCA != "" && p.trust.place(c.TLS.ClientCA).Load() == nil
	})
}

// tell reports a failing cluster to the hook, or where there is none, to the log.
func (p *Proxy) tell(cluster, endpoint, reason string) {
	if p.options.OnUpstreamFailure != nil {
		p.options.OnUpstreamFailure(cluster, reason)
		return
	}
	p.options.Log.Error("upstream failure: "+reason, "cluster", cluster, "endpoint", endpoint)
}

func (p *Proxy) failuresOf(cluster string) *failures {
	return &failures{tell: p.tell, ledger: p.options.Failing, cluster: cluster}
}

// unknownCluster reports a route whose cluster there is not.
func (p *Proxy) unknownCluster(name string) {
	p.mu.Lock()
	f := p.unknown[name]
	if f == nil {
		if len(p.unknown) >= unknownClustersMax {
			clear(p.unknown)
		}
		f = p.failuresOf(name)
		p.unknown[name] = f
	}
	p.mu.Unlock()
	f.report(errNoCluster)
}

// Close stops listening, lets requests in flight end within the drain timeout, and ends the rest, upgraded
// connections included.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	if p.warmUp != nil {
		p.warmUp.Stop()
	}
	edges := slices.Collect(maps.Values(p.edges))
	upstreams := slices.Collect(maps.Values(p.upstreams))
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), p.options.DrainTimeout)
	defer cancel()
	var draining sync.WaitGroup
	for _, e := range edges {
		draining.Go(func() { e.close(ctx) })
	}
	draining.Wait()
	p.end()
	p.inFlight.Wait()
	p.closing.Wait()
	for _, u := range upstreams {
		u.pool.retire()
	}
}
