package xds

import (
	"context"
	"testing"

	"google.golang.org/protobuf/proto"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// statsOf is one type of the stats.
func statsOf(t *testing.T, s *Server, name string) TypeStats {
	t.Helper()
	for _, of := range s.Stats().Types {
		if of.Type == name {
			return of
		}
	}
	t.Fatalf("no stats of %s", name)
	return TypeStats{}
}

func TestStats(t *testing.T) {
	s := New(Options{})
	if got := s.Stats(); got.Revision != 0 || got.Proxies != 0 || len(got.Types) != len(sendOrder) {
		t.Fatalf("before anything: %+v", got)
	}
	path, _ := serve(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), testWaitMax)
	defer cancel()
	first := s.Publish(world(t, 1, "a"))
	c := connect(t, path)
	c.ask("node", cds)
	clusters := c.take("Cluster +a")
	c.ask("", lds)
	if err := s.WaitConnected(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats(); got.Revision != first || got.Proxies != 1 || got.Behind != 1 {
		t.Errorf("a proxy that has not answered: %+v", got)
	}
	c.ask("", eds, "a")
	endpoints := c.take("ClusterLoadAssignment +a")
	c.ack(clusters)
	c.ack(endpoints)
	c.ack(c.take("Listener +http"))
	c.ask("", rds, "http")
	c.nack(c.take("RouteConfiguration +http"), "no")
	wait(t, s, first)
	if got := s.Stats(); got.Behind != 0 {
		t.Errorf("a proxy that has answered: %+v", got)
	}
	if got, want := statsOf(t, s, "RouteConfiguration"), (TypeStats{Type: "RouteConfiguration", NACKs: 1, Sent: 1, Refused: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := statsOf(t, s, "Cluster"), (TypeStats{Type: "Cluster", ACKs: 1, Sent: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	// What a data plane's authorizer has is no proxy's.
	other := connect(t, path)
	other.send(&discoveryv3.DeltaDiscoveryRequest{
		TypeUrl: sds, ResourceNamesSubscribe: []string{"x"},
		Node: &corev3.Node{Id: "node", UserAgentName: authorizerUserAgent},
	})
	if err := s.WaitConnected(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats(); got.Proxies != 1 || got.Authorizers != 1 {
		t.Errorf("with an authorizer: %+v", got)
	}
	c.cancel()
	if err := s.await(ctx, func() bool { return len(s.streams) == 1 }); err != nil {
		t.Fatal(err)
	}
	if got, want := statsOf(t, s, "RouteConfiguration"), (TypeStats{Type: "RouteConfiguration", NACKs: 1, Sent: 1}); got != want {
		t.Errorf("after the proxy has gone: %+v, want %+v", got, want)
	}
}

func TestSizes(t *testing.T) {
	resources := []Resource{cluster("a", 1), cluster("b", 1), assignment("a", 1)}
	want := map[string]Size{"Cluster": {Type: "Cluster", Resources: 2}, "ClusterLoadAssignment": {Type: "ClusterLoadAssignment", Resources: 1}}
	for _, r := range resources {
		size := want[shortType(r.TypeURL)]
		size.Bytes += proto.Size(r.Message)
		want[size.Type] = size
	}
	sizes := snapshot(t, nil, resources...).Sizes()
	if len(sizes) != len(sendOrder) {
		t.Fatal(sizes)
	}
	for _, got := range sizes {
		expected := want[got.Type]
		expected.Type = got.Type
		if got != expected {
			t.Errorf("%+v, want %+v", got, expected)
		}
	}
}
