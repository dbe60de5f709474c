package envoy

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	bufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/buffer/v3"
	sessionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/stateful_session/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	cookiestatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/stateful_session/cookie/v3"
	httptypev3 "github.com/envoyproxy/go-control-plane/envoy/type/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/postern-gateway/postern/translator/model"
)

const (
	bufferFilterName  = "envoy.filters.http.buffer"
	sessionFilterName = "envoy.filters.http.stateful_session"
	cookieStateName   = "envoy.http.stateful_session.cookie"
)

// bufferFilter needs a limit of its own, which no route has.
func bufferFilter() *hcmv3.HttpFilter {
	return disabled(bufferFilterName, &bufferv3.Buffer{MaxRequestBytes: wrapperspb.UInt32(1)})
}

func sessionFilter() *hcmv3.HttpFilter {
	return disabled(sessionFilterName, &sessionv3.StatefulSession{})
}

// serviceFilters switch on, for a route to backends, what their Services ask for. One backend's cookie is the route's, of
// several each has its own (setTargets).
func serviceFilters(r *routev3.Route, f *model.Forward) {
	if limit := f.Buffering.MaxRequest; limit != nil {
		switchOn(r, bufferFilterName, &bufferv3.BufferPerRoute{Override: &bufferv3.BufferPerRoute_Buffer{
			Buffer: &bufferv3.Buffer{MaxRequestBytes: wrapperspb.UInt32(limit.Value)},
		}})
	}
	if len(f.Targets) == 1 && f.Targets[0].Affinity != nil {
		switchOn(r, sessionFilterName, session(*f.Targets[0].Affinity))
	}
}

// targetFilters are those of one of several backends.
func targetFilters(t model.Target) map[string]*anypb.Any {
	if t.Affinity == nil {
		return nil
	}
	return map[string]*anypb.Any{sessionFilterName: typed(session(*t.Affinity))}
}

// session keeps a client at the endpoint that its cookie names, while the cluster has it and it is not ejected; else, as
// it is not strict, Envoy chooses another and sets the cookie anew. Envoy adds HttpOnly by itself.
func session(a model.Affinity) *sessionv3.StatefulSessionPerRoute {
	cookie := &httptypev3.Cookie{Name: a.Cookie, Path: "/"}
	if a.Secure {
		cookie.Attributes = append(cookie.Attributes, &httptypev3.CookieAttribute{Name: "Secure"})
	}
	if a.SameSite != "" {
		cookie.Attributes = append(cookie.Attributes, &httptypev3.CookieAttribute{Name: "SameSite", Value: string(a.SameSite)})
	}
	return &sessionv3.StatefulSessionPerRoute{Override: &sessionv3.StatefulSessionPerRoute_StatefulSession{
		StatefulSession: &sessionv3.StatefulSession{SessionState: &corev3.TypedExtensionConfig{
			Name: cookieStateName, TypedConfig: typed(&cookiestatev3.CookieBasedSessionState{Cookie: cookie}),
		}},
	}}
}
