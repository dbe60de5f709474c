package resolve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// reference is a claim with the one of its backends that is looked up.
type reference struct {
	model.Claim
	Backend model.BackendRef
}

// targets are a claim's backends, found or closed. One that is named twice counts once.
//
// What cannot be served keeps its share, which answers 503: the others get no requests that were not meant for them,
// and a Service that is missing does not differ from one that has no endpoints, of which routes know nothing.
func (r *backendResolver) targets(c model.Claim) []model.Target {
	var out []model.Target
	for i, backend := range c.Backends {
		said := len(r.diagnostics)
		var t model.Target
		again := repeats(c.Backends[:i], backend)
		if !again {
			t = r.look(reference{Claim: c, Backend: backend})
			again = t.Closed == nil && leads(out, t.Backend)
		}
		if again {
			r.diagnostics = append(r.diagnostics, diag.New(diag.CodeBackendTwice, backend.Origin,
				fmt.Sprintf("the path has Service %s, port %s, already", backend.Service, portText(backend.Port)),
				"it counts once", "remove one of the two").With(c.Backends[0].Origin))
			continue
		}
		if len(c.Backends) > 1 {
			aboutShare(r.diagnostics[said:])
		}
		out = append(out, t)
	}
	return out
}

// look makes the target of one backend.
func (r *backendResolver) look(c reference) model.Target {
	t := model.Target{Weight: c.Backend.Weight, Origin: c.Backend.Origin}
	found, closed := r.find(c)
	if closed != nil {
		t.Backend, t.Closed = model.ClosedBackend, closed
		return t
	}
	r.backends[found.backend.Name] = found.backend
	t.Backend = found.backend.Name
	r.checkHost(c, found.backend)
	if c.Policies.ReplaceHost {
		t.Host = found.name
	}
	t.Affinity = r.affinity(c)
	t.Because = r.because(c, t)
	return t
}

// because are the annotations that shape the way to a target.
func (r *backendResolver) because(c reference, t model.Target) model.TargetOrigins {
	key := ServiceKey{c.Object.Cluster, c.Backend.Namespace, c.Backend.Service}
	of, b := r.in.Services[key], r.backends[t.Backend]
	out := model.TargetOrigins{Host: c.Policies.ReplaceHostOrigin}
	switch asked := c.Policies.ProtocolOrigin; {
	case asked != diag.Origin{}:
		out.Protocol = asked
	default:
		out.Protocol = of.ProtocolOrigin
	}
	if b.TLS != nil {
		out.TLS = r.upstreamClaim(c, key).Origins()
	}
	if of.LeastRequest != nil {
		out.Balancing = *of.LeastRequest
	}
	if t.Affinity != nil {
		out.Affinity = of.Affinity.Origins
	}
	return out
}

func repeats(before []model.BackendRef, b model.BackendRef) bool {
	return slices.ContainsFunc(before, func(o model.BackendRef) bool {
		return o.Namespace == b.Namespace && o.Service == b.Service && o.Port == b.Port
	})
}

func leads(targets []model.Target, backend string) bool {
	return slices.ContainsFunc(targets, func(t model.Target) bool { return t.Backend == backend })
}

// aboutShare has diagnostics that speak of a path speak of a share of it.
func aboutShare(ds []diag.D) {
	for i := range ds {
		ds[i].Effect = strings.Replace(ds[i].Effect, "the path answers 503", "its share of the path's requests answers 503", 1)
	}
}

// behind is what a target leads to. That of closed targets has no endpoint, and is placed where it is needed.
func (r *backendResolver) behind(t model.Target) (model.Backend, model.Assignment) {
	if t.Closed != nil {
		at := model.Origins{t.Origin}
		return model.Backend{Name: t.Backend, Protocol: model.ProtocolHTTP, Assignment: t.Backend, Origins: at},
			model.Assignment{Name: t.Backend, Origins: at}
	}
	b := r.backends[t.Backend]
	return b, r.assignments[b.Assignment]
}

// targetsOf are the targets of a route, none where it is closed.
func targetsOf(r model.Route) []model.Target {
	if f, ok := r.Action.(*model.Forward); ok {
		return f.Targets
	}
	return nil
}

// sharedPath tells that a path's requests are shared out, which Traefik 1.7 did by endpoints and Postern does by
// Services: Envoy's weights stand in routes, and a pod that comes or goes must not change those.
func sharedPath(host model.Host, r model.Route) []diag.D {
	targets := targetsOf(r)
	if len(targets) < 2 || r.Weighted {
		return nil
	}
	d := diag.New(diag.CodeSharedPath, targets[1].Origin, fmt.Sprintf("%s %s has %d backends", host, r.Path, len(targets)),
		"each gets an equal part of the requests, where Traefik 1.7 gave every endpoint one",
		"give the path one backend if that is not meant")
	for i, t := range targets {
		if i != 1 {
			d = d.With(t.Origin)
		}
	}
	return []diag.D{d}
}
