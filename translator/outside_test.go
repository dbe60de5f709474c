package translator_test

import (
	"net/netip"
	"slices"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/mutate"
	"github.com/postern-gateway/postern/translator/source"
)

// eachWorld runs a law on every case and its mutants.
func eachWorld(t *testing.T, law func(t *testing.T, w source.World, r translator.Result)) {
	t.Helper()
	eachCase(t, func(t *testing.T, w source.World, s translator.Settings) {
		law(t, w, translator.Translate(w, s))
		for seed := range uint64(mutantsPerCase) {
			mutant := mutate.World(w, seed)
			law(t, mutant, translator.Translate(mutant, s))
		}
	})
}

// TestEnvoyResolvesNothing: no cluster discovers its endpoints by DNS, and no endpoint is anything but an IP address, so
// that no data plane ever connects to what a name means to it.
func TestEnvoyResolvesNothing(t *testing.T) {
	eachWorld(t, func(t *testing.T, _ source.World, r translator.Result) {
		for _, resource := range r.Resources {
			switch m := resource.Message.(type) {
			case *clusterv3.Cluster:
				if m.GetType() != clusterv3.Cluster_EDS || m.GetClusterType() != nil || m.GetLoadAssignment() != nil {
					t.Errorf("cluster %s: its endpoints do not come by EDS alone: %v", m.GetName(), m)
				}
			case *endpointv3.ClusterLoadAssignment:
				for _, locality := range m.GetEndpoints() {
					for _, e := range locality.GetLbEndpoints() {
						address := e.GetEndpoint().GetAddress().GetSocketAddress()
						if _, err := netip.ParseAddr(address.GetAddress()); err != nil || e.GetEndpoint().GetHostname() != "" || address.GetResolverName() != "" {
							t.Errorf("assignment %s: an endpoint is not an IP address: %v", m.GetClusterName(), e)
						}
					}
				}
			}
		}
	})
}

// TestOutsideAddressesAreFiltered: whatever DNS says, no endpoint of a name outside of the cluster is inside. What is
// inside is said here anew, in the words of net/netip.
func TestOutsideAddressesAreFiltered(t *testing.T) {
	eachWorld(t, func(t *testing.T, w source.World, r translator.Result) {
		known := knownAddresses(w)
		for _, a := range r.Gateway.Assignments {
			for _, e := range a.Endpoints {
				addr := e.Addr()
				inside := addr.IsLoopback() || addr.IsUnspecified() || addr.IsLinkLocalUnicast() || addr.IsMulticast() || addr.Is4In6() || known[addr]
				if a.Outside != nil && inside {
					t.Errorf("%s, of %s, has the endpoint %s", a.Name, a.Outside.Name, e)
				}
			}
		}
	})
}

func knownAddresses(w source.World) map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	note := func(text string) {
		if addr, err := netip.ParseAddr(text); err == nil {
			out[addr.Unmap().WithZone("")] = true
		}
	}
	for _, s := range w.Services {
		for _, text := range slices.Concat(s.Spec.ClusterIPs, s.Spec.ExternalIPs) {
			note(text)
		}
	}
	for _, s := range w.EndpointSlices {
		for _, e := range s.Endpoints {
			for _, text := range e.Addresses {
				note(text)
			}
		}
	}
	for _, n := range w.Nodes {
		for _, a := range n.Status.Addresses {
			note(a.Address)
		}
	}
	return out
}
