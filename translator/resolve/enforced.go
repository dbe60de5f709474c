package resolve

import (
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// challengePath is where ACME's HTTP01 looks for tokens, over plain HTTP (RFC 8555, section 8.3).
const challengePath = "/.well-known/acme-challenge"

// enforced is the redirect to HTTPS of an open route where all plain requests are redirected. Its own stays as it is. A
// route for ACME challenges and nothing else has none: what waits for its first certificate must be reached without.
func enforced(route model.Route) *model.HTTPSRedirect {
	if route.HTTPSRedirect != nil || onlyChallenges(route.Path) {
		return route.HTTPSRedirect
	}
	return &model.HTTPSRedirect{Status: model.RedirectMoved, Origin: diag.Origin{Kind: "flag", Name: "--https-enforced"}}
}

// onlyChallenges says whether all that a route matches is at or under challengePath.
func onlyChallenges(p model.PathMatch) bool {
	return strings.HasPrefix(p.Value, challengePath+"/") || p == model.Prefix(challengePath)
}
