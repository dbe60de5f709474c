package envoy

import (
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	mutationfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_to_metadata/v3"
	luav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/postern-gateway/postern/translator/model"
)

// The filters of a redirect by the whole URL. The first writes the URL into a header, the second what a regex makes of it
// into metadata, and the script of the third takes the header off, compares the two and answers.
const (
	urlFilterName      = "envoy.filters.http.header_mutation.url"
	regexFilterName    = "envoy.filters.http.header_to_metadata.url"
	redirectFilterName = "envoy.filters.http.lua.redirect"
	// RedirectScript redirects a request whose URL a regex has changed.
	RedirectScript = "redirect-v1"
	// urlHeader has a prefix that is taken off every client's requests.
	urlHeader    = "x-envoy-postern-url"
	urlNamespace = "postern." + RedirectScript
	urlKey       = "url"
	// schemeSaid is the scheme by which a request came to the plain entry as a trusted proxy says, which Traefik 1.7
	// believed where it is exactly https (middlewares/redirect/redirect.go, isXForwardedHTTPS).
	schemeSaid = `%CEL(request.headers['x-forwarded-proto'] == 'https' ? 'https' : 'http')%`
)

func urlFilters() []*hcmv3.HttpFilter {
	return []*hcmv3.HttpFilter{
		disabled(urlFilterName, &mutationfilterv3.HeaderMutation{}),
		disabled(regexFilterName, &metadatav3.Config{}),
		disabled(redirectFilterName, &luav3.Lua{SourceCodes: map[string]*corev3.DataSource{
			RedirectScript: {Specifier: &corev3.DataSource_InlineString{InlineString: redirectScript}},
		}}),
	}
}

// urlRedirect has a route answer requests whose URL a regex changes.
func (b *routeBuilder) urlRedirect(r *routev3.Route, redirect model.URLRedirect) {
	scheme := "http"
	switch {
	case b.entry.TLS:
		scheme = "https"
	case len(b.edge.TrustedProxies) > 0:
		scheme = schemeSaid
	}
	switchOn(r, urlFilterName, &mutationfilterv3.HeaderMutationPerRoute{Mutations: &mutationfilterv3.Mutations{
		RequestMutations: []*mutationv3.HeaderMutation{
			appendHeader(urlHeader, scheme+"://"+authority+"%REQ(:PATH)%", corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD),
		},
	}})
	switchOn(r, regexFilterName, &metadatav3.Config{RequestRules: []*metadatav3.Config_Rule{{
		Header: urlHeader,
		OnHeaderPresent: &metadatav3.Config_KeyValuePair{
			MetadataNamespace: urlNamespace, Key: urlKey,
			RegexValueRewrite: &matcherv3.RegexMatchAndSubstitute{
				Pattern: &matcherv3.RegexMatcher{Regex: redirect.Pattern}, Substitution: re2Substitution(redirect.With),
			},
		},
	}}})
	reading, other := redirect.Status.Statuses()
	switchOn(r, redirectFilterName, runScript(RedirectScript, map[string]*structpb.Value{
		"reading": structpb.NewNumberValue(float64(reading)), "other": structpb.NewNumberValue(float64(other)),
	}))
}
