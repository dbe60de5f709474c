package dataplane_test

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	luav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	earlyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	inputsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	sniv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/cert_mappers/sni/v3"
	selectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/cert_selectors/on_demand_secret/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The resources below are built by hand in the shape of docs/design/xds.md.

func typed(m proto.Message) *anypb.Any {
	body, err := anypb.New(m)
	if err != nil {
		panic(err)
	}
	return body
}

func overADS() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
	}
}

func address(a net.Addr) *corev3.Address {
	at := netip.MustParseAddrPort(a.String())
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: at.Addr().String(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(at.Port())},
	}}}
}

func set(name, value string, action corev3.HeaderValueOption_HeaderAppendAction) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: name, Value: value}, AppendAction: action}
}

const overwrite = corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD

func mutations(scheme string, trusted bool) *corev3.TypedExtensionConfig {
	m := &earlyv3.HeaderMutation{}
	prefixes, one, list := []string{"x-forwarded-", "x-envoy-", "x-original-"}, overwrite, overwrite
	if trusted {
		prefixes = []string{"x-envoy-"}
		one, list = corev3.HeaderValueOption_ADD_IF_ABSENT, corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD
	}
	for _, p := range prefixes {
		m.Mutations = append(m.Mutations, &mutationv3.HeaderMutation{Action: &mutationv3.HeaderMutation_RemoveOnMatch_{
			RemoveOnMatch: &mutationv3.HeaderMutation_RemoveOnMatch{KeyMatcher: &matcherv3.StringMatcher{
				MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: p},
			}},
		}})
	}
	if !trusted {
		m.Mutations = append(m.Mutations, &mutationv3.HeaderMutation{Action: &mutationv3.HeaderMutation_Remove{Remove: "forwarded"}})
	}
	const peer = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"
	for _, o := range []*corev3.HeaderValueOption{
		set("x-forwarded-for", peer, list), set("x-real-ip", peer, one), set("x-forwarded-proto", scheme, one),
		set("x-forwarded-host", "%REQ(:AUTHORITY)%", one), set("x-forwarded-port", "8080", one),
	} {
		m.Mutations = append(m.Mutations, &mutationv3.HeaderMutation{Action: &mutationv3.HeaderMutation_Append{Append: o}})
	}
	return &corev3.TypedExtensionConfig{Name: "envoy.http.early_header_mutation.header_mutation", TypedConfig: typed(m)}
}

// scriptFilter is a lua filter that runs one script where a route says so.
func scriptFilter(t testing.TB, name, script string) *hcmv3.HttpFilter {
	source, err := os.ReadFile("../translator/envoy/scripts/" + script + ".lua")
	if err != nil {
		t.Fatal(err)
	}
	lua := &luav3.Lua{SourceCodes: map[string]*corev3.DataSource{
		script: {Specifier: &corev3.DataSource_InlineString{InlineString: string(source)}},
	}}
	return &hcmv3.HttpFilter{
		Name: name, Disabled: true, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: typed(lua)},
	}
}

// manager is the connection manager of a listener.
func manager(t testing.TB, name string, trusted bool) *hcmv3.HttpConnectionManager {
	return &hcmv3.HttpConnectionManager{
		StatPrefix: name,
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{
			ConfigSource: overADS(), RouteConfigName: name,
		}},
		UseRemoteAddress: wrapperspb.Bool(!trusted), SkipXffAppend: true,
		NormalizePath: wrapperspb.Bool(true), MergeSlashes: true,
		PathWithEscapedSlashesAction: hcmv3.HttpConnectionManager_UNESCAPE_AND_REDIRECT,
		StripTrailingHostDot:         true,
		ServerHeaderTransformation:   hcmv3.HttpConnectionManager_PASS_THROUGH,
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{
			IdleTimeout: durationpb.New(time.Hour), MaxHeadersCount: wrapperspb.UInt32(100),
			HeadersWithUnderscoresAction: corev3.HttpProtocolOptions_REJECT_REQUEST,
		},
		Http2ProtocolOptions:  &corev3.Http2ProtocolOptions{MaxConcurrentStreams: wrapperspb.UInt32(100)},
		MaxRequestHeadersKb:   wrapperspb.UInt32(60),
		RequestHeadersTimeout: durationpb.New(10 * time.Second),
		StreamIdleTimeout:     durationpb.New(5 * time.Minute),
		DelayedCloseTimeout:   durationpb.New(50 * time.Millisecond),
		UpgradeConfigs:        []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
		LocalReplyConfig: &hcmv3.LocalReplyConfig{BodyFormat: &corev3.SubstitutionFormatString{
			Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
				Specifier: &corev3.DataSource_InlineString{InlineString: "%RESPONSE_CODE%\n"},
			}},
		}},
		EarlyHeaderMutationExtensions: []*corev3.TypedExtensionConfig{mutations(name, trusted)},
		HttpFilters: []*hcmv3.HttpFilter{
			scriptFilter(t, "envoy.filters.http.lua", "prefix-v2"),
			scriptFilter(t, "envoy.filters.http.lua.base", "base-v2"),
			{Name: "envoy.filters.http.router", ConfigType: &hcmv3.HttpFilter_TypedConfig{
				TypedConfig: typed(&routerv3.Router{SuppressEnvoyHeaders: true}),
			}},
		},
	}
}

// listener is "http" or "https"; trusted, where given, are the ranges of its trusted chain.
func listener(t testing.TB, name string, at net.Addr, trusted ...*xdscorev3.CidrRange) *listenerv3.Listener {
	chain := func(name string, m *hcmv3.HttpConnectionManager) *listenerv3.FilterChain {
		c := &listenerv3.FilterChain{Name: name, Filters: []*listenerv3.Filter{{
			Name:       "envoy.filters.network.http_connection_manager",
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: typed(m)},
		}}}
		if m.StatPrefix == "https" {
			c.TransportSocket = transportSocket(downstreamTLS())
		}
		return c
	}
	l := &listenerv3.Listener{Name: name, Address: address(at), PerConnectionBufferLimitBytes: wrapperspb.UInt32(32768)}
	if len(trusted) > 0 {
		l.FilterChains = append(l.FilterChains, chain("trusted", manager(t, name, true)))
		l.FilterChainMatcher = byPeer(trusted)
	}
	l.FilterChains = append(l.FilterChains, chain("untrusted", manager(t, name, false)))
	return l
}

// byPeer gives the trusted chain to the ranges, the untrusted one to every other peer.
func byPeer(trusted []*xdscorev3.CidrRange) *xdsmatcherv3.Matcher {
	to := func(chain string) *xdsmatcherv3.Matcher_OnMatch {
		return &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Action{
			Action: &xdscorev3.TypedExtensionConfig{Name: "chain", TypedConfig: typed(wrapperspb.String(chain))},
		}}
	}
	return &xdsmatcherv3.Matcher{
		MatcherType: &xdsmatcherv3.Matcher_MatcherTree_{MatcherTree: &xdsmatcherv3.Matcher_MatcherTree{
			Input: &xdscorev3.TypedExtensionConfig{Name: "peer", TypedConfig: typed(&inputsv3.DirectSourceIPInput{})},
			TreeType: &xdsmatcherv3.Matcher_MatcherTree_CustomMatch{CustomMatch: &xdscorev3.TypedExtensionConfig{
				Name: "envoy.matching.custom_matchers.trie_matcher",
				TypedConfig: typed(&xdsmatcherv3.IPMatcher{RangeMatchers: []*xdsmatcherv3.IPMatcher_IPRangeMatcher{{
					Ranges: trusted, OnMatch: to("trusted"),
				}}}),
			}},
		}},
		OnNoMatch: to("untrusted"),
	}
}

func transportSocket(context proto.Message) *corev3.TransportSocket {
	return &corev3.TransportSocket{
		Name:       "envoy.transport_sockets.tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: typed(context)},
	}
}

func downstreamTLS() *tlsv3.DownstreamTlsContext {
	return &tlsv3.DownstreamTlsContext{
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsParams:     &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2},
			AlpnProtocols: []string{"h2", "http/1.1"},
			CustomTlsCertificateSelector: &corev3.TypedExtensionConfig{
				Name: "envoy.tls.certificate_selectors.on_demand_secret",
				TypedConfig: typed(&selectorv3.Config{
					ConfigSource: overADS(),
					CertificateMapper: &corev3.TypedExtensionConfig{
						Name: "envoy.tls.certificate_mappers.sni", TypedConfig: typed(&sniv3.SNI{DefaultValue: "default"}),
					},
				}),
			},
		},
		SessionTicketKeysType:            &tlsv3.DownstreamTlsContext_DisableStatelessSessionResumption{DisableStatelessSessionResumption: true},
		DisableStatefulSessionResumption: true,
	}
}

func routes(name string, hosts ...*routev3.VirtualHost) *routev3.RouteConfiguration {
	return &routev3.RouteConfiguration{
		Name: name, VirtualHosts: hosts, IgnorePortInHostMatching: true,
		RequestHeadersToRemove: []string{"x-envoy-expected-rq-timeout-ms"},
	}
}

func host(domain string, routes ...*routev3.Route) *routev3.VirtualHost {
	return &routev3.VirtualHost{Name: domain, Domains: []string{domain}, Routes: routes}
}

func prefix(p string) *routev3.RouteMatch {
	return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: p}}
}

func exact(p string) *routev3.RouteMatch {
	return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: p}}
}

func when(m *routev3.RouteMatch, h *routev3.HeaderMatcher) *routev3.RouteMatch {
	m.Headers = append(m.Headers, h)
	return m
}

func headerRegex(name, pattern string) *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{Name: name, HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{
		StringMatch: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{
			SafeRegex: &matcherv3.RegexMatcher{Regex: pattern},
		}},
	}}
}

func forward(m *routev3.RouteMatch, cluster string, change ...func(*routev3.RouteAction)) *routev3.Route {
	a := &routev3.RouteAction{
		ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster}, Timeout: durationpb.New(0),
		RetryPolicy: &routev3.RetryPolicy{
			RetryOn: "connect-failure,refused-stream,reset-before-request", NumRetries: wrapperspb.UInt32(1),
		},
	}
	for _, c := range change {
		c(a)
	}
	return &routev3.Route{Match: m, Action: &routev3.Route_Route{Route: a}, Metadata: &corev3.Metadata{
		FilterMetadata: map[string]*structpb.Struct{"postern.dev": {}},
	}}
}

func rewriteTo(p string) func(*routev3.RouteAction) {
	return func(a *routev3.RouteAction) { a.PrefixRewrite = p }
}

func hostTo(h string) func(*routev3.RouteAction) {
	return func(a *routev3.RouteAction) {
		a.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: h}
	}
}

func redirect(m *routev3.RouteMatch, a *routev3.RedirectAction) *routev3.Route {
	return &routev3.Route{Match: m, Action: &routev3.Route_Redirect{Redirect: a}}
}

func direct(m *routev3.RouteMatch, status uint32, headers ...*corev3.HeaderValueOption) *routev3.Route {
	return &routev3.Route{
		Match: m, Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: status}},
		ResponseHeadersToAdd: headers,
	}
}

// underPrefix has the response of a stripped route put back under its prefix.
func underPrefix(r *routev3.Route, p string) *routev3.Route {
	r.RequestHeadersToAdd = []*corev3.HeaderValueOption{set("x-forwarded-prefix", p, overwrite)}
	r.TypedPerFilterConfig = map[string]*anypb.Any{"envoy.filters.http.lua": typed(&luav3.LuaPerRoute{
		Override: &luav3.LuaPerRoute_Name{Name: "prefix-v2"},
		FilterContext: &structpb.Struct{Fields: map[string]*structpb.Value{
			"prefix": structpb.NewStringValue(p),
		}},
	})}
	return r
}

// withBase has the base element of the route's pages put under the prefix.
func withBase(r *routev3.Route, p string, inserts bool) *routev3.Route {
	context := map[string]*structpb.Value{"prefix": structpb.NewStringValue(p)}
	if inserts {
		context["insert"] = structpb.NewBoolValue(true)
	}
	if r.TypedPerFilterConfig == nil {
		r.TypedPerFilterConfig = map[string]*anypb.Any{}
	}
	r.TypedPerFilterConfig["envoy.filters.http.lua.base"] = typed(&luav3.LuaPerRoute{
		Override: &luav3.LuaPerRoute_Name{Name: "base-v2"}, FilterContext: &structpb.Struct{Fields: context},
	})
	return r
}

func clusterOf(name string, change ...func(*clusterv3.Cluster, *httpv3.HttpProtocolOptions_ExplicitHttpConfig)) *clusterv3.Cluster {
	c := &clusterv3.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: overADS(), ServiceName: name},
		ConnectTimeout:       durationpb.New(2 * time.Second),
		LbPolicy:             clusterv3.Cluster_ROUND_ROBIN,
	}
	explicit := &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
		ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
			HttpProtocolOptions: &corev3.Http1ProtocolOptions{},
		},
	}
	for _, f := range change {
		f(c, explicit)
	}
	c.TypedExtensionProtocolOptions = map[string]*anypb.Any{
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed(&httpv3.HttpProtocolOptions{
			UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: explicit},
		}),
	}
	return c
}

func h2c(_ *clusterv3.Cluster, e *httpv3.HttpProtocolOptions_ExplicitHttpConfig) {
	e.ProtocolConfig = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
		Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
	}
}

// overTLS verifies the names, or nothing where there are none.
func overTLS(sni string, names ...string) func(*clusterv3.Cluster, *httpv3.HttpProtocolOptions_ExplicitHttpConfig) {
	return func(c *clusterv3.Cluster, _ *httpv3.HttpProtocolOptions_ExplicitHttpConfig) {
		common := &tlsv3.CommonTlsContext{}
		validation := &tlsv3.CertificateValidationContext{}
		for _, n := range names {
			validation.MatchTypedSubjectAltNames = append(validation.MatchTypedSubjectAltNames, &tlsv3.SubjectAltNameMatcher{
				SanType: tlsv3.SubjectAltNameMatcher_DNS,
				Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: n}},
			})
		}
		if len(names) > 0 {
			common.ValidationContextType = &tlsv3.CommonTlsContext_CombinedValidationContext{
				CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
					DefaultValidationContext:         validation,
					ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: "trust/upstream", SdsConfig: overADS()},
				},
			}
		}
		c.TransportSocket = transportSocket(&tlsv3.UpstreamTlsContext{Sni: sni, CommonTlsContext: common})
	}
}

func assignment(name string, endpoints ...net.Addr) *endpointv3.ClusterLoadAssignment {
	locality := &endpointv3.LocalityLbEndpoints{}
	for _, e := range endpoints {
		locality.LbEndpoints = append(locality.LbEndpoints, &endpointv3.LbEndpoint{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address(e)}},
		})
	}
	a := &endpointv3.ClusterLoadAssignment{ClusterName: name}
	if len(endpoints) > 0 {
		a.Endpoints = []*endpointv3.LocalityLbEndpoints{locality}
	}
	return a
}

func inlineBytes(b []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
}

func certificateSecret(name string, chain, key []byte) *tlsv3.Secret {
	return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		CertificateChain: inlineBytes(chain), PrivateKey: inlineBytes(key),
	}}}
}

func trustSecret(bundle []byte) *tlsv3.Secret { return bundleSecret("trust/upstream", bundle) }

func bundleSecret(name string, bundle []byte) *tlsv3.Secret {
	return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_ValidationContext{
		ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: inlineBytes(bundle)},
	}}
}

// Short names for the arguments of clusterOf's changes.
type (
	clusterProto  = clusterv3.Cluster
	explicitProto = httpv3.HttpProtocolOptions_ExplicitHttpConfig
)
