package envoy

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/postern-gateway/postern/translator/model"
)

const (
	connectTimeout = 5 * time.Second
	// upstreamIdle is how long a connection to an endpoint is kept without a request. Servers close theirs after 5 s and
	// more (Node.js, Apache, uvicorn: 5 s), and a request that meets that moment fails: Envoy tries none again of which
	// it has sent a byte. So the gateway closes first; Envoy's default is an hour.
	upstreamIdle        = 4 * time.Second
	httpProtocolOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
)

func cluster(b model.Backend) *clusterv3.Cluster {
	c := &clusterv3.Cluster{
		Name:                 b.Name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{
			EdsConfig: ads(), ServiceName: b.Assignment,
		},
		ConnectTimeout:                durationpb.New(connectTimeout),
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(bufferLimitBytes),
		LbPolicy:                      clusterv3.Cluster_ROUND_ROBIN,
		Metadata:                      originMetadata(b.Origins),
	}
	options := upstreamHTTP(b.Protocol)
	if b.LeastRequest {
		c.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
	}
	if b.Breaker != nil {
		breaker(c, options, *b.Breaker)
	}
	c.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpProtocolOptions: typed(options)}
	if b.TLS != nil {
		c.TransportSocket = &corev3.TransportSocket{
			Name:       transportSocketName,
			ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: typed(upstreamTLS(*b.TLS))},
		}
	}
	return c
}

// upstreamHTTP speaks HTTP/1.1 over TLS too: an HTTP/2 backend may not do WebSocket upgrades.
func upstreamHTTP(p model.Protocol) *httpv3.HttpProtocolOptions {
	explicit := &httpv3.HttpProtocolOptions_ExplicitHttpConfig{}
	if p == model.ProtocolH2C {
		explicit.ProtocolConfig = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
			Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
				InitialStreamWindowSize:     wrapperspb.UInt32(initialStreamWindowBytes),
				InitialConnectionWindowSize: wrapperspb.UInt32(initialConnectionWindow),
			},
		}
	} else {
		explicit.ProtocolConfig = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
			HttpProtocolOptions: &corev3.Http1ProtocolOptions{},
		}
	}
	return &httpv3.HttpProtocolOptions{
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{IdleTimeout: durationpb.New(upstreamIdle)},
		UpstreamProtocolOptions:   &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: explicit},
	}
}

// upstreamTLS names bundle and client certificate as secrets of SDS, so that their rotation touches no cluster.
func upstreamTLS(t model.UpstreamTLS) *tlsv3.UpstreamTlsContext {
	common := &tlsv3.CommonTlsContext{
		TlsParams: &tlsv3.TlsParameters{
			TlsMinimumProtocolVersion: tlsVersions[t.MinVersion],
			TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
		},
	}
	if t.Client != "" {
		common.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{{Name: clientName(t.Client), SdsConfig: ads()}}
	}
	if !t.SkipVerify {
		validation := &tlsv3.CertificateValidationContext{}
		for _, name := range t.Names {
			validation.MatchTypedSubjectAltNames = append(validation.MatchTypedSubjectAltNames, &tlsv3.SubjectAltNameMatcher{
				SanType: tlsv3.SubjectAltNameMatcher_DNS,
				Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: name}},
			})
		}
		common.ValidationContextType = &tlsv3.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext:         validation,
				ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: trustName(t.Trust), SdsConfig: ads()},
			},
		}
	}
	return &tlsv3.UpstreamTlsContext{Sni: t.Names[0], CommonTlsContext: common}
}

// tlsVersions are Envoy's names; a version that is missing here would be TLS_AUTO, which is 1.2 and up.
var tlsVersions = map[model.TLSVersion]tlsv3.TlsParameters_TlsProtocol{
	model.TLS12: tlsv3.TlsParameters_TLSv1_2,
	model.TLS13: tlsv3.TlsParameters_TLSv1_3,
}

func assignment(a model.Assignment) *endpointv3.ClusterLoadAssignment {
	locality := &endpointv3.LocalityLbEndpoints{}
	for _, e := range a.Endpoints {
		locality.LbEndpoints = append(locality.LbEndpoints, &endpointv3.LbEndpoint{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: socketAddress(e)}},
		})
	}
	out := &endpointv3.ClusterLoadAssignment{ClusterName: a.Name}
	if len(locality.LbEndpoints) > 0 {
		out.Endpoints = []*endpointv3.LocalityLbEndpoints{locality}
	}
	return out
}
