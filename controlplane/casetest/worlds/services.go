package worlds

import (
	"fmt"
	"strings"

	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var namespaces = []string{"shop", "team"}

// catalogue is every Service that a world may have, in either namespace, by name.
var catalogue = map[string]corev1.ServiceSpec{
	"web":    ports(port("", 80, "")),
	"api":    ports(port("http", 8080, "")),
	"multi":  ports(port("http", 80, ""), port("https", 443, ""), port("metrics", 9090, "")),
	"grpc":   ports(port("", 80, "kubernetes.io/h2c")),
	"secure": ports(port("", 8443, "https")),
	// known has a certificate of the test CA for its own name, self one of nobody's.
	"known": ports(port("", 443, "")),
	"self":  ports(port("", 443, "")),
	"plain": ports(port("https-no-tls", 80, "")),
	"down":  ports(port("", 80, "")),
	"idle":  ports(port("", 80, "")),
	"udp":   {Ports: []corev1.ServicePort{{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}, {Name: "tcp", Port: 53, Protocol: corev1.ProtocolTCP}}},
	// In the namespace shop these point to team, and the other way round.
	"alias":     {Type: corev1.ServiceTypeExternalName, ExternalName: "web.OTHER.svc.cluster.local"},
	"alias-tls": {Type: corev1.ServiceTypeExternalName, ExternalName: "known.OTHER.svc", Ports: []corev1.ServicePort{port("", 443, "")}},
	"alias-no":  {Type: corev1.ServiceTypeExternalName, ExternalName: "nobody.OTHER.svc"},
}

// backendsText says how test backends differ from the usual. It is the same of all worlds, so that they can share them.
const backendsText = `shop/known/443 names=known.shop.svc,known.shop.svc.cluster.local ca=test
team/known/443 names=known.team.svc,known.team.svc.cluster.local ca=test
shop/plain/80 plain
team/plain/80 plain
shop/down/80 down
team/down/80 down
`

// Backends is a case whose backends are those of every world: for a judge that is asked of many worlds.
func Backends() []byte {
	return txtar.Format(&txtar.Archive{
		Comment: []byte("The backends of all worlds.\n"), Files: []txtar.File{{Name: "backends.txt", Data: []byte(backendsText)}},
	})
}

// backends are the lines of backendsText that are about the world's own Services.
func (w World) backends() string {
	var out string
	for line := range strings.Lines(backendsText) {
		if name := strings.SplitN(line, "/", 3); w.has(name[0], name[1]) {
			out += line
		}
	}
	return out
}

func ports(p ...corev1.ServicePort) corev1.ServiceSpec { return corev1.ServiceSpec{Ports: p} }

func port(name string, number int32, protocol string) corev1.ServicePort {
	p := corev1.ServicePort{Name: name, Port: number}
	if protocol != "" {
		p.AppProtocol = &protocol
	}
	return p
}

// backend names a port of a Service, sometimes one that is not there.
func backend(d drawer) *networkingv1.IngressBackend {
	name := pick(d, serviceNames)
	b := &networkingv1.IngressServiceBackend{Name: name, Port: networkingv1.ServiceBackendPort{Number: 80}}
	if known := catalogue[name].Ports; len(known) > 0 {
		p := pick(d, known)
		b.Port.Number = p.Port
		if p.Name != "" && d.oneIn(2) {
			b.Port = networkingv1.ServiceBackendPort{Name: p.Name}
		}
	}
	if d.oneIn(25) {
		b.Port = networkingv1.ServiceBackendPort{Number: 81}
	}
	return &networkingv1.IngressBackend{Service: b}
}

// serviceNames are drawn from; the plain ones more often, so that most requests are served.
var serviceNames = []string{
	"web", "web", "web", "api", "api", "api", "multi", "multi", "multi", "grpc", "secure", "known", "known", "self", "plain", "down", "idle", "udp",
	"alias", "alias-tls", "alias-no", "missing",
}

// addServices adds the Services that the Ingresses name.
func (w *World) addServices() {
	for _, ing := range w.Ingresses {
		for _, b := range backendsOf(ing) {
			w.addService(ing.Namespace, b.Service.Name)
		}
	}
}

func backendsOf(ing *networkingv1.Ingress) []networkingv1.IngressBackend {
	var out []networkingv1.IngressBackend
	for _, rule := range ing.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for _, p := range rule.HTTP.Paths {
			out = append(out, p.Backend)
		}
	}
	if ing.Spec.DefaultBackend != nil {
		out = append(out, *ing.Spec.DefaultBackend)
	}
	return out
}

func (w *World) addService(namespace, name string) {
	spec, known := catalogue[name]
	if !known || w.has(namespace, name) {
		return
	}
	s := &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{}},
		Spec:       *spec.DeepCopy(),
	}
	w.Services = append(w.Services, s)
	if s.Spec.ExternalName == "" {
		return
	}
	other := namespaces[0]
	if namespace == other {
		other = namespaces[1]
	}
	s.Spec.ExternalName = strings.Replace(s.Spec.ExternalName, "OTHER", other, 1)
	target, _, _ := strings.Cut(s.Spec.ExternalName, ".")
	w.addService(other, target)
}

// endpoints is the EndpointSlice of a Service, empty where it has none.
func endpoints(s *corev1.Service) string {
	if s.Spec.ExternalName != "" {
		return ""
	}
	ready := "true"
	if s.Name == "idle" {
		ready = "false"
	}
	var named []string
	for _, p := range s.Spec.Ports {
		named = append(named, fmt.Sprintf("{name: %q, port: %d}", p.Name, p.Port))
	}
	return fmt.Sprintf("{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %[1]s-1, namespace: %[2]s, labels: {kubernetes.io/service-name: %[1]s}}, "+
		"addressType: IPv4, endpoints: [{addresses: [10.0.0.1], conditions: {ready: %[3]s}}], ports: [%[4]s]}\n", s.Name, s.Namespace, ready, strings.Join(named, ", "))
}
