package worlds

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/postern-gateway/postern/controlplane/casetest"
)

// feature is one thing that Postern does. Any of its functions may be nil. Each feature has draws of its own.
type feature struct {
	// name seeds its draws.
	name string
	// settings adds flags.
	settings func(d drawer, s Settings)
	// world adds objects.
	world func(d drawer, w *World)
	// ingress shapes one Ingress, most often by annotations; service one Service.
	ingress func(d drawer, ing *networkingv1.Ingress)
	service func(d drawer, s *corev1.Service)
	// request shapes one request.
	request func(d drawer, w World, p *casetest.Probe)
}

const (
	// absentOneIn and plainOneIn say how many worlds lack a feature, and how many Ingresses of a world that has it.
	absentOneIn = 3
	plainOneIn  = 2
)

// features are drawn in this order. A new one is a line here and a function.
var features = []feature{
	{name: "entries", settings: entries},
	{name: "backend flags", settings: backendFlags},
	{name: "classes", settings: classSettings, ingress: classes},
	{name: "rule types", settings: prefixSettings, ingress: ruleTypes},
	{name: "priority", ingress: priorities},
	{name: "redirects", settings: publicPort, ingress: redirects},
	{name: "entry points", ingress: entryPoints},
	{name: "preserve host", ingress: preserveHost},
	{name: "protocol", settings: upstreamTrust, ingress: protocols, service: serviceProtocols},
	{name: "restrictions", ingress: restrictions, service: serviceRestrictions},
	{name: "access", ingress: access, request: clients},
	{name: "rate limits", ingress: rateLimits},
	{name: "requests in flight", service: inFlight},
	{name: "certificates", settings: defaultCertificate, world: certificates},
	{name: "trusted proxies", settings: trustedProxies, request: forwardedHeaders},
	{name: "rewrites", ingress: rewrites},
	{name: "escaped slashes", settings: escapedSlashes},
	{name: "TLS to backends", world: upstreamSecrets, ingress: ingressUpstreamTLS, service: serviceUpstreamTLS},
	{name: "TLS of the entry", settings: entryTLSSettings, world: clientCAs, ingress: entryTLS, request: handshakes},
	{name: "header annotations", ingress: annotateHeaders},
	{name: "services", service: serviceWishes, request: sessions},
	{name: "client certificates", ingress: passCertificates, request: ownCertificate},
	{name: "error pages", ingress: errorPages},
	{name: "path changes", ingress: pathChanges},
	{name: "URL redirects", ingress: urlRedirects, request: longURLs},
	{name: "TLS redirects", ingress: sslRedirects},
	{name: "app roots", ingress: appRoots},
	{name: "service weights", ingress: serviceWeights},
	{name: "authentication", world: authUsers, ingress: auth, request: logins},
	{name: "the whole entry", settings: wholeEntry, ingress: challenges, request: challenged},
	{name: "responses", request: responses},
	{name: "headers", request: headers},
}

// set sets an annotation in one of its spellings.
func set(d drawer, ing *networkingv1.Ingress, value string, spellings ...string) {
	ing.Annotations[pick(d, spellings)] = value
}

// traefikKey are the spellings of a key of Traefik's.
func traefikKey(key string) []string {
	return []string{"traefik.ingress.kubernetes.io/" + key, "ingress.kubernetes.io/" + key}
}

// entries closes one sometimes.
func entries(d drawer, s Settings) {
	if d.oneIn(10) {
		s[pick(d, []string{"http", "https"})] = []string{""}
	}
}

// backendFlags gives addresses to a Service that exists nowhere and to one that does.
func backendFlags(d drawer, s Settings) {
	if d.oneIn(4) {
		s["backend"] = []string{"shop/missing:80=10.0.0.7:80", "team/web:80=10.0.0.8:80"}
	}
}

func classSettings(d drawer, s Settings) {
	if d.oneIn(6) {
		s["ingress-class"] = []string{"traefik"}
	}
}

func classes(d drawer, ing *networkingv1.Ingress) {
	class := pick(d, []string{"traefik", "traefik", "traefik", "nginx", "other"})
	if d.oneIn(2) {
		ing.Spec.IngressClassName = &class
		return
	}
	ing.Annotations["kubernetes.io/ingress.class"] = class
}

func prefixSettings(d drawer, s Settings) {
	if d.oneIn(4) {
		s["traefik-path-prefix"] = []string{"string"}
	}
	if d.oneIn(4) {
		s["slash-redirect"] = []string{"false"}
	}
}

func ruleTypes(d drawer, ing *networkingv1.Ingress) {
	kinds := []string{"Path", "PathPrefix", "PathStrip", "PathPrefixStrip", "PathPrefixStrip", "ReplacePath"}
	if d.oneIn(20) {
		kinds = []string{"PathRegexp"}
	}
	set(d, ing, pick(d, kinds), append(traefikKey("rule-type"), "traefik.frontend.rule.type")...)
}

// priorities are near the lengths of rules, which they are compared with.
func priorities(d drawer, ing *networkingv1.Ingress) {
	if !d.oneIn(3) {
		return
	}
	set(d, ing, pick(d, []string{"1", "5", "16", "20", "24", "28", "32", "40", "1000", "0", "-1", "high"}), traefikKey("priority")...)
}

func publicPort(d drawer, s Settings) {
	if d.oneIn(2) {
		s["https-public-port"] = []string{pick(d, []string{"443", "9443"})}
	}
}

func redirects(d drawer, ing *networkingv1.Ingress) {
	if d.oneIn(2) {
		set(d, ing, pick(d, []string{"true", "false"}), traefikKey("ssl-redirect")...)
	}
	if d.oneIn(2) {
		set(d, ing, pick(d, []string{"https", "https", "http"}), traefikKey("redirect-entry-point")...)
	}
	if d.oneIn(3) {
		set(d, ing, "true", traefikKey("redirect-permanent")...)
	}
}

func entryPoints(d drawer, ing *networkingv1.Ingress) {
	if d.oneIn(2) {
		set(d, ing, pick(d, []string{"http", "https", "https,http", "http, api"}), traefikKey("frontend-entry-points")...)
	}
}

func preserveHost(d drawer, ing *networkingv1.Ingress) {
	set(d, ing, pick(d, []string{"true", "false", "false"}), append(traefikKey("preserve-host"), "postern.dev/preserve-host")...)
}

func upstreamTrust(d drawer, s Settings) {
	switch d.IntN(3) {
	case 0:
		s["upstream-ca"] = []string{"ca.pem"}
	case 1:
		s["upstream-insecure-skip-verify"] = []string{"true"}
	}
}

func protocols(d drawer, ing *networkingv1.Ingress) {
	value := pick(d, []string{"http", "http", "https", "https", "https", "h2c", "h2c", "ftp"})
	set(d, ing, value, append(traefikKey("protocol"), "postern.dev/backend-protocol")...)
}

func serviceProtocols(d drawer, s *corev1.Service) {
	if d.oneIn(4) {
		s.Annotations["postern.dev/backend-protocol"] = pick(d, []string{"http", "https", "h2c"})
	}
}

// restrictions close their routes as long as they are not applied.
func restrictions(d drawer, ing *networkingv1.Ingress) {
	switch d.IntN(10) {
	case 0:
		set(d, ing, "basic", traefikKey("auth-type")...)
	case 1:
		ing.Annotations["nginx.ingress.kubernetes.io/whitelist-source-range"] = "10.0.0.0/8"
	}
}

func serviceRestrictions(d drawer, s *corev1.Service) {
	if d.oneIn(30) {
		s.Annotations["traefik.ingress.kubernetes.io/max-conn-amount"] = "10"
	}
}

// inFlight are limits that requests one after another never reach, and some that are none or cannot be applied.
func inFlight(d drawer, s *corev1.Service) {
	if !d.oneIn(3) {
		return
	}
	s.Annotations[pick(d, traefikKey("max-conn-amount"))] = pick(d, []string{"50", "50", "1000", "4294967295", "0", "-1", "many"})
	s.Annotations[pick(d, traefikKey("max-conn-extractor-func"))] = pick(d, []string{
		"client.ip", "client.ip", "request.host", "request.header.X-Key", "request.header.x-forwarded-for", "request.header.X%Key", "request.cookie.a",
	})
}

func defaultCertificate(d drawer, s Settings) {
	if d.oneIn(2) {
		s["default-tls-secret"] = []string{"shop/default-tls"}
	}
}

// certificates are Secrets and the tls blocks that name them; some are broken, or not there.
func certificates(d drawer, w *World) {
	w.Others = append(w.Others, secret("shop", "default-tls", "default.test"))
	for i, ing := range w.Ingresses {
		if d.oneIn(2) {
			continue
		}
		var names []string
		for _, rule := range ing.Spec.Rules {
			if rule.Host != "" && !d.oneIn(4) {
				names = append(names, rule.Host)
			}
		}
		if d.oneIn(3) {
			names = append(names, pick(d, w.hosts))
		}
		name := fmt.Sprintf("tls-%d", i)
		ing.Spec.TLS = append(ing.Spec.TLS, networkingv1.IngressTLS{Hosts: names, SecretName: name})
		switch {
		case d.oneIn(8):
		case d.oneIn(8):
			w.Others = append(w.Others, Object{name, fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: %s, namespace: %s}, data: {tls.crt: bm8=, tls.key: bm8=}}\n", name, ing.Namespace)})
		default:
			w.Others = append(w.Others, secret(ing.Namespace, name, certificateNames(i, names)))
		}
	}
}

// certificateNames are comma-separated names of a certificate; the first, its common name, tells certificates apart.
func certificateNames(i int, hosts []string) string {
	names := []string{fmt.Sprintf("certificate-%d.test", i)}
	for _, h := range hosts {
		if h = strings.ToLower(h); !slices.Contains(names, h) && strings.Trim(h, "abcdefghijklmnopqrstuvwxyz0123456789-*.") == "" {
			names = append(names, h)
		}
	}
	return strings.Join(names, ",")
}

func secret(namespace, name, names string) Object {
	return Object{name, fmt.Sprintf("apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {name: %s, namespace: %s}\ndata:\n  tls.crt: {{cert %s}}\n  tls.key: {{key %s}}\n",
		name, namespace, names, names)}
}

func trustedProxies(d drawer, s Settings) {
	if d.oneIn(2) {
		s["trusted-proxies"] = pick(d, [][]string{{trustedPeer}, {"127.9.0.0/16", "10.0.0.0/8"}, {"127.0.0.0/8"}})
	}
}

const trustedPeer = "127.9.0.7"
