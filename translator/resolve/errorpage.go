package resolve

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// errorPages finds the backends of a claim's error pages. A page without one is told of and left out: the errors are
// answered as they would be without it.
func (r *backendResolver) errorPages(c model.Claim) []model.ErrorPage {
	var out []model.ErrorPage
	for _, p := range c.Policies.ErrorPages {
		said := len(r.diagnostics)
		ref, wrong := r.errorBackend(c, p)
		if wrong == "" {
			found, closed := r.find(ref)
			if closed == nil {
				r.backends[found.backend.Name] = found.backend
				out = append(out, model.ErrorPage{Statuses: p.Statuses, Backend: found.backend.Name, Host: found.name, Path: p.Path, Origin: p.Origin})
				continue
			}
			wrong = closed.Reason
		}
		// What was said of the backend speaks of a path of its own, which there is not.
		r.diagnostics = append(r.diagnostics[:said], diag.New(diag.CodeNoErrorBackend, p.Origin,
			fmt.Sprintf("error page %q: %s", p.Name, wrong), "errors are answered without that page",
			"name a rule of this namespace by its host and path, or a Service of it as SERVICE:PORT"))
	}
	return out
}

// errorBackend is what the backend of an error page names: first a rule, as in Traefik 1.7, then a Service. Both are of
// the Ingress's namespace.
func (r *backendResolver) errorBackend(c model.Claim, p model.ErrorPageClaim) (reference, string) {
	for _, o := range r.in.Claims {
		if o.Rank != model.RankRule || o.Object.Cluster != c.Object.Cluster || o.Object.Namespace != c.Object.Namespace || !namedByTraefik(o, p.Backend) {
			continue
		}
		if o.Closed != nil {
			return reference{}, o.Closed.Reason
		}
		return reference{Claim: o, Backend: o.Backends[0]}, ""
	}
	name, asked, named := strings.Cut(p.Backend, ":")
	key := ServiceKey{c.Object.Cluster, c.Object.Namespace, name}
	service, exists := r.services[key]
	mapped := slices.ContainsFunc(r.in.Settings.Backends, func(b BackendAddress) bool {
		return b.Service.Namespace == key.Namespace && b.Service.Name == key.Name
	})
	if !exists && !mapped {
		r.absentErrorBackend(key, asked)
		return reference{}, fmt.Sprintf("in namespace %s there is neither a rule nor a Service %q", c.Object.Namespace, p.Backend)
	}
	port := model.PortRef{Name: asked}
	if number, err := strconv.ParseInt(asked, 10, 32); err == nil {
		port = model.PortRef{Number: int32(number)}
	}
	if !named {
		var ok bool
		if port, ok = onlyPort(service.Service); !ok {
			return reference{}, fmt.Sprintf("Service %s has not one port: write %s:PORT", key, name)
		}
	}
	protocol := c.Policies.Protocol
	if protocol != model.ProtocolFromPort {
		protocol = model.ProtocolFromService
	}
	return reference{
		Claim:   model.Claim{Object: c.Object, Policies: model.Policies{Protocol: protocol, ReplaceHost: true}},
		Backend: model.BackendRef{Namespace: key.Namespace, Service: name, Port: port, Weight: 1, Origin: p.Origin},
	}, ""
}

// onlyPort is the port of a Service that has one, and the usual one of an ExternalName or of a Service that is only mapped.
func onlyPort(s *corev1.Service) (model.PortRef, bool) {
	if s == nil || s.Spec.Type == corev1.ServiceTypeExternalName && len(s.Spec.Ports) == 0 {
		return model.PortRef{Number: 80}, true
	}
	var ports []int32
	for _, p := range s.Spec.Ports {
		if overTCP(p.Protocol) {
			ports = append(ports, p.Port)
		}
	}
	if len(ports) != 1 {
		return model.PortRef{}, false
	}
	return model.PortRef{Number: ports[0]}, true
}

// What Traefik 1.7 put before a backend's name: the priority, where an Ingress had one, and the entry points.
var namePrefix = regexp.MustCompile(`^([0-9]+-)?([a-z-]+_)?`)

// namedByTraefik says whether a text is the name that Traefik 1.7 gave a rule's backend: its host and path, the prefixes
// before them or not (provider/kubernetes/kubernetes.go, loadIngresses: baseName).
func namedByTraefik(c model.Claim, name string) bool {
	own := []string{c.Host.Name() + c.Path.Value}
	if c.Path.Value == "/" && c.Host.Name() != "" {
		own = append(own, c.Host.Name()) // a rule without a path
	}
	if slices.Contains(own, name) {
		return true
	}
	decorated := c.Priority > 0 || c.Entries != nil
	return decorated && slices.Contains(own, strings.TrimPrefix(name, namePrefix.FindString(name)))
}
