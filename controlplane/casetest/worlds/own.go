package worlds

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/postern-gateway/postern/controlplane/casetest"
)

// own draws one of Postern's own annotations.
func own(d drawer, annotations map[string]string, key string, values ...string) {
	annotations["postern.dev/"+key] = pick(d, values)
}

// rewrites strip prefixes of native paths, and put pages under them.
func rewrites(d drawer, ing *networkingv1.Ingress) {
	own(d, ing.Annotations, "strip-prefix", "true", "true", "false", "yes")
	if d.oneIn(2) {
		own(d, ing.Annotations, "rewrite-base", "true", "false")
	}
}

func escapedSlashes(d drawer, s Settings) {
	if d.oneIn(2) {
		s["escaped-slashes"] = []string{pick(d, []string{"forward", "reject", "keep"})}
	}
}

// upstreamSecrets are what TLS to backends is verified by and shown; each is missing sometimes.
func upstreamSecrets(d drawer, w *World) {
	for _, namespace := range namespaces {
		if !d.oneIn(4) {
			w.Others = append(w.Others, bundle(namespace, "backend-ca", "test"))
		}
		if !d.oneIn(4) {
			w.Others = append(w.Others, secret(namespace, "gateway", "gateway.test"))
		}
	}
}

func bundle(namespace, name, authority string) Object {
	return Object{namespace + "-" + name, fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: %s, namespace: %s}, data: {ca.crt: {{ca %s}}}}\n", name, namespace, authority)}
}

func upstreamTLS(d drawer, annotations map[string]string) {
	switch d.IntN(5) {
	case 0:
		own(d, annotations, "upstream-ca-secret", "backend-ca", "backend-ca", "none")
	case 1:
		own(d, annotations, "upstream-insecure-skip-verify", "true", "true", "false", "1x")
	case 2:
		own(d, annotations, "upstream-tls-name", "known.shop.svc", "known.team.svc", "other.test", "-")
	case 3:
		own(d, annotations, "upstream-tls-min-version", "1.2", "1.3", "1.1")
	case 4:
		own(d, annotations, "upstream-client-secret", "gateway", "gateway", "none")
	}
}

func ingressUpstreamTLS(d drawer, ing *networkingv1.Ingress) { upstreamTLS(d, ing.Annotations) }

func serviceUpstreamTLS(d drawer, s *corev1.Service) {
	if d.oneIn(2) {
		upstreamTLS(d, s.Annotations)
	}
}

func entryTLSSettings(d drawer, s Settings) {
	if d.oneIn(4) {
		s["tls-min-version"] = []string{"1.3"}
	}
}

// clientCAs are two authorities, of which one is missing sometimes.
func clientCAs(d drawer, w *World) {
	for _, namespace := range namespaces {
		w.Others = append(w.Others, bundle(namespace, "clients", "test"))
		if !d.oneIn(2) {
			w.Others = append(w.Others, bundle(namespace, "strangers", "other"))
		}
	}
}

// entryTLS asks something of the connections to an Ingress's hosts.
func entryTLS(d drawer, ing *networkingv1.Ingress) {
	switch d.IntN(4) {
	case 0:
		own(d, ing.Annotations, "client-ca-secret", "clients", "clients", "strangers")
	case 1:
		own(d, ing.Annotations, "tls-min-version", "1.3", "1.3", "1.2", "2")
	default:
		own(d, ing.Annotations, "hsts", "max-age=31536000", "max-age=0; includeSubDomains", "max-age=1;preload", "max-age=-1")
	}
}

// handshakes are those that a client's library may be told to make.
func handshakes(d drawer, w World, p *casetest.Probe) {
	if !strings.HasPrefix(p.URL, "https://") {
		return
	}
	if d.oneIn(2) {
		p.Client = casetest.ClientCertificate{Name: "client.test", CA: pick(d, []string{"test", "test", "other"})}
	}
	if d.oneIn(6) {
		p.TLSVersion = "1.2"
	}
	if d.oneIn(6) {
		p.SNI = pick(d, append([]string{"-", "a.test", "X.A.Test"}, serverNames(w.hosts)...))
	}
}

// serverNames are the hosts that a client may name in a handshake: no address, and no dot at the end (RFC 6066, 3).
func serverNames(hosts []string) []string {
	var out []string
	for _, h := range hosts {
		h = strings.TrimSuffix(h, ".")
		if h != "" && strings.Trim(strings.ToLower(h), "abcdefghijklmnopqrstuvwxyz0123456789-.") == "" && strings.Trim(h, "0123456789.") != "" {
			out = append(out, h)
		}
	}
	return out
}
