package envoy

import (
	"net/netip"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	inspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	sniv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/cert_mappers/sni/v3"
	selectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/cert_selectors/on_demand_secret/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/postern-gateway/postern/translator/model"
)

// The edge: values of Envoy's best practices for an edge proxy (configuration/best_practices/edge), but that streams
// may take as long as they move.
const (
	bufferLimitBytes          = 32 * 1024
	maxRequestHeadersKiB      = 60
	maxHeadersCount           = 100
	maxConcurrentStreams      = 100
	initialStreamWindowBytes  = 64 * 1024
	initialConnectionWindow   = 1024 * 1024
	connectionIdleTimeout     = time.Hour
	streamIdleTimeout         = 5 * time.Minute
	requestHeadersTimeout     = 10 * time.Second
	delayedCloseTimeout       = time.Second
	handshakeTimeout          = 10 * time.Second
	connectionManagerName     = "envoy.filters.network.http_connection_manager"
	earlyHeaderMutationName   = "envoy.http.early_header_mutation.header_mutation"
	transportSocketName       = "envoy.transport_sockets.tls"
	certificateSelectorName   = "envoy.tls.certificate_selectors.on_demand_secret"
	certificateMapperName     = "envoy.tls.certificate_mappers.sni"
	tlsInspectorName          = "envoy.filters.listener.tls_inspector"
	stdoutAccessLogName       = "envoy.access_loggers.stdout"
	upstreamConnectionFailure = "UF"
	// upstreamConnectionTermination is what a backend's refusal of a client certificate looks like over TLS 1.3.
	upstreamConnectionTermination = "UC"
)

// chain is one filter chain of an entry: it takes the connections of some peers, and over TLS those whose SNI names a
// host of its group.
type chain struct {
	entry model.Entry
	edge  model.Edge
	from  peers
	group model.TLSGroup
}

// chainName is equal for chains of equal settings, so that Envoy keeps the connections of a chain which an update leaves
// as it is.
func chainName(from peers, group model.TLSGroup) string {
	if group.Name == "" {
		return string(from)
	}
	return string(from) + "/" + group.Name
}

// routesName is the route configuration of a group's connections.
func routesName(entry model.Entry, group model.TLSGroup) string {
	if group.Name == "" {
		return entry.Name
	}
	return entry.Name + "/" + group.Name
}

// groups are the groups of a table's hosts, the first being that of all hosts without TLS settings of their own.
func groups(t model.Table, edge model.Edge) []model.TLSGroup {
	return append([]model.TLSGroup{{MinVersion: edge.TLSMinVersion}}, t.Groups...)
}

func listener(t model.Table, edge model.Edge) *listenerv3.Listener {
	l := &listenerv3.Listener{
		Name:                          t.Entry.Name,
		Address:                       socketAddress(t.Entry.Address),
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(bufferLimitBytes),
		FilterChainMatcher:            chainMatcher(t, edge),
	}
	if t.Entry.TLS {
		l.ListenerFilters = []*listenerv3.ListenerFilter{{
			Name:       tlsInspectorName,
			ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: typed(&inspectorv3.TlsInspector{})},
		}}
	}
	for _, group := range groups(t, edge) {
		if len(edge.TrustedProxies) > 0 {
			l.FilterChains = append(l.FilterChains, filterChain(chain{t.Entry, edge, trusted, group}))
		}
		l.FilterChains = append(l.FilterChains, filterChain(chain{t.Entry, edge, untrusted, group}))
	}
	return l
}

// socketAddress of every IPv6 address is every IPv4 one, too, as net.Listen and most others have it.
func socketAddress(a netip.AddrPort) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       a.Addr().String(),
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(a.Port())},
		Ipv4Compat:    a.Addr() == netip.IPv6Unspecified(),
	}}}
}

func filterChain(c chain) *listenerv3.FilterChain {
	out := &listenerv3.FilterChain{
		Name: chainName(c.from, c.group),
		Filters: []*listenerv3.Filter{{
			Name:       connectionManagerName,
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: typed(connectionManager(c))},
		}},
	}
	if c.entry.TLS {
		// A handshake for a name that SDS cannot answer would wait for ever.
		out.TransportSocketConnectTimeout = durationpb.New(handshakeTimeout)
		out.TransportSocket = &corev3.TransportSocket{
			Name:       transportSocketName,
			ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: typed(downstreamTLS(c.group))},
		}
	}
	return out
}

func connectionManager(c chain) *hcmv3.HttpConnectionManager {
	var detection []*corev3.TypedExtensionConfig
	if c.from == trusted {
		detection = clientDetection(c.edge.TrustedProxies)
	}
	return &hcmv3.HttpConnectionManager{
		StatPrefix: c.entry.Name,
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{
			ConfigSource: ads(), RouteConfigName: routesName(c.entry, c.group),
		}},
		UseRemoteAddress:              wrapperspb.Bool(c.from == untrusted),
		SkipXffAppend:                 true,
		OriginalIpDetectionExtensions: detection,
		NormalizePath:                 wrapperspb.Bool(true),
		MergeSlashes:                  true,
		PathWithEscapedSlashesAction:  slashesAction[c.edge.EscapedSlashes],
		StripTrailingHostDot:          true,
		ServerHeaderTransformation:    hcmv3.HttpConnectionManager_PASS_THROUGH,
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{
			IdleTimeout:                  durationpb.New(connectionIdleTimeout),
			MaxHeadersCount:              wrapperspb.UInt32(maxHeadersCount),
			HeadersWithUnderscoresAction: corev3.HttpProtocolOptions_REJECT_REQUEST,
		},
		Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
			MaxConcurrentStreams:        wrapperspb.UInt32(maxConcurrentStreams),
			InitialStreamWindowSize:     wrapperspb.UInt32(initialStreamWindowBytes),
			InitialConnectionWindowSize: wrapperspb.UInt32(initialConnectionWindow),
		},
		MaxRequestHeadersKb:           wrapperspb.UInt32(maxRequestHeadersKiB),
		StreamIdleTimeout:             durationpb.New(streamIdleTimeout),
		RequestHeadersTimeout:         durationpb.New(requestHeadersTimeout),
		DelayedCloseTimeout:           durationpb.New(delayedCloseTimeout),
		UpgradeConfigs:                []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket", Filters: upgradeFilters(c.edge)}},
		LocalReplyConfig:              localReplies(),
		AccessLog:                     append([]*accesslogv3.AccessLog{failureLog()}, requestLog(c.edge.AccessLog)...),
		EarlyHeaderMutationExtensions: []*corev3.TypedExtensionConfig{headerMutation(c.entry, c.from)},
		HttpFilters:                   httpFilters(c.edge),
	}
}

// failureLog writes one JSON line for a request whose backend could not be reached, to the proxy's standard output.
func failureLog() *accesslogv3.AccessLog {
	fields := map[string]*structpb.Value{}
	for name, operator := range map[string]string{
		"time":              "%START_TIME%",
		"upstream_cluster":  "%UPSTREAM_CLUSTER_RAW%",
		"upstream_host":     "%UPSTREAM_HOST%",
		"response_flags":    "%RESPONSE_FLAGS%",
		"transport_failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
		"filter_chain":      "%FILTER_CHAIN_NAME%",
	} {
		fields[name] = structpb.NewStringValue(operator)
	}
	return &accesslogv3.AccessLog{
		Name: stdoutAccessLogName,
		Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
			ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{Flags: []string{upstreamConnectionFailure, upstreamConnectionTermination}},
		}},
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: typed(&streamv3.StdoutAccessLog{
			AccessLogFormat: &streamv3.StdoutAccessLog_LogFormat{LogFormat: &corev3.SubstitutionFormatString{
				Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: &structpb.Struct{Fields: fields}},
			}},
		})},
	}
}

// downstreamTLS selects the certificate by SNI on demand, so that a new host never touches the listener, and asks for a
// client's where the group has a CA, by SDS, so that a renewed one does not touch it either. Envoy refuses such a selector
// unless both kinds of session resumption are off.
func downstreamTLS(group model.TLSGroup) *tlsv3.DownstreamTlsContext {
	context := &tlsv3.DownstreamTlsContext{
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsParams:     &tlsv3.TlsParameters{TlsMinimumProtocolVersion: protocolVersion(group.MinVersion)},
			AlpnProtocols: []string{"h2", "http/1.1"},
			CustomTlsCertificateSelector: &corev3.TypedExtensionConfig{
				Name: certificateSelectorName,
				TypedConfig: typed(&selectorv3.Config{
					ConfigSource: ads(),
					CertificateMapper: &corev3.TypedExtensionConfig{
						Name: certificateMapperName, TypedConfig: typed(&sniv3.SNI{DefaultValue: DefaultSecretName}),
					},
				}),
			},
		},
		SessionTicketKeysType:            &tlsv3.DownstreamTlsContext_DisableStatelessSessionResumption{DisableStatelessSessionResumption: true},
		DisableStatefulSessionResumption: true,
	}
	if group.ClientCA != "" {
		context.RequireClientCertificate = wrapperspb.Bool(true)
		context.CommonTlsContext.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig{
			ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: clientCAName(group.ClientCA), SdsConfig: ads()},
		}
	}
	return context
}

func protocolVersion(v model.TLSVersion) tlsv3.TlsParameters_TlsProtocol {
	if v == model.TLS13 {
		return tlsv3.TlsParameters_TLSv1_3
	}
	return tlsv3.TlsParameters_TLSv1_2
}
