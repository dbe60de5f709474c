package config

import (
	"fmt"
	"maps"
	"slices"

	luav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// Filters are what a route asks of the HTTP filters that it switches on.
type Filters struct {
	Scripts Scripts
	// Access is nil where everyone is admitted.
	Access *Access
	// URLRedirect is nil where the route has none.
	URLRedirect *URLRedirect
	// InFlight is nil where any number of requests may be answered at once.
	InFlight *InFlight
	// RateLimit is nil where there is none.
	RateLimit *RateLimit
	// RequestBytesMax has a request's body held until it is whole, of so many bytes at most; 0 passes it on as it comes.
	RequestBytesMax int
	// Session is how clients are kept at one endpoint; nil for not at all.
	Session *Session
	// Certificate is what the backend is told of the client's certificate; nil where the client's own word passes.
	Certificate *Certificate
	// ErrorPages take the place of answers; the first that has the status counts.
	ErrorPages []ErrorPage
	// emptied are those that the script in front of the pages' knows of.
	emptied []ErrorPage
	// Authorize is what the authorizer is told of the route (see ParseAuthorization); nil where it is not asked.
	Authorize map[string]string
}

// An httpFilter is an HTTP filter that the Go data plane knows.
type httpFilter struct {
	name string
	// listener reads the filter's own configuration.
	listener func(m *ConnectionManager, body *anypb.Any, at string) error
	// route reads a route's configuration of the filter, by which the route switches it on; nil where the filter works on
	// every route.
	route func(out *Filters, body *anypb.Any, at string) error
}

// httpFilters are in the order in which a request meets them, which is fixed in the Go data plane.
var httpFilters = []httpFilter{
	{name: "envoy.filters.http.set_filter_state", listener: decodeAsked},
	{name: "envoy.filters.http.rbac", listener: decodeDenials},
	{name: "envoy.filters.http.rbac.clients", listener: decodeClients},
	{name: "envoy.filters.http.lua.error-pages", listener: decodeLua, route: decodeErrorPages},
	{name: "envoy.filters.http.lua.error-body", listener: decodeLua, route: decodeErrorBody},
	{name: "envoy.filters.http.rbac.access", listener: decodeAccessFilter, route: decodeAccess},
	{name: "envoy.filters.http.header_mutation.url", listener: decodeIdleMutation, route: decodeURL},
	{name: "envoy.filters.http.header_to_metadata.url", listener: decodeIdleMetadata, route: decodeURLRegex},
	{name: "envoy.filters.http.lua.redirect", listener: decodeLua, route: decodeRedirectScript},
	{name: "envoy.filters.http.lua.client-certificate", listener: decodeLua, route: decodeCertificate},
	{name: "envoy.filters.http.ext_authz", listener: decodeAuthorizer, route: decodeAuthorize},
	{name: bufferFilter, listener: decodeBufferFilter, route: decodeBuffer},
	{name: "envoy.filters.http.ext_proc", listener: decodeInFlightFilter, route: decodeInFlight},
	{name: "envoy.filters.http.local_ratelimit", listener: decodeRateLimitFilter, route: decodeRateLimit},
	{name: sessionFilter, listener: decodeSessionFilter, route: decodeSession},
	{name: "envoy.filters.http.lua", listener: decodeLua, route: decodePrefix},
	{name: "envoy.filters.http.lua.base", listener: decodeLua, route: decodeBase},
	{name: "envoy.filters.http.router", listener: decodeRouter},
}

// decodeFilters reads a list of known filters that ends with the router. Whether one that routes switch on stands
// disabled makes no difference: by itself it does nothing, which its decoder checks.
func decodeFilters(out *ConnectionManager, filters []*hcmv3.HttpFilter, at string) error {
	next := 0
	for i, f := range filters {
		at := index(at, "http_filters", i)
		j := slices.IndexFunc(httpFilters[next:], func(known httpFilter) bool { return known.name == f.GetName() })
		if j < 0 {
			return fmt.Errorf("%s: a filter %q is not supported here by the Go data plane", join(at, "name"), f.GetName())
		}
		known := httpFilters[next+j]
		next += j + 1
		if f.GetDisabled() && known.route == nil {
			return only(at, "disabled", false)
		}
		if err := known.listener(out, f.GetTypedConfig(), join(at, "typed_config")); err != nil {
			return err
		}
	}
	if next != len(httpFilters) || len(filters) == 0 {
		return only(at, "http_filters", "a list that ends with the router")
	}
	return nil
}

func decodeDenials(m *ConnectionManager, body *anypb.Any, at string) (err error) {
	m.Denials, err = decodeRBAC(body, at)
	return err
}

func decodeLua(_ *ConnectionManager, body *anypb.Any, at string) error {
	lua := &luav3.Lua{}
	at, err := unpack(body, lua, at)
	if err != nil {
		return err
	}
	return checkScripts(lua, at)
}

func decodeRouter(_ *ConnectionManager, body *anypb.Any, at string) error {
	router := &routerv3.Router{}
	at, err := unpack(body, router, at)
	if err == nil && !router.GetSuppressEnvoyHeaders() {
		err = only(at, "suppress_envoy_headers", true)
	}
	return err
}

// decodeRouteFilters reads what a route asks of the filters that it switches on.
func decodeRouteFilters(configs map[string]*anypb.Any, at string) (Filters, error) {
	var out Filters
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		at := fmt.Sprintf("%s[%q]", at, name)
		i := slices.IndexFunc(httpFilters, func(known httpFilter) bool { return known.name == name && known.route != nil })
		if i < 0 {
			return Filters{}, unsupported(at)
		}
		if err := httpFilters[i].route(&out, configs[name], at); err != nil {
			return Filters{}, err
		}
	}
	if out.URLRedirect != nil && out.URLRedirect.parts != urlParts {
		return Filters{}, fmt.Errorf("%s: the filters of a redirect by URL without each other", at)
	}
	if !slices.Equal(out.ErrorPages, out.emptied) {
		return Filters{}, only(at, "error-pages", "the pages of error-body beside it")
	}
	return out, nil
}
