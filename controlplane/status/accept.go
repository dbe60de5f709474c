package status

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// acceptRecheck is how often what was refused, or waits for endpoints or a proxy, is looked at again without a reason.
const acceptRecheck = 5 * time.Second

// acceptance knows of which Ingresses the address may be written: a proxy has accepted a revision with their routes, in
// which each of their backends had an endpoint; or it has accepted their routes and EndpointsWait has passed. Once
// acceptable, an Ingress stays so for as long as it is served. Every replica keeps it, to know when it leads.
type acceptance struct {
	proxies       Proxies
	cluster       string
	endpointsWait time.Duration

	mu     sync.Mutex
	routes map[model.ObjectKey]*progress
	// waiting counts those that are not ready; alone is true where some wait and no proxy is connected.
	waiting int
	alone   bool
	// changed is closed and replaced when one more is ready.
	changed chan struct{}
}

// progress is how far an Ingress is. Its zero times have not come.
type progress struct {
	// since is the first revision with the routes, complete the first one with the endpoints too, 0 for none.
	since, complete xds.Revision
	accepted        time.Time
	ready           bool
}

func newAcceptance(o Options) *acceptance {
	return &acceptance{
		proxies: o.Proxies, cluster: o.Cluster, endpointsWait: o.EndpointsWait,
		routes: map[model.ObjectKey]*progress{}, changed: make(chan struct{}),
	}
}

// ready tells whether the address of an Ingress may be written.
func (a *acceptance) ready(key model.ObjectKey) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.routes[key]
	return p != nil && p.ready
}

func (a *acceptance) watch() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

func (a *acceptance) waitsAlone() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.alone
}

func (a *acceptance) run(ctx context.Context, published *feed) {
	var checked xds.Revision
	for ctx.Err() == nil {
		p, changed := published.get()
		var need xds.Revision
		if p != nil {
			need = a.learn(*p)
		}
		if need == 0 {
			wait(ctx, changed, 0)
			continue
		}
		if need > checked {
			a.waitServing(ctx, need, changed)
		} else {
			wait(ctx, changed, a.recheck())
		}
		checked = max(checked, a.check(*p, time.Now()))
	}
}

func (a *acceptance) recheck() time.Duration { return min(acceptRecheck, a.endpointsWait) }

// wait returns when ctx ends, changed is closed or, where it is not 0, a time has passed.
func wait(ctx context.Context, changed <-chan struct{}, most time.Duration) {
	var passed <-chan time.Time
	if most > 0 {
		timer := time.NewTimer(most)
		defer timer.Stop()
		passed = timer.C
	}
	select {
	case <-ctx.Done():
	case <-changed:
	case <-passed:
	}
}

// waitServing waits for a proxy to be done with a revision, a newer publication, or the next recheck.
func (a *acceptance) waitServing(ctx context.Context, rev xds.Revision, changed <-chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, a.recheck())
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		// The error is the context's.
		_ = a.proxies.WaitServing(ctx, rev)
	}()
	select {
	case <-changed:
	case <-settled:
	}
	cancel()
	<-settled
}

// learn takes in a publication and returns the revision that the last of those that are not ready waits for, 0 for none.
func (a *acceptance) learn(p controller.Publication) xds.Revision {
	a.mu.Lock()
	defer a.mu.Unlock()
	routes := make(map[model.ObjectKey]*progress, len(p.Result.Served))
	var empty map[model.ObjectKey]bool
	var need xds.Revision
	a.waiting = 0
	for _, key := range p.Result.Served {
		if key.Cluster != a.cluster {
			continue
		}
		state := a.routes[key]
		if state == nil {
			state = &progress{since: p.Revision}
		}
		routes[key] = state
		if state.ready {
			continue
		}
		a.waiting++
		if empty == nil {
			empty = withoutEndpoints(p.Result.Gateway)
		}
		switch {
		case empty[key]:
			state.complete = 0
		case state.complete == 0:
			state.complete = p.Revision
		}
		need = max(need, state.since, state.complete)
	}
	a.routes = routes
	a.alone = a.alone && a.waiting > 0
	return need
}

// check asks what is accepted now, and returns the newest revision that a proxy is done with.
func (a *acceptance) check(p controller.Publication, now time.Time) xds.Revision {
	var newest xds.Revision
	var views []view
	for _, proxy := range a.proxies.Proxies() {
		if v, serving := newView(proxy, p.Snapshot); serving {
			views = append(views, v)
			newest = max(newest, v.revision)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.alone = len(views) == 0 && a.waiting > 0
	before := a.waiting
	for key, state := range a.routes {
		if state.ready {
			continue
		}
		for _, v := range views {
			if v.accepts(key, state.since) && state.accepted.IsZero() {
				state.accepted = now
			}
			state.ready = state.ready || state.complete > 0 && v.accepts(key, state.complete)
		}
		state.ready = state.ready || !state.accepted.IsZero() && now.Sub(state.accepted) >= a.endpointsWait
		if state.ready {
			a.waiting--
		}
	}
	if a.waiting < before {
		close(a.changed)
		a.changed = make(chan struct{})
	}
	return newest
}

// view is what one proxy serves, seen from Ingresses.
type view struct {
	revision xds.Revision
	// refused are the Ingresses behind what the proxy refuses.
	refused map[model.ObjectKey]bool
	// closed is true where a listener is refused of which the proxy has no version at all.
	closed bool
}

// newView is false for a proxy that takes no listeners, as an authorizer.
func newView(proxy xds.ProxyState, snapshot *xds.Snapshot) (view, bool) {
	v, serving := view{revision: proxy.Revision, refused: map[model.ObjectKey]bool{}}, false
	for _, t := range proxy.Types {
		if t.TypeURL == resource.ListenerType {
			serving = true
			v.closed = lacks(t)
		}
		for _, o := range originsOf(snapshot, t.TypeURL, t.Refused) {
			if o.Kind == "Ingress" {
				v.refused[model.ObjectKey{Cluster: o.Cluster, Namespace: o.Namespace, Name: o.Name}] = true
			}
		}
	}
	return v, serving
}

func (v view) accepts(key model.ObjectKey, rev xds.Revision) bool {
	return v.revision >= rev && !v.closed && !v.refused[key]
}

// lacks tells whether a proxy refuses something of which it has accepted no version.
func lacks(t xds.TypeState) bool {
	accepted := map[string]bool{}
	for _, a := range t.Accepted {
		accepted[a.Name] = true
	}
	for _, r := range t.Refused {
		if !accepted[r.Name] {
			return true
		}
	}
	return false
}

// originsOf are the places behind resources of a type.
func originsOf(snapshot *xds.Snapshot, typeURL string, names []xds.NamedVersion) []diag.Origin {
	if len(names) == 0 {
		return nil
	}
	wanted := map[string]bool{}
	for _, n := range names {
		wanted[n.Name] = true
	}
	var out []diag.Origin
	for _, r := range snapshot.Resources(typeURL) {
		if wanted[r.Name] {
			out = append(out, r.Origins...)
		}
	}
	return out
}

// withoutEndpoints are the Ingresses that forward to a backend without any endpoint. A path that is closed forwards to
// none, and has nothing to wait for.
func withoutEndpoints(g model.Gateway) map[model.ObjectKey]bool {
	filled := map[string]bool{}
	for _, a := range g.Assignments {
		filled[a.Name] = len(a.Endpoints) > 0
	}
	empty := map[string]bool{}
	for _, b := range g.Backends {
		empty[b.Name] = b.Name != model.ClosedBackend && !filled[b.Assignment]
	}
	out := map[model.ObjectKey]bool{}
	for _, t := range g.Tables {
		for r := range tableRoutes(t) {
			forward, ok := r.Action.(*model.Forward)
			if !ok {
				continue
			}
			for _, target := range forward.Targets {
				if empty[target.Backend] {
					out[model.ObjectKey{Cluster: r.Object.Cluster, Namespace: r.Object.Namespace, Name: r.Object.Name}] = true
				}
			}
		}
	}
	return out
}

// tableRoutes are all routes of a table.
func tableRoutes(t model.Table) iter.Seq[model.Route] {
	return func(yield func(model.Route) bool) {
		lists := [][]model.Route{t.Any, t.Default}
		for _, h := range slices.Concat(t.Exact, t.Wildcard) {
			lists = append(lists, h.Routes)
		}
		for _, routes := range lists {
			for _, r := range routes {
				if !yield(r) {
					return
				}
			}
		}
	}
}
