package envoy

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/postern-gateway/postern/translator/model"
)

// httpsPort is the port that an https URL does not name.
const httpsPort = 443

// httpsLocation is the URL asked for, over HTTPS and without its port. A redirect action can replace a port but drop
// it only for a host known beforehand; CEL's re.extract can for any.
const httpsLocation = `https://%CEL(re.extract(request.host, '^(.*?)(:[0-9]+)?$', '\\1'))%%REQ(:PATH)%`

// httpsRedirect sends whatever did not come over HTTPS to the HTTPS entry. X-Forwarded-Proto is the proxy's own word
// here, or a trusted peer's: the early header mutation has seen to it.
func (b *routeBuilder) httpsRedirect(redirect model.HTTPSRedirect) {
	plain := headerMatch("x-forwarded-proto", &matcherv3.StringMatcher{
		MatchPattern: &matcherv3.StringMatcher_Exact{Exact: "https"}, IgnoreCase: true,
	})
	plain.InvertMatch = true
	get, other := uint32(302), uint32(307)
	if redirect.Permanent {
		get, other = 301, 308
	}
	b.emit(pathMatch(b.route.Path), []*routev3.HeaderMatcher{plain, reading()}, b.toHTTPS(get))
	b.emit(pathMatch(b.route.Path), []*routev3.HeaderMatcher{plain}, b.toHTTPS(other))
}

// responseCodes are Envoy's words for the statuses of a redirect.
var responseCodes = map[uint32]routev3.RedirectAction_RedirectResponseCode{
	301: routev3.RedirectAction_MOVED_PERMANENTLY,
	302: routev3.RedirectAction_FOUND,
	307: routev3.RedirectAction_TEMPORARY_REDIRECT,
	308: routev3.RedirectAction_PERMANENT_REDIRECT,
}

func (b *routeBuilder) toHTTPS(status uint32) func(*routev3.Route) {
	return func(r *routev3.Route) {
		if b.edge.HTTPSPublicPort != httpsPort {
			r.Action = &routev3.Route_Redirect{Redirect: &routev3.RedirectAction{
				SchemeRewriteSpecifier: &routev3.RedirectAction_HttpsRedirect{HttpsRedirect: true},
				PortRedirect:           uint32(b.edge.HTTPSPublicPort),
				ResponseCode:           responseCodes[status],
			}}
			return
		}
		r.Action = directResponse(status)
		r.ResponseHeadersToAdd = []*corev3.HeaderValueOption{{
			Header:       &corev3.HeaderValue{Key: "location", Value: httpsLocation},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}}
	}
}
