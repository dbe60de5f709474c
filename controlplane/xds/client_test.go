package xds

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/postern-gateway/postern/translator/diag"
)

// testWaitMax bounds every wait in these tests.
const testWaitMax = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func origin(name string) []diag.Origin {
	return []diag.Origin{{Kind: "Ingress", Namespace: "shop", Name: name}}
}

// cluster is an EDS cluster; generation tells its versions apart.
func cluster(name string, generation int) Resource {
	return Resource{TypeURL: resource.ClusterType, Name: name, Origins: origin(name), Message: &clusterv3.Cluster{
		Name: name, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		ConnectTimeout: durationpb.New(time.Duration(generation) * time.Second),
	}}
}

// secureCluster is a cluster over TLS that verifies by one secret and shows another.
func secureCluster(t testing.TB, name, trust, client string) Resource {
	t.Helper()
	context, err := anypb.New(&tlsv3.UpstreamTlsContext{CommonTlsContext: &tlsv3.CommonTlsContext{
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{{Name: client}},
		ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: trust},
			},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r := cluster(name, 1)
	r.Message.(*clusterv3.Cluster).TransportSocket = &corev3.TransportSocket{
		Name: "tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: context},
	}
	return r
}

func assignment(name string, generation int) Resource {
	return Resource{TypeURL: resource.EndpointType, Name: name, Message: &endpointv3.ClusterLoadAssignment{
		ClusterName: name, Policy: &endpointv3.ClusterLoadAssignment_Policy{EndpointStaleAfter: durationpb.New(time.Duration(generation) * time.Second)},
	}}
}

// table is a route configuration that sends everything to the clusters.
func table(name string, clusters ...string) Resource {
	rc := &routev3.RouteConfiguration{Name: name}
	for _, c := range clusters {
		rc.VirtualHosts = append(rc.VirtualHosts, &routev3.VirtualHost{Name: c, Domains: []string{c}, Routes: []*routev3.Route{{
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: c}}},
		}}})
	}
	return Resource{TypeURL: resource.RouteType, Name: name, Origins: origin(name), Message: rc}
}

// shared is a route configuration that shares everything out to the clusters.
func shared(name string, clusters ...string) Resource {
	weighted := &routev3.WeightedCluster{}
	for _, c := range clusters {
		weighted.Clusters = append(weighted.Clusters, &routev3.WeightedCluster_ClusterWeight{Name: c, Weight: wrapperspb.UInt32(1)})
	}
	return Resource{TypeURL: resource.RouteType, Name: name, Origins: origin(name), Message: &routev3.RouteConfiguration{
		Name: name, VirtualHosts: []*routev3.VirtualHost{{Name: "all", Domains: []string{"*"}, Routes: []*routev3.Route{{
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_WeightedClusters{WeightedClusters: weighted}}},
		}}}},
	}}
}

// entryPoint is a listener with routes of its name.
func entryPoint(t testing.TB, name string) Resource { return guarded(t, name, name, "") }

// guarded is a listener with routes of a name, and with clients that are verified by a secret where one is given.
func guarded(t testing.TB, name, routes, clientCA string) Resource {
	t.Helper()
	pack := func(m proto.Message) *anypb.Any {
		packed, err := anypb.New(m)
		if err != nil {
			t.Fatal(err)
		}
		return packed
	}
	chain := &listenerv3.FilterChain{Filters: []*listenerv3.Filter{{Name: "hcm", ConfigType: &listenerv3.Filter_TypedConfig{
		TypedConfig: pack(&hcmv3.HttpConnectionManager{RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: routes}}}),
	}}}}
	if clientCA != "" {
		chain.TransportSocket = &corev3.TransportSocket{ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: pack(&tlsv3.DownstreamTlsContext{
			CommonTlsContext: &tlsv3.CommonTlsContext{ValidationContextType: &tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig{
				ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: clientCA},
			}},
		})}}
	}
	return Resource{TypeURL: resource.ListenerType, Name: name, Message: &listenerv3.Listener{Name: name, FilterChains: []*listenerv3.FilterChain{chain}}}
}

func certificate(text string) *tlsv3.Secret {
	return &tlsv3.Secret{Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		CertificateChain: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: text}},
	}}}
}

// secretOrigin is behind every on-demand secret.
var secretOrigin = diag.Origin{Kind: "Secret", Namespace: "ns", Name: "own"}

func snapshot(t testing.TB, onDemand func(string) proto.Message, resources ...Resource) *Snapshot {
	t.Helper()
	s, err := NewSnapshot(resources, func(name string) (proto.Message, []diag.Origin) {
		if onDemand == nil {
			return nil, nil
		}
		return onDemand(name), []diag.Origin{secretOrigin}
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// world is a listener, its routes, and clusters of a generation with their endpoints.
func world(t testing.TB, generation int, clusters ...string) *Snapshot {
	t.Helper()
	resources := []Resource{entryPoint(t, "http"), table("http", clusters...)}
	for _, name := range clusters {
		resources = append(resources, cluster(name, generation), assignment(name, 1))
	}
	return snapshot(t, nil, resources...)
}

// serve starts the server on a unix socket and returns the socket's path and a function that stops it.
func serve(t testing.TB, s *Server) (string, func()) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "xds", "a.sock")
	if len(path) > socketPathMax() {
		t.Fatalf("%s is too long for a socket", path)
	}
	lis, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, lis) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return path, stop
}

// client is a fake proxy: it speaks the delta protocol by hand.
type client struct {
	t      testing.TB
	cancel context.CancelFunc
	stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	// held is what it has, by type and name.
	held map[string]map[string]string
	// inbox has the responses; it is closed when the stream ends.
	inbox chan *discoveryv3.DeltaDiscoveryResponse
}

func dial(t testing.TB, path string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///xds", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MessageBytesMax)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// connect opens a stream whose responses are read into the inbox.
func connect(t testing.TB, path string) *client {
	t.Helper()
	return reading(connectSilent(t, path))
}

// reading has a client's responses read into its inbox.
func reading(c *client) *client {
	go func() {
		defer close(c.inbox)
		for {
			resp, err := c.stream.Recv()
			if err != nil {
				return
			}
			c.inbox <- resp
		}
	}()
	return c
}

// connectSilent opens a stream that nobody reads.
func connectSilent(t testing.TB, path string) *client {
	t.Helper()
	return openStream(t, dial(t, path))
}

func openStream(t testing.TB, conn *grpc.ClientConn) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*testWaitMax)
	t.Cleanup(cancel)
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return &client{t: t, cancel: cancel, stream: stream, held: map[string]map[string]string{}, inbox: make(chan *discoveryv3.DeltaDiscoveryResponse, 1000)}
}

func (c *client) send(req *discoveryv3.DeltaDiscoveryRequest) {
	c.t.Helper()
	if err := c.stream.Send(req); err != nil {
		c.t.Fatal(err)
	}
}

// ask subscribes. The node goes along only if id is not empty.
func (c *client) ask(id, typeURL string, names ...string) {
	c.t.Helper()
	req := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, ResourceNamesSubscribe: names, InitialResourceVersions: c.held[typeURL]}
	if id != "" {
		req.Node = &corev3.Node{Id: id, Cluster: "test"}
	}
	c.send(req)
}

// next is the next response; the test ends if there is none in time.
func (c *client) next() *discoveryv3.DeltaDiscoveryResponse {
	c.t.Helper()
	select {
	case resp, open := <-c.inbox:
		if !open {
			c.t.Fatal("the stream ended")
		}
		return resp
	case <-time.After(testWaitMax):
		c.t.Fatal("no response")
	}
	return nil
}

// take reads the next response, which must be of the form "Cluster 1: +a +b -c", and applies it.
func (c *client) take(want string) *discoveryv3.DeltaDiscoveryResponse {
	c.t.Helper()
	resp := c.next()
	if got := describe(resp); got != want {
		c.t.Fatalf("got the response %q, want %q", got, want)
	}
	c.apply(resp)
	return resp
}

func (c *client) apply(resp *discoveryv3.DeltaDiscoveryResponse) {
	held := c.held[resp.GetTypeUrl()]
	if held == nil {
		held = map[string]string{}
		c.held[resp.GetTypeUrl()] = held
	}
	for _, r := range resp.GetResources() {
		held[r.GetName()] = r.GetVersion()
	}
	for _, name := range resp.GetRemovedResources() {
		delete(held, name)
	}
}

func describe(resp *discoveryv3.DeltaDiscoveryResponse) string {
	words := []string{shortType(resp.GetTypeUrl())}
	for _, r := range resp.GetResources() {
		words = append(words, "+"+r.GetName())
	}
	for _, name := range resp.GetRemovedResources() {
		words = append(words, "-"+name)
	}
	return strings.Join(words, " ")
}

func (c *client) ack(resp *discoveryv3.DeltaDiscoveryResponse) {
	c.t.Helper()
	c.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: resp.GetTypeUrl(), ResponseNonce: resp.GetNonce()})
}

func (c *client) nack(resp *discoveryv3.DeltaDiscoveryResponse, words string) {
	c.t.Helper()
	c.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: resp.GetTypeUrl(), ResponseNonce: resp.GetNonce(), ErrorDetail: &status.Status{Message: words}})
}

// silent fails if the server has sent something. The server answers in order, so an answer to a fresh question comes
// after whatever it had to send.
func (c *client) silent(why string) {
	c.t.Helper()
	probe := fmt.Sprintf("probe-%d", time.Now().UnixNano())
	c.ask("", resource.RuntimeType, probe)
	for {
		resp := c.next()
		if resp.GetTypeUrl() != resource.RuntimeType {
			c.t.Fatalf("got the response %q, want none: %s", describe(resp), why)
		}
		c.ack(resp)
		if slices.Contains(resp.GetRemovedResources(), probe) {
			return
		}
	}
}

func wait(t testing.TB, s *Server, rev Revision) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testWaitMax)
	defer cancel()
	if err := s.Wait(ctx, rev); err != nil {
		t.Fatalf("wait for revision %d: %v; %+v", rev, err, s.Proxies())
	}
}

// run answers everything with ACK and asks for what the accepted resources refer to, as Envoy does, until the stream
// ends; it reports each response.
func (c *client) run(seen chan<- string) {
	asked := map[string]bool{}
	for resp := range c.inbox {
		c.apply(resp)
		for _, r := range resp.GetResources() {
			var typeURL, ref string
			switch resp.GetTypeUrl() {
			case resource.ClusterType:
				typeURL, ref = resource.EndpointType, r.GetName()
			case resource.ListenerType:
				typeURL, ref = resource.RouteType, r.GetName()
			}
			if ref != "" && !asked[typeURL+ref] {
				asked[typeURL+ref] = true
				if c.stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, ResourceNamesSubscribe: []string{ref}}) != nil {
					return
				}
			}
		}
		if c.stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: resp.GetTypeUrl(), ResponseNonce: resp.GetNonce()}) != nil {
			return
		}
		if seen != nil {
			seen <- describe(resp)
		}
	}
}
