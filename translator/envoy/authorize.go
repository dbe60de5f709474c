package envoy

import (
	"bytes"
	"strings"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	authzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/postern-gateway/postern/translator/model"
)

const (
	authorizeFilterName = "envoy.filters.http.ext_authz"
	// authorizeCluster is defined by the data plane's own bootstrap, never here: it leads to the data plane's authorizer.
	// Where there is none, the routes that need it answer 503.
	authorizeCluster = "postern-authorizer"
	// authorizeTimeout is above the 30 seconds that a server may take by which forward decides.
	authorizeTimeout = 35 * time.Second
	// deniedDetails are Envoy's words for an answer that the authorizer gave.
	deniedDetails = "ext_authz_denied"
	usersPrefix   = "users/"
)

// authorizeFilter asks the data plane's authorizer (docs/design/authorization.md). Without an answer there is 503.
func authorizeFilter() *hcmv3.HttpFilter {
	return disabled(authorizeFilterName, &authzv3.ExtAuthz{
		TransportApiVersion: corev3.ApiVersion_V3,
		Services: &authzv3.ExtAuthz_GrpcService{GrpcService: &corev3.GrpcService{
			TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: authorizeCluster}},
			Timeout:         durationpb.New(authorizeTimeout),
		}},
		StatusOnError: &typev3.HttpStatus{Code: typev3.StatusCode_ServiceUnavailable},
		// Headers travel as they came, and several of one name as several.
		EncodeRawHeaders: true,
	})
}

// authorize has the authorizer asked of a route. What it goes by travels in the context extensions; passwords and hashes
// never do.
func (b *routeBuilder) authorize(r *routev3.Route, a model.Auth) {
	context := map[string]string{"kind": string(a.Kind), "scheme": "http"}
	if b.entry.TLS {
		context["scheme"] = "https"
	}
	set := func(key, value string) {
		if value != "" {
			context[key] = value
		}
	}
	set("header", strings.ToLower(a.HeaderField))
	if f := a.Forward; f != nil {
		context["url"], context["cluster"] = f.URL(), f.Backend
		set("response-headers", strings.ToLower(strings.Join(f.ResponseHeaders, ",")))
		if f.TrustHeaders {
			context["trust"] = "true"
		}
		// The server sees the path as the backend would (server_middlewares.go of Traefik 1.7: it is stripped before).
		action := r.GetRoute()
		set("rewrite-prefix", action.GetPrefixRewrite())
		if action.GetPrefixRewrite() != "" {
			set("matched-prefix", r.GetMatch().GetPrefix()+r.GetMatch().GetPathSeparatedPrefix())
		}
		if rewrite := action.GetRegexRewrite(); rewrite != nil {
			context["rewrite-regex"], context["rewrite-to"] = rewrite.GetPattern().GetRegex(), rewrite.GetSubstitution()
		}
	} else {
		context["realm"], context["users"] = model.AuthRealm, usersPrefix+a.UsersName()
		if a.RemoveHeader {
			context["remove"] = "true"
		}
	}
	switchOn(r, authorizeFilterName, &authzv3.ExtAuthzPerRoute{Override: &authzv3.ExtAuthzPerRoute_CheckSettings{
		CheckSettings: &authzv3.CheckSettings{ContextExtensions: context},
	}})
}

// deniedReply keeps the body of an answer that the authorizer gave: it is for the client.
func deniedReply() *hcmv3.ResponseMapper {
	return &hcmv3.ResponseMapper{
		Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ExtensionFilter{
			ExtensionFilter: &accesslogv3.ExtensionFilter{
				Name: "envoy.access_loggers.extension_filters.cel",
				ConfigType: &accesslogv3.ExtensionFilter_TypedConfig{TypedConfig: typed(&celv3.ExpressionFilter{
					Expression: "response.code_details == '" + deniedDetails + "'",
				})},
			},
		}},
		BodyFormatOverride: &corev3.SubstitutionFormatString{
			Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
				Specifier: &corev3.DataSource_InlineString{InlineString: "%LOCAL_REPLY_BODY%"},
			}},
		},
	}
}

// usersSecret is the lines of users: NAME:HASH.
func usersSecret(u model.Users) *tlsv3.Secret {
	var text bytes.Buffer
	for _, e := range u.Entries {
		text.WriteString(e.Name + ":")
		text.Write(e.Hash)
		text.WriteByte('\n')
	}
	return &tlsv3.Secret{Name: usersPrefix + u.Name, Type: &tlsv3.Secret_GenericSecret{
		GenericSecret: &tlsv3.GenericSecret{Secret: inline(text.Bytes())},
	}}
}
