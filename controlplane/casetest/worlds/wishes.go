package worlds

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/translator/explain"
)

// wishes are what Services ask for how they are balanced and protected, each with values that can be read and some that
// cannot. The breaker's are such that no request of a few seconds opens the circuit: it would change answers by the clock.
var wishes = []struct {
	keys, values []string
}{
	{append(traefikKey("affinity"), "traefik.backend.loadbalancer.stickiness", "traefik.backend.loadbalancer.sticky"), []string{"true", "true", "true", "false", "yes"}},
	{traefikKey("session-cookie-name"), []string{sessionCookie, sessionCookie, "a b;c", ""}},
	{traefikKey("session-secure"), []string{"true", "false", "maybe"}},
	{traefikKey("session-http-only"), []string{"true", "false"}},
	{traefikKey("session-same-site"), []string{"none", "lax", "strict", "Lax"}},
	{traefikKey("load-balancer-method"), []string{"wrr", "drr", "random"}},
	{traefikKey("circuit-breaker-expression"), []string{"ResponseCodeRatio(598, 599, 0, 600) > 0.5", "LatencyAtQuantileMS(50.0) > 50", "x("}},
	{traefikKey("buffering"), []string{"maxrequestbodybytes: 100", "maxrequestbodybytes: 100\nretryexpression: IsNetworkError() && Attempts() <= 3", "{", "maxrequestbodybytes: 1e9"}},
	{traefikKey("responseforwarding-flushinterval"), []string{"10ms", "often"}},
}

const sessionCookie = "session"

func serviceWishes(d drawer, s *corev1.Service) {
	for _, w := range wishes {
		if d.oneIn(3) {
			s.Annotations[pick(d, w.keys)] = pick(d, w.values)
		}
	}
}

// sessions are cookies that name nobody's endpoint: who has an endpoint, by which address, a case knows and no request.
func sessions(d drawer, _ World, p *casetest.Probe) {
	if d.oneIn(4) {
		p.Header["Cookie"] = []string{sessionCookie + "=" + pick(d, []string{
			explain.SessionValue("198.51.100.9:80"), `"` + explain.SessionValue("169.254.169.254:80") + `"`, "MTI3LjAuMC4xOjgw", "%%%", "", `"`, "ChA=", "CP///////////wE=",
		})}
	}
}
