package config

import (
	"cmp"
	"net/netip"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	inspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	earlyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// Envoy's defaults (http_connection_manager.proto, protocol.proto) where a listener does not say.
const (
	defaultIdleTimeout      = time.Hour
	defaultStreamIdle       = 5 * time.Minute
	defaultMaxHeadersCount  = 100
	defaultMaxHeadersKiB    = 60
	bytesPerKiB             = 1024
	defaultMaxConcurrentH2  = 1024
	http2MaxConcurrentLimit = 1<<31 - 1
)

// A Listener is an address with its filter chains.
type Listener struct {
	Name    string
	Address netip.AddrPort
	// IPv4Compat has a listener on [::] take IPv4 connections too (SocketAddress.ipv4_compat).
	IPv4Compat bool
	Chains     []FilterChain
	// Matcher finds a connection's chain by name; nil where there is one chain, for every connection.
	Matcher *ChainMatcher
}

// A FilterChain serves the connections that the listener's matcher gives it.
type FilterChain struct {
	Name string
	HTTP ConnectionManager
	TLS  *DownstreamTLS // nil where the chain is plain
}

// EscapedSlashes is Envoy's path_with_escaped_slashes_action.
type EscapedSlashes int

// The actions are Envoy's, but for the one that leaves the choice to the implementation.
const (
	UnescapeAndRedirect EscapedSlashes = iota
	UnescapeAndForward
	RejectRequest
	KeepUnchanged
)

var slashesActions = map[hcmv3.HttpConnectionManager_PathWithEscapedSlashesAction]EscapedSlashes{
	hcmv3.HttpConnectionManager_UNESCAPE_AND_REDIRECT: UnescapeAndRedirect,
	hcmv3.HttpConnectionManager_UNESCAPE_AND_FORWARD:  UnescapeAndForward,
	hcmv3.HttpConnectionManager_REJECT_REQUEST:        RejectRequest,
	hcmv3.HttpConnectionManager_KEEP_UNCHANGED:        KeepUnchanged,
}

// A ConnectionManager is Envoy's HttpConnectionManager. What a Go data plane always does (normalised paths, merged
// slashes, no trailing dot of a host, headers with underscores refused) has no field: a listener that asks for anything
// else is refused.
type ConnectionManager struct {
	RouteConfig string // name of the RouteConfiguration
	// UseRemoteAddress is set where the peer's own headers are not believed: it is a client, not a proxy of ours.
	UseRemoteAddress bool
	// Client is nil where the peer is the client.
	Client                *ClientDetection
	IdleTimeout           time.Duration // of a connection between requests; 0 is none
	RequestHeadersTimeout time.Duration // 0 is none
	StreamIdleTimeout     time.Duration // of a request and its answer, or an upgraded connection; 0 is none
	MaxHeadersCount       int
	MaxHeadersBytes       int
	MaxConcurrentStreams  int
	Windows               Windows
	EarlyMutations        []HeaderMutation
	LocalReply            Format // body of the proxy's own answers
	WebSocket             bool
	EscapedSlashes        EscapedSlashes
	KeepsDenied           bool       // the authorizer's answers keep their body
	Denials               []Denial   // before any route; the first that applies answers
	AccessLog             *AccessLog // of every request; nil is none
	Clients               *Access    // whom it admits, whatever the route; nil is everyone
}

// DecodeListener reads a Listener resource.
func DecodeListener(name string, body *anypb.Any) (Listener, error) {
	r, err := open(name, body, &listenerv3.Listener{})
	if err != nil {
		return Listener{}, err
	}
	l := Listener{Name: name, IPv4Compat: r.message.GetAddress().GetSocketAddress().GetIpv4Compat()}
	if l.Address, err = socketAddress(r.message.GetAddress(), join(r.path, "address")); err != nil {
		return Listener{}, err
	}
	for i, f := range r.message.GetListenerFilters() {
		// It is how Envoy learns the SNI before the handshake; crypto/tls tells it in the handshake.
		if _, err := unpack(f.GetTypedConfig(), &inspectorv3.TlsInspector{}, join(index(r.path, "listener_filters", i), "typed_config")); err != nil {
			return Listener{}, err
		}
	}
	if m := r.message.GetFilterChainMatcher(); m != nil {
		if l.Matcher, err = decodeMatcher(m, join(r.path, "filter_chain_matcher")); err != nil {
			return Listener{}, err
		}
	} else if len(r.message.GetFilterChains()) > 1 {
		return Listener{}, only(r.path, "filter_chain_matcher", "a tree that chooses among the filter chains")
	}
	for i, c := range r.message.GetFilterChains() {
		chain, err := decodeChain(c, index(r.path, "filter_chains", i))
		if err != nil {
			return Listener{}, err
		}
		l.Chains = append(l.Chains, chain)
	}
	if len(l.Chains) == 0 {
		return Listener{}, only(r.path, "filter_chains", "one chain or more")
	}
	return l, checkChains(l.Chains, r.path)
}

// checkChains refuses chains that cannot stand side by side. Over TLS the SNI chooses, which is known when net/http
// serves the connection already: what net/http fixes before must be the same in all.
func checkChains(chains []FilterChain, at string) error {
	names := make(map[string]bool)
	for i, c := range chains {
		at, first := index(at, "filter_chains", i), &chains[0]
		manager := join(at, "filters[0].typed_config.HttpConnectionManager")
		switch {
		case names[c.Name]:
			return only(at, "name", "a name that no other chain has")
		case (c.TLS == nil) != (first.TLS == nil):
			return only(at, "transport_socket", "TLS in all chains or in none")
		case c.TLS == nil:
		case c.HTTP.IdleTimeout != first.HTTP.IdleTimeout:
			return only(manager, "common_http_protocol_options.idle_timeout", "one value in all chains with TLS")
		case c.HTTP.RequestHeadersTimeout != first.HTTP.RequestHeadersTimeout:
			return only(manager, "request_headers_timeout", "one value in all chains with TLS")
		case c.HTTP.MaxHeadersBytes != first.HTTP.MaxHeadersBytes:
			return only(manager, "max_request_headers_kb", "one value in all chains with TLS")
		case c.HTTP.MaxConcurrentStreams != first.HTTP.MaxConcurrentStreams:
			return only(manager, "http2_protocol_options.max_concurrent_streams", "one value in all chains with TLS")
		}
		names[c.Name] = true
	}
	return nil
}

func decodeChain(c *listenerv3.FilterChain, at string) (FilterChain, error) {
	chain := FilterChain{Name: c.GetName()}
	if len(c.GetFilters()) != 1 {
		return FilterChain{}, only(at, "filters", "one HttpConnectionManager")
	}
	manager := &hcmv3.HttpConnectionManager{}
	filterAt := join(index(at, "filters", 0), "typed_config")
	filterAt, err := unpack(c.GetFilters()[0].GetTypedConfig(), manager, filterAt)
	if err != nil {
		return FilterChain{}, err
	}
	if chain.HTTP, err = decodeManager(manager, filterAt); err != nil {
		return FilterChain{}, err
	}
	if socket := c.GetTransportSocket(); socket != nil {
		chain.TLS, err = decodeDownstreamTLS(socket.GetTypedConfig(), join(at, "transport_socket.typed_config"))
	}
	return chain, err
}

func decodeManager(m *hcmv3.HttpConnectionManager, at string) (ConnectionManager, error) {
	if err := checkManagerValues(m, at); err != nil {
		return ConnectionManager{}, err
	}
	common := m.GetCommonHttpProtocolOptions()
	out := ConnectionManager{
		RouteConfig:           m.GetRds().GetRouteConfigName(),
		UseRemoteAddress:      m.GetUseRemoteAddress().GetValue(),
		IdleTimeout:           defaultIdleTimeout,
		RequestHeadersTimeout: m.GetRequestHeadersTimeout().AsDuration(),
		StreamIdleTimeout:     defaultStreamIdle,
		Windows:               windowsOf(m.GetHttp2ProtocolOptions()),
		MaxHeadersCount:       int(cmp.Or(common.GetMaxHeadersCount().GetValue(), defaultMaxHeadersCount)),
		MaxHeadersBytes:       int(cmp.Or(m.GetMaxRequestHeadersKb().GetValue(), defaultMaxHeadersKiB)) * bytesPerKiB,
		EscapedSlashes:        slashesActions[m.GetPathWithEscapedSlashesAction()],
		MaxConcurrentStreams: int(min(cmp.Or(m.GetHttp2ProtocolOptions().GetMaxConcurrentStreams().GetValue(),
			defaultMaxConcurrentH2), http2MaxConcurrentLimit)),
	}
	if timeout := common.GetIdleTimeout(); timeout != nil {
		out.IdleTimeout = timeout.AsDuration()
	}
	if timeout := m.GetStreamIdleTimeout(); timeout != nil {
		out.StreamIdleTimeout = timeout.AsDuration()
	}
	for i, u := range m.GetUpgradeConfigs() {
		if u.GetUpgradeType() != "websocket" {
			return ConnectionManager{}, only(index(at, "upgrade_configs", i), "upgrade_type", "websocket")
		}
		if err := checkUpgradeFilters(u.GetFilters(), m.GetHttpFilters(), index(at, "upgrade_configs", i)); err != nil {
			return ConnectionManager{}, err
		}
		out.WebSocket = true
	}
	var err error
	if out.Client, err = decodeDetection(m.GetOriginalIpDetectionExtensions(), at); err != nil {
		return ConnectionManager{}, err
	}
	if out.Client != nil && out.UseRemoteAddress {
		return ConnectionManager{}, only(at, "use_remote_address", false)
	}
	for i, e := range m.GetEarlyHeaderMutationExtensions() {
		mutation := &earlyv3.HeaderMutation{}
		at, err := unpack(e.GetTypedConfig(), mutation, join(index(at, "early_header_mutation_extensions", i), "typed_config"))
		if err != nil {
			return ConnectionManager{}, err
		}
		steps, err := decodeEarlyMutations(mutation.GetMutations(), at)
		if err != nil {
			return ConnectionManager{}, err
		}
		out.EarlyMutations = append(out.EarlyMutations, steps...)
	}
	if out.AccessLog, err = decodeAccessLogs(m.GetAccessLog(), at); err != nil {
		return ConnectionManager{}, err
	}
	if err := decodeFilters(&out, m.GetHttpFilters(), at); err != nil {
		return ConnectionManager{}, err
	}
	return out, decodeLocalReplies(&out, m.GetLocalReplyConfig(), join(at, "local_reply_config"))
}

// decodeLocalReplies reads what the proxy's own answers are; the filters are there already.
func decodeLocalReplies(out *ConnectionManager, c *hcmv3.LocalReplyConfig, at string) error {
	const format = "body_format.text_format_source"
	body := inline(c.GetBodyFormat().GetTextFormatSource())
	if len(body) == 0 {
		return only(at, format, "a body of the proxy's own answers given inline")
	}
	var err error
	if out.LocalReply, err = parseFormat(string(body), join(at, format)); err != nil {
		return err
	}
	for i, mapper := range c.GetMappers() {
		if keepsDenied(mapper) {
			out.KeepsDenied = true
			continue
		}
		if err := applyMapper(out.Denials, mapper, index(at, "mappers", i)); err != nil {
			return err
		}
	}
	return nil
}

// checkManagerValues refuses the values of the connection manager that the Go data plane cannot honour.
func checkManagerValues(m *hcmv3.HttpConnectionManager, at string) error {
	_, known := slashesActions[m.GetPathWithEscapedSlashesAction()]
	switch {
	case !known:
		return only(at, "path_with_escaped_slashes_action", "one of Envoy's actions by name")
	case m.GetCodecType() != hcmv3.HttpConnectionManager_AUTO:
		return only(at, "codec_type", "AUTO")
	case m.GetRds().GetRouteConfigName() == "":
		return only(at, "rds", "a named route configuration")
	case !m.GetSkipXffAppend():
		return only(at, "skip_xff_append", true)
	case !m.GetNormalizePath().GetValue():
		return only(at, "normalize_path", true)
	case !m.GetMergeSlashes():
		return only(at, "merge_slashes", true)
	case !m.GetStripTrailingHostDot():
		return only(at, "strip_trailing_host_dot", true)
	case m.GetServerHeaderTransformation() != hcmv3.HttpConnectionManager_PASS_THROUGH:
		return only(at, "server_header_transformation", "PASS_THROUGH")
	case m.GetCommonHttpProtocolOptions().GetHeadersWithUnderscoresAction() != corev3.HttpProtocolOptions_REJECT_REQUEST:
		return only(at, "common_http_protocol_options.headers_with_underscores_action", "REJECT_REQUEST")
	}
	return requireADS(m.GetRds().GetConfigSource(), join(at, "rds.config_source"))
}
