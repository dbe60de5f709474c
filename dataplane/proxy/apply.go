package proxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"sync/atomic"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/postern-gateway/postern/dataplane/ads"
	"github.com/postern-gateway/postern/dataplane/config"
	"github.com/postern-gateway/postern/dataplane/match"
)

var (
	errNoCluster = errors.New("there is no such cluster")
	errWrongType = errors.New("the resource is not of the response's type")
)

// Apply puts an update in force: each resource that can be, and an error for each other, of which the last good one
// stays. It is called from one goroutine.
func (p *Proxy) Apply(u ads.Update) map[string]error {
	p.mu.Lock()
	defer p.mu.Unlock()
	refused := make(map[string]error)
	if p.closed {
		return refused
	}
	defer func() {
		close(p.changed)
		p.changed = make(chan struct{})
	}()
	switch u.TypeURL {
	case config.ListenerType:
		each(u, refused, config.DecodeListener, p.setListener)
		for _, name := range u.Removed {
			p.removeListener(name)
		}
	case config.RouteType:
		each(u, refused, config.DecodeRouteConfiguration, p.setRoutes)
		for _, name := range u.Removed {
			delete(p.routes, name)
			delete(p.limiters, name)
		}
	case config.ClusterType:
		each(u, refused, config.DecodeCluster, p.setCluster)
		for _, name := range u.Removed {
			p.removeCluster(name)
			if p.clustersAsked[name] {
				delete(p.clustersAsked, name)
				p.subscriber.Unsubscribe(config.ClusterType, name)
			}
		}
		p.gotClusters = true
	case config.EndpointType:
		each(u, refused, config.DecodeEndpoints, p.setEndpoints)
		for _, name := range u.Removed {
			if p.subscribed[[2]string{config.EndpointType, name}] {
				p.setEndpoints(name, nil) // a service whose endpoints are gone has none
			}
		}
	case config.SecretType:
		each(u, refused, config.DecodeSecret, p.setSecret)
		for _, name := range u.Removed {
			p.removeSecret(name)
		}
	default:
		refused[u.TypeURL] = fmt.Errorf("type %s was not asked for", u.TypeURL)
		return refused
	}
	if u.TypeURL == config.ListenerType || u.TypeURL == config.ClusterType {
		p.subscribe()
	}
	if u.TypeURL != config.SecretType {
		p.publish()
	}
	if p.listen() {
		// What only the listener of before named is let go.
		p.subscribe()
		p.publish()
	}
	return refused
}

// each decodes the resources of an update and sets those that are good.
func each[T any](u ads.Update, refused map[string]error, decode func(string, *anypb.Any) (T, error), set func(string, T) error) {
	for _, r := range u.Resources {
		if err := one(u.TypeURL, r, decode, set); err != nil {
			refused[r.GetName()] = err
		}
	}
}

func one[T any](typeURL string, r *discoveryv3.Resource, decode func(string, *anypb.Any) (T, error), set func(string, T) error) error {
	if r.GetResource().GetTypeUrl() != typeURL {
		return fmt.Errorf("%s %q: %w", config.Kind(typeURL), r.GetName(), errWrongType)
	}
	value, err := decode(r.GetName(), r.GetResource())
	if err != nil {
		return err
	}
	return set(r.GetName(), value)
}

// setListener updates a listener in place where its address stays, once all that it names is there; else a new socket
// takes over from the old.
func (p *Proxy) setListener(name string, l config.Listener) error {
	if e := p.edges[name]; e != nil && !e.at(&l) && !p.draining.Load() {
		moved, err := p.openEdge(&l)
		if err != nil {
			return err
		}
		p.retireEdge(name)
		p.edges[name] = moved
	}
	p.listeners[name] = &l
	return nil
}

func (p *Proxy) removeListener(name string) {
	delete(p.listeners, name)
	p.retireEdge(name)
}

// retireEdge stops listening and lets the connections of a listener drain.
func (p *Proxy) retireEdge(name string) {
	e := p.edges[name]
	if e == nil {
		return
	}
	delete(p.edges, name)
	e.listener.Close()
	p.closing.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), p.options.DrainTimeout)
		defer cancel()
		e.close(ctx)
	})
}

func (p *Proxy) setRoutes(name string, c config.RouteConfiguration) error {
	p.routes[name] = match.NewTable(c)
	p.limiters[name] = newLimiters(c)
	return nil
}

// setCluster keeps the connections of a cluster whose configuration stays.
func (p *Proxy) setCluster(name string, c config.Cluster) error {
	delete(p.unknown, name)
	u := &upstream{config: c, turn: new(atomic.Uint64), failures: p.failuresOf(name)}
	if old := p.upstreams[name]; old != nil {
		u.turn, u.failures = old.turn, old.failures
		if reflect.DeepEqual(old.config, c) {
			u.pool, u.health = old.pool, old.health
		} else {
			old.pool.retire()
		}
	}
	if u.pool == nil {
		u.pool, u.health = newPool(c, p.credentials(c)), newHealth(c.Outliers, p.options.Now)
	}
	u.endpoints, u.arrived = p.assignments[c.ServiceName], has(p.assignments, c.ServiceName)
	p.upstreams[name] = u
	return nil
}

func (p *Proxy) removeCluster(name string) {
	if u := p.upstreams[name]; u != nil {
		u.pool.retire()
		delete(p.upstreams, name)
	}
}

func (p *Proxy) setEndpoints(service string, endpoints []netip.AddrPort) error {
	p.assignments[service] = endpoints
	for name, old := range p.upstreams {
		if old.config.ServiceName == service {
			u := *old
			u.endpoints, u.arrived = endpoints, true
			u.health.keep(endpoints)
			p.upstreams[name] = &u
		}
	}
	return nil
}

// subscribe asks for the routes, endpoints and secrets that listeners and clusters name, and for no others: of a
// listener that waits for some of them, also those of the one that is in force.
func (p *Proxy) subscribe() {
	wanted := make(map[[2]string]bool, len(p.subscribed))
	listeners := slices.Collect(maps.Values(p.listeners))
	for _, e := range p.edges {
		listeners = append(listeners, e.config.Load())
	}
	for _, l := range listeners {
		for _, c := range l.Chains {
			wanted[[2]string{config.RouteType, c.HTTP.RouteConfig}] = true
			if c.TLS != nil && c.TLS.ClientCA != "" {
				p.trust.place(c.TLS.ClientCA)
				wanted[[2]string{config.SecretType, c.TLS.ClientCA}] = true
			}
		}
	}
	for _, u := range p.upstreams {
		wanted[[2]string{config.EndpointType, u.config.ServiceName}] = true
		for _, name := range secretsOf(u.config) {
			wanted[[2]string{config.SecretType, name}] = true
		}
	}
	for key := range wanted {
		if !p.subscribed[key] {
			p.subscriber.Subscribe(key[0], key[1])
		}
	}
	for key := range p.subscribed {
		if !wanted[key] {
			p.subscriber.Unsubscribe(key[0], key[1])
			p.forget(key[0], key[1])
		}
	}
	p.subscribed = wanted
}

// forget drops a resource that nothing names any more.
func (p *Proxy) forget(typeURL, name string) {
	switch typeURL {
	case config.RouteType:
		delete(p.routes, name)
		delete(p.limiters, name)
	case config.EndpointType:
		delete(p.assignments, name)
	case config.SecretType:
		delete(p.trust, name)
		delete(p.clients, name)
	}
}

func has[K comparable, V any](m map[K]V, key K) bool {
	_, ok := m[key]
	return ok
}
