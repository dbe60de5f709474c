package live

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"

	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
	"github.com/postern-gateway/postern/controlplane/static"
	"github.com/postern-gateway/postern/translator/envoy"
)

// localise is a resource as it is served here: listeners on free loopback addresses, endpoints of the test backends in
// the place of the pods', and no word of ours that is not for the data plane.
func (h *place) localise(r envoy.Resource) (proto.Message, error) {
	m := proto.Clone(r.Message)
	static.Edit(m, dropOrigins)
	switch m := m.(type) {
	case *listenerv3.Listener:
		at, ok := h.entries[r.Name]
		if !ok {
			var err error
			if at, err = traffic.FreeAddress(); err != nil {
				return nil, fmt.Errorf("find an address for listener %s: %w", r.Name, err)
			}
			h.entries[r.Name] = at
		}
		setAddress(m.GetAddress().GetSocketAddress(), at)
	case *endpointv3.ClusterLoadAssignment:
		for _, locality := range m.GetEndpoints() {
			for _, e := range locality.GetLbEndpoints() {
				socket := e.GetEndpoint().GetAddress().GetSocketAddress()
				own := net.JoinHostPort(socket.GetAddress(), strconv.Itoa(int(socket.GetPortValue())))
				at, err := h.farm.address(endpoint{r.Name, own})
				if err != nil {
					return nil, err
				}
				setAddress(socket, at)
			}
		}
	}
	return m, nil
}

func setAddress(a *corev3.SocketAddress, at netip.AddrPort) {
	a.Address = at.Addr().String()
	a.PortSpecifier = &corev3.SocketAddress_PortValue{PortValue: uint32(at.Port())}
}

// originsKey is the filter metadata that tells of origins. No data plane may act on it, so none gets it.
const originsKey = "postern.dev"

func dropOrigins(m proto.Message) {
	if metadata, ok := m.(*corev3.Metadata); ok {
		delete(metadata.GetFilterMetadata(), originsKey)
	}
}
