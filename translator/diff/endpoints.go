package diff

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/model"
)

// EndpointChange is a backend whose addresses are others.
type EndpointChange struct {
	// Backend is the Service port, as NAMESPACE/SERVICE/PORT.
	Backend string           `json:"backend"`
	Added   []netip.AddrPort `json:"added,omitempty"`
	Removed []netip.AddrPort `json:"removed,omitempty"`
	Origins model.Origins    `json:"origins,omitempty"`
}

// Endpoints compares the addresses of the backends that both sides have. Compare leaves them out, since pods come and go: to
// it a backend has some or none.
func Endpoints(a, b Side) []EndpointChange {
	before := map[string]model.Assignment{}
	for _, x := range a.Gateway.Assignments {
		before[x.Name] = x
	}
	var out []EndpointChange
	for _, y := range b.Gateway.Assignments {
		x, both := before[y.Name]
		if !both {
			continue
		}
		change := EndpointChange{Backend: y.Name, Added: without(y.Endpoints, x.Endpoints), Removed: without(x.Endpoints, y.Endpoints), Origins: y.Origins}
		if len(change.Added)+len(change.Removed) > 0 {
			out = append(out, change)
		}
	}
	slices.SortFunc(out, func(a, b EndpointChange) int { return cmp.Compare(a.Backend, b.Backend) })
	return out
}

func without(from, other []netip.AddrPort) []netip.AddrPort {
	out := slices.DeleteFunc(slices.Clone(from), func(e netip.AddrPort) bool { return slices.Contains(other, e) })
	slices.SortFunc(out, netip.AddrPort.Compare)
	return out
}

// String is the change in a line.
func (e EndpointChange) String() string {
	words := []string{"endpoints of " + e.Backend + ":"}
	for _, x := range e.Removed {
		words = append(words, "-"+x.String())
	}
	for _, x := range e.Added {
		words = append(words, "+"+x.String())
	}
	return strings.Join(words, " ")
}

// placeholder stands for endpoints that are not known (RFC 5737).
var placeholder = netip.MustParseAddrPort("192.0.2.1:1")

// Served is the side with an endpoint in every backend, for manifests that come without EndpointSlices.
func (s Side) Served() Side {
	s.Gateway.Assignments = slices.Clone(s.Gateway.Assignments)
	for i, a := range s.Gateway.Assignments {
		if len(a.Endpoints) == 0 {
			s.Gateway.Assignments[i].Endpoints = []netip.AddrPort{placeholder}
		}
	}
	return s
}
