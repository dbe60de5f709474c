package dataplane_test

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"

	"github.com/postern-gateway/postern/dataplane/config"
)

// TestReferenceServer has the data plane read from go-control-plane's own delta server: start, edit, removal, and
// certificates on demand.
func TestReferenceServer(t *testing.T) {
	ca := newAuthority(t)
	chain, key := ca.sign(t, "one.test")
	b := backend(t)
	cache := cachev3.NewSnapshotCache(true, cachev3.IDHash{}, nil)
	put := func(version string, p *plane, clusters []types.Resource, table ...*routev3.RouteConfiguration) {
		t.Helper()
		resources := map[string][]types.Resource{
			config.ClusterType:  clusters,
			config.ListenerType: {listener(t, "http", p.http), listener(t, "https", p.https)},
			config.SecretType:   {certificateSecret("one.test", chain, key)},
		}
		for _, c := range clusters {
			resources[config.EndpointType] = append(resources[config.EndpointType], assignment(nameOf(c), b.Listener.Addr()))
		}
		for _, r := range table {
			resources[config.RouteType] = append(resources[config.RouteType], r)
		}
		snapshot, err := cachev3.NewSnapshot(version, resources)
		if err != nil {
			t.Fatal(err)
		}
		if err := cache.SetSnapshot(t.Context(), "go-1", snapshot); err != nil {
			t.Fatal(err)
		}
	}
	c := &controlPlane{path: filepath.Join(t.TempDir(), "ads.sock")}
	l, err := net.Listen("unix", c.path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	server := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, serverv3.NewServer(ctx, cache, nil))
	go server.Serve(l)
	t.Cleanup(func() {
		cancel() // first, or its handlers may never end
		server.Stop()
	})
	all := func(listener, cluster, to string) *routev3.RouteConfiguration {
		return routes(listener, host("*", forward(prefix("/"), cluster, rewriteTo(to))))
	}
	p := startGo(t, c, func(p *plane) {
		put("1", p, []types.Resource{clusterOf("echo")}, all("http", "echo", "/one/"), all("https", "echo", "/one/"))
	})
	ask := func() answer { return parse(t, raw(t, p.http, render("GET /x|Host: h.test")), "GET") }
	checkAnswer(t, "first", ask(), 200, "GET /one/x HTTP/1.1")
	if _, err := shake(t, p.https, ca, "one.test"); err != nil {
		t.Errorf("a certificate on demand: %v", err)
	}
	put("2", p, []types.Resource{clusterOf("next")}, all("http", "next", "/two/"), all("https", "next", "/two/"))
	deadline := time.Now().Add(patience)
	for a := ask(); !strings.HasPrefix(a.body, "GET /two/x "); a = ask() {
		if time.Now().After(deadline) {
			t.Fatalf("the edit did not come: %+v", a)
		}
	}
}
