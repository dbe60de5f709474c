package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
)

const ads = `{"ads": {}, "resource_api_version": "V3"}`

// chainsJSON refuses names that are no host names, then chooses by the peer.
const chainsJSON = `{"matcher_list": {"matchers": [
  {"predicate": {"single_predicate": {"input": ` + sniInput + `, "value_match": {"safe_regex": {"google_re2": {}, "regex": "[a-z.]+"}}}}, "on_match": {"matcher": ` + peersJSON + `}},
  {"predicate": {"single_predicate": {"input": ` + sniInput + `, "value_match": {"safe_regex": {"google_re2": {}, "regex": "\\C+"}}}}, "on_match": ` + toNone + `}]},
 "on_no_match": {"matcher": ` + peersJSON + `}}`

const (
	sniInput  = `{"name": "sni", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.ServerNameInput"}}`
	toNone    = `{"action": {"name": "chain", "typed_config": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "none"}}}`
	peersJSON = `{"matcher_tree": {"input": {"name": "peer", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.DirectSourceIPInput"}},
  "custom_match": {"name": "trie", "typed_config": {"@type": "type.googleapis.com/xds.type.matcher.v3.IPMatcher", "range_matchers": [
   {"ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}, {"address_prefix": "fd00::", "prefix_len": 8}], "on_match": ` + toWide + `},
   {"ranges": [{"address_prefix": "10.1.0.0", "prefix_len": 16}], "on_match": ` + toNarrow + `}]}}},
 "on_no_match": ` + toRest + `}`
	toWide   = `{"action": {"name": "chain", "typed_config": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "wide"}}}`
	toNarrow = `{"action": {"name": "chain", "typed_config": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "narrow"}}}`
	toRest   = `{"action": {"name": "chain", "typed_config": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "rest"}}}`
)

// listenerJSON and the others are good resources in the shape of docs/design/xds.md; the rows below spoil them.
const listenerJSON = `{"name": "https",
 "address": {"socket_address": {"address": "127.0.0.1", "port_value": 8443}},
 "per_connection_buffer_limit_bytes": 32768,
 "metadata": {"filter_metadata": {"postern.dev": {}}},
 "listener_filters": [{"name": "envoy.filters.listener.tls_inspector", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"}}],
 "filter_chain_matcher": ` + chainsJSON + `,
 "filter_chains": [{"name": "untrusted",
  "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": {
   "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
   "common_tls_context": {"tls_params": {"tls_minimum_protocol_version": "TLSv1_2"}, "alpn_protocols": ["h2", "http/1.1"],
    "custom_tls_certificate_selector": {"name": "s", "typed_config": {
     "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.cert_selectors.on_demand_secret.v3.Config",
     "config_source": ` + ads + `,
     "certificate_mapper": {"name": "m", "typed_config": {
      "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.cert_mappers.sni.v3.SNI", "default_value": "default"}}}}},
   "disable_stateless_session_resumption": true, "disable_stateful_session_resumption": true}},
  "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": {
   "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
   "stat_prefix": "https", "codec_type": "AUTO", "rds": {"route_config_name": "https", "config_source": ` + ads + `},
   "use_remote_address": true, "skip_xff_append": true, "normalize_path": true, "merge_slashes": true,
   "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT", "strip_trailing_host_dot": true,
   "server_header_transformation": "PASS_THROUGH",
   "common_http_protocol_options": {"idle_timeout": "60s", "max_headers_count": 50, "headers_with_underscores_action": "REJECT_REQUEST"},
   "http2_protocol_options": {"max_concurrent_streams": 100, "initial_stream_window_size": 65536},
   "stream_idle_timeout": "300s", "request_headers_timeout": "10s", "max_request_headers_kb": 30,
   "upgrade_configs": [{"upgrade_type": "websocket"}],
   "local_reply_config": {"body_format": {"text_format_source": {"inline_string": "%RESPONSE_CODE%\n"}}, "mappers": [{"status_code": 400,
    "filter": {"extension_filter": {"name": "f", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
     "expression": "response.code_details == 'rbac_access_denied_matched_policy[odd]'"}}}}]},
   "access_log": [{"name": "x", "filter": {"response_flag_filter": {"flags": ["UF"]}}, "typed_config": {"@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"}}],
   "early_header_mutation_extensions": [{"name": "e", "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
    "mutations": [{"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}}, {"remove": "Forwarded"},
     {"append": {"header": {"key": "x-real-ip", "value": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"}, "append_action": "ADD_IF_ABSENT"}}]}}],
   "http_filters": [
    {"name": "envoy.filters.http.rbac", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
     "rules": {"action": "DENY", "policies": {
      "even": {"principals": [{"any": true}], "permissions": [{"header": {"name": "X-Even", "present_match": true}}]},
      "odd": {"principals": [{"any": true}], "permissions": [{"url_path": {"path": {"contains": "/.;"}}}, {"not_rule": {"header": {"name": ":authority", "string_match": {"suffix": "t"}}}}]}}}}},
    {"name": "envoy.filters.http.lua", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
     "source_codes": {"prefix-v2": {"inline_string": PREFIX_SCRIPT}}}},
    {"name": "envoy.filters.http.lua.base", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
     "source_codes": {"base-v2": {"inline_string": BASE_SCRIPT}}}},
    {"name": "envoy.filters.http.router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", "suppress_envoy_headers": true}}]
  }}]}]}`

const clientCAJSON = `"validation_context_sds_secret_config": {"name": "client-ca/shop/ca", "sds_config": ` + ads + `}`

// guardedJSON has a second chain, which asks for a client certificate, and chooses by exact names first.
var guardedJSON = func() string {
	l := strings.Replace(listenerJSON, chainsJSON, `{"matcher_tree": {"input": `+sniInput+`, "exact_match_map": {"map": {"a.test": `+toRest+`}}},
 "on_no_match": {"matcher": `+chainsJSON+`}}`, 1)
	before, chain, _ := strings.Cut(l, `"filter_chains": [`)
	chain = strings.TrimSuffix(chain, "]}")
	guarded := strings.Replace(chain, `"untrusted"`, `"second"`, 1)
	guarded = strings.Replace(guarded, `"tls_params"`, clientCAJSON+`, "tls_params"`, 1)
	guarded = strings.Replace(guarded, `"disable_stateless`, `"require_client_certificate": true, "disable_stateless`, 1)
	return before + `"filter_chains": [` + guarded + ", " + chain + "]}"
}()

const routesJSON = `{"name": "http", "ignore_port_in_host_matching": true, "request_headers_to_remove": ["X-Envoy-Foo"],
 "virtual_hosts": [{"name": "a", "domains": ["A.test", "*.b.test", "*"], "routes": [
  {"match": {"prefix": "/k8s/", "headers": [{"name": ":Method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}, "invert_match": true}]},
   "route": {"cluster": "c", "timeout": "0s", "prefix_rewrite": "/", "host_rewrite_literal": "h", "retry_policy": {"retry_on": "connect-failure,reset-before-request", "num_retries": 1}},
   "request_headers_to_add": [{"header": {"key": "x-a", "value": "100%%"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
   "typed_per_filter_config": {"envoy.filters.http.lua": {"@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.LuaPerRoute", "name": "prefix-v2", "filter_context": {"prefix": "/k8s"}},
    "envoy.filters.http.lua.base": {"@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.LuaPerRoute", "name": "base-v2", "filter_context": {"prefix": "/a&amp;b", "insert": true}}}},
  {"match": {"path": "/p"}, "redirect": {"https_redirect": true, "port_redirect": 8443, "response_code": "FOUND"}},
  {"match": {"path_separated_prefix": "/s"}, "direct_response": {"status": 503}},
  {"match": {"safe_regex": {"regex": "/r.*"}}, "route": {"cluster": "c", "timeout": "0s", "regex_rewrite": {"pattern": {"regex": "^/r(.)"}, "substitution": "/\\1$\\\\"}}},
  {"match": {"path": "/w"}, "route": {"timeout": "0s", "weighted_clusters": {"clusters": [
   {"name": "w1", "weight": 3, "host_rewrite_literal": "h1"}, {"name": "w2", "weight": 1}]}}}]}]}`

const clusterJSON = `{"name": "ns/svc/80/https", "type": "EDS", "lb_policy": "ROUND_ROBIN", "connect_timeout": "2s",
 "eds_cluster_config": {"service_name": "ns/svc/80", "eds_config": ` + ads + `},
 "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
  "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http_protocol_options": {}}}},
 "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": {
  "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", "sni": "svc",
  "common_tls_context": {"tls_params": {"tls_minimum_protocol_version": "TLSv1_3"},
   "tls_certificate_sds_secret_configs": [{"name": "client/ns/gw", "sds_config": ` + ads + `}],
   "combined_validation_context": {
   "default_validation_context": {"match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "svc"}}]},
   "validation_context_sds_secret_config": {"name": "trust/upstream", "sds_config": ` + ads + `}}}}}}`

const endpointsJSON = `{"cluster_name": "ns/svc/80", "endpoints": [{"lb_endpoints": [
 {"endpoint": {"address": {"socket_address": {"address": "10.0.0.2", "port_value": 80}}}},
 {"endpoint": {"address": {"socket_address": {"address": "10.0.0.3", "port_value": 80}}}, "health_status": "UNHEALTHY"},
 {"endpoint": {"address": {"socket_address": {"address": "::1", "port_value": 81}}}, "health_status": "HEALTHY"}]}]}`

func script(t testing.TB, name string) string {
	source, err := os.ReadFile("../../translator/envoy/scripts/" + name + ".lua")
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// resourceOf reads JSON as a resource of a type.
func resourceOf(t testing.TB, typeURL, text string) *anypb.Any {
	t.Helper()
	for placeholder, name := range map[string]string{"PREFIX_SCRIPT": PrefixScript, "BASE_SCRIPT": BaseScript} {
		quoted, _ := json.Marshal(script(t, name))
		text = strings.ReplaceAll(text, placeholder, string(quoted))
	}
	body := &anypb.Any{}
	if err := protojson.Unmarshal([]byte(`{"@type": "`+typeURL+`", `+strings.TrimPrefix(text, "{")), body); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return body
}

func decode(typeURL, name string, body *anypb.Any) (value any, err error) {
	switch typeURL {
	case ListenerType:
		return DecodeListener(name, body)
	case RouteType:
		return DecodeRouteConfiguration(name, body)
	case ClusterType:
		return DecodeCluster(name, body)
	case EndpointType:
		return DecodeEndpoints(name, body)
	default:
		return DecodeSecret(name, body)
	}
}

func TestScriptHash(t *testing.T) {
	for name, known := range scriptSHA256 {
		sum := sha256.Sum256([]byte(script(t, name)))
		if got := hex.EncodeToString(sum[:]); got != known {
			t.Errorf("the script %s has changed: SHA-256 %s. A changed script is a new name.", name, got)
		}
	}
}

func TestDecode(t *testing.T) {
	l, err := DecodeListener("https", resourceOf(t, ListenerType, listenerJSON))
	if err != nil {
		t.Fatal(err)
	}
	chain := l.Chains[0]
	if l.Address.String() != "127.0.0.1:8443" || chain.TLS.DefaultSecret != "default" {
		t.Errorf("listener %+v", l)
	}
	m := chain.HTTP
	if m.RouteConfig != "https" || !m.UseRemoteAddress || !m.WebSocket || m.IdleTimeout != time.Minute || m.MaxHeadersCount != 50 ||
		m.MaxHeadersBytes != 30*1024 || m.RequestHeadersTimeout != 10*time.Second || m.MaxConcurrentStreams != 100 || m.Windows.Stream != 65536 ||
		m.StreamIdleTimeout != 5*time.Minute || len(m.EarlyMutations) != 3 {
		t.Errorf("connection manager %+v", m)
	}
	if d := m.Denials; len(d) != 2 || d[0].Policy != "even" || d[0].Status != 403 || !d[0].Permissions[0].Header.Present ||
		d[1].Status != 400 || d[1].Permissions[0].Path.Text != "/.;" || !d[1].Permissions[1].Not || d[1].Permissions[1].Header.Name != ":authority" {
		t.Errorf("denials %+v", d)
	}
	if m.EarlyMutations[1].Remove != "forwarded" || m.EarlyMutations[2].Add.Append != AddIfAbsent {
		t.Errorf("early mutations %+v", m.EarlyMutations)
	}
	rc, err := DecodeRouteConfiguration("http", resourceOf(t, RouteType, routesJSON))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(rc.VirtualHosts[0].Domains, rc.RequestHeadersToRemove); got != "[a.test *.b.test *] [x-envoy-foo]" {
		t.Errorf("domains and headers %s", got)
	}
	first, last := rc.VirtualHosts[0].Routes[0], rc.VirtualHosts[0].Routes[3]
	if f := first.Action.(*Forward); f.Retries != 1 || !slices.Equal(f.Clusters, []WeightedCluster{{Name: "c", Weight: 1, HostRewrite: "h"}}) || first.Filters.Scripts.Prefix != "/k8s" || *first.Filters.Scripts.Base != (Base{"/a&amp;b", true}) || first.Match.Headers[0].Name != ":method" {
		t.Errorf("route %+v", first)
	}
	if f := last.Action.(*Forward); f.RegexRewrite.ReplaceAllString("/rx/y", f.Substitution) != `/x$\/y` {
		t.Errorf("substitution %q", f.Substitution)
	}
	if f := rc.VirtualHosts[0].Routes[4].Action.(*Forward); !slices.Equal(f.Clusters, []WeightedCluster{{Name: "w1", Weight: 3, HostRewrite: "h1"}, {Name: "w2", Weight: 1}}) {
		t.Errorf("weighted clusters %+v", f.Clusters)
	}
	c, err := DecodeCluster("ns/svc/80/https", resourceOf(t, ClusterType, clusterJSON))
	if err != nil || c.ServiceName != "ns/svc/80" || c.TLS.SNI != "svc" || c.TLS.Names[0] != "svc" || c.TLS.Trust != "trust/upstream" ||
		c.TLS.Client != "client/ns/gw" || c.TLS.MinVersion != tls.VersionTLS13 {
		t.Errorf("cluster %+v, %v", c, err)
	}
	e, err := DecodeEndpoints("ns/svc/80", resourceOf(t, EndpointType, endpointsJSON))
	if got := fmt.Sprint(e); err != nil || got != "[10.0.0.2:80 [::1]:81]" {
		t.Errorf("endpoints %s, %v", got, err)
	}
}

const (
	hcm             = `listener "x": filter_chains[0].filters[0].typed_config.HttpConnectionManager.`
	downstream      = `listener "x": filter_chains[0].transport_socket.typed_config.DownstreamTlsContext.`
	route           = `route configuration "x": virtual_hosts[0].routes[0].`
	upstream        = `cluster "x": transport_socket.typed_config.UpstreamTlsContext.common_tls_context.`
	unsupportedText = ": not supported by the Go data plane"
)

// spoiled resources differ from the good ones in one thing; the error must name it.
var spoiled = []struct{ typeURL, resource, old, new, want string }{
	{ListenerType, listenerJSON, `"stat_prefix"`, `"via": "v", "stat_prefix"`, hcm + "via" + unsupportedText},
	{ListenerType, listenerJSON, `"codec_type": "AUTO"`, `"codec_type": "HTTP2"`, hcm + "codec_type: only AUTO"},
	{ListenerType, listenerJSON, `"merge_slashes": true,`, ``, hcm + "merge_slashes: only true"},
	{ListenerType, listenerJSON, `"normalize_path": true,`, ``, hcm + "normalize_path: only true"},
	{ListenerType, listenerJSON, `UNESCAPE_AND_REDIRECT`, `IMPLEMENTATION_SPECIFIC_DEFAULT`, hcm + "path_with_escaped_slashes_action: only one of Envoy's actions"},
	{ClusterType, clusterJSON, `"http_protocol_options": {}`, `"http2_protocol_options": {"max_concurrent_streams": 5}`, `cluster "x": typed_extension_protocol_options[envoy.extensions.upstreams.http.v3.HttpProtocolOptions].http2_protocol_options.max_concurrent_streams: only the endpoint's own limit`},
	{ClusterType, clusterJSON, `"explicit_http_config"`, `"common_http_protocol_options": {"max_headers_count": 5}, "explicit_http_config"`, `cluster "x": typed_extension_protocol_options[envoy.extensions.upstreams.http.v3.HttpProtocolOptions].common_http_protocol_options: only idle_timeout alone`},
	{ClusterType, clusterJSON, `"explicit_http_config"`, `"common_http_protocol_options": {"max_connection_duration": "5s"}, "explicit_http_config"`, `cluster "x": typed_extension_protocol_options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"].HttpProtocolOptions.common_http_protocol_options.max_connection_duration` + unsupportedText},
	{ListenerType, listenerJSON, `"DENY"`, `"ALLOW"`, hcm + "http_filters[0].typed_config.RBAC.rules.action: only DENY"},
	{ListenerType, listenerJSON, `"any": true`, `"any": false`, hcm + `http_filters[0].typed_config.RBAC.rules.policies["even"].principals: only any`},
	{ListenerType, listenerJSON, `"any": true`, `"source_ip": {}`, hcm + `http_filters[0].typed_config.RBAC.rules.policies["even"].principals[0].source_ip` + unsupportedText},
	{ListenerType, listenerJSON, `"header": {"name": "X-Even", "present_match": true}`, `"any": false`, hcm + `http_filters[0].typed_config.RBAC.rules.policies["even"].permissions[0].any: only true`},
	{ListenerType, listenerJSON, `"header": {"name": "X-Even", "present_match": true}`, `"destination_port": 80`, hcm + `http_filters[0].typed_config.RBAC.rules.policies["even"].permissions[0].destination_port` + unsupportedText},
	{ListenerType, listenerJSON, `"header": {"name": "X-Even", "present_match": true}`, ``, hcm + `http_filters[0].typed_config.RBAC.rules.policies["even"].permissions[0].rule: only any, header, url_path, and_rules, or_rules and not_rule`},
	{ListenerType, listenerJSON, `response.code_details ==`, `response.code ==`, hcm + "local_reply_config.mappers[0].filter.extension_filter.typed_config.ExpressionFilter.expression: only a test"},
	{ListenerType, listenerJSON, `matched_policy[odd]`, `matched_policy[none]`, hcm + "local_reply_config.mappers[0].status_code: only 200 to 599, for a policy that there is"},
	{ListenerType, listenerJSON, `"envoy.filters.http.rbac",`, `"envoy.filters.http.rbac", "disabled": true,`, hcm + "http_filters[0].disabled: only false"},
	{ListenerType, listenerJSON, `"skip_xff_append": true,`, ``, hcm + "skip_xff_append: only true"},
	{ListenerType, listenerJSON, `"PASS_THROUGH"`, `"OVERWRITE"`, hcm + "server_header_transformation: only PASS_THROUGH"},
	{ListenerType, listenerJSON, `"REJECT_REQUEST"`, `"DROP_HEADER"`, hcm + "common_http_protocol_options.headers_with_underscores_action: only REJECT_REQUEST"},
	{ListenerType, listenerJSON, `"idle_timeout": "60s"`, `"max_connection_duration": "60s"`, hcm + "common_http_protocol_options.max_connection_duration" + unsupportedText},
	{ListenerType, listenerJSON, `"upgrade_type": "websocket"`, `"upgrade_type": "CONNECT"`, hcm + "upgrade_configs[0].upgrade_type: only websocket"},
	{ListenerType, listenerJSON, `%RESPONSE_CODE%\n`, `%LOCAL_REPLY_BODY%`, hcm + "local_reply_config.body_format.text_format_source: operator %LOCAL_REPLY_BODY% is not supported"},
	{ListenerType, listenerJSON, `"remove": "Forwarded"`, `"remove": "Host"`, `mutations[1].remove: "Host" is not a header that may be changed`},
	{ListenerType, listenerJSON, `"remove": "Forwarded"`, `"remove_on_match": {"key_matcher": {"custom": {}}}`, `mutations[1].remove_on_match.key_matcher.custom` + unsupportedText},
	{ListenerType, listenerJSON, `"key": "x-real-ip"`, `"key": "x real"`, `append.header.key: "x real" is not a header`},
	{ListenerType, listenerJSON, `%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%`, `%ENVIRONMENT(HOME)%`, `append.header.value: operator %ENVIRONMENT(HOME)% is not supported`},
	{ListenerType, listenerJSON, `"append_action": "ADD_IF_ABSENT"`, `"keep_empty_value": true`, `append.keep_empty_value` + unsupportedText},
	{ListenerType, listenerJSON, `envoy.extensions.filters.http.router.v3.Router", "suppress_envoy_headers": true`, `envoy.extensions.filters.http.cors.v3.Cors"`, hcm + "http_filters[3].typed_config: envoy.extensions.filters.http.cors.v3.Cors is not supported"},
	{ListenerType, listenerJSON, `, "suppress_envoy_headers": true`, ``, hcm + "http_filters[3].typed_config.Router.suppress_envoy_headers: only true"},
	{ListenerType, listenerJSON, `"prefix-v2"`, `"prefix-v3"`, hcm + `http_filters[1].typed_config.Lua.source_codes: script "prefix-v3" of SHA-256 ` + scriptSHA256[PrefixScript] + " is not known"},
	{ListenerType, listenerJSON, `PREFIX_SCRIPT`, `"x = 1"`, `script "prefix-v2" of SHA-256 `},
	{ListenerType, listenerJSON, `"source_codes"`, `"inline_code": "x", "source_codes"`, hcm + "http_filters[1].typed_config.Lua.inline_code" + unsupportedText},
	{ListenerType, listenerJSON, `"prefix_len": 8`, `"prefix_len": 99`, `range_matchers[0].ranges[0]: "10.0.0.0"/99 is not a range`},
	{ListenerType, listenerJSON, `"address": "127.0.0.1"`, `"address": "localhost"`, `address.socket_address.address: "localhost" is not an IP address`},
	{ListenerType, listenerJSON, `"port_value": 8443`, `"named_port": "x"`, `address.socket_address.named_port` + unsupportedText},
	{ListenerType, listenerJSON, `"filter_chains": [{`, `"filter_chains": [{"filter_chain_match": {"server_names": ["a"]}, `, `filter_chains[0].filter_chain_match` + unsupportedText},
	{ListenerType, listenerJSON, `listener.tls_inspector.v3.TlsInspector"}`, `listener.tls_inspector.v3.TlsInspector", "enable_ja3_fingerprinting": true}`, `listener_filters[0].typed_config.TlsInspector.enable_ja3_fingerprinting` + unsupportedText},
	{ListenerType, listenerJSON, `"regex": "[a-z.]+"`, `"regex": "["`, `is not a regex`},
	{ListenerType, listenerJSON, `"disable_stateless_session_resumption": true, `, ``, downstream + "disable_stateless_session_resumption: only true"},
	{ListenerType, listenerJSON, `"h2", "http/1.1"`, `"h3"`, downstream + "common_tls_context.alpn_protocols: only h2 and http/1.1"},
	{ListenerType, listenerJSON, `"TLSv1_2"`, `"TLSv1_0"`, downstream + "common_tls_context.tls_params.tls_minimum_protocol_version: only TLSv1_2 and TLSv1_3"},
	{ListenerType, listenerJSON, `"default_value": "default"`, `"default_value": ""`, "certificate_mapper.typed_config.SNI.default_value: only a name"},
	{ListenerType, listenerJSON, `"disable_stateful_session_resumption": true`, `"disable_stateful_session_resumption": true, "require_client_certificate": true`, downstream + "require_client_certificate: only true beside"},
	{ListenerType, listenerJSON, `"tls_params"`, clientCAJSON + `, "tls_params"`, downstream + "require_client_certificate: only true beside"},
	{ListenerType, guardedJSON, `{"name": "client-ca/shop/ca", `, `{`, downstream + "common_tls_context.validation_context_sds_secret_config.name: only a named secret"},
	{ListenerType, guardedJSON, `"sds_config": {"ads": {}`, `"sds_config": {"path": "x"`, downstream + "common_tls_context.validation_context_sds_secret_config.sds_config.path" + unsupportedText},
	{ListenerType, guardedJSON, `"a.test": ` + toRest, `"a.test": {"action": {}}`, `matcher_tree.exact_match_map.map["a.test"].action: missing`},
	{ListenerType, guardedJSON, `"name": "second"`, `"name": "untrusted"`, `filter_chains[1].name: only a name that no other chain has`},
	{ListenerType, guardedJSON, `"idle_timeout": "60s"`, `"idle_timeout": "61s"`, `filter_chains[1].filters[0].typed_config.HttpConnectionManager.common_http_protocol_options.idle_timeout: only one value`},
	{ListenerType, guardedJSON, `"request_headers_timeout": "10s"`, `"request_headers_timeout": "9s"`, `HttpConnectionManager.request_headers_timeout: only one value`},
	{ListenerType, guardedJSON, `"max_request_headers_kb": 30`, `"max_request_headers_kb": 31`, `HttpConnectionManager.max_request_headers_kb: only one value`},
	{ListenerType, guardedJSON, `"max_concurrent_streams": 100`, `"max_concurrent_streams": 99`, `HttpConnectionManager.http2_protocol_options.max_concurrent_streams: only one value`},
	{RouteType, routesJSON, `"prefix_rewrite": "/",`, `"append_x_forwarded_host": true,`, route + "route.append_x_forwarded_host" + unsupportedText},
	{RouteType, routesJSON, `"timeout": "0s"`, `"timeout": "15s"`, route + "route.timeout: only 0s"},
	{RouteType, routesJSON, `connect-failure,`, `5xx,`, route + "route.retry_policy.retry_on: only connect-failure,refused-stream,reset-before-request"},
	{RouteType, routesJSON, `"num_retries": 1`, `"num_retries": 11`, route + "route.retry_policy.num_retries: only up to 10"},
	{RouteType, routesJSON, `"regex": "GET|HEAD"`, `"regex": "GET|(HEAD"`, route + "match.headers[0].string_match.safe_regex.regex: error parsing regexp"},
	{RouteType, routesJSON, `"regex": "GET|HEAD"`, `"regex": "a)(b"`, route + "match.headers[0].string_match.safe_regex.regex: error parsing regexp"},
	{RouteType, routesJSON, `"/s"`, `"/s/"`, "routes[2].match.path_separated_prefix: only"},
	{RouteType, routesJSON, `"*.b.test"`, `"a.TEST"`, `virtual_hosts[0].domains[1]: "a.TEST" belongs to virtual host "a"`},
	{RouteType, routesJSON, `"*.b.test"`, `"b.*"`, "virtual_hosts[0].domains: only"},
	{RouteType, routesJSON, `100%%`, `100%`, route + "request_headers_to_add[0].header.value: a % that opens no operator"},
	{RouteType, routesJSON, `"name": "prefix-v2"`, `"disabled": true`, "LuaPerRoute.disabled" + unsupportedText},
	{RouteType, routesJSON, `{"prefix": "/k8s"}`, `{"prefix": "/k8s", "more": 1}`, "LuaPerRoute.filter_context: only"},
	{RouteType, routesJSON, `"insert": true`, `"insert": false`, "LuaPerRoute.filter_context: only"},
	{RouteType, routesJSON, `/a&amp;b`, `/a'b`, "LuaPerRoute.filter_context: only"},
	{RouteType, routesJSON, `"name": "base-v2"`, `"name": "prefix-v2"`, "LuaPerRoute.name: only base-v2"},
	{RouteType, routesJSON, `"envoy.filters.http.lua"`, `"envoy.filters.http.other"`, `typed_per_filter_config["envoy.filters.http.other"]` + unsupportedText},
	{RouteType, routesJSON, `"substitution": "/\\1$\\\\"`, `"substitution": "\\2"`, "regex_rewrite.substitution: a backslash at byte 0"},
	{RouteType, routesJSON, `"status": 503`, `"status": 700`, "direct_response.status: only"},
	{RouteType, routesJSON, `"status": 503`, `"status": 503, "body": {"inline_string": "x"}`, "direct_response.body" + unsupportedText},
	{RouteType, routesJSON, `, "direct_response": {"status": 503}`, ``, "routes[2]: no action"},
	{RouteType, routesJSON, `"name": "w2"`, `"name": ""`, "routes[4].route.weighted_clusters.clusters[1].name: only a name"},
	{RouteType, routesJSON, `"weight": 3`, `"weight": 4294967295`, "routes[4].route.weighted_clusters.clusters: only a sum"},
	{RouteType, routesJSON, `"weight": 3, "host_rewrite_literal": "h1"}, {"name": "w2", "weight": 1}`, `"weight": 0}`, "routes[4].route.weighted_clusters.clusters: only a sum"},
	{RouteType, routesJSON, `"weighted_clusters"`, `"host_rewrite_literal": "h", "weighted_clusters"`, "routes[4].route.host_rewrite_literal: only that of each"},
	{RouteType, routesJSON, `"weight": 1}`, `"cluster_header": "x"}`, "routes[4].route.weighted_clusters.clusters[1].cluster_header" + unsupportedText},
	{ClusterType, clusterJSON, `"EDS"`, `"STRICT_DNS"`, `cluster "x": type: only EDS`},
	{ClusterType, clusterJSON, `"ROUND_ROBIN"`, `"RANDOM"`, `cluster "x": lb_policy: only ROUND_ROBIN`},
	{ClusterType, clusterJSON, `"lb_policy"`, `"circuit_breakers": {}, "lb_policy"`, `cluster "x": circuit_breakers` + unsupportedText},
	{ClusterType, clusterJSON, `"http_protocol_options": {}`, `"http2_protocol_options": {}`, `typed_extension_protocol_options: only HTTP/1.1 over TLS`},
	{ClusterType, clusterJSON, `{"exact": "svc"}`, `{"suffix": "svc"}`, upstream + "combined_validation_context.default_validation_context.match_typed_subject_alt_names[0].matcher: only an exact DNS name"},
	{ClusterType, clusterJSON, `"default_validation_context": {`, `"default_validation_context": {"crl": {}, `, upstream + "combined_validation_context.default_validation_context.crl" + unsupportedText},
	{ClusterType, clusterJSON, clusterJSON[strings.Index(clusterJSON, `"combined_validation_context"`):], clientCAJSON + `}}}}`, upstream + "validation_context_sds_secret_config" + unsupportedText},
	{ClusterType, clusterJSON, `"sds_config": {"ads": {}`, `"sds_config": {"path": "x"`, "sds_config.path" + unsupportedText},
	{ClusterType, clusterJSON, `"name": "trust/upstream"`, `"name": ""`, upstream + "combined_validation_context.validation_context_sds_secret_config.name: only a named secret"},
	{ClusterType, clusterJSON, `"name": "client/ns/gw"`, `"name": ""`, upstream + "tls_certificate_sds_secret_configs[0].name: only a named secret"},
	{ClusterType, clusterJSON, `{"name": "client/ns/gw"`, `{"name": "client/ns/other", "sds_config": {"ads": {}}}, {"name": "client/ns/gw"`, upstream + "tls_certificate_sds_secret_configs: only one certificate"},
	{ClusterType, clusterJSON, `"TLSv1_3"`, `"TLSv1_1"`, upstream + "tls_params.tls_minimum_protocol_version: only TLSv1_2 and TLSv1_3"},
	{ListenerType, listenerJSON, `"alpn_protocols"`, `"tls_certificate_sds_secret_configs": [{"name": "x", "sds_config": {"ads": {}}}], "alpn_protocols"`, downstream + "common_tls_context.tls_certificate_sds_secret_configs" + unsupportedText},
	{EndpointType, endpointsJSON, `"10.0.0.2"`, `"svc"`, `endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: "svc" is not an IP address`},
	{EndpointType, endpointsJSON, `"health_status": "HEALTHY"`, `"load_balancing_weight": 2`, `endpoints[0].lb_endpoints[2].load_balancing_weight` + unsupportedText},
}

func TestRefused(t *testing.T) {
	for _, row := range spoiled {
		if !strings.Contains(row.resource, row.old) {
			t.Fatalf("no %q to spoil", row.old)
		}
		_, err := decode(row.typeURL, "x", resourceOf(t, row.typeURL, strings.Replace(row.resource, row.old, row.new, 1)))
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s → %s: %v, want %s", row.old, row.new, err, row.want)
		}
	}
}

// A field that the protos of this program do not know is no reason to guess.
func TestUnknownField(t *testing.T) {
	body := resourceOf(t, EndpointType, endpointsJSON)
	body.Value = append(body.Value, 0xfa, 0x3f, 1, 'x') // field 1023
	if _, err := DecodeEndpoints("x", body); err == nil || !strings.Contains(err.Error(), "does not know") {
		t.Errorf("an unknown field: %v", err)
	}
}

// Every entry of the table is a message and a field that there are: a misspelt one would refuse for ever.
func TestTableNamesExist(t *testing.T) {
	seen := 0
	for name, table := range supported {
		m, err := anypb.UnmarshalNew(&anypb.Any{TypeUrl: "type.googleapis.com/" + string(name)}, proto.UnmarshalOptions{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for field := range table {
			seen++
			if m.ProtoReflect().Descriptor().Fields().ByName(field) == nil {
				t.Errorf("%s has no field %s", name, field)
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d fields seen", seen)
	}
}

func TestFormat(t *testing.T) {
	v := Values{Authority: "H.test:80", Path: "/a?b", DirectPeer: "::1", Status: 404}
	for text, want := range map[string]string{
		"": "", "x": "x", "100%%": "100%", "%%REQ(:PATH)%%": "%REQ(:PATH)%", "%REQ(:AUTHORITY)%%REQ(:PATH)%": "H.test:80/a?b",
		"<%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%>": "<::1>", "%RESPONSE_CODE%\n": "404\n",
		`https://%CEL(re.extract(request.host, '^(.*?)(:[0-9]+)?$', '\\1'))%%REQ(:PATH)%`: "https://H.test/a?b",
	} {
		f, err := parseFormat(text, "x")
		if got := f.Render(v); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"%", "100%", "%REQ(:path)%", "%REQ(X-A)%", "%CEL(request.host)%", "%RESPONSE_CODE", "%REQ(%", "%response_code%"} {
		if _, err := parseFormat(text, "x"); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func TestSecret(t *testing.T) {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, _ := x509.MarshalPKCS8PrivateKey(key)
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
	secret := func(chain, key []byte) *anypb.Any {
		b64 := base64.StdEncoding.EncodeToString
		return resourceOf(t, SecretType, `{"name": "s", "tls_certificate": {"certificate_chain": {"inline_bytes": "`+b64(chain)+`"}, "private_key": {"inline_bytes": "`+b64(key)+`"}}}`)
	}
	s, err := DecodeSecret("s", secret(chain, private))
	if err != nil || s.Certificate == nil {
		t.Fatalf("%v, %v", s, err)
	}
	if text := fmt.Sprintf("%v %+v %#v", s, s, s); text != "s [redacted] s [redacted] s [redacted]" {
		t.Errorf("printed as %s", text)
	}
	for _, bad := range []*anypb.Any{secret(chain, chain), secret(chain, []byte("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----")), secret(nil, private)} {
		if _, err := DecodeSecret("s", bad); err == nil || strings.Contains(err.Error(), "c2VjcmV0") || !strings.HasPrefix(err.Error(), `secret "s": tls_certificate: `) {
			t.Errorf("a broken pair: %v", err)
		}
	}
	bundle := resourceOf(t, SecretType, `{"name": "t", "validation_context": {"trusted_ca": {"inline_string": `+fmt.Sprintf("%q", string(chain))+`}}}`)
	if s, err := DecodeSecret("t", bundle); err != nil || s.Trusted == nil {
		t.Errorf("a bundle: %v", err)
	}
	if _, err := DecodeSecret("t", resourceOf(t, SecretType, `{"name": "t", "generic_secret": {"secret": {"inline_string": "x"}}}`)); err == nil {
		t.Error("a generic secret was read")
	}
}

func TestChainMatcher(t *testing.T) {
	guarded, err := DecodeListener("https", resourceOf(t, ListenerType, guardedJSON))
	if err != nil {
		t.Fatal(err)
	}
	if first, second := guarded.Chains[0].TLS, guarded.Chains[1].TLS; first.ClientCA != "client-ca/shop/ca" || second.ClientCA != "" {
		t.Errorf("client CAs %q and %q", first.ClientCA, second.ClientCA)
	}
	for sni, want := range map[string]string{"a.test": "rest", "A.Test": "rest", "": "wide", "b.test": "wide", "a.test.b": "wide", "a/b": "none"} {
		if got, ok := guarded.Matcher.Choose(sni, netip.MustParseAddr("10.2.0.1")); !ok || got != want {
			t.Errorf("with an exact map, SNI %q: chain %q, want %q", sni, got, want)
		}
	}
	l, err := DecodeListener("https", resourceOf(t, ListenerType, listenerJSON))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ sni, peer, want string }{
		{"a.test", "10.2.0.1", "wide"}, {"", "10.2.0.1", "wide"}, {"a.test", "10.1.2.3", "narrow"}, {"a.test", "fd00::1", "wide"},
		{"a.test", "2001:db8::1", "rest"}, {"", "192.0.2.1", "rest"},
		{"trust/upstream", "10.1.2.3", "none"}, {"\xff.test", "10.1.2.3", "none"}, {"a.test\n", "10.1.2.3", "none"},
	} {
		if got, ok := l.Matcher.Choose(c.sni, netip.MustParseAddr(c.peer)); !ok || got != c.want {
			t.Errorf("SNI %q from %s: chain %q, want %q", c.sni, c.peer, got, c.want)
		}
	}
}
