package envoy

import (
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/postern-gateway/postern/translator/model"
)

const routerFilterName = "envoy.filters.http.router"

// httpFilters are the filters of every connection manager, in the order in which they see a request; an answer passes them
// the other way. They are the same in every listener, whatever the Ingresses ask for: all but those of
// settings, the malformed one and the last are disabled, and a route switches on those that it needs (routeFilters).
func httpFilters(edge model.Edge) []*hcmv3.HttpFilter {
	return slices.Concat(
		askedFilter(edge.AccessLog),
		[]*hcmv3.HttpFilter{malformedFilter()},
		clientsFilter(edge.AllowedClients),
		[]*hcmv3.HttpFilter{
			scriptFilter(errorPagesFilterName, ErrorPagesScript, errorPagesScript),
			scriptFilter(errorBodyFilterName, ErrorBodyScript, errorBodyScript),
			accessFilter(),
		},
		urlFilters(),
		[]*hcmv3.HttpFilter{
			scriptFilter(certificateFilterName, CertificateScript, certificateScript),
			authorizeFilter(),
			bufferFilter(),
			inFlightFilter(),
			rateLimitFilter(),
			sessionFilter(),
		},
		scriptFilters(),
		[]*hcmv3.HttpFilter{{
			Name: routerFilterName, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: typed(&routerv3.Router{SuppressEnvoyHeaders: true})},
		}},
	)
}

// disabled is a filter that does nothing but on the routes that configure it.
func disabled(name string, m proto.Message) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, Disabled: true, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: typed(m)}}
}

// switchOn configures a filter for a route.
func switchOn(r *routev3.Route, filter string, perRoute proto.Message) {
	if r.TypedPerFilterConfig == nil {
		r.TypedPerFilterConfig = map[string]*anypb.Any{}
	}
	r.TypedPerFilterConfig[filter] = typed(perRoute)
}

// routeFilters switches on the filters that a route of Envoy needs for the policies of the route that it renders. A
// redirect is answered by the router, which is the last filter: what stands before redirects in the order of effects
// holds for them too, the rest for requests that go on to a backend.
func (b *routeBuilder) routeFilters(r *routev3.Route) {
	if len(b.route.ErrorPages) > 0 {
		sendErrorPages(r, b.route.ErrorPages)
	}
	limitAccess(r, b.route.Access)
	if _, forwards := r.Action.(*routev3.Route_Route); forwards {
		b.changeHeaders(r)
		if b.route.ClientCertificate != nil {
			passCertificate(r, *b.route.ClientCertificate)
		}
	}
	if u := b.route.URLRedirect; u != nil {
		b.urlRedirect(r, *u)
	}
	if b.route.Auth != nil && r.GetRoute() != nil {
		b.authorize(r, *b.route.Auth)
	}
	b.limitRate(r)
	if f, ok := b.route.Action.(*model.Forward); ok && r.GetRoute() != nil {
		serviceFilters(r, f)
		b.limitInFlight(r, f.InFlight)
	}
}

// upgradeFilters are those of a connection that becomes a WebSocket, whose body has no end to wait for.
func upgradeFilters(edge model.Edge) []*hcmv3.HttpFilter {
	return slices.DeleteFunc(httpFilters(edge), func(f *hcmv3.HttpFilter) bool { return f.GetName() == bufferFilterName })
}
