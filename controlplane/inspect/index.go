package inspect

import (
	"cmp"
	"slices"
	"sync"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/report"
	"github.com/postern-gateway/postern/translator/source"
)

// defaultHost is how pages name the table of default backends, as explain does.
const defaultHost = "default backend"

// objectID names an object of any kind.
type objectID struct{ Kind, Cluster, Namespace, Name string }

func objectOf(o diag.Origin) objectID { return objectID{o.Kind, o.Cluster, o.Namespace, o.Name} }

func (o objectID) compare(p objectID) int {
	return cmp.Or(cmp.Compare(o.Kind, p.Kind), cmp.Compare(o.Cluster, p.Cluster), cmp.Compare(o.Namespace, p.Namespace), cmp.Compare(o.Name, p.Name))
}

// hostID names a host of one entry.
type hostID struct{ entry, name string }

// hostRoutes is a host of one entry with its routes in the order in which they are tried.
type hostRoutes struct {
	hostID
	host   model.Host
	table  *model.Table
	routes []*model.Route
}

// routeAt is a route and where it stands.
type routeAt struct {
	of    *hostRoutes
	place int
}

func (r routeAt) route() *model.Route { return r.of.routes[r.place] }

// loss is a claim that a route beat.
type loss struct {
	origin diag.Origin
	winner routeAt
}

// index finds what pages ask of one publication. It is made once for each, when somebody first looks, and never changed.
type index struct {
	hosts       []*hostRoutes
	byHost      map[hostID]*hostRoutes
	routes      int
	backends    map[string]*model.Backend
	assignments map[string]*model.Assignment
	routesTo    map[string][]routeAt
	routesOf    map[objectID][]routeAt
	losses      map[objectID][]loss
	// told has the diagnostics of an object, mentioned those of others that name it.
	told, mentioned map[objectID][]diag.D
	// report is what lint would say of what is served, annotations what it says of those of an object.
	report      report.Report
	annotations map[objectID][]report.Annotation
	ingresses   map[objectID]source.Ingress
	served      []objectID
	// unserved are the Ingresses that were read and not chosen, sorted.
	unserved     []unservedIngress
	backendsOf   map[objectID][]string
	endpoints    map[objectID][]endpoint
	certificates []certificate
	// certificateOf has the place of the certificate of each name that has one of its own.
	certificateOf map[model.Host]int
	severities    [3]int
	// health is how each backend fares by its endpoints.
	health map[string]condition
	// hostRows are the hosts as lists have them, but for their health.
	hostRows []hostRow
}

// lazyIndex is the index of a publication that may never be looked at.
type lazyIndex struct {
	once  sync.Once
	made  *index
	diffs diffs
}

// index is that of the view's publication.
func (v View) index() *index {
	lazy := v.lazy
	if lazy == nil {
		return newIndex(v)
	}
	lazy.once.Do(func() { lazy.made = newIndex(v) })
	return lazy.made
}

func newIndex(v View) *index {
	g := v.Result.Gateway
	x := &index{
		byHost: map[hostID]*hostRoutes{}, backends: map[string]*model.Backend{}, assignments: map[string]*model.Assignment{},
		routesTo: map[string][]routeAt{}, routesOf: map[objectID][]routeAt{}, losses: map[objectID][]loss{},
		told: map[objectID][]diag.D{}, mentioned: map[objectID][]diag.D{}, annotations: map[objectID][]report.Annotation{},
		ingresses: map[objectID]source.Ingress{}, backendsOf: map[objectID][]string{},
		endpoints: endpointsOf(v.World), health: map[string]condition{},
	}
	for i := range g.Tables {
		x.addTable(&g.Tables[i])
	}
	for i := range g.Backends {
		b := &g.Backends[i]
		x.backends[b.Name] = b
		for _, o := range servicesAmong(b.Origins) {
			x.backendsOf[o] = append(x.backendsOf[o], b.Name)
		}
	}
	for i := range g.Assignments {
		x.assignments[g.Assignments[i].Name] = &g.Assignments[i]
	}
	x.addDiagnostics(v.Result.Diagnostics)
	x.report = report.Make(report.Input{World: v.World, Result: v.Result})
	for _, a := range x.report.Annotations {
		x.annotations[objectOf(a.Origin)] = append(x.annotations[objectOf(a.Origin)], a)
	}
	for _, ing := range v.World.Ingresses {
		x.ingresses[objectOf(ing.Origin(""))] = ing
	}
	for _, k := range v.Result.Served {
		x.served = append(x.served, objectID{"Ingress", k.Cluster, k.Namespace, k.Name})
	}
	x.unserved = unservedOf(x.report)
	x.certificates, x.certificateOf = certificatesOf(g), map[model.Host]int{}
	for i, c := range x.certificates {
		for _, use := range c.uses {
			x.certificateOf[use.host] = i
		}
	}
	for name, b := range x.backends {
		x.health[name] = x.endpointHealth(b)
	}
	x.makeHostRows()
	return x
}

func (x *index) addTable(t *model.Table) {
	for _, h := range slices.Concat(t.Exact, t.Wildcard) {
		x.addHost(&hostRoutes{hostID{t.Entry.Name, h.Host.String()}, h.Host, t, shownRoutes(h.Routes)})
	}
	if len(t.Any) > 0 {
		x.addHost(&hostRoutes{hostID{t.Entry.Name, model.AnyHost.String()}, model.AnyHost, t, shownRoutes(t.Any)})
	}
	if len(t.Default) > 0 {
		x.addHost(&hostRoutes{hostID{t.Entry.Name, defaultHost}, model.AnyHost, t, shownRoutes(t.Default)})
	}
}

func (x *index) addHost(h *hostRoutes) {
	x.hosts = append(x.hosts, h)
	x.byHost[h.hostID] = h
	x.routes += len(h.routes)
	for i, r := range h.routes {
		at := routeAt{h, i}
		for _, name := range backendNames(r) {
			x.routesTo[name] = append(x.routesTo[name], at)
		}
		of := objectID{"Ingress", r.Object.Cluster, r.Object.Namespace, r.Object.Name}
		x.routesOf[of] = append(x.routesOf[of], at)
		for _, o := range r.Losers {
			x.losses[objectOf(o)] = append(x.losses[objectOf(o)], loss{o, at})
		}
	}
}

// shownRoutes are the routes but for those that close other spellings of a restricted path: the words of the route before
// them say so.
func shownRoutes(routes []model.Route) []*model.Route {
	out := make([]*model.Route, 0, len(routes))
	for i := range routes {
		if closed, ok := routes[i].Action.(*model.Closed); !ok || closed.Code != diag.CodeOtherSpelling {
			out = append(out, &routes[i])
		}
	}
	return out
}

// backendNames are the backends that a route may lead to, each once: its targets, its error pages, whom it asks.
func backendNames(r *model.Route) []string {
	var out []string
	add := func(name string) {
		if name != "" && name != model.ClosedBackend && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	if f, ok := r.Action.(*model.Forward); ok {
		for _, t := range f.Targets {
			add(t.Backend)
		}
	}
	for _, p := range r.ErrorPages {
		add(p.Backend)
	}
	if r.Auth != nil && r.Auth.Forward != nil {
		add(r.Auth.Forward.Backend)
	}
	return out
}

func (x *index) addDiagnostics(ds []diag.D) {
	for _, d := range ds {
		x.severities[d.Severity]++
		of := objectOf(d.Origin)
		x.told[of] = append(x.told[of], d)
		var others []objectID
		for _, o := range d.Others {
			if other := objectOf(o); other != of && !slices.Contains(others, other) {
				others = append(others, other)
				x.mentioned[other] = append(x.mentioned[other], d)
			}
		}
	}
}

// servicesAmong are the Services that origins name, each once.
func servicesAmong(origins model.Origins) []objectID {
	var out []objectID
	for _, o := range origins {
		if of := objectOf(o); o.Kind == "Service" && !slices.Contains(out, of) {
			out = append(out, of)
		}
	}
	return out
}

// about are the diagnostics that touch a route: about its Ingress as a whole, an annotation, or a field that it comes from.
func (x *index) about(r *model.Route) []diag.D {
	var out []diag.D
	seen := map[objectID]bool{}
	for _, o := range r.Origins {
		of := objectOf(o)
		if seen[of] {
			continue
		}
		seen[of] = true
		for _, d := range slices.Concat(x.told[of], x.mentioned[of]) {
			if concerns(d, r.Origins) && !slices.ContainsFunc(out, func(has diag.D) bool { return sameDiagnostic(has, d) }) {
				out = append(out, d)
			}
		}
	}
	return out
}

func sameDiagnostic(a, b diag.D) bool {
	return a.Code == b.Code && a.Origin == b.Origin && a.Message == b.Message
}
