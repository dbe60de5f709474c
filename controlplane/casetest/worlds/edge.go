package worlds

import (
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/postern-gateway/postern/controlplane/casetest"
)

// wholeEntry draws what flags ask of every route.
func wholeEntry(d drawer, s Settings) {
	if address, given := s["https"]; d.oneIn(3) && !(given && address[0] == "") {
		s["https-enforced"] = []string{"true"}
	}
	if d.oneIn(3) {
		s["access-log"] = []string{pick(d, []string{"text", "json"})}
	}
	if d.oneIn(3) {
		s["allowed-clients"] = pick(d, [][]string{
			{"127.0.0.0/8", "203.0.113.0/24"}, {"127.0.0.1", insider, "2001:db8::/32"}, {"127.0.0.0/16", trustedPeer}, {insider, "203.0.113.7", "::ffff:127.0.0.1"},
		})
	}
}

// challenges have an Ingress answer ACME's, or more than these.
func challenges(d drawer, ing *networkingv1.Ingress) {
	if !d.oneIn(4) || len(ing.Spec.Rules) == 0 {
		return
	}
	http := ing.Spec.Rules[d.IntN(len(ing.Spec.Rules))].HTTP
	if http == nil || len(http.Paths) == 0 {
		return
	}
	path := http.Paths[0]
	path.Path = pick(d, []string{"/.well-known/acme-challenge/token", "/.well-known/acme-challenge/", "/.well-known/acme-challenge", "/.well-known"})
	kind := pick(d, []networkingv1.PathType{networkingv1.PathTypeExact, networkingv1.PathTypePrefix, networkingv1.PathTypeImplementationSpecific})
	path.PathType = &kind
	http.Paths = append(http.Paths, path)
}

// challenged asks for a token.
func challenged(d drawer, _ World, p *casetest.Probe) {
	scheme, rest, _ := strings.Cut(p.URL, "://")
	if i := strings.IndexAny(rest, "/?"); d.oneIn(8) && i > 0 {
		p.URL = scheme + "://" + rest[:i] + pick(d, []string{"/.well-known/acme-challenge/token", "/.well-known/acme-challenge/token?q", "/.well-known/acme-challenge", "/.well-known/acme-challenge-x"})
	}
}
