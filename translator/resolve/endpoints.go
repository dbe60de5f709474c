package resolve

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// endpointIndex finds the endpoints of a Service.
type endpointIndex struct {
	slices map[ServiceKey][]source.EndpointSlice
	legacy map[ServiceKey]source.Endpoints
}

func indexEndpoints(w source.World) endpointIndex {
	index := endpointIndex{slices: map[ServiceKey][]source.EndpointSlice{}, legacy: map[ServiceKey]source.Endpoints{}}
	for _, s := range w.EndpointSlices {
		key := ServiceKey{s.Cluster, s.Namespace, s.Labels[discoveryv1.LabelServiceName]}
		index.slices[key] = append(index.slices[key], s)
	}
	for _, e := range w.Endpoints {
		index.legacy[ServiceKey{e.Cluster, e.Namespace, e.Name}] = e
	}
	return index
}

// wanted are the addresses of a Service port that take requests, sorted: the ready ones; where there is none, those that
// are terminating and still serve (KEP-1669, as kube-proxy does). An endpoint's port is the one of the Service port's
// name (discovery/v1, EndpointPort.Name). Endpoints objects count only where there is no EndpointSlice.
func (x endpointIndex) wanted(service source.Service, key ServiceKey, portName string) ([]netip.AddrPort, []diag.D) {
	choices := []readiness{isReady, isLeaving}
	if service.Spec.PublishNotReadyAddresses {
		// core/v1: such a Service asks that readiness be disregarded.
		choices = []readiness{isAnything}
	}
	var ds []diag.D
	for _, choice := range choices {
		out, more := x.addresses(key, portName, choice)
		if ds = append(ds, more...); len(out) > 0 {
			return out, ds
		}
	}
	return nil, ds
}

// readiness says whether an endpoint of such conditions is wanted.
type readiness func(discoveryv1.EndpointConditions) bool

// discovery/v1: where nothing is said, an endpoint is ready and serving, and not terminating.
func isReady(c discoveryv1.EndpointConditions) bool { return c.Ready == nil || *c.Ready }

func isLeaving(c discoveryv1.EndpointConditions) bool {
	return c.Terminating != nil && *c.Terminating && (c.Serving == nil || *c.Serving)
}

func isAnything(discoveryv1.EndpointConditions) bool { return true }

func (x endpointIndex) addresses(key ServiceKey, portName string, choice readiness) ([]netip.AddrPort, []diag.D) {
	var out []netip.AddrPort
	var ds []diag.D
	found := x.slices[key]
	for _, s := range found {
		addresses, more := fromSlice(s, portName, choice)
		out, ds = append(out, addresses...), append(ds, more...)
	}
	if legacy, ok := x.legacy[key]; ok && len(found) == 0 {
		addresses, more := fromLegacy(legacy, portName, choice)
		out, ds = append(out, addresses...), append(ds, more...)
	}
	slices.SortFunc(out, netip.AddrPort.Compare)
	return slices.Compact(out), ds
}

func fromSlice(s source.EndpointSlice, portName string, choice readiness) ([]netip.AddrPort, []diag.D) {
	port, ok := slicePort(s, portName)
	if !ok {
		return nil, nil
	}
	var out []netip.AddrPort
	var ds []diag.D
	for j, e := range s.Endpoints {
		if !choice(e.Conditions) || len(e.Addresses) == 0 {
			continue
		}
		// discovery/v1: the addresses of one endpoint are fungible; the first is enough.
		address, err := parseEndpoint(e.Addresses[0], port)
		if err != nil {
			at := s.Place.Origin("EndpointSlice", s.Namespace, s.Name, fmt.Sprintf("endpoints[%d]", j))
			ds = append(ds, diag.New(diag.CodeEndpointAddress, at, err.Error(),
				"the endpoint is left out", "write the IP address of a pod, and a port from 1 to 65535"))
			continue
		}
		out = append(out, address)
	}
	return out, ds
}

// parseEndpoint reads an address that a proxy can connect to: no zone, which is another machine's, and not the
// unspecified address, which would be the proxy itself.
func parseEndpoint(text string, port int32) (netip.AddrPort, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is not an IP address", text)
	}
	addr = addr.Unmap()
	if addr.Zone() != "" || addr.IsUnspecified() || addr.IsMulticast() {
		return netip.AddrPort{}, fmt.Errorf("%q is not the address of an endpoint", text)
	}
	if port < 1 || port > 65535 {
		return netip.AddrPort{}, fmt.Errorf("%d is not a port", port)
	}
	return netip.AddrPortFrom(addr, uint16(port)), nil
}

func fromLegacy(e source.Endpoints, portName string, choice readiness) ([]netip.AddrPort, []diag.D) {
	var out []netip.AddrPort
	var ds []diag.D
	for j, subset := range e.Subsets {
		i := slices.IndexFunc(subset.Ports, func(p corev1.EndpointPort) bool { return p.Name == portName && overTCP(p.Protocol) })
		if i < 0 {
			continue
		}
		addresses := subset.Addresses
		if choice(discoveryv1.EndpointConditions{Ready: new(bool)}) {
			addresses = slices.Concat(addresses, subset.NotReadyAddresses)
		}
		for _, a := range addresses {
			address, err := parseEndpoint(a.IP, subset.Ports[i].Port)
			if err != nil {
				at := e.Place.Origin("Endpoints", e.Namespace, e.Name, fmt.Sprintf("subsets[%d]", j))
				ds = append(ds, diag.New(diag.CodeEndpointAddress, at, err.Error(),
					"the endpoint is left out", "write the IP address of a pod, and a port from 1 to 65535"))
				continue
			}
			out = append(out, address)
		}
	}
	return out, ds
}

// endpointsOf finds the endpoints of a claim's Service port: the name of their assignment and the DNS names by which
// the backend is known, the first one being what stands for it as Host and SNI.
func (r *backendResolver) endpointsOf(c reference, key ServiceKey, service source.Service, port corev1.ServicePort, mapped *netip.AddrPort) (string, []string, *model.Closed) {
	external := service.Service != nil && service.Spec.Type == corev1.ServiceTypeExternalName
	if external && mapped == nil {
		return r.external(c, service, port)
	}
	names := r.dnsNames(key)
	if external {
		names = r.externalNames(key.Cluster, service)
	}
	if host, err := model.ParseHost(names[0]); err != nil || host.Kind() != model.HostExact {
		return "", nil, r.closed(diag.New(diag.CodeNoService, c.Backend.Origin,
			fmt.Sprintf("%q is not a DNS name, so no backend can be called by it", names[0]), "the path answers 503",
			"give the Service a name that is a DNS label"))
	}
	if mapped != nil {
		name := portKey(key, port)
		r.assignments[name] = model.Assignment{Name: name, Endpoints: []netip.AddrPort{*mapped}, Origins: model.Origins{c.Backend.Origin}}
		return name, names, nil
	}
	return r.assign(c, key, service, port), names, nil
}

// assign makes the assignment of a Service port that exists. What is to be said of its endpoints takes the place of a
// mark, since it changes with them while nothing else does.
func (r *backendResolver) assign(c reference, key ServiceKey, service source.Service, port corev1.ServicePort) string {
	name := portKey(key, port)
	if _, done := r.assignments[name]; done {
		return name
	}
	p := endpointPort{key: key, service: service, port: port, origin: c.Backend.Origin}
	p.look(r.endpoints)
	r.diagnostics = append(r.diagnostics, markOf(len(r.ports)))
	r.ports = append(r.ports, p)
	r.assignments[name] = model.Assignment{
		Name: name, Endpoints: p.addresses, Known: p.known, Origins: model.Origins{r.portOrigin(key, port, c.Backend.Origin)},
	}
	return name
}

// portKey names a Service port: by number, or by name where a Service that is only mapped has no number.
func portKey(key ServiceKey, port corev1.ServicePort) string {
	return key.String() + "/" + portText(model.PortRef{Number: port.Port, Name: portNameWithoutNumber(port)})
}

func portNameWithoutNumber(port corev1.ServicePort) string {
	if port.Port != 0 {
		return ""
	}
	return port.Name
}

// dnsNames are the names of a Service in the cluster's DNS (Kubernetes: DNS for Services and Pods).
func (r *backendResolver) dnsNames(key ServiceKey) []string {
	short := key.Name + "." + key.Namespace + ".svc"
	return []string{short, short + "." + r.in.Settings.ClusterDomain}
}
