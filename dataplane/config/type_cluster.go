package config

import (
	"cmp"
	"maps"
	"slices"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// defaultConnectTimeout is Envoy's (cluster.proto, connect_timeout).
const defaultConnectTimeout = 5 * time.Second

// A Cluster is a group of endpoints and how they are spoken to.
type Cluster struct {
	Name string
	// ServiceName is the name of the ClusterLoadAssignment with the endpoints.
	ServiceName    string
	ConnectTimeout time.Duration // TLS handshake included
	// IdleTimeout is how long a connection is kept without a request; 0 is for ever.
	IdleTimeout  time.Duration
	HTTP2        bool         // prior knowledge, in the clear
	Windows      Windows      // of HTTP/2
	TLS          *UpstreamTLS // nil where the cluster is spoken to in the clear
	LeastRequest bool         // of two endpoints that are drawn, the one with fewer requests; else they take turns
	Outliers     *Outliers    // nil where endpoints are asked whatever they answered
}

const httpProtocolOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// DecodeCluster reads a Cluster resource.
func DecodeCluster(name string, body *anypb.Any) (Cluster, error) {
	r, err := open(name, body, &clusterv3.Cluster{})
	if err != nil {
		return Cluster{}, err
	}
	c := r.message
	switch {
	case c.GetType() != clusterv3.Cluster_EDS:
		return Cluster{}, only(r.path, "type", "EDS")
	case c.GetLbPolicy() != clusterv3.Cluster_ROUND_ROBIN && c.GetLbPolicy() != clusterv3.Cluster_LEAST_REQUEST:
		return Cluster{}, only(r.path, "lb_policy", "ROUND_ROBIN or LEAST_REQUEST")
	}
	if err := requireADS(c.GetEdsClusterConfig().GetEdsConfig(), join(r.path, "eds_cluster_config.eds_config")); err != nil {
		return Cluster{}, err
	}
	out := Cluster{
		Name:           name,
		ServiceName:    cmp.Or(c.GetEdsClusterConfig().GetServiceName(), name),
		ConnectTimeout: cmp.Or(c.GetConnectTimeout().AsDuration(), defaultConnectTimeout),
		LeastRequest:   c.GetLbPolicy() == clusterv3.Cluster_LEAST_REQUEST,
	}
	protocol, err := decodeUpstreamHTTP(c.GetTypedExtensionProtocolOptions(), r.path)
	if err != nil {
		return Cluster{}, err
	}
	if out.Outliers, err = decodeOutliers(c, protocol.GetOutlierDetection().GetErrorMatcher(), r.path); err != nil {
		return Cluster{}, err
	}
	http2 := protocol.GetExplicitHttpConfig().GetHttp2ProtocolOptions()
	out.HTTP2, out.Windows = http2 != nil, windowsOf(http2)
	out.IdleTimeout = defaultIdleTimeout
	if idle := protocol.GetCommonHttpProtocolOptions().GetIdleTimeout(); idle != nil {
		out.IdleTimeout = idle.AsDuration()
	}
	if socket := c.GetTransportSocket(); socket != nil {
		at := join(r.path, "transport_socket.typed_config")
		if out.TLS, err = decodeUpstreamTLS(socket.GetTypedConfig(), at); err != nil {
			return Cluster{}, err
		}
		if out.HTTP2 {
			return Cluster{}, only(r.path, "typed_extension_protocol_options", "HTTP/1.1 over TLS")
		}
	}
	return out, nil
}

// decodeUpstreamHTTP gives the options of HTTP, empty where there are none.
func decodeUpstreamHTTP(options map[string]*anypb.Any, at string) (*httpv3.HttpProtocolOptions, error) {
	at = join(at, "typed_extension_protocol_options")
	protocol := &httpv3.HttpProtocolOptions{}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if name != httpProtocolOptions {
			return nil, unsupported(at + "[" + name + "]")
		}
		if _, err := unpack(options[name], protocol, at+"["+name+"]"); err != nil {
			return nil, err
		}
		if protocol.GetExplicitHttpConfig().GetHttp2ProtocolOptions().GetMaxConcurrentStreams() != nil {
			return nil, only(at+"["+name+"]", "http2_protocol_options.max_concurrent_streams", "the endpoint's own limit")
		}
		common := protocol.GetCommonHttpProtocolOptions()
		if common.GetMaxHeadersCount() != nil || common.GetHeadersWithUnderscoresAction() != corev3.HttpProtocolOptions_ALLOW {
			return nil, only(at+"["+name+"]", "common_http_protocol_options", "idle_timeout alone")
		}
	}
	return protocol, nil
}

// Windows are how many bytes the other end of HTTP/2 may send ahead, on a stream and on a connection; 0 is net/http's
// own choice.
type Windows struct{ Stream, Connection int }

func windowsOf(o *corev3.Http2ProtocolOptions) Windows {
	return Windows{
		Stream:     int(o.GetInitialStreamWindowSize().GetValue()),
		Connection: int(o.GetInitialConnectionWindowSize().GetValue()),
	}
}
