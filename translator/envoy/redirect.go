package envoy

import (
	"regexp"
	"slices"
	"strings"

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
	matches := []*routev3.HeaderMatcher{plain}
	for _, h := range redirect.Unless {
		matches = append(matches, isNot(h))
	}
	b.byMethod(b.route.Path, matches, redirect.Status, func(status uint32) func(*routev3.Route) {
		if redirect.Host == "" {
			return b.toHTTPS(status)
		}
		return toURL(status, "https://"+redirect.Host+"%REQ(:PATH)%")
	})
}

// isNot admits requests in which a header has not the value, or is not there.
func isNot(h model.HeaderIs) *routev3.HeaderMatcher {
	m := headerMatch(h.Name, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: h.Value}})
	m.InvertMatch, m.TreatMissingHeaderAsEmpty = true, true
	return m
}

// byMethod answers requests for a path by a redirect whose status depends on the method.
func (b *routeBuilder) byMethod(path model.PathMatch, matches []*routev3.HeaderMatcher, s model.RedirectStatus, redirect func(status uint32) func(*routev3.Route)) {
	get, other := s.Statuses()
	if get != other {
		b.emit(pathMatch(path), append(slices.Clone(matches), reading()), redirect(uint32(get)))
	}
	b.emit(pathMatch(path), matches, redirect(uint32(other)))
}

// hostRedirect sends requests for other hosts to the one.
func (b *routeBuilder) hostRedirect(redirect model.HostRedirect) {
	pattern := "(?i)" + regexp.QuoteMeta(redirect.Host)
	if !hasPort(redirect.Host) {
		pattern += "(?::[0-9]+)?"
	}
	other := headerMatch(":authority", regex(pattern))
	other.InvertMatch = true
	b.byMethod(b.route.Path, []*routev3.HeaderMatcher{other}, redirect.Status, func(status uint32) func(*routev3.Route) {
		return toURL(status, "https://"+redirect.Host+"%REQ(:PATH)%")
	})
}

func hasPort(host string) bool {
	return strings.LastIndexByte(host, ':') > strings.LastIndexByte(host, ']')
}

// rootRedirect sends requests for exactly / to another path.
func (b *routeBuilder) rootRedirect(redirect model.RootRedirect) {
	root := model.PathMatch{Kind: model.PathExact, Value: "/"}
	bare := headerMatch(":path", &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: "/"}})
	b.byMethod(root, []*routev3.HeaderMatcher{bare}, redirect.Status, func(status uint32) func(*routev3.Route) {
		return func(r *routev3.Route) {
			r.Action = &routev3.Route_Redirect{Redirect: &routev3.RedirectAction{
				PathRewriteSpecifier: &routev3.RedirectAction_PathRedirect{PathRedirect: redirect.Path},
				ResponseCode:         responseCodes[status],
			}}
		}
	})
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
		toURL(status, httpsLocation)(r)
	}
}

// toURL answers with a Location that is a format string.
func toURL(status uint32, location string) func(*routev3.Route) {
	return func(r *routev3.Route) {
		r.Action = directResponse(status)
		r.ResponseHeadersToAdd = []*corev3.HeaderValueOption{{
			Header:       &corev3.HeaderValue{Key: "location", Value: location},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}}
	}
}
