package config

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// why the fields that are accepted without effect may be left out.
const (
	whyBuffers    = "net/http and the kernel size their own buffers"
	whyStats      = "the Go data plane publishes no statistics"
	whyLog        = "upstream failures go to the program's own log"
	whyTimeout    = "net/http has no timeout of this meaning; idle_timeout and request_headers_timeout bound a connection"
	whyFetch      = "a missing resource never blocks the Go data plane for longer than its own bounds"
	whyMetadata   = "metadata carries origins for people, never behaviour"
	whyName       = "a name for people"
	whyAuthorizer = "the authorizer is asked in this process and bounds its own time"
	whyRE2        = "Go's regexp is RE2"
)

// fields builds one message's entry: the fields that are read, then pairs of a field that is accepted and the reason.
func fields(reads string, acceptedWhy ...string) map[protoreflect.Name]use {
	table := make(map[protoreflect.Name]use)
	for field := range strings.FieldsSeq(reads) {
		table[protoreflect.Name(field)] = read
	}
	for i := 0; i < len(acceptedWhy); i += 2 {
		table[protoreflect.Name(acceptedWhy[i])] = accepted
	}
	return table
}

// supported lists, for every message that may occur, the fields that may be set. A message or field that is not here
// is refused by name. Values that cannot be honoured are refused by the decoders.
var supported = map[protoreflect.FullName]map[protoreflect.Name]use{
	// Listeners.
	"envoy.config.listener.v3.Listener": fields("name address filter_chains filter_chain_matcher listener_filters",
		"per_connection_buffer_limit_bytes", whyBuffers, "metadata", whyMetadata, "stat_prefix", whyStats),
	"envoy.config.listener.v3.FilterChain": fields("name filters transport_socket",
		"metadata", whyMetadata, "transport_socket_connect_timeout", whyTimeout),
	"envoy.config.listener.v3.ListenerFilter":                                fields("name typed_config"),
	"envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector":        fields(""),
	"xds.type.matcher.v3.Matcher":                                            fields("matcher_list matcher_tree on_no_match"),
	"xds.type.matcher.v3.Matcher.OnMatch":                                    fields("matcher action"),
	"xds.type.matcher.v3.Matcher.MatcherList":                                fields("matchers"),
	"xds.type.matcher.v3.Matcher.MatcherList.FieldMatcher":                   fields("predicate on_match"),
	"xds.type.matcher.v3.Matcher.MatcherList.Predicate":                      fields("single_predicate"),
	"xds.type.matcher.v3.Matcher.MatcherList.Predicate.SinglePredicate":      fields("input value_match"),
	"xds.type.matcher.v3.Matcher.MatcherTree":                                fields("input custom_match exact_match_map"),
	"xds.type.matcher.v3.Matcher.MatcherTree.MatchMap":                       fields("map"),
	"xds.type.matcher.v3.StringMatcher":                                      fields("safe_regex"),
	"xds.type.matcher.v3.RegexMatcher":                                       fields("google_re2 regex"),
	"xds.type.matcher.v3.RegexMatcher.GoogleRE2":                             fields(""),
	"xds.type.matcher.v3.IPMatcher":                                          fields("range_matchers"),
	"xds.type.matcher.v3.IPMatcher.IPRangeMatcher":                           fields("ranges on_match"),
	"xds.core.v3.CidrRange":                                                  fields("address_prefix prefix_len"),
	"xds.core.v3.TypedExtensionConfig":                                       fields("name typed_config"),
	"google.protobuf.StringValue":                                            fields("value"),
	"envoy.extensions.matching.common_inputs.network.v3.ServerNameInput":     fields(""),
	"envoy.extensions.matching.common_inputs.network.v3.DirectSourceIPInput": fields(""),
	"envoy.config.listener.v3.Filter":                                        fields("name typed_config"),
	"envoy.config.core.v3.Address":                                           fields("socket_address"),
	"envoy.config.core.v3.SocketAddress":                                     fields("protocol address port_value ipv4_compat"),
	"envoy.config.core.v3.CidrRange":                                         fields("address_prefix prefix_len"),
	"envoy.config.core.v3.TransportSocket":                                   fields("name typed_config"),
	"envoy.config.core.v3.TypedExtensionConfig":                              fields("name typed_config"),
	"envoy.config.core.v3.ConfigSource":                                      fields("ads resource_api_version", "initial_fetch_timeout", whyFetch),
	"envoy.config.core.v3.AggregatedConfigSource":                            fields(""),
	"envoy.config.core.v3.DataSource":                                        fields("inline_bytes inline_string"),

	"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager": fields(
		"codec_type rds http_filters use_remote_address skip_xff_append normalize_path merge_slashes "+
			"path_with_escaped_slashes_action strip_trailing_host_dot server_header_transformation "+
			"common_http_protocol_options http2_protocol_options request_headers_timeout stream_idle_timeout max_request_headers_kb "+
			"upgrade_configs local_reply_config early_header_mutation_extensions original_ip_detection_extensions access_log",
		"stat_prefix", whyStats,
		"delayed_close_timeout", whyTimeout, "drain_timeout", whyTimeout),
	"envoy.extensions.filters.network.http_connection_manager.v3.Rds":                                 fields("config_source route_config_name"),
	"envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter":                          fields("name typed_config disabled"),
	"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.UpgradeConfig": fields("upgrade_type filters"),
	"envoy.extensions.filters.network.http_connection_manager.v3.LocalReplyConfig":                    fields("body_format mappers"),
	"envoy.extensions.filters.network.http_connection_manager.v3.ResponseMapper":                      fields("filter status_code body_format_override"),
	"envoy.config.accesslog.v3.AccessLogFilter":                                                       fields("extension_filter", "response_flag_filter", whyLog),
	"envoy.config.accesslog.v3.AccessLog":                                                             fields("name filter typed_config"),
	"envoy.extensions.access_loggers.stream.v3.StdoutAccessLog":                                       fields("log_format"),
	"envoy.extensions.filters.http.set_filter_state.v3.Config":                                        fields("on_request_headers"),
	"envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue":                            fields("object_key factory_key format_string"),
	"envoy.config.accesslog.v3.ExtensionFilter":                                                       fields("name typed_config"),
	"envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter":                                 fields("expression"),
	"envoy.extensions.filters.http.rbac.v3.RBAC":                                                      fields("rules"),
	"envoy.extensions.filters.http.rbac.v3.RBACPerRoute":                                              fields("rbac"),
	"envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit": fields("token_bucket filter_enabled filter_enforced descriptors rate_limits "+
		"always_consume_default_token_bucket max_dynamic_descriptors", "stat_prefix", whyStats),
	"envoy.extensions.common.ratelimit.v3.LocalRateLimitDescriptor":                   fields("entries token_bucket"),
	"envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.Entry":                  fields("key value"),
	"envoy.type.v3.TokenBucket":                                                       fields("max_tokens tokens_per_fill fill_interval"),
	"envoy.config.core.v3.RuntimeFractionalPercent":                                   fields("default_value"),
	"envoy.type.v3.FractionalPercent":                                                 fields("numerator denominator"),
	"envoy.config.route.v3.RateLimit":                                                 fields("actions"),
	"envoy.config.route.v3.RateLimit.Action":                                          fields("generic_key remote_address request_headers header_value_match"),
	"envoy.config.route.v3.RateLimit.Action.GenericKey":                               fields("descriptor_key descriptor_value"),
	"envoy.config.route.v3.RateLimit.Action.RemoteAddress":                            fields(""),
	"envoy.config.route.v3.RateLimit.Action.RequestHeaders":                           fields("header_name descriptor_key"),
	"envoy.config.route.v3.RateLimit.Action.HeaderValueMatch":                         fields("descriptor_key descriptor_value expect_match headers"),
	"envoy.config.rbac.v3.Permission.Set":                                             fields("rules"),
	"envoy.extensions.http.original_ip_detection.xff.v3.XffConfig":                    fields("xff_trusted_cidrs skip_xff_append"),
	"envoy.extensions.http.original_ip_detection.xff.v3.XffTrustedCidrs":              fields("cidrs"),
	"envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig": fields("header_name"),
	"envoy.config.rbac.v3.RBAC":                                                       fields("action policies"),
	"envoy.config.rbac.v3.Policy":                                                     fields("permissions principals"),
	"envoy.config.rbac.v3.Permission":                                                 fields("any header url_path and_rules or_rules not_rule"),
	"envoy.config.rbac.v3.Principal":                                                  fields("any direct_remote_ip remote_ip"),
	"envoy.type.matcher.v3.PathMatcher":                                               fields("path"),
	"envoy.config.core.v3.SubstitutionFormatString":                                   fields("text_format_source json_format"),
	"envoy.config.core.v3.HttpProtocolOptions": fields(
		"idle_timeout max_headers_count headers_with_underscores_action"),
	"envoy.config.core.v3.Http2ProtocolOptions": fields(
		"max_concurrent_streams initial_stream_window_size initial_connection_window_size"),
	"envoy.config.core.v3.Http1ProtocolOptions":                                     fields(""),
	"envoy.extensions.filters.http.router.v3.Router":                                fields("suppress_envoy_headers"),
	"envoy.extensions.filters.http.header_mutation.v3.HeaderMutation":               fields("mutations"),
	"envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute":       fields("mutations"),
	"envoy.extensions.filters.http.header_mutation.v3.Mutations":                    fields("request_mutations"),
	"envoy.extensions.filters.http.header_to_metadata.v3.Config":                    fields("request_rules"),
	"envoy.extensions.filters.http.header_to_metadata.v3.Config.Rule":               fields("header on_header_present"),
	"envoy.extensions.filters.http.header_to_metadata.v3.Config.KeyValuePair":       fields("metadata_namespace key regex_value_rewrite"),
	"envoy.extensions.filters.http.buffer.v3.Buffer":                                fields("max_request_bytes"),
	"envoy.extensions.filters.http.buffer.v3.BufferPerRoute":                        fields("buffer"),
	"envoy.extensions.filters.http.stateful_session.v3.StatefulSession":             fields("session_state"),
	"envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute":     fields("stateful_session"),
	"envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState":      fields("cookie"),
	"envoy.type.http.v3.Cookie":                                                     fields("name path attributes"),
	"envoy.type.http.v3.CookieAttribute":                                            fields("name value"),
	"envoy.extensions.filters.http.ext_authz.v3.ExtAuthz":                           fields("grpc_service transport_api_version status_on_error encode_raw_headers"),
	"envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor":                   fields("grpc_service processing_mode status_on_error", "message_timeout", whyAuthorizer),
	"envoy.extensions.filters.http.ext_proc.v3.ProcessingMode":                      fields("request_header_mode response_header_mode request_trailer_mode response_trailer_mode"),
	"envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute":                     fields("overrides"),
	"envoy.extensions.filters.http.ext_proc.v3.ExtProcOverrides":                    fields("grpc_initial_metadata"),
	"envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute":                   fields("check_settings"),
	"envoy.extensions.filters.http.ext_authz.v3.CheckSettings":                      fields("context_extensions"),
	"envoy.config.core.v3.GrpcService":                                              fields("envoy_grpc", "timeout", whyAuthorizer),
	"envoy.config.core.v3.GrpcService.EnvoyGrpc":                                    fields("cluster_name"),
	"envoy.type.v3.HttpStatus":                                                      fields("code"),
	"envoy.extensions.filters.http.lua.v3.Lua":                                      fields("source_codes", "stat_prefix", whyStats),
	"envoy.extensions.filters.http.lua.v3.LuaPerRoute":                              fields("name filter_context"),
	"envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation": fields("mutations"),
	"envoy.config.common.mutation_rules.v3.HeaderMutation":                          fields("remove append remove_on_match"),
	"envoy.config.common.mutation_rules.v3.HeaderMutation.RemoveOnMatch":            fields("key_matcher"),
	"envoy.config.core.v3.HeaderValueOption":                                        fields("header append_action"),
	"envoy.config.core.v3.HeaderValue":                                              fields("key value"),

	// TLS.
	"envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext": fields("common_tls_context " +
		"disable_stateless_session_resumption disable_stateful_session_resumption require_client_certificate"),
	"envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext": fields("common_tls_context sni"),
	"envoy.extensions.transport_sockets.tls.v3.CommonTlsContext": fields(
		"tls_params alpn_protocols custom_tls_certificate_selector combined_validation_context " +
			"validation_context_sds_secret_config tls_certificate_sds_secret_configs"),
	"envoy.extensions.transport_sockets.tls.v3.TlsParameters": fields("tls_minimum_protocol_version tls_maximum_protocol_version"),
	"envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext": fields(
		"default_validation_context validation_context_sds_secret_config"),
	"envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext": fields(
		"trusted_ca match_typed_subject_alt_names"),
	"envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher": fields("san_type matcher"),
	"envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig":       fields("name sds_config"),
	"envoy.extensions.transport_sockets.tls.v3.Secret":                fields("name tls_certificate validation_context generic_secret"),
	"envoy.extensions.transport_sockets.tls.v3.GenericSecret":         fields("secret"),
	"envoy.extensions.transport_sockets.tls.v3.TlsCertificate":        fields("certificate_chain private_key"),
	"envoy.extensions.transport_sockets.tls.cert_selectors.on_demand_secret.v3.Config": fields(
		"config_source certificate_mapper"),
	"envoy.extensions.transport_sockets.tls.cert_mappers.sni.v3.SNI": fields("default_value"),

	// Routes.
	"envoy.config.route.v3.RouteConfiguration": fields(
		"name virtual_hosts ignore_port_in_host_matching request_headers_to_remove", "metadata", whyMetadata),
	"envoy.config.route.v3.VirtualHost": fields("name domains routes", "metadata", whyMetadata),
	"envoy.config.route.v3.Route": fields("match route redirect direct_response request_headers_to_add "+
		"request_headers_to_remove response_headers_to_add response_headers_to_remove typed_per_filter_config",
		"metadata", whyMetadata, "name", whyName),
	"envoy.config.route.v3.RouteMatch":              fields("path prefix path_separated_prefix safe_regex headers"),
	"envoy.config.route.v3.HeaderMatcher":           fields("name string_match present_match invert_match range_match treat_missing_header_as_empty"),
	"envoy.type.matcher.v3.StringMatcher":           fields("exact prefix suffix contains safe_regex ignore_case"),
	"envoy.type.matcher.v3.RegexMatchAndSubstitute": fields("pattern substitution"),
	"envoy.type.matcher.v3.RegexMatcher":            fields("regex", "google_re2", whyRE2),
	"envoy.config.route.v3.RouteAction": fields(
		"cluster weighted_clusters timeout prefix_rewrite regex_rewrite host_rewrite_literal retry_policy"),
	"envoy.config.route.v3.WeightedCluster":               fields("clusters"),
	"envoy.config.route.v3.WeightedCluster.ClusterWeight": fields("name weight host_rewrite_literal typed_per_filter_config"),
	"envoy.config.route.v3.RetryPolicy":                   fields("retry_on num_retries"),
	"envoy.config.route.v3.RedirectAction": fields(
		"https_redirect scheme_redirect port_redirect host_redirect path_redirect response_code"),
	"envoy.config.route.v3.DirectResponseAction": fields("status"),

	// Clusters and endpoints.
	"envoy.config.cluster.v3.Cluster": fields("name type eds_cluster_config connect_timeout lb_policy "+
		"typed_extension_protocol_options transport_socket outlier_detection common_lb_config",
		"per_connection_buffer_limit_bytes", whyBuffers, "metadata", whyMetadata, "alt_stat_name", whyStats),
	"envoy.config.cluster.v3.Cluster.EdsClusterConfig": fields("eds_config service_name"),
	"envoy.config.cluster.v3.Cluster.CommonLbConfig":   fields("healthy_panic_threshold"),
	"envoy.type.v3.Percent":                            fields("value"),
	"envoy.config.cluster.v3.OutlierDetection": fields("interval base_ejection_time max_ejection_time max_ejection_percent " +
		"enforcing_consecutive_5xx enforcing_success_rate enforcing_consecutive_gateway_failure enforcing_failure_percentage " +
		"failure_percentage_threshold failure_percentage_minimum_hosts failure_percentage_request_volume " +
		"split_external_local_origin_errors enforcing_consecutive_local_origin_failure enforcing_local_origin_success_rate"),
	"envoy.extensions.upstreams.http.v3.HttpProtocolOptions":                  fields("common_http_protocol_options explicit_http_config outlier_detection"),
	"envoy.extensions.upstreams.http.v3.HttpProtocolOptions.OutlierDetection": fields("error_matcher"),
	"envoy.config.common.matcher.v3.MatchPredicate":                           fields("or_match http_response_headers_match"),
	"envoy.config.common.matcher.v3.MatchPredicate.MatchSet":                  fields("rules"),
	"envoy.config.common.matcher.v3.HttpHeadersMatch":                         fields("headers"),
	"envoy.type.v3.Int64Range":                                                fields("start end"),
	"envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig": fields(
		"http_protocol_options http2_protocol_options"),
	"envoy.config.endpoint.v3.ClusterLoadAssignment": fields("cluster_name endpoints"),
	"envoy.config.endpoint.v3.LocalityLbEndpoints":   fields("lb_endpoints", "locality", whyName, "metadata", whyMetadata),
	"envoy.config.endpoint.v3.LbEndpoint":            fields("endpoint health_status", "metadata", whyMetadata),
	"envoy.config.endpoint.v3.Endpoint":              fields("address"),
}
