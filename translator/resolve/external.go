package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// closesPath is what a refused ExternalName costs; noPolicy is the way out of what is always refused.
const (
	closesPath = "the path answers 503"
	noPolicy   = "no --external-name allows it: point the ExternalName elsewhere"
)

// externalService is an ExternalName that a claim refers to, and its port.
type externalService struct {
	claim   reference
	service source.Service
	port    corev1.ServicePort
	// place is where the name stands, where that is no ExternalName's field.
	place *diag.Origin
}

func (e externalService) at() diag.Origin {
	if e.place != nil {
		return *e.place
	}
	return e.service.Origin("spec.externalName")
}

// name is where it points to.
func (e externalService) name() string { return canonicalName(e.service.Spec.ExternalName) }

// key is the key of the ExternalName itself.
func (e externalService) key() ServiceKey {
	return ServiceKey{e.claim.Object.Cluster, e.service.Namespace, e.service.Name}
}

// refusal is why the ExternalName is not followed.
func (e externalService) refusal(code diag.Code, message, fix string) diag.D {
	d := diag.New(code, e.at(), message, closesPath, fix)
	if e.place != nil {
		return d
	}
	return d.With(e.claim.Backend.Origin)
}

// external follows an ExternalName as the policy allows: to the endpoints of a Service of the cluster, without DNS, or
// to the addresses that DNS gives a name outside.
func (r *backendResolver) external(c reference, service source.Service, port corev1.ServicePort) (string, []string, *model.Closed) {
	e := externalService{claim: c, service: service, port: port}
	if fault := syntaxFault(service.Spec.ExternalName); fault != "" {
		return "", nil, r.closed(e.refusal(diag.CodeNameRefused, fmt.Sprintf("%q leads nowhere: %s", service.Spec.ExternalName, fault),
			"write a DNS name, or SERVICE.NAMESPACE.svc."+r.in.Settings.ClusterDomain))
	}
	var name string
	var closed *model.Closed
	if key, inside := r.parseClusterName(c.Object.Cluster, e.name()); inside {
		name, closed = r.inside(e, key)
	} else {
		name, closed = r.outside(e)
	}
	return name, r.externalNames(c.Object.Cluster, service), closed
}

// externalNames are the names of an ExternalName's target: as written, and where it is a Service of the cluster, as
// that Service is known.
func (r *backendResolver) externalNames(cluster string, s source.Service) []string {
	names := []string{canonicalName(s.Spec.ExternalName)}
	if key, inside := r.parseClusterName(cluster, names[0]); inside {
		for _, n := range r.dnsNames(key) {
			if n != names[0] {
				names = append(names, n)
			}
		}
	}
	return names
}

// parseClusterName reads SERVICE.NAMESPACE.svc with or without the cluster domain.
func (r *backendResolver) parseClusterName(cluster, name string) (ServiceKey, bool) {
	name = strings.TrimSuffix(name, "."+r.in.Settings.ClusterDomain)
	parts := strings.Split(name, ".")
	if len(parts) != 3 || parts[2] != "svc" || parts[0] == "" || parts[1] == "" {
		return ServiceKey{}, false
	}
	return ServiceKey{cluster, parts[1], parts[0]}, true
}

// What no policy lets an ExternalName lead to.
const (
	systemNamespace = "kube-system"
	apiNamespace    = "default"
	apiService      = "kubernetes"
	// nameLabel, at nameOfOurs, marks Postern's own Services (Kubernetes: Recommended Labels). As it can only refuse,
	// nobody gains by setting it, and nobody but their owner can take it off them.
	nameLabel  = "app.kubernetes.io/name"
	nameOfOurs = "postern"
)

// serviceFault says why no policy lets an ExternalName lead to a Service, empty where one may.
func (r *backendResolver) serviceFault(key ServiceKey) string {
	to := r.services[key]
	switch {
	case key.Namespace == systemNamespace:
		return "namespace " + systemNamespace + " is not to be reached by an ExternalName"
	case key.Namespace == apiNamespace && key.Name == apiService:
		return "the API server is not to be reached by an ExternalName"
	case slices.Contains(r.in.Settings.ExternalNames.OwnServices, key), to.Service != nil && to.Labels[nameLabel] == nameOfOurs:
		return fmt.Sprintf("Service %s is one of Postern's own, which are not to be reached by an ExternalName", key)
	}
	return ""
}

// inside follows an ExternalName to a Service of the cluster, where the policy allows it.
func (r *backendResolver) inside(e externalService, key ServiceKey) (string, *model.Closed) {
	if fault := r.serviceFault(key); fault != "" {
		return "", r.closed(e.refusal(diag.CodeNameRefused, fault, noPolicy))
	}
	if closed := r.checkScope(e, key); closed != nil {
		return "", closed
	}
	ref := model.PortRef{Number: e.port.Port}
	if e.port.Port == 0 {
		ref = model.PortRef{Name: e.port.Name}
	}
	r.noteTargetPort(e)
	to, exists := r.services[key]
	if mapped := r.mapped(key, ref, to); mapped != nil {
		name := portKey(key, e.port)
		r.assignments[name] = model.Assignment{Name: name, Endpoints: []netip.AddrPort{*mapped}, Origins: model.Origins{e.at()}}
		return name, nil
	}
	if traits := r.in.Services[key]; traits.Closed != nil || traits.Diagnostics != nil {
		r.diagnostics = append(r.diagnostics, traits.Diagnostics...)
		if traits.Closed != nil {
			return "", traits.Closed
		}
	}
	wrong := ""
	found, hasPort := corev1.ServicePort{}, false
	switch {
	case !exists:
		r.absent[AbsentPort{key, ref}] = true
		wrong = fmt.Sprintf("there is no Service %s", key)
	case to.Spec.Type == corev1.ServiceTypeExternalName:
		wrong = fmt.Sprintf("Service %s is an ExternalName itself", key)
	default:
		if found, hasPort = findPort(to, ref); !hasPort {
			r.absent[AbsentPort{key, ref}] = true
			wrong = fmt.Sprintf("Service %s has no port %s; it has %s", key, portText(ref), portList(to))
		}
	}
	if wrong != "" {
		return "", r.closed(e.refusal(diag.CodeExternalTarget, wrong, "point the ExternalName at a Service that has endpoints"))
	}
	r.tellUnusedTarget(e, key)
	return r.assign(e.claim, key, to, found), nil
}

// checkScope closes the path of an ExternalName to a Service that the policy does not allow.
func (r *backendResolver) checkScope(e externalService, key ServiceKey) *model.Closed {
	policy := r.in.Settings.ExternalNames
	switch {
	case policy.Scope == ScopeCluster:
		return nil
	case policy.Scope == ScopeNone:
		word := externalNameCluster
		if key.Namespace == e.service.Namespace {
			word = externalNameSameNamespace
		}
		return r.closed(e.refusal(diag.CodeNameNotAllowed, fmt.Sprintf("Service %s is of the cluster, and --external-name %s allows none", key, policy),
			"give "+policy.with(word)))
	case key.Namespace == e.service.Namespace, r.letsIn(key, e.service.Namespace):
		return nil
	}
	// What is wrong with its annotations may be why it lets nobody in.
	r.diagnostics = append(r.diagnostics, r.in.Services[key].Diagnostics...)
	return r.closed(e.refusal(diag.CodeNameNotAllowed, fmt.Sprintf("Service %s is of another namespace, and --external-name is %s", key, policy),
		fmt.Sprintf("annotate Service %s or Namespace %s with %s: %s, or give --external-name %s",
			key, key.Namespace, allowAnnotation, e.service.Namespace, externalNameCluster)))
}

// letsIn says whether a Service, or its Namespace, lets the ExternalNames of another namespace in.
func (r *backendResolver) letsIn(key ServiceKey, from string) bool {
	return slices.Contains(r.in.Services[key].ExternalNameFrom, from) ||
		slices.Contains(r.in.Namespaces[NamespaceKey{key.Cluster, key.Namespace}].ExternalNameFrom, from)
}

// noteTargetPort tells that an ExternalName's own targetPort is not what an inside target is reached at.
func (r *backendResolver) noteTargetPort(e externalService) {
	target := e.port.TargetPort
	if target == (intstr.IntOrString{}) || target == intstr.FromInt32(e.port.Port) || target == intstr.FromString("") {
		return
	}
	r.diagnostics = append(r.diagnostics, diag.New(diag.CodeExternalPort, r.portOrigin(e.key(), e.port, e.at()),
		fmt.Sprintf("targetPort %s is not looked at: %s is a Service of the cluster", target.String(), e.name()),
		fmt.Sprintf("port %d is looked up there", e.port.Port), "").At(diag.Info))
}

// outside leads to the addresses of a name outside of the cluster, where the policy allows it. Whatever DNS says of the
// name bears on the endpoints alone: new answers must change nothing else.
func (r *backendResolver) outside(e externalService) (string, *model.Closed) {
	name, policy := e.name(), r.in.Settings.ExternalNames
	if fault := r.names.outsideFault(name); fault != "" {
		fix := noPolicy
		if r.names.inside(name) {
			fix = "name a Service as SERVICE.NAMESPACE.svc." + r.in.Settings.ClusterDomain
		}
		return "", r.closed(e.refusal(diag.CodeNameRefused, fmt.Sprintf("%q leads nowhere: %s", name, fault), fix))
	}
	if !policy.allows(r.names, name) {
		fix := "give " + policy.with(name) + ", or name a Service as SERVICE.NAMESPACE.svc." + r.in.Settings.ClusterDomain
		if parts := strings.SplitN(name, ".", 4); len(parts) == 4 && parts[2] == "svc" {
			fix = "if it is a Service of this cluster, give --cluster-domain " + parts[3]
		}
		return "", r.closed(e.refusal(diag.CodeOutsideName,
			fmt.Sprintf("%q is outside of the cluster, and --external-name %s does not list it", name, policy), fix))
	}
	port, fault := outsidePort(e.port)
	if fault != "" {
		return "", r.closed(e.refusal(diag.CodeExternalPort, fault, "give the port a targetPort from 1 to 65535, or none"))
	}
	key := portKey(e.key(), e.port)
	if _, done := r.assignments[key]; !done {
		_, asked := r.answers[name]
		a := model.Assignment{Name: key, Outside: &model.OutsideName{Name: name, Asked: asked}, Origins: model.Origins{e.at()}}
		for _, addr := range r.outsideAddresses(e) {
			a.Endpoints = append(a.Endpoints, netip.AddrPortFrom(addr, port))
		}
		r.assignments[key] = a
	}
	return key, nil
}

// outsidePort is the port of an outside host: the targetPort where it is a number, else the port.
func outsidePort(p corev1.ServicePort) (uint16, string) {
	port := p.Port
	switch {
	case p.TargetPort.Type == intstr.String && p.TargetPort.StrVal != "":
		return 0, fmt.Sprintf("targetPort %q is a name, which means nothing outside of the cluster", p.TargetPort.StrVal)
	case p.TargetPort.IntVal != 0:
		port = p.TargetPort.IntVal
	}
	if port < 1 || port > 65535 {
		return 0, fmt.Sprintf("%d is not a port", port)
	}
	return uint16(port), ""
}

// outsideAddresses are the addresses of a name that may be connected to, sorted.
func (r *backendResolver) outsideAddresses(e externalService) []netip.Addr {
	answer, asked := r.answers[e.name()]
	if !asked {
		d := e.refusal(diag.CodeNameUnresolved, e.name()+" has not been asked of DNS", "").At(diag.Info)
		d.Effect = "its addresses are looked up when it is served; until then " + closesPath
		r.diagnostics = append(r.diagnostics, d)
		return nil
	}
	r.checkAnswer(e, answer)
	left, refused := r.filter(answer)
	if len(refused) > 0 {
		d := e.refusal(diag.CodeAddressRefused, e.name()+": "+strings.Join(refused, "; "), "no --external-name allows it: see what the name is to resolve to")
		if len(left) > 0 {
			d.Effect = "what is refused is left out"
		} else {
			d = d.At(diag.Error)
		}
		r.diagnostics = append(r.diagnostics, d)
	}
	left = reachable(left, r.in.Settings.ExternalNames.Own)
	slices.SortFunc(left, netip.Addr.Compare)
	return slices.Compact(left)
}

// checkAnswer tells of an answer that is not fresh, or is none.
func (r *backendResolver) checkAnswer(e externalService, answer source.ResolvedName) {
	if len(answer.Addresses) == 0 {
		d := e.refusal(diag.CodeNameUnresolved, e.name()+": "+cmp.Or(answer.Fault, "it has no address"), "see whether the name is right")
		d.Effect += " until it has an address"
		r.diagnostics = append(r.diagnostics, d)
	} else if answer.Fault != "" {
		d := e.refusal(diag.CodeNameUnresolved, e.name()+": "+answer.Fault, "see what ails the DNS servers")
		d.Effect = "the addresses of the last good answer stay in use"
		r.diagnostics = append(r.diagnostics, d)
	}
}

// refusedShown is how many refused addresses of a name are told.
const refusedShown = 4

// filter parts the addresses of an answer into those that may be connected to and the reasons why others may not.
func (r *backendResolver) filter(answer source.ResolvedName) (left []netip.Addr, refused []string) {
	for _, alias := range answer.Aliases {
		fault := syntaxFault(alias)
		if fault == "" {
			fault = r.names.outsideFault(canonicalName(alias))
		}
		if fault != "" {
			return nil, []string{fmt.Sprintf("it is an alias of %q: %s", canonicalName(alias), fault)}
		}
	}
	if r.guard == nil {
		guard := guardOf(r.in)
		r.guard = &guard
	}
	addresses := slices.Clone(answer.Addresses)
	slices.SortFunc(addresses, netip.Addr.Compare)
	for _, addr := range slices.Compact(addresses) {
		if fault := r.guard.fault(addr); fault != "" {
			refused = append(refused, fmt.Sprintf("%s is %s", addr, fault))
		} else {
			left = append(left, plainAddress(addr))
		}
	}
	if more := len(refused) - refusedShown; more > 0 {
		refused = append(refused[:refusedShown], fmt.Sprintf("and %d more", more))
	}
	return left, refused
}

// outsideNames are the names whose addresses are wanted, sorted.
func (r *backendResolver) outsideNames() []string {
	names := map[string]bool{}
	for _, a := range r.assignments {
		if a.Outside != nil {
			names[a.Outside.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
