package resolve

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// Endpoints are the Service ports whose endpoints the Gateway has, with all that changes while EndpointSlices alone do.
type Endpoints struct {
	index endpointIndex
	// guarded says that addresses of endpoints also decide what names outside of the cluster may lead to.
	guarded bool
	ports   []endpointPort
}

// endpointPort is a Service port with its endpoints.
type endpointPort struct {
	key     ServiceKey
	service source.Service
	port    corev1.ServicePort
	// origin is the place that first refers to it, shared that it gets a share of the path's requests.
	origin diag.Origin
	shared bool
	// untold says that what is wrong with the endpoints is not told, since what referred to them has no use for them.
	untold bool

	addresses   []netip.AddrPort
	known       []model.Endpoint
	diagnostics []diag.D
}

// look finds the endpoints.
func (p *endpointPort) look(index endpointIndex) {
	p.addresses, p.diagnostics = index.wanted(p.service, p.key, p.port.Name)
	p.known = index.known(p.key, p.port.Name)
	if len(p.addresses) > 0 {
		return
	}
	p.diagnostics = append(p.diagnostics, diag.New(diag.CodeNoEndpoints, p.origin,
		fmt.Sprintf("Service %s has no ready endpoint for port %s", p.key, portText(model.PortRef{Number: p.port.Port, Name: p.port.Name})),
		"the path answers 503 until it has one", "see whether its pods run and are ready").With(p.service.Origin("")))
}

// told is what is to be said of the endpoints.
func (p *endpointPort) told() []diag.D {
	if p.untold {
		return nil
	}
	ds := slices.Clone(p.diagnostics)
	if p.shared {
		aboutShare(ds)
	}
	return ds
}

// codeMark is the code of a mark: it stands among diagnostics for those of an endpointPort, so that whatever is done to
// them is done to it. It is in no registry and leaves this package nowhere.
const codeMark diag.Code = "mark"

// markOf stands for the i-th port.
func markOf(i int) diag.D {
	return diag.D{Code: codeMark, Message: strconv.Itoa(i), Effect: closesPath}
}

// apart takes the marks out of the diagnostics and does to the ports what became of their marks.
func (r *backendResolver) apart() ([]diag.D, Endpoints) {
	var ds []diag.D
	for i := range r.ports {
		r.ports[i].untold = true
	}
	for _, d := range r.diagnostics {
		if d.Code != codeMark {
			ds = append(ds, d)
			continue
		}
		i, err := strconv.Atoi(d.Message)
		if err != nil {
			panic("resolve: a mark without a number")
		}
		r.ports[i].untold, r.ports[i].shared = false, d.Effect != closesPath
	}
	return ds, Endpoints{index: r.endpoints, guarded: r.guard != nil, ports: r.ports}
}

// Diagnostics are what is to be said of the endpoints.
func (e Endpoints) Diagnostics() []diag.D {
	var ds []diag.D
	for i := range e.ports {
		ds = append(ds, e.ports[i].told()...)
	}
	return ds
}

// Moved is what a World with other EndpointSlices makes of Endpoints.
type Moved struct {
	Endpoints Endpoints
	// Assignments are those with other endpoints than before, known or served, by name.
	Assignments map[string]MovedAssignment
	// Told says that Endpoints.Diagnostics are others than before, or may be.
	Told bool
}

// MovedAssignment is the endpoints of an assignment, as in model.Assignment.
type MovedAssignment struct {
	Addresses []netip.AddrPort
	Known     []model.Endpoint
	// Served says that Addresses are others than before.
	Served bool
}

// Move looks the endpoints up in a World that differs from the one before in nothing but EndpointSlices. It is false
// where these bear on more than endpoints, so that all has to be resolved anew.
func (e Endpoints) Move(w source.World) (Moved, bool) {
	if e.guarded {
		return Moved{}, false
	}
	index := indexEndpoints(w)
	out := Moved{Endpoints: Endpoints{index: index, ports: slices.Clone(e.ports)}, Assignments: map[string]MovedAssignment{}}
	for i := range out.Endpoints.ports {
		p := &out.Endpoints.ports[i]
		if slices.EqualFunc(e.index.slices[p.key], index.slices[p.key], sameSlice) {
			continue
		}
		before := *p
		p.look(index)
		served := !slices.Equal(before.addresses, p.addresses)
		if served || !slices.Equal(before.known, p.known) {
			out.Assignments[portKey(p.key, p.port)] = MovedAssignment{Addresses: p.addresses, Known: p.known, Served: served}
		}
		out.Told = out.Told || len(before.diagnostics)+len(p.diagnostics) > 0
	}
	return out, true
}

// sameSlice compares by identity, as objects are never written to.
func sameSlice(a, b source.EndpointSlice) bool { return a.EndpointSlice == b.EndpointSlice }
