package traefik

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/model"
)

// services are the annotations that stand on a Service. They hold for every route to it, whatever dialect its Ingress is in.
var services = []dialect.Annotation{
	{
		Key: "affinity", Aliases: []string{"traefik.backend.loadbalancer.stickiness", "traefik.backend.loadbalancer.sticky"}, On: dialect.OnService,
		Type: "true or false", Support: dialect.Approximated, Family: "services", Case: "services/affinity",
		Note: "The cookie holds the endpoint's address in base64, where Traefik's held its URL; one that Traefik set is replaced. " +
			"An endpoint that cannot be reached is replaced at once, with a new cookie, where Traefik answered 502. " +
			"A path with several Services has a cookie for each, and the Service of a request is still drawn by weight.",
		Doc:     "Keeps a client at one endpoint by a cookie while that endpoint is there.",
		Example: "true",
	},
	{
		Key: "session-cookie-name", Aliases: []string{"traefik.backend.loadbalancer.stickiness.cookieName"}, On: dialect.OnService,
		Type: "a name", Support: dialect.Applied, Family: "services", Case: "services/affinity",
		Doc: "The name of that cookie. Without it, the name is Traefik 1.7's: _ and 5 hexadecimal digits, made of the path's host, path, priority and entry points. " +
			"A character that no name may have becomes _.",
		Example: "app_session",
	},
	{
		Key: "session-secure", On: dialect.OnService, Type: "true or false", Support: dialect.Applied, Family: "services", Case: "services/affinity",
		Doc: "Makes that cookie Secure.", Example: "true",
	},
	{
		Key: "session-http-only", On: dialect.OnService, Type: "true or false", Support: dialect.Approximated, Family: "services", Case: "services/affinity",
		Note: "The cookie is always HttpOnly: Envoy sets no other.",
		Doc:  "Hides that cookie from scripts.", Example: "true",
	},
	{
		Key: "session-same-site", On: dialect.OnService, Type: "none, lax or strict", Support: dialect.Applied, Family: "services", Case: "services/affinity",
		Doc: "SameSite of that cookie.", Example: "lax",
	},
	{
		Key: "load-balancer-method", Aliases: []string{"traefik.backend.loadbalancer.method"}, On: dialect.OnService, Type: "wrr or drr",
		Support: dialect.Approximated, Family: "services", Case: "services/balance",
		Note: "With drr a request goes to the endpoint, of two that are drawn, with fewer requests in flight; Traefik changed the weights of endpoints by their errors.",
		Doc:  "How endpoints are chosen: wrr takes them in turn.", Example: "drr",
	},
	{
		Key: "responseforwarding-flushinterval", On: dialect.OnService, Type: "a duration", Support: dialect.Approximated, Family: "services",
		Case: "services/balance",
		Note: "Each piece of an answer is passed on at once, whatever the interval.",
		Doc:  "How often an answer is passed on.", Example: "10ms",
	},
}

func readServices(r *dialect.Reader) model.ServicePolicies {
	out := model.ServicePolicies{Affinity: readAffinity(r), Breaker: readBreaker(r), Buffering: readBuffering(r), InFlight: readInFlight(r)}
	if method, at, ok := r.Text("load-balancer-method"); ok {
		switch method {
		case "drr":
			out.LeastRequest = &at
		case "wrr":
		default:
			r.Bad(at, method, "wrr or drr", "endpoints are taken in turn")
		}
	}
	if text, at, ok := r.Text("responseforwarding-flushinterval"); ok {
		if !isInterval(text) {
			r.Bad(at, text, "a duration such as 10ms", "each piece of an answer is passed on at once")
		}
	}
	return out
}

// isInterval takes what Traefik 1.7 took: Go's durations, and a number of seconds.
func isInterval(text string) bool {
	if _, err := strconv.ParseInt(text, 10, 64); err == nil {
		return true
	}
	_, err := time.ParseDuration(text)
	return err == nil
}

// cookieNameMax bounds a cookie's name.
const cookieNameMax = 128

func readAffinity(r *dialect.Reader) *model.AffinityClaim {
	on, at, ok := r.Bool("affinity")
	claim := &model.AffinityClaim{Origins: model.Origins{at}}
	var unused []diag.Origin
	if name, at, ok := r.Text("session-cookie-name"); ok {
		unused = append(unused, at)
		claim.Cookie = cookieName(name)
		if len(name) > cookieNameMax {
			r.Bad(at, name[:cookieNameMax]+"…", fmt.Sprintf("a name of %d bytes or less", cookieNameMax), "the cookie has Traefik's usual name")
			claim.Cookie = ""
		}
	}
	if secure, at, ok := r.Bool("session-secure"); ok {
		unused = append(unused, at)
		claim.Secure = secure
	}
	if hidden, at, ok := r.Bool("session-http-only"); ok {
		unused = append(unused, at)
		if on && !hidden {
			r.Say(diag.New(diag.CodeWithoutEffect, at, "the cookie is always HttpOnly", "no script can read it", "remove it"))
		}
	}
	if text, at, ok := r.Text("session-same-site"); ok {
		unused = append(unused, at)
		site, known := map[string]model.SameSite{"none": model.SameSiteNone, "lax": model.SameSiteLax, "strict": model.SameSiteStrict}[text]
		if !known {
			r.Bad(at, text, "none, lax or strict", "the cookie has no SameSite")
		}
		claim.SameSite = site
	}
	if ok && on {
		claim.Origins = append(claim.Origins, unused...)
		return claim
	}
	for _, at := range unused {
		r.Say(diag.New(diag.CodeWithoutEffect, at, "the Service has no affinity", "it has no effect", "add affinity: \"true\", or remove it"))
	}
	return nil
}

// cookieName is a name with every character that no token may have in place of _ (RFC 9110, 5.6.2), as Traefik 1.7
// wrote it (server/cookie/cookie.go).
func cookieName(text string) string {
	return strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || strings.ContainsRune("!#$%&'*+-.^_`|~", c) {
			return c
		}
		return '_'
	}, text)
}
