package resolve

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// BackendAddress is a --backend: where a Service port is reached in place of its endpoints.
type BackendAddress struct {
	Service ServiceKey
	Port    model.PortRef
	Address netip.AddrPort
}

// backendResolver looks up backends and remembers what it found.
type backendResolver struct {
	in          Input
	services    map[ServiceKey]source.Service
	endpoints   endpointIndex
	backends    map[string]model.Backend
	assignments map[string]model.Assignment
	usedAddress map[int]bool
	credentials credentials
	// users are those found so far, by name.
	users   map[string]model.Users
	names   nameRules
	answers map[string]source.ResolvedName
	// guard is made when the first name outside of the cluster needs it; nil before.
	guard *addressGuard
	// ports are the Service ports whose endpoints were looked up, in that order.
	ports  []endpointPort
	absent map[AbsentPort]bool
	// namespaces are those of claims.
	namespaces  map[NamespaceKey]bool
	diagnostics []diag.D
}

func newBackendResolver(in Input, looked *objects) *backendResolver {
	r := &backendResolver{
		in: in, services: map[ServiceKey]source.Service{}, endpoints: indexEndpoints(in.World),
		backends: map[string]model.Backend{}, assignments: map[string]model.Assignment{}, usedAddress: map[int]bool{},
		credentials: credentials{looked: looked, bundles: map[string]model.Bundle{}, clients: map[string]model.ClientCertificate{}},
		users:       map[string]model.Users{}, absent: map[AbsentPort]bool{}, namespaces: map[NamespaceKey]bool{},
		names: nameRules{clusterDomain: in.Settings.ClusterDomain, known: knownNames(in)}, answers: map[string]source.ResolvedName{},
	}
	for _, s := range in.World.Services {
		r.services[ServiceKey{s.Cluster, s.Namespace, s.Name}] = s
	}
	for _, c := range in.Claims {
		r.namespaces[NamespaceKey{c.Object.Cluster, c.Object.Namespace}] = true
	}
	for _, n := range in.World.Names {
		r.answers[n.Name] = n
	}
	return r
}

// route resolves one claim; what it refers to in vain closes it.
func (r *backendResolver) route(c model.Claim) model.Route {
	route := model.Route{
		Path: c.Path, Origins: c.Origins, Object: c.Object, Priority: c.Priority, RuleLength: c.RuleLength, HSTS: c.Policies.HSTS,
	}
	if c.Closed == nil {
		c.Closed = r.in.Namespaces[NamespaceKey{c.Object.Cluster, c.Object.Namespace}].Closed
	}
	if c.Closed != nil {
		route.Action = c.Closed
		return route
	}
	targets := r.targets(c)
	if !slices.ContainsFunc(targets, func(t model.Target) bool { return t.Closed == nil }) {
		route.Action = targets[0].Closed
		return route
	}
	auth, closed := r.auth(c)
	if closed != nil {
		route.Action = closed
		return route
	}
	r.checkRedirect(c.Policies.HTTPSRedirect)
	forward, places := r.perRoute(c, targets)
	route.Origins = slices.Concat(route.Origins, places)
	route.Action = &forward
	route.RoutePolicies = c.Policies.RoutePolicies
	route.Restricted = slices.Concat(route.Restricted, forward.InFlight.Origins())
	route.Auth = auth
	route.HTTPSRedirect = c.Policies.HTTPSRedirect
	route.ErrorPages = r.errorPages(c)
	return route
}

// checkRedirect tells of a redirect to an entry that this gateway does not have: it leads to somebody else's.
func (r *backendResolver) checkRedirect(redirect *model.HTTPSRedirect) {
	https := slices.ContainsFunc(r.in.Settings.Entries, func(e model.Entry) bool { return e.TLS })
	if redirect == nil || https {
		return
	}
	r.diagnostics = append(r.diagnostics, diag.New(diag.CodeNoSuchEntry, redirect.Origin, "the https entry is not open here",
		fmt.Sprintf("requests are redirected to port %d, whoever serves it", r.in.Settings.Edge.HTTPSPublicPort),
		"open it by --https, or name its port by --https-public-port"))
}

// checkHost tells of a host outside of the cluster that is asked over https for a Host that is not its own.
func (r *backendResolver) checkHost(c reference, b model.Backend) {
	outside := r.assignments[b.Assignment].Outside
	if outside == nil || b.TLS == nil || c.Policies.ReplaceHost {
		return
	}
	r.diagnostics = append(r.diagnostics, diag.New(diag.CodeForeignHost, c.Backend.Origin,
		outside.Name+" is outside of the cluster, is spoken to over https, and gets the client's Host",
		"most such hosts refuse or misroute a Host that is not theirs",
		fmt.Sprintf("annotate the Ingress with %s: \"false\"", c.HostAnnotation)))
}

// target is a Service port found: the cluster to make of it and the name that its host goes by.
type target struct {
	backend model.Backend
	name    string
}

// closed reports a diagnostic and makes the 503 of it.
func (r *backendResolver) closed(d diag.D) *model.Closed {
	r.diagnostics = append(r.diagnostics, d)
	return &model.Closed{Reason: d.Message, Code: d.Code, Origin: d.Origin}
}

func (r *backendResolver) find(c reference) (target, *model.Closed) {
	if c.Backend.Closed != nil {
		return target{}, c.Backend.Closed
	}
	key := ServiceKey{c.Object.Cluster, c.Backend.Namespace, c.Backend.Service}
	traits := r.in.Services[key]
	r.diagnostics = append(r.diagnostics, traits.Diagnostics...)
	if traits.Closed != nil {
		return target{}, traits.Closed
	}
	service, exists := r.services[key]
	mapped := r.mapped(key, c.Backend.Port, service)
	if !exists && mapped == nil {
		r.absent[AbsentPort{key, c.Backend.Port}] = true
		return target{}, r.closed(diag.New(diag.CodeNoService, c.Backend.Origin,
			fmt.Sprintf("there is no Service %s", key), "the path answers 503",
			fmt.Sprintf("create it, correct the name, or for local use give --backend %s:%s=HOST:PORT", key, portText(c.Backend.Port))))
	}
	port, closed := r.port(c, key, service)
	if closed != nil {
		return target{}, closed
	}
	assignment, names, closed := r.endpointsOf(c, key, service, port, mapped)
	if closed != nil {
		return target{}, closed
	}
	b := model.Backend{
		Name: portKey(key, port), Protocol: chooseProtocol(c.Policies.Protocol, traits.Protocol, port), Assignment: assignment,
		Origins: model.Origins{r.portOrigin(key, port, c.Backend.Origin)},
	}
	guard(&b, traits.ServicePolicies)
	b, closed = r.spokenTo(b, c, key, names)
	return target{backend: b, name: names[0]}, closed
}

// spokenTo completes a backend with what its protocol needs. A backend over TLS comes from the Service's words about it
// too; what an Ingress says stands with its routes.
func (r *backendResolver) spokenTo(b model.Backend, c reference, key ServiceKey, names []string) (model.Backend, *model.Closed) {
	if b.Protocol == model.ProtocolHTTPS {
		tls, closed := r.upstreamTLS(c, key, names)
		b.Name += "/https" + variant(tls, r.usualTLS(names))
		b.TLS, b.Origins = &tls, append(b.Origins, r.in.Services[key].UpstreamTLS.Origins()...)
		return b, closed
	}
	if b.Protocol == model.ProtocolH2C {
		b.Name += "/h2c"
	}
	r.tellUnused(r.upstreamClaim(c, key), b)
	return b, nil
}

// portOrigin places a Service port; one that no Service has is placed where it is named.
func (r *backendResolver) portOrigin(key ServiceKey, port corev1.ServicePort, otherwise diag.Origin) diag.Origin {
	s := r.services[key]
	if s.Service == nil {
		return otherwise
	}
	for i, p := range s.Spec.Ports {
		if p.Port == port.Port && p.Name == port.Name {
			return s.Origin(fmt.Sprintf("spec.ports[%d]", i))
		}
	}
	return s.Origin("spec")
}

// port finds the Service port that the claim names. A Service that is only mapped, or an ExternalName without
// ports, takes any number.
func (r *backendResolver) port(c reference, key ServiceKey, service source.Service) (corev1.ServicePort, *model.Closed) {
	ref := c.Backend.Port
	if service.Service == nil || service.Spec.Type == corev1.ServiceTypeExternalName && len(service.Spec.Ports) == 0 {
		return corev1.ServicePort{Name: ref.Name, Port: ref.Number}, nil
	}
	if port, ok := findPort(service, ref); ok {
		return port, nil
	}
	r.absent[AbsentPort{key, ref}] = true
	return corev1.ServicePort{}, r.closed(diag.New(diag.CodeNoPort, c.Backend.Origin,
		fmt.Sprintf("Service %s has no port %s; it has %s", key, portText(ref), portList(service)),
		"the path answers 503", "name one of its ports").With(service.Origin("spec.ports")))
}

func findPort(s source.Service, ref model.PortRef) (corev1.ServicePort, bool) {
	i := slices.IndexFunc(s.Spec.Ports, func(p corev1.ServicePort) bool {
		if !overTCP(p.Protocol) {
			return false
		}
		if ref.Name != "" {
			return p.Name == ref.Name
		}
		return p.Port == ref.Number
	})
	if i < 0 {
		return corev1.ServicePort{}, false
	}
	return s.Spec.Ports[i], true
}

// overTCP leaves out the UDP twin of a port, as Services for HTTP/3 have one.
func overTCP(p corev1.Protocol) bool { return p == "" || p == corev1.ProtocolTCP }

func portText(ref model.PortRef) string {
	if ref.Name != "" {
		return ref.Name
	}
	return fmt.Sprint(ref.Number)
}

func portList(s source.Service) string {
	var out []string
	for _, p := range s.Spec.Ports {
		text := fmt.Sprint(p.Port)
		if p.Name != "" {
			text += " (" + p.Name + ")"
		}
		if !overTCP(p.Protocol) {
			text += " over " + string(p.Protocol)
		}
		out = append(out, text)
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

// chooseProtocol settles how a backend is spoken to: as the Ingress asks, else as its Service's annotation says, else
// as its port does. appProtocol is Kubernetes' own word for it (KEP-3726).
func chooseProtocol(asked, ofService model.Protocol, port corev1.ServicePort) model.Protocol {
	if asked != model.ProtocolFromService && asked != model.ProtocolFromPort {
		return asked
	}
	if ofService != model.ProtocolFromService {
		return ofService
	}
	if asked == model.ProtocolFromPort && (port.Port == 443 || strings.HasPrefix(port.Name, "https")) {
		return model.ProtocolHTTPS
	}
	if port.AppProtocol != nil {
		switch strings.ToLower(*port.AppProtocol) {
		case "https":
			return model.ProtocolHTTPS
		case "kubernetes.io/h2c":
			return model.ProtocolH2C
		}
	}
	return model.ProtocolHTTP
}

// mapped is the --backend of a Service port, nil where there is none.
func (r *backendResolver) mapped(key ServiceKey, ref model.PortRef, service source.Service) *netip.AddrPort {
	names := []model.PortRef{ref}
	if service.Service != nil {
		if port, ok := findPort(service, ref); ok {
			names = append(names, model.PortRef{Number: port.Port}, model.PortRef{Name: port.Name})
		}
	}
	for i, b := range r.in.Settings.Backends {
		if b.Service.Namespace == key.Namespace && b.Service.Name == key.Name && slices.Contains(names, b.Port) {
			r.usedAddress[i] = true
			return &r.in.Settings.Backends[i].Address
		}
	}
	return nil
}

func (r *backendResolver) unusedAddresses() []diag.D {
	var ds []diag.D
	for i, b := range r.in.Settings.Backends {
		if !r.usedAddress[i] {
			flag := fmt.Sprintf("%s:%s=%s", b.Service, portText(b.Port), b.Address)
			ds = append(ds, diag.New(diag.CodeUnusedBackend, diag.Origin{Kind: "flag", Name: "--backend " + flag},
				"no served path refers to this Service and port", "it has no effect", "correct namespace, name or port, or remove the flag"))
		}
	}
	return ds
}

// used are the backends and assignments that the tables refer to, sorted by name.
func (r *backendResolver) used(tables []model.Table) ([]model.Backend, []model.Assignment) {
	backends, assignments := map[string]model.Backend{}, map[string]model.Assignment{}
	eachRoute(tables, func(route model.Route) {
		for _, p := range route.ErrorPages {
			b := r.backends[p.Backend]
			backends[b.Name], assignments[b.Assignment] = b, r.assignments[b.Assignment]
		}
		for _, t := range targetsOf(route) {
			b, a := r.behind(t)
			if _, noted := backends[b.Name]; !noted {
				backends[b.Name], assignments[a.Name] = b, a
			}
		}
		if route.Auth != nil && route.Auth.Forward != nil {
			b := r.backends[route.Auth.Forward.Backend]
			backends[b.Name], assignments[b.Assignment] = b, r.assignments[b.Assignment]
		}
	})
	return sorted(backends), sorted(assignments)
}
