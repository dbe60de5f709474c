package files

import (
	"strconv"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	networkingv1beta1 "k8s.io/api/networking/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"go.yaml.in/yaml/v3"

	"github.com/postern-gateway/postern/translator/source"
)

// readLegacyIngress turns an Ingress of extensions/v1beta1 or networking.k8s.io/v1beta1, which have the same fields,
// into networking.k8s.io/v1. The status is left behind: it is output of whoever served the Ingress before.
func readLegacyIngress(d *decoder, n *yaml.Node, h header) error {
	h = d.namespaced(h)
	old, place, err := typed[networkingv1beta1.Ingress](d, n, h)
	if err != nil {
		return err
	}
	o := &networkingv1.Ingress{
		TypeMeta:   metav1.TypeMeta{APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "Ingress"},
		ObjectMeta: old.ObjectMeta,
		Spec: networkingv1.IngressSpec{
			IngressClassName: old.Spec.IngressClassName,
		},
	}
	o.Namespace = h.namespace
	if old.Spec.Backend != nil {
		o.Spec.DefaultBackend = new(fromLegacyBackend(*old.Spec.Backend))
	}
	for _, t := range old.Spec.TLS {
		o.Spec.TLS = append(o.Spec.TLS, networkingv1.IngressTLS(t))
	}
	for _, r := range old.Spec.Rules {
		o.Spec.Rules = append(o.Spec.Rules, fromLegacyRule(r))
	}
	addNewPaths(place.Lines)
	d.world.Ingresses = append(d.world.Ingresses, source.Ingress{Place: place, Ingress: o, APIVersion: h.apiVersion})
	return nil
}

func fromLegacyRule(r networkingv1beta1.IngressRule) networkingv1.IngressRule {
	out := networkingv1.IngressRule{Host: r.Host}
	if r.HTTP == nil {
		return out
	}
	out.HTTP = &networkingv1.HTTPIngressRuleValue{}
	for _, p := range r.HTTP.Paths {
		// v1beta1: "If unspecified, PathType defaults to ImplementationSpecific."
		pathType := networkingv1.PathTypeImplementationSpecific
		if p.PathType != nil {
			pathType = networkingv1.PathType(*p.PathType)
		}
		out.HTTP.Paths = append(out.HTTP.Paths, networkingv1.HTTPIngressPath{
			Path: p.Path, PathType: &pathType, Backend: fromLegacyBackend(p.Backend),
		})
	}
	return out
}

// fromLegacyBackend keeps a backend that names no Service empty. A port that is a number in quotes counts as the
// number, as it did in Traefik 1.7; to Kubernetes it is the name of a port, which no port can have.
func fromLegacyBackend(b networkingv1beta1.IngressBackend) networkingv1.IngressBackend {
	out := networkingv1.IngressBackend{Resource: b.Resource}
	if b.ServiceName == "" && b.ServicePort == (intstr.IntOrString{}) {
		return out
	}
	out.Service = &networkingv1.IngressServiceBackend{Name: b.ServiceName}
	if b.ServicePort.Type == intstr.Int {
		out.Service.Port.Number = b.ServicePort.IntVal
		return out
	}
	if number, err := strconv.ParseInt(b.ServicePort.StrVal, 10, 32); err == nil {
		out.Service.Port.Number = int32(number)
		return out
	}
	out.Service.Port.Name = b.ServicePort.StrVal
	return out
}

// addNewPaths gives the fields of a legacy Ingress the paths that they have in v1 too.
func addNewPaths(lines source.Lines) {
	more := source.Lines{}
	for path, line := range lines {
		for _, to := range newPaths(path) {
			more[to] = line
		}
	}
	// Both serviceName and servicePort give backend.service a line; the name's is the better one.
	for path, line := range lines {
		if owner, found := strings.CutSuffix(path, ".serviceName"); found {
			more[v1Path(owner)+".service"] = line
		}
	}
	for path, line := range more {
		if _, ok := lines[path]; !ok {
			lines[path] = line
		}
	}
}

// newPaths are the fields of v1 that a legacy field became.
func newPaths(path string) []string {
	to := v1Path(path)
	if owner, found := strings.CutSuffix(to, ".serviceName"); found {
		return []string{owner + ".service.name"}
	}
	if owner, found := strings.CutSuffix(to, ".servicePort"); found {
		service := owner + ".service"
		return []string{service, service + ".port", service + ".port.number", service + ".port.name"}
	}
	return []string{to}
}

// v1Path moves spec.backend to spec.defaultBackend; other paths stay.
func v1Path(path string) string {
	if rest, found := strings.CutPrefix(path, "spec.backend"); found && (rest == "" || rest[0] == '.') {
		return "spec.defaultBackend" + rest
	}
	return path
}
