package resolve

import (
	"cmp"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// known are all endpoints of a Service port with their conditions, sorted, whether they take requests or not. What is no
// address is left out; of what is wanted, wanted tells it.
func (x endpointIndex) known(key ServiceKey, portName string) []model.Endpoint {
	var out []model.Endpoint
	found := x.slices[key]
	for _, s := range found {
		out = append(out, knownOfSlice(s, portName)...)
	}
	if legacy, ok := x.legacy[key]; ok && len(found) == 0 {
		out = append(out, knownOfLegacy(legacy, portName)...)
	}
	slices.SortFunc(out, func(a, b model.Endpoint) int {
		return cmp.Or(a.Address.Compare(b.Address), a.Origin.Compare(b.Origin))
	})
	return out
}

func knownOfSlice(s source.EndpointSlice, portName string) []model.Endpoint {
	port, ok := slicePort(s, portName)
	if !ok {
		return nil
	}
	var out []model.Endpoint
	for i, e := range s.Endpoints {
		if len(e.Addresses) == 0 {
			continue
		}
		address, err := parseEndpoint(e.Addresses[0], port)
		if err != nil {
			continue
		}
		c := e.Conditions
		out = append(out, model.Endpoint{
			Address: address, Ready: isReady(c), Serving: c.Serving == nil || *c.Serving, Terminating: c.Terminating != nil && *c.Terminating,
			Origin: s.Place.Origin("EndpointSlice", s.Namespace, s.Name, "endpoints["+strconv.Itoa(i)+"]"),
		})
	}
	return out
}

// slicePort is the number that a slice has for a port of the Service.
func slicePort(s source.EndpointSlice, portName string) (int32, bool) {
	i := slices.IndexFunc(s.Ports, func(p discoveryv1.EndpointPort) bool {
		name := ""
		if p.Name != nil {
			name = *p.Name
		}
		return name == portName && p.Port != nil && (p.Protocol == nil || overTCP(*p.Protocol))
	})
	if i < 0 {
		return 0, false
	}
	return *s.Ports[i].Port, true
}

func knownOfLegacy(e source.Endpoints, portName string) []model.Endpoint {
	var out []model.Endpoint
	for i, subset := range e.Subsets {
		j := slices.IndexFunc(subset.Ports, func(p corev1.EndpointPort) bool { return p.Name == portName && overTCP(p.Protocol) })
		if j < 0 {
			continue
		}
		at := e.Place.Origin("Endpoints", e.Namespace, e.Name, "subsets["+strconv.Itoa(i)+"]")
		for k, a := range slices.Concat(subset.Addresses, subset.NotReadyAddresses) {
			address, err := parseEndpoint(a.IP, subset.Ports[j].Port)
			if err != nil {
				continue
			}
			ready := k < len(subset.Addresses)
			out = append(out, model.Endpoint{Address: address, Ready: ready, Serving: ready, Origin: at})
		}
	}
	return out
}
