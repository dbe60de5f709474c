package inspect

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// state is how something fares. A worse one compares greater.
type state int

const (
	stateOK state = iota
	// stateDegraded is served, but not as it should be.
	stateDegraded
	// stateFailing answers some requests with an error.
	stateFailing

	states = iota
)

// String is the word that pages and JSON use; it never stands by colour alone.
func (s state) String() string { return [states]string{"healthy", "degraded", "failing"}[s] }

// Mark is a sign for those who skim.
func (s state) Mark() string { return [states]string{"✓", "▲", "✕"}[s] }

// MarshalText makes the word the JSON form.
func (s state) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// condition is a state and, where it is not well, why.
type condition struct {
	State   state    `json:"state"`
	Reasons []string `json:"reasons,omitempty"`
}

// and is the worse of two, with the reasons of both.
func (h condition) and(s state, reason string) condition {
	h.State = max(h.State, s)
	if reason != "" && !slices.Contains(h.Reasons, reason) {
		h.Reasons = append(slices.Clip(h.Reasons), reason)
	}
	return h
}

// endpoint is an address behind a Service as its EndpointSlice has it.
type endpoint struct {
	Cluster string     `json:"cluster,omitempty"`
	Address netip.Addr `json:"address"`
	// Pod and Node are empty where the slice does not say.
	Pod  string `json:"pod,omitempty"`
	Node string `json:"node,omitempty"`
	// Condition is ready, terminating or not ready.
	Condition string `json:"condition"`
	ports     []int32
}

const (
	conditionReady       = "ready"
	conditionTerminating = "terminating"
	conditionNotReady    = "not ready"
)

// endpointsOf are the endpoints of each Service. Of the legacy Endpoints those count whose Service has no EndpointSlice.
func endpointsOf(w source.World) map[objectID][]endpoint {
	out := map[objectID][]endpoint{}
	for _, s := range w.EndpointSlices {
		of := objectID{"Service", s.Cluster, s.Namespace, s.Labels[discoveryv1.LabelServiceName]}
		out[of] = append(out[of], fromSlice(s)...)
	}
	for _, e := range w.Endpoints {
		of := objectID{"Service", e.Cluster, e.Namespace, e.Name}
		if _, sliced := out[of]; !sliced {
			out[of] = fromLegacy(e)
		}
	}
	return out
}

func fromSlice(s source.EndpointSlice) []endpoint {
	var ports []int32
	for _, p := range s.Ports {
		if p.Port != nil {
			ports = append(ports, *p.Port)
		}
	}
	out := []endpoint{}
	for _, e := range s.Endpoints {
		if len(e.Addresses) == 0 {
			continue
		}
		address, err := netip.ParseAddr(e.Addresses[0])
		if err != nil {
			continue // A diagnostic tells of it.
		}
		one := endpoint{Cluster: s.Cluster, Address: address.Unmap(), Condition: conditionOf(e.Conditions), ports: ports}
		if e.NodeName != nil {
			one.Node = *e.NodeName
		}
		if e.TargetRef != nil {
			one.Pod = e.TargetRef.Name
		}
		out = append(out, one)
	}
	return out
}

// conditionOf reads conditions as discovery/v1 has them: where nothing is said, an endpoint is ready.
func conditionOf(c discoveryv1.EndpointConditions) string {
	switch {
	case c.Terminating != nil && *c.Terminating:
		return conditionTerminating
	case c.Ready == nil || *c.Ready:
		return conditionReady
	default:
		return conditionNotReady
	}
}

func fromLegacy(e source.Endpoints) []endpoint {
	var out []endpoint
	for _, subset := range e.Subsets {
		var ports []int32
		for _, p := range subset.Ports {
			ports = append(ports, p.Port)
		}
		for i, a := range slices.Concat(subset.Addresses, subset.NotReadyAddresses) {
			address, err := netip.ParseAddr(a.IP)
			if err != nil {
				continue
			}
			one := endpoint{Cluster: e.Cluster, Address: address.Unmap(), Condition: conditionReady, ports: ports}
			if i >= len(subset.Addresses) {
				one.Condition = conditionNotReady
			}
			out = append(out, one)
		}
	}
	return out
}

// behind are the endpoints of an assignment's Services, those that take no requests included.
func (x *index) behind(a *model.Assignment) []endpoint {
	var out []endpoint
	for _, of := range servicesAmong(a.Origins) {
		out = append(out, x.endpoints[of]...)
	}
	return out
}

// backendHealth is how a backend fares, by its endpoints and by what the data plane says of it.
func (v View) backendHealth(name string) condition {
	h, ok := v.index().health[name]
	if !ok {
		return condition{}.and(stateFailing, "the gateway has no such backend")
	}
	failures := v.failuresOf(name)
	if len(failures) == 0 {
		return h
	}
	var out condition
	for _, words := range failures {
		out = out.and(stateFailing, words)
	}
	for _, reason := range h.Reasons {
		out = out.and(h.State, reason)
	}
	return out
}

// endpointHealth is how a backend fares by its endpoints.
func (x *index) endpointHealth(b *model.Backend) condition {
	var h condition
	a := x.assignments[b.Assignment]
	if a == nil {
		return h.and(stateFailing, "no endpoints")
	}
	if len(a.Endpoints) == 0 {
		return h.and(stateFailing, withoutEndpoints(a, x.behind(a)))
	}
	waiting := 0
	for _, e := range x.behind(a) {
		if e.Condition == conditionNotReady && !takes(a, e) {
			waiting++
		}
	}
	if waiting > 0 {
		h = h.and(stateDegraded, fmt.Sprintf("%d of %s not ready", waiting, plural(waiting+len(a.Endpoints), "endpoint")))
	}
	return h
}

func withoutEndpoints(a *model.Assignment, behind []endpoint) string {
	switch {
	case a.Outside != nil && !a.Outside.Asked:
		return a.Outside.Name + " is not looked up yet"
	case a.Outside != nil:
		return a.Outside.Name + " has no address that may be connected to"
	case len(behind) > 0:
		return fmt.Sprintf("none of %s ready", plural(len(behind), "endpoint"))
	default:
		return "no endpoints"
	}
}

// takes says whether an endpoint is one of an assignment's.
func takes(a *model.Assignment, e endpoint) bool {
	return slices.ContainsFunc(a.Endpoints, func(at netip.AddrPort) bool { return at.Addr() == e.Address })
}

// asAsked says whether a route is closed as its objects ask for: plain HTTP, where they want a client's certificate.
func asAsked(c *model.Closed) bool { return c.Code == diag.CodePlainHTTP }

// routeHealth is how the requests of a route fare.
func (v View) routeHealth(r *model.Route) condition {
	switch action := r.Action.(type) {
	case *model.Closed:
		if asAsked(action) {
			return condition{}
		}
		return condition{}.and(stateFailing, "closed: "+action.Reason)
	case *model.Forward:
		var h condition
		for _, t := range action.Targets {
			if t.Closed != nil {
				h = h.and(stateFailing, fmt.Sprintf("%s closed: %s", shareOf(t, action.Targets), t.Closed.Reason))
				continue
			}
			of := v.backendHealth(t.Backend)
			for _, reason := range of.Reasons {
				h = h.and(of.State, serviceOf(t.Backend)+": "+reason)
			}
		}
		return h
	default:
		panic(fmt.Sprintf("inspect: unknown action %T", action))
	}
}

// hostReasonsMax bounds the reasons that a host's health names.
const hostReasonsMax = 3

// hostHealth is how the requests of a host fare.
func (v View) hostHealth(h *hostRoutes) condition {
	var out condition
	more := 0
	for _, r := range h.routes {
		of := v.routeHealth(r)
		out.State = max(out.State, of.State)
		for _, reason := range of.Reasons {
			switch {
			case slices.Contains(out.Reasons, reason):
			case len(out.Reasons) < hostReasonsMax:
				out.Reasons = append(out.Reasons, reason)
			default:
				more++
			}
		}
	}
	if more > 0 {
		out.Reasons = append(out.Reasons, fmt.Sprintf("and %d more", more))
	}
	return out
}

// serviceOf is the Service of a backend's name, NS/SERVICE.
func serviceOf(backend string) string {
	parts := strings.SplitN(backend, "/", 3)
	if len(parts) < 2 {
		return backend
	}
	return parts[0] + "/" + parts[1]
}

// concerns says whether a diagnostic is about what origins name: the same field, one around it or one within it. An
// annotation bears on every route of its object.
func concerns(d diag.D, origins model.Origins) bool {
	return slices.ContainsFunc(append([]diag.Origin{d.Origin}, d.Others...), func(p diag.Origin) bool {
		return slices.ContainsFunc(origins, func(o diag.Origin) bool {
			return objectOf(p) == objectOf(o) &&
				(p.Annotation != "" || strings.HasPrefix(p.Field, o.Field) || strings.HasPrefix(o.Field, p.Field))
		})
	})
}

// closedHealth is failing where a route, or a part of its requests, is closed and should not be.
func closedHealth(r *model.Route) condition {
	var h condition
	switch action := r.Action.(type) {
	case *model.Closed:
		if asAsked(action) {
			return h
		}
		return h.and(stateFailing, action.Reason)
	case *model.Forward:
		for _, t := range action.Targets {
			if t.Closed != nil {
				h = h.and(stateFailing, t.Closed.Reason)
			}
		}
	}
	return h
}

// failuresOf are the data plane's words about connections to a backend that failed.
func (v View) failuresOf(backend string) []string {
	f, ok := v.Failing[backend]
	if !ok {
		return nil
	}
	return []string{fmt.Sprintf("%s (%s failed, the last %s)", f.Reason, plural(f.Count, "request"), ageWords(v.Now.Sub(f.Last)))}
}
