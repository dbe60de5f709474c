package inspect

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// backendRow is a backend: a Service port and how it is spoken to.
type backendRow struct {
	Name string `json:"name"`
	Link string `json:"link"`
	// Service is its Service, as NS/NAME; Port the rest of its name.
	Service  string    `json:"service"`
	Port     string    `json:"port"`
	Speaks   string    `json:"speaks"`
	Health   condition `json:"health"`
	Taking   int       `json:"endpointsTaking"`
	Routes   int       `json:"routes"`
	Outside  string    `json:"outside,omitempty"`
	Verified bool      `json:"verified,omitempty"`
}

func (v View) backendRow(b *model.Backend) backendRow {
	x := v.index()
	service := serviceOf(b.Name)
	row := backendRow{
		Name: b.Name, Link: link("service", "backend", b.Name), Service: service, Port: strings.TrimPrefix(strings.TrimPrefix(b.Name, service), "/"),
		Speaks: tlsWords(b), Health: v.backendHealth(b.Name), Routes: len(x.routesTo[b.Name]), Verified: b.TLS != nil && !b.TLS.SkipVerify,
	}
	if a := x.assignments[b.Assignment]; a != nil {
		row.Taking = len(a.Endpoints)
		if a.Outside != nil {
			row.Outside = a.Outside.Name
		}
	}
	return row
}

// backendRows are all backends, but for the one of targets that cannot be served.
func (v View) backendRows() []backendRow {
	out := []backendRow{}
	backends := v.Result.Gateway.Backends
	for i := range backends {
		if backends[i].Name != model.ClosedBackend {
			out = append(out, v.backendRow(&backends[i]))
		}
	}
	return out
}

// servicesPage lists the backends.
type servicesPage struct {
	Filter   filter       `json:"filter"`
	Backends []backendRow `json:"backends"`
	Paging   paging       `json:"paging"`
}

func (servicesPage) Title() string { return "Services" }

func servicesData(v View, r *http.Request) (any, error) {
	f := filterOf(r)
	rows := slices.DeleteFunc(v.backendRows(), func(b backendRow) bool { return !f.admits(b.Health, b.Name, b.Outside) })
	part, paging := cut(rows, r)
	return servicesPage{f, part, paging}, nil
}

// endpointRow is an endpoint of a backend, whether or not it takes requests.
type endpointRow struct {
	endpoint
	// Ports are those that take requests, as the gateway connects to them.
	Ports []uint16 `json:"ports,omitempty"`
	Takes bool     `json:"takes"`
}

// Words say what becomes of requests to the endpoint.
func (e endpointRow) Words() string {
	switch {
	case e.Takes && e.Condition == conditionReady:
		return "takes requests"
	case e.Takes:
		return "takes requests, though " + e.Condition
	case e.Condition == conditionReady:
		return "ready, but not of this port"
	default:
		return e.Condition
	}
}

// State is how well that is.
func (e endpointRow) State() state {
	switch {
	case e.Takes && e.Condition == conditionReady:
		return stateOK
	case e.Takes || e.Condition == conditionTerminating:
		return stateDegraded
	default:
		return stateFailing
	}
}

// backendDetail is all of a backend.
type backendDetail struct {
	backendRow
	// Balanced says how its endpoints are chosen.
	Balanced string `json:"balanced"`
	// Failures are the words of the data plane about connections that failed.
	Failures []string `json:"failures,omitempty"`
	// Endpoints are the first ones, EndpointCount is how many there are.
	Endpoints     []endpointRow `json:"endpoints"`
	EndpointCount int           `json:"endpointCount"`
	Origins       []place       `json:"origins"`
	RouteRows     []routeRow    `json:"routeRows"`
}

// MoreRoutes is how many routes lead here beside those that are listed.
func (b backendDetail) MoreRoutes() int { return b.Routes - len(b.RouteRows) }

// Clusters says whether there is more than one cluster to tell apart.
func (b backendDetail) Clusters() bool {
	return slices.ContainsFunc(b.Endpoints, func(e endpointRow) bool { return e.Cluster != "" })
}

// MoreEndpoints is how many endpoints there are beside those that are listed.
func (b backendDetail) MoreEndpoints() int { return b.EndpointCount - len(b.Endpoints) }

// servicePage is one backend, or all those of a Service.
type servicePage struct {
	Name        string          `json:"name"`
	Backends    []backendDetail `json:"backends"`
	Annotations []annotationRow `json:"annotations"`
	Diagnostics []diagnosticRow `json:"diagnostics"`
}

func (p servicePage) Title() string { return "Service " + p.Name }

const (
	// endpointsShown, backendRoutesShown and backendsShown bound what the page of a Service lists.
	endpointsShown     = 200
	backendRoutesShown = 50
	backendsShown      = 8
)

func serviceData(v View, r *http.Request) (any, error) {
	x := v.index()
	query := r.URL.Query()
	of := objectID{"Service", query.Get("cluster"), query.Get("namespace"), query.Get("name")}
	var names []string
	p := servicePage{Annotations: []annotationRow{}, Diagnostics: []diagnosticRow{}, Backends: []backendDetail{}}
	if name := query.Get("backend"); name != "" {
		b, ok := x.backends[name]
		if !ok {
			return nil, fmt.Errorf("no route leads to a backend %s, or no longer%w", name, silent{errNotFound})
		}
		p.Name, names = name, []string{name}
		if services := servicesAmong(b.Origins); len(services) > 0 {
			of = services[0]
		}
	} else {
		p.Name, names = nameOf(of), x.backendsOf[of]
		exists := slices.ContainsFunc(v.World.Services, func(s source.Service) bool { return objectOf(s.Origin("")) == of })
		if len(names) == 0 && !exists {
			return nil, fmt.Errorf("no route leads to a Service %s, and the gateway has read no such object%w", nameOf(of), silent{errNotFound})
		}
	}
	for _, name := range names[:min(len(names), backendsShown)] {
		p.Backends = append(p.Backends, v.backendDetail(x.backends[name]))
	}
	if of.Name != "" {
		p.Annotations = annotationRows(x.annotations[of])
		p.Diagnostics = diagnosticRows(slices.Concat(x.told[of], x.mentioned[of]))
		p.Diagnostics = p.Diagnostics[:min(len(p.Diagnostics), pageMax)]
	}
	return p, nil
}

func (v View) backendDetail(b *model.Backend) backendDetail {
	x := v.index()
	d := backendDetail{backendRow: v.backendRow(b), Balanced: "endpoints take turns", Failures: v.failuresOf(b.Name), Origins: placesOf(b.Origins)}
	if b.LeastRequest {
		d.Balanced = "of two endpoints, the one with fewer requests in flight"
	}
	if b.Breaker != nil {
		d.Balanced += fmt.Sprintf("; one that fails %d%% of its requests is left alone for %d seconds", b.Breaker.Percent, model.BreakerSeconds)
	}
	rows := endpointRows(x.assignments[b.Assignment], x)
	d.Endpoints, d.EndpointCount = rows[:min(len(rows), endpointsShown)], len(rows)
	routes := x.routesTo[b.Name]
	d.RouteRows = v.routeRows(routes[:min(len(routes), backendRoutesShown)])
	return d
}

// endpointRows are the endpoints of an assignment: those that its Services have, and addresses that no EndpointSlice has.
func endpointRows(a *model.Assignment, x *index) []endpointRow {
	out := []endpointRow{}
	if a == nil {
		return out
	}
	listed := map[string]bool{}
	add := func(e endpoint) {
		if key := e.Cluster + " " + e.Address.String(); listed[key] {
			return
		} else {
			listed[key] = true
		}
		row := endpointRow{endpoint: e}
		for _, at := range a.Endpoints {
			if at.Addr() == e.Address {
				row.Ports, row.Takes = append(row.Ports, at.Port()), true
			}
		}
		out = append(out, row)
	}
	for _, e := range x.behind(a) {
		add(e)
	}
	for _, at := range a.Endpoints {
		if !slices.ContainsFunc(out, func(e endpointRow) bool { return e.Address == at.Addr() }) {
			add(endpoint{Address: at.Addr(), Condition: conditionReady})
		}
	}
	return out
}
