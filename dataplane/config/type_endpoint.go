package config

import (
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// DecodeEndpoints reads a ClusterLoadAssignment resource: the addresses that may be sent to, in its order.
// An endpoint of a health_status other than UNKNOWN and HEALTHY is left out, as Envoy leaves it out of its rotation.
func DecodeEndpoints(name string, body *anypb.Any) ([]netip.AddrPort, error) {
	r, err := open(name, body, &endpointv3.ClusterLoadAssignment{})
	if err != nil {
		return nil, err
	}
	if len(r.message.GetEndpoints()) > 1 {
		return nil, only(r.path, "endpoints", "one locality")
	}
	var out []netip.AddrPort
	for i, locality := range r.message.GetEndpoints() {
		at := index(r.path, "endpoints", i)
		for j, e := range locality.GetLbEndpoints() {
			address, err := socketAddress(e.GetEndpoint().GetAddress(), join(index(at, "lb_endpoints", j), "endpoint.address"))
			if err != nil {
				return nil, err
			}
			switch e.GetHealthStatus() {
			case corev3.HealthStatus_UNKNOWN, corev3.HealthStatus_HEALTHY:
				out = append(out, address)
			}
		}
	}
	return out, nil
}
