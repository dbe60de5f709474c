// Package mutate makes worlds that no sane user would write, for the laws that hold of every world: translation never
// panics, and Envoy accepts whatever comes of it.
package mutate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/dialect/native"
	"github.com/postern-gateway/postern/translator/dialect/nginx"
	"github.com/postern-gateway/postern/translator/dialect/traefik"
	"github.com/postern-gateway/postern/translator/source"
)

// mutationsMax is how many changes one world gets at most.
const mutationsMax = 12

// nasty are values that have broken gateways: format strings, regex and path languages, escapes, sizes, encodings.
var nasty = []string{
	"", " ", "/", "//", "/a//b", "/../x", "/a/../../b", "/%2e%2e/x", "/a%2fb", "/a%00b", "/a\x00b", "/a\nb: c", "/a b", "/é", "/a?b=c", "/a#b",
	"/{x:.*}", "/a,/b", "/a;Host:x", "/(((", "/[a-z]{1000}", "/%", "/%zz", "/100%", "/%ENVIRONMENT(HOME)%", "%REQ(:AUTHORITY)%", "a", "a/b",
	"/" + strings.Repeat("+%C3", 64) + strings.Repeat("a", 255), "/" + strings.Repeat("a", 400), "/" + strings.Repeat("a/", 3000), strings.Repeat("a", 300), strings.Repeat("a.", 120) + "x",
	"*." + strings.Repeat("a.", 120) + "x", "/" + strings.Repeat("(", 200) + strings.Repeat(".", 250), "*", "*.", "*.*", "*.x", "**.x", "a.*.b", "x.", ".x", "-x", "X.TEST", "x_y.test", "x:80", "1.2.3.4", "[::1]", "::1", "[", "::1%\n", "fe80::1%x*", "[1.2.3.4", "xn--a", "a..b", "é.test",
	"http", "https", "h2c", "ftp", "true", "false", "ture", "1", "-1", "99999999999999999999", "0", "0x10", "1e9",
	"Path", "PathPrefix", "PathStrip", "PathPrefixStrip", "ReplacePath", "pathprefix", "Exact", "Prefix", "ImplementationSpecific",
	"http,https", ",", "https,nope", "0.0.0.0/0,::/0", "0.0.0.0/0", "a.b.svc.cluster.local", "localhost", "127.0.0.1", "\u202e", "\xff\xfe", "${x}", "{{x}}", "'\"`",
	"X-A:%REQ(:PATH)%||:path:/x||Host:x||X-B:", "X-A:\x00||X A:1||" + strings.Repeat("Y", 300) + ":1", "Content-Length:5||Connection:close", strings.Repeat("Z:"+strings.Repeat("%", 8192)+"||", 3),
	`{a: {status: ["500-599"], backend: web, query: "/%REQ(:PATH)%{status}"}}`, `{a: {status: ["1-2"], backend: "x:y:z"}, a: 1}`, `&a [*a]`,
	`\\1`, `(?i)a`, `^(.*?)$`,
	"10.0.0.0/8, ::1, fd00::/7, ::ffff:10.0.0.0/104", "10.0.0.1/33", "::ffff:1.2.3.4", "a.test:8080,[::1]:80", "X-Forwarded-Host", "X-Host, x-original-host",
	"{extractorfunc: request.host, rateset: {a: {period: 1ns, average: 1, burst: 4294967295}, b: {period: 8760h, average: 4294967295, burst: 1}}}",
	"{extractorfunc: request.header.%REQ(X), rateset: {a: {period: 1.5ms, average: 3, burst: 1}}}", "{extractorfunc: client.ip, rateset: {a: {period: -1s, average: 1e9, burst: 1}}}",
	"basic", "DIGEST", "forward", "traefik", "http://web.default.svc/", "https://u:p@a/", "http://[::1]:0/", "http://a b/", "http://a/\r\nb: c", "http://169.254.169.254/", "Authorization", "X_A", ":path", "a, b c",
	"a:$2y$04$" + strings.Repeat("a", 53), "a:$2y$31$" + strings.Repeat("a", 53), "a:{SHA}x", "a:traefik:" + strings.Repeat("0", 32), "a:b:c:d\n\na", "\x00:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
	"1.1", "1.2", "1.3", "TLS1.3", "max-age=0", "max-age=31536000; includeSubDomains; preload", "max-age=1;;max-age=2", `max-age="%s"`, "max-age=99999999999",
}

// World changes a copy of a world at random places. The same seed gives the same world.
func World(base source.World, seed uint64) source.World {
	m := mutator{rand: random(seed), world: copyWorld(base)}
	for range changes(m.rand) {
		m.step()
	}
	return m.world
}

// Changes is how many changes World makes by a seed.
func Changes(seed uint64) int { return changes(random(seed)) }

func changes(r *rand.Rand) int { return 1 + r.IntN(mutationsMax) }

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)) }

// copyWorld copies what the mutator writes to.
func copyWorld(w source.World) source.World {
	out := source.Merge(w)
	for i := range out.Ingresses {
		out.Ingresses[i].Ingress = out.Ingresses[i].DeepCopy()
	}
	for i := range out.Services {
		out.Services[i].Service = out.Services[i].DeepCopy()
	}
	for i := range out.EndpointSlices {
		out.EndpointSlices[i].EndpointSlice = out.EndpointSlices[i].DeepCopy()
	}
	for i := range out.Secrets {
		out.Secrets[i].Secret = out.Secrets[i].DeepCopy()
	}
	for i := range out.ConfigMaps {
		out.ConfigMaps[i].ConfigMap = out.ConfigMaps[i].DeepCopy()
	}
	for i := range out.Namespaces {
		out.Namespaces[i].Namespace = out.Namespaces[i].DeepCopy()
	}
	return out
}

type mutator struct {
	rand  *rand.Rand
	world source.World
}

func (m *mutator) text() string { return nasty[m.rand.IntN(len(nasty))] }

func (m *mutator) number() int32 {
	return []int32{0, 1, 80, 443, 8080, 65535, 65536, -1, 1 << 30}[m.rand.IntN(9)]
}

func (m *mutator) step() {
	switch m.rand.IntN(11) {
	case 0:
		m.service()
	case 1:
		m.slice()
	case 2:
		m.secret()
	case 3:
		m.repeat()
	case 4:
		m.upstream()
	case 5, 6:
		m.outside()
	default:
		m.ingress()
	}
}

func (m *mutator) pickIngress() *networkingv1.Ingress {
	if len(m.world.Ingresses) == 0 {
		return nil
	}
	return m.world.Ingresses[m.rand.IntN(len(m.world.Ingresses))].Ingress
}

func (m *mutator) ingress() {
	ing := m.pickIngress()
	if ing == nil {
		return
	}
	switch m.rand.IntN(9) {
	case 0, 1:
		m.annotate(ing)
	case 7, 8:
		m.paths(ing)
	case 6:
		m.share(ing)
	case 2:
		ing.Spec.TLS = append(ing.Spec.TLS, networkingv1.IngressTLS{Hosts: []string{m.text(), m.text()}, SecretName: m.text()})
	case 3:
		ing.Spec.DefaultBackend = &networkingv1.IngressBackend{Service: m.backend(ing)}
	default:
		m.rule(ing)
	}
}

// annotate writes a key of a dialect, or nearly one, with any value.
func (m *mutator) annotate(ing *networkingv1.Ingress) {
	table := []*dialect.Table{traefik.Table, traefik.Table, native.Table, nginx.Table}[m.rand.IntN(4)]
	entry := table.Annotations[m.rand.IntN(len(table.Annotations))]
	if m.rand.IntN(2) == 0 {
		entry = m.applied(table)
	}
	key := table.Prefixes[m.rand.IntN(len(table.Prefixes))] + entry.Key
	if m.rand.IntN(8) == 0 {
		key = key[:len(key)-1]
	}
	if ing.Annotations == nil {
		ing.Annotations = map[string]string{}
	}
	value := m.text()
	switch m.rand.IntN(4) {
	case 0:
		value = entry.Example
	case 1:
		// A Secret that is there, for the annotations that name one.
		if n := len(m.world.Secrets); n > 0 {
			value = m.world.Secrets[m.rand.IntN(n)].Name
		}
	}
	ing.Annotations[key] = value
}

// applied is an entry that has an effect, where a few draws find one.
func (m *mutator) applied(t *dialect.Table) dialect.Annotation {
	const drawsMax = 8
	var entry dialect.Annotation
	for range drawsMax {
		entry = t.Annotations[m.rand.IntN(len(t.Annotations))]
		if entry.Support == dialect.Applied || entry.Support == dialect.Approximated {
			break
		}
	}
	return entry
}

func (m *mutator) rule(ing *networkingv1.Ingress) {
	pathType := networkingv1.PathType([]string{"Exact", "Prefix", "ImplementationSpecific", "Regex"}[m.rand.IntN(4)])
	path := networkingv1.HTTPIngressPath{Path: m.text(), PathType: &pathType, Backend: networkingv1.IngressBackend{Service: m.backend(ing)}}
	if m.rand.IntN(5) == 0 {
		path.PathType = nil
	}
	rule := networkingv1.IngressRule{Host: m.text()}
	if m.rand.IntN(3) == 0 && len(ing.Spec.Rules) > 0 {
		rule.Host = ing.Spec.Rules[0].Host
	}
	rule.HTTP = &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{path}}
	ing.Spec.Rules = append(ing.Spec.Rules, rule)
}

// share gives a path of the Ingress more backends, some of which exist; mostly in the dialect in which they share it.
func (m *mutator) share(ing *networkingv1.Ingress) {
	if len(ing.Spec.Rules) == 0 {
		return
	}
	rule := &ing.Spec.Rules[m.rand.IntN(len(ing.Spec.Rules))]
	if rule.HTTP == nil || len(rule.HTTP.Paths) == 0 {
		return
	}
	for range 1 + m.rand.IntN(3) {
		path := *rule.HTTP.Paths[m.rand.IntN(len(rule.HTTP.Paths))].DeepCopy()
		path.Backend = networkingv1.IngressBackend{Service: m.anyBackend(ing)}
		rule.HTTP.Paths = append(rule.HTTP.Paths, path)
	}
	if m.rand.IntN(4) > 0 {
		if ing.Annotations == nil {
			ing.Annotations = map[string]string{}
		}
		ing.Annotations[traefik.Table.Prefixes[1]+"preserve-host"] = []string{"true", "false"}[m.rand.IntN(2)]
	}
}

// anyBackend is a Service port of the world, as far as there is one in the Ingress's namespace; else any at all.
func (m *mutator) anyBackend(ing *networkingv1.Ingress) *networkingv1.IngressServiceBackend {
	for _, i := range m.rand.Perm(len(m.world.Services)) {
		s := m.world.Services[i]
		if s.Namespace == ing.Namespace && len(s.Spec.Ports) > 0 && m.rand.IntN(6) > 0 {
			port := s.Spec.Ports[m.rand.IntN(len(s.Spec.Ports))]
			return &networkingv1.IngressServiceBackend{Name: s.Name, Port: networkingv1.ServiceBackendPort{Number: port.Port}}
		}
	}
	return m.backend(ing)
}

// backend names a Service of the Ingress's rules half of the time, so that the path is served.
func (m *mutator) backend(ing *networkingv1.Ingress) *networkingv1.IngressServiceBackend {
	for _, rule := range ing.Spec.Rules {
		if rule.HTTP != nil && len(rule.HTTP.Paths) > 0 && rule.HTTP.Paths[0].Backend.Service != nil && m.rand.IntN(4) > 0 {
			return rule.HTTP.Paths[0].Backend.Service.DeepCopy()
		}
	}
	b := &networkingv1.IngressServiceBackend{Name: m.text()}
	if m.rand.IntN(2) == 0 {
		b.Port.Name = m.text()
	} else {
		b.Port.Number = m.number()
	}
	return b
}

func (m *mutator) service() {
	if len(m.world.Services) == 0 {
		return
	}
	s := m.world.Services[m.rand.IntN(len(m.world.Services))]
	switch m.rand.IntN(5) {
	case 0:
		s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeExternalName, m.text()
	case 1:
		app := m.text()
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: m.text(), Port: m.number(), AppProtocol: &app})
	case 2:
		s.Spec.Ports = nil
	case 3:
		s.Annotations = m.wishes()
	default:
		s.Annotations = map[string]string{
			traefik.Table.Prefixes[0] + "max-conn-amount": "7", traefik.Table.Prefixes[0] + "max-conn-extractor-func": "request.header." + m.text(),
		}
	}
}

// wishes are what a Service may ask for, broken or not.
func (m *mutator) wishes() map[string]string {
	out := map[string]string{}
	for _, w := range []struct{ key, good string }{
		{"affinity", "true"}, {"session-cookie-name", "s"}, {"session-same-site", "lax"}, {"load-balancer-method", "drr"},
		{"max-conn-amount", "1000"}, {"max-conn-extractor-func", "client.ip"}, {"circuit-breaker-expression", "NetworkErrorRatio() > 0.5"}, {"buffering", "maxrequestbodybytes: 10"}, {"responseforwarding-flushinterval", "1s"},
	} {
		value := w.good
		if m.rand.IntN(2) == 0 {
			value = m.text()
		}
		out[traefik.Table.Prefixes[m.rand.IntN(len(traefik.Table.Prefixes))]+w.key] = value
	}
	return out
}

func (m *mutator) slice() {
	if len(m.world.EndpointSlices) == 0 {
		return
	}
	s := m.world.EndpointSlices[m.rand.IntN(len(m.world.EndpointSlices))]
	port := m.number()
	for i := range s.Ports {
		s.Ports[i].Port = &port
	}
	if len(s.Endpoints) > 0 {
		s.Endpoints[0].Addresses = []string{[]string{"10.0.0.1", "::1", "0.0.0.0", "not-an-ip", "", "::ffff:10.0.0.1", "fe80::1%eth0"}[m.rand.IntN(7)]}
	}
}

func (m *mutator) secret() {
	if len(m.world.Secrets) == 0 {
		return
	}
	s := m.world.Secrets[m.rand.IntN(len(m.world.Secrets))]
	for _, key := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey, "ca.crt"} {
		if value := s.Data[key]; m.rand.IntN(2) == 0 && len(value) > 0 {
			s.Data[key] = value[:m.rand.IntN(len(value))]
		}
	}
	if chain := s.Data[corev1.TLSCertKey]; m.rand.IntN(4) == 0 && len(chain) > 0 {
		s.Data["ca.crt"] = append(slices.Clone(s.Data["ca.crt"]), chain...)
	}
}

// repeat adds a copy of an Ingress under another name, so that everything in it conflicts.
func (m *mutator) repeat() {
	if len(m.world.Ingresses) == 0 {
		return
	}
	twin := m.world.Ingresses[m.rand.IntN(len(m.world.Ingresses))]
	twin.Ingress = twin.DeepCopy()
	twin.Name = fmt.Sprintf("%s-%d", twin.Name, m.rand.IntN(1000))
	m.world.Ingresses = append(m.world.Ingresses, twin)
}
