// Package envoyproc starts a real Envoy, points it at the control plane's socket, and watches it.
package envoyproc

import (
	"fmt"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	overloadv3 "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
	connectionsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	heapv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/fixed_heap/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	// ProgramSizeMax is the largest RE2 program that Envoy accepts in a route (runtime re2.max_program_size.error_level;
	// Envoy's own default is 100, which refuses honest expressions). It is what a closed path of the greatest length can
	// take, 4,886 as measured: see TestEnvoyTakesTheLongestClosedPath. A user's own regex would need a limit of its own.
	ProgramSizeMax = 5000
	// RequestsPerIOCycle bounds how many HTTP/2 requests Envoy takes from one connection before it turns to the others
	// (runtime http.max_requests_per_io_cycle, for CVE-2023-44487; off by default).
	RequestsPerIOCycle = 1

	heapMonitor        = "envoy.resource_monitors.fixed_heap"
	connectionsMonitor = "envoy.resource_monitors.global_downstream_max_connections"
	pressureInterval   = 250 * time.Millisecond
	// The shares of the heap at which Envoy shortens the wait for idle connections, gives memory back, and refuses
	// requests.
	heapShortenFrom, heapShortenTo = 0.85, 0.95
	heapShrink                     = 0.95
	heapRefuse                     = 0.98
	// idleUnderPressure is how short that wait becomes.
	idleUnderPressure = 2 * time.Second

	// authorizerClusterName is what the control plane's ext_authz names.
	authorizerClusterName = "postern-authorizer"
	xdsClusterName        = "postern-xds"
	xdsConnectTimeout     = 5 * time.Second
	xdsPingInterval       = 30 * time.Second
	xdsPingTimeout        = 5 * time.Second
	xdsRetryIntervalLo    = 200 * time.Millisecond
	xdsRetryIntervalHi    = 5 * time.Second
)

// statPrefixes are the statistics that Envoy keeps. Those of single clusters are not among them: they would cost some
// hundred counters for every Service.
var statPrefixes = []string{
	"cluster." + xdsClusterName, "cluster_manager.", "control_plane.", "http.", "listener.", "listener_manager.", "overload.",
	"runtime.", "server.",
}

// Base is what every Envoy of ours begins with, wherever its listeners and clusters come from: who it is, its limits,
// and which statistics it keeps. Node id and cluster are always set: without them Envoy aborts at the first handshake
// that asks for a certificate.
func Base(c Config) *bootstrapv3.Bootstrap {
	c = c.withDefaults()
	return &bootstrapv3.Bootstrap{
		Node:            &corev3.Node{Id: c.NodeID, Cluster: c.NodeCluster, Metadata: c.NodeMetadata},
		LayeredRuntime:  runtimeLayers(),
		OverloadManager: overloadManager(c),
		StatsConfig:     statsConfig(),
	}
}

// Bootstrap is the static configuration of an Envoy that Run starts: Base, an admin socket and the ADS cluster;
// everything else comes over ADS.
func Bootstrap(c Config) *bootstrapv3.Bootstrap {
	c = c.withDefaults()
	b := Base(c)
	b.Admin = &bootstrapv3.Admin{Address: pipe(c.AdminSocket()), IgnoreGlobalConnLimit: true}
	b.DynamicResources = &bootstrapv3.Bootstrap_DynamicResources{
		AdsConfig: adsConfig(),
		LdsConfig: adsSource(),
		CdsConfig: adsSource(),
	}
	control := grpcCluster(xdsClusterName, pipe(c.XDSSocket))
	if c.XDS != nil {
		control = remoteCluster(c)
	}
	b.StaticResources = &bootstrapv3.Bootstrap_StaticResources{Clusters: []*clusterv3.Cluster{control}}
	if c.AuthorizerSocket != "" {
		b.StaticResources.Clusters = append(b.StaticResources.Clusters, AuthorizerCluster(c.AuthorizerSocket))
	}
	return b
}

func adsConfig() *corev3.ApiConfigSource {
	return &corev3.ApiConfigSource{
		ApiType:                   corev3.ApiConfigSource_DELTA_GRPC,
		TransportApiVersion:       corev3.ApiVersion_V3,
		SetNodeOnFirstMessageOnly: true,
		GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
			EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
				ClusterName: xdsClusterName,
				// Envoy's default goes up to 30 s, which is how long a restarted control plane would wait for it.
				RetryPolicy: &corev3.RetryPolicy{RetryBackOff: &corev3.BackoffStrategy{
					BaseInterval: durationpb.New(xdsRetryIntervalLo),
					MaxInterval:  durationpb.New(xdsRetryIntervalHi),
				}},
			},
		}}},
	}
}

// adsSource waits for ever for the first listeners and clusters (initial_fetch_timeout 0): an Envoy without a
// configuration is not ready, instead of ready and answering nothing.
func adsSource() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3,
		InitialFetchTimeout:   durationpb.New(0),
	}
}

// AuthorizerCluster is the cluster that the control plane's ext_authz asks, at a unix socket.
func AuthorizerCluster(socket string) *clusterv3.Cluster {
	return grpcCluster(authorizerClusterName, pipe(socket))
}

// grpcCluster is a gRPC server at an address.
func grpcCluster(name string, address *corev3.Address) *clusterv3.Cluster {
	http2 := &httpv3.HttpProtocolOptions{UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
		ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
				Http2ProtocolOptions: &corev3.Http2ProtocolOptions{ConnectionKeepalive: &corev3.KeepaliveSettings{
					Interval: durationpb.New(xdsPingInterval),
					Timeout:  durationpb.New(xdsPingTimeout),
				}},
			},
		},
	}}
	return &clusterv3.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:       durationpb.New(xdsConnectTimeout),
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: name,
			Endpoints:   endpointAt(address),
		},
		TypedExtensionProtocolOptions: map[string]*anypb.Any{
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": mustAny(http2),
		},
	}
}

func endpointAt(address *corev3.Address) []*endpointv3.LocalityLbEndpoints {
	return []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
		HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address}},
	}}}}
}

func runtimeLayers() *bootstrapv3.LayeredRuntime {
	return &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{{
		Name: "postern",
		LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: &structpb.Struct{Fields: map[string]*structpb.Value{
			"re2.max_program_size.error_level": structpb.NewNumberValue(ProgramSizeMax),
			"http.max_requests_per_io_cycle":   structpb.NewNumberValue(RequestsPerIOCycle),
		}}},
	}}}
}

// overloadManager bounds connections and heap (configuration/best_practices/edge): before the kernel ends Envoy for want
// of memory, it refuses requests with 503.
func overloadManager(c Config) *overloadv3.OverloadManager {
	monitor := func(name string, config proto.Message) *overloadv3.ResourceMonitor {
		return &overloadv3.ResourceMonitor{Name: name, ConfigType: &overloadv3.ResourceMonitor_TypedConfig{TypedConfig: mustAny(config)}}
	}
	from := func(share float64) []*overloadv3.Trigger {
		return []*overloadv3.Trigger{{Name: heapMonitor, TriggerOneof: &overloadv3.Trigger_Threshold{Threshold: &overloadv3.ThresholdTrigger{Value: share}}}}
	}
	shorten := []*overloadv3.Trigger{{Name: heapMonitor, TriggerOneof: &overloadv3.Trigger_Scaled{Scaled: &overloadv3.ScaledTrigger{
		ScalingThreshold: heapShortenFrom, SaturationThreshold: heapShortenTo,
	}}}}
	idle := &overloadv3.ScaleTimersOverloadActionConfig{TimerScaleFactors: []*overloadv3.ScaleTimersOverloadActionConfig_ScaleTimer{{
		Timer:          overloadv3.ScaleTimersOverloadActionConfig_HTTP_DOWNSTREAM_CONNECTION_IDLE,
		OverloadAdjust: &overloadv3.ScaleTimersOverloadActionConfig_ScaleTimer_MinTimeout{MinTimeout: durationpb.New(idleUnderPressure)},
	}}}
	return &overloadv3.OverloadManager{
		RefreshInterval: durationpb.New(pressureInterval),
		ResourceMonitors: []*overloadv3.ResourceMonitor{
			monitor(heapMonitor, &heapv3.FixedHeapConfig{MaxHeapSizeBytes: c.HeapMax}),
			monitor(connectionsMonitor, &connectionsv3.DownstreamConnectionsConfig{MaxActiveDownstreamConnections: int64(c.ConnectionsMax)}),
		},
		Actions: []*overloadv3.OverloadAction{
			{Name: "envoy.overload_actions.reduce_timeouts", Triggers: shorten, TypedConfig: mustAny(idle)},
			{Name: "envoy.overload_actions.shrink_heap", Triggers: from(heapShrink)},
			{Name: "envoy.overload_actions.stop_accepting_requests", Triggers: from(heapRefuse)},
		},
	}
}

func statsConfig() *metricsv3.StatsConfig {
	var kept []*matcherv3.StringMatcher
	for _, prefix := range statPrefixes {
		kept = append(kept, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: prefix}})
	}
	return &metricsv3.StatsConfig{StatsMatcher: &metricsv3.StatsMatcher{StatsMatcher: &metricsv3.StatsMatcher_InclusionList{
		InclusionList: &matcherv3.ListStringMatcher{Patterns: kept},
	}}}
}

func pipe(path string) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path, Mode: socketMode}}}
}

func mustAny(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		panic(fmt.Sprintf("envoyproc: %v", err))
	}
	return a
}
