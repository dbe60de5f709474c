package envoyproc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	luav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	sniv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/cert_mappers/sni/v3"
	selectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/cert_selectors/on_demand_secret/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator/diag"
)

// The resources here are made by hand, in the shape of docs/design/xds.md, so that what Envoy does with that shape is
// tested without the translator.

const (
	luaFilter = "envoy.filters.http.lua"
	trustName = "trust/upstream"
	script    = `function envoy_on_response(h) h:headers():add("x-script", tostring(h:filterContext():get("prefix"))) end`
)

func packed(t testing.TB, m proto.Message) *anypb.Any {
	t.Helper()
	a := &anypb.Any{}
	if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		t.Fatal(err)
	}
	return a
}

func ads() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3,
	}
}

func socketAddress(addr *net.TCPAddr) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: addr.IP.String(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(addr.Port)},
	}}}
}

// listener makes the http or https listener; luaDisabled puts the script's filter into the chain switched off.
func listener(t testing.TB, name string, addr *net.TCPAddr, luaDisabled bool) xds.Resource {
	fields := map[string]*structpb.Value{}
	for key, operator := range map[string]string{
		"upstream_cluster": "%UPSTREAM_CLUSTER_RAW%", "response_flags": "%RESPONSE_FLAGS%",
		"transport_failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
	} {
		fields[key] = structpb.NewStringValue(operator)
	}
	manager := &hcmv3.HttpConnectionManager{
		StatPrefix:       name,
		RouteSpecifier:   &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{ConfigSource: ads(), RouteConfigName: name}},
		UseRemoteAddress: wrapperspb.Bool(true), SkipXffAppend: true, NormalizePath: wrapperspb.Bool(true), MergeSlashes: true,
		AccessLog: []*accesslogv3.AccessLog{{
			Name: "envoy.access_loggers.stdout",
			Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
				ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{Flags: []string{"UF"}},
			}},
			ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: packed(t, &streamv3.StdoutAccessLog{
				AccessLogFormat: &streamv3.StdoutAccessLog_LogFormat{LogFormat: &corev3.SubstitutionFormatString{
					Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: &structpb.Struct{Fields: fields}},
				}},
			})},
		}},
		HttpFilters: []*hcmv3.HttpFilter{
			{Name: luaFilter, Disabled: luaDisabled, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(t, &luav3.Lua{
				SourceCodes: map[string]*corev3.DataSource{
					"mark-v1": {Specifier: &corev3.DataSource_InlineString{InlineString: script}},
				},
			})}},
			{Name: "envoy.filters.http.router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(t, &routerv3.Router{})}},
		},
	}
	chain := &listenerv3.FilterChain{Name: "untrusted", Filters: []*listenerv3.Filter{{
		Name:       "envoy.filters.network.http_connection_manager",
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(t, manager)},
	}}}
	if name == "https" {
		chain.TransportSocketConnectTimeout = durationpb.New(time.Second)
		chain.TransportSocket = &corev3.TransportSocket{
			Name:       "envoy.transport_sockets.tls",
			ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed(t, downstreamTLS(t))},
		}
	}
	return xds.Resource{TypeURL: resource.ListenerType, Name: name, Message: &listenerv3.Listener{
		Name: name, Address: socketAddress(addr), FilterChains: []*listenerv3.FilterChain{chain},
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(32 << 10),
	}}
}

func downstreamTLS(t testing.TB) *tlsv3.DownstreamTlsContext {
	return &tlsv3.DownstreamTlsContext{
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsParams:     &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2},
			AlpnProtocols: []string{"h2", "http/1.1"},
			CustomTlsCertificateSelector: &corev3.TypedExtensionConfig{
				Name: "envoy.tls.certificate_selectors.on_demand_secret",
				TypedConfig: packed(t, &selectorv3.Config{
					ConfigSource: ads(),
					CertificateMapper: &corev3.TypedExtensionConfig{
						Name:        "envoy.tls.certificate_mappers.sni",
						TypedConfig: packed(t, &sniv3.SNI{DefaultValue: "default"}),
					},
				}),
			},
		},
		SessionTicketKeysType:            &tlsv3.DownstreamTlsContext_DisableStatelessSessionResumption{DisableStatelessSessionResumption: true},
		DisableStatefulSessionResumption: true,
	}
}

// backend is a cluster and its assignment; tls makes it verify by the secret trust/upstream.
func backend(t testing.TB, name string, addr *net.TCPAddr, tls bool) []xds.Resource {
	cluster := &clusterv3.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{ServiceName: name, EdsConfig: ads()},
		ConnectTimeout:       durationpb.New(2 * time.Second),
	}
	if tls {
		cluster.TransportSocket = &corev3.TransportSocket{
			Name: "envoy.transport_sockets.tls",
			ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed(t, &tlsv3.UpstreamTlsContext{
				Sni: "backend.test",
				CommonTlsContext: &tlsv3.CommonTlsContext{ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
					CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
						DefaultValidationContext:         &tlsv3.CertificateValidationContext{},
						ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: trustName, SdsConfig: ads()},
					},
				}},
			})},
		}
	}
	return []xds.Resource{
		{TypeURL: resource.ClusterType, Name: name, Message: cluster},
		{TypeURL: resource.EndpointType, Name: name, Message: &endpointv3.ClusterLoadAssignment{
			ClusterName: name,
			Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: socketAddress(addr)}},
			}}}},
		}},
	}
}

// routes is the route configuration of a listener: one virtual host per host, all paths to one cluster.
func routes(name string, clusters map[string]string, change func(host string, r *routev3.Route)) xds.Resource {
	rc := &routev3.RouteConfiguration{Name: name, IgnorePortInHostMatching: true}
	for _, host := range sortedKeys(clusters) {
		route := &routev3.Route{
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: clusters[host]}}},
		}
		if change != nil {
			change(host, route)
		}
		rc.VirtualHosts = append(rc.VirtualHosts, &routev3.VirtualHost{Name: host, Domains: []string{host}, Routes: []*routev3.Route{route}})
	}
	return xds.Resource{TypeURL: resource.RouteType, Name: name, Message: rc, Origins: []diag.Origin{{Kind: "Ingress", Namespace: "shop", Name: name}}}
}

func badRegex(host string, r *routev3.Route) {
	if host == "bad.test" {
		r.Match = &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: "/(a"}}}
	}
}

func markRoute(t testing.TB) func(host string, r *routev3.Route) {
	return func(host string, r *routev3.Route) {
		if host == "marked.test" {
			r.TypedPerFilterConfig = map[string]*anypb.Any{luaFilter: packed(t, &luav3.LuaPerRoute{
				Override:      &luav3.LuaPerRoute_Name{Name: "mark-v1"},
				FilterContext: &structpb.Struct{Fields: map[string]*structpb.Value{"prefix": structpb.NewStringValue("/k8s")}},
			})}
		}
	}
}

// pair is a certificate for one name, its own issuer.
type pair struct{ chain, key []byte }

func newPair(t testing.TB, name string) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{
		chain: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:   pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}
}

func bytesSource(b []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
}

func (p pair) secret() *tlsv3.Secret {
	return &tlsv3.Secret{Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		CertificateChain: bytesSource(p.chain), PrivateKey: bytesSource(p.key),
	}}}
}

func trust(p pair) xds.Resource {
	return xds.Resource{TypeURL: resource.SecretType, Name: trustName, Message: &tlsv3.Secret{
		Name: trustName, Type: &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: bytesSource(p.chain)}},
	}}
}
