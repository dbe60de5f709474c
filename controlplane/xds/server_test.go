package xds

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const (
	lds = resource.ListenerType
	rds = resource.RouteType
	cds = resource.ClusterType
	eds = resource.EndpointType
	sds = resource.SecretType
)

// startUp brings a client to the state of an Envoy that has everything of world(t, 1, "a").
func startUp(t *testing.T, s *Server) *client {
	t.Helper()
	path, _ := serve(t, s)
	rev := s.Publish(world(t, 1, "a"))
	c := connect(t, path)
	c.ask("node", cds)
	clusters := c.take("Cluster +a")
	c.ask("", lds)
	c.silent("listeners wait for clusters")
	c.ask("", eds, "a")
	endpoints := c.take("ClusterLoadAssignment +a")
	c.ack(clusters)
	c.silent("listeners wait for endpoints")
	c.ack(endpoints)
	c.ack(c.take("Listener +http"))
	c.ask("", rds, "http")
	c.ack(c.take("RouteConfiguration +http"))
	wait(t, s, rev)
	return c
}

func TestProxyThatRefusesEverythingIsSentEachVersionOnce(t *testing.T) {
	s := New(Options{})
	path, _ := serve(t, s)
	c := connect(t, path)
	c.ask("node", cds)
	c.ask("", lds)
	c.ask("", eds, "a")
	c.ask("", rds, "http")
	c.ask("", sds, "x")
	ctx, cancel := context.WithTimeout(context.Background(), testWaitMax)
	defer cancel()
	if err := s.WaitConnected(ctx, 1); err != nil {
		t.Fatal(err)
	}
	const versions = 20
	count := map[string]int{}
	for generation := range versions {
		rev := s.Publish(snapshot(t, func(string) proto.Message { return certificate(fmt.Sprint(generation)) },
			cluster("a", generation), assignment("a", generation), entryPoint(t, "http"), table("http", "a", fmt.Sprint(generation))))
		done := make(chan error, 1)
		go func() { done <- s.Wait(ctx, rev) }()
		for waiting := true; waiting; {
			select {
			case resp := <-c.inbox:
				count[shortType(resp.GetTypeUrl())]++
				c.nack(resp, "no")
			case err := <-done:
				if err != nil {
					t.Fatal(err)
				}
				waiting = false
			case <-time.After(testWaitMax):
				t.Fatalf("revision %d is not settled: %+v", rev, s.Proxies())
			}
		}
	}
	c.silent("everything was refused")
	for _, typ := range s.Proxies()[0].Types {
		if typ.TypeURL == sds && !slices.Contains(typ.LastNACK.Origins, secretOrigin) {
			t.Errorf("the refused certificate names %v, want the object behind it", typ.LastNACK.Origins)
		}
	}
	for _, typ := range []string{"Cluster", "RouteConfiguration", "Secret"} {
		if count[typ] > versions || count[typ] == 0 {
			t.Errorf("%d responses of type %s for %d versions", count[typ], typ, versions)
		}
	}
	// An assignment also comes along with each version of its cluster.
	if got := count["ClusterLoadAssignment"]; got > 2*versions {
		t.Errorf("%d responses with assignments for %d versions", got, versions)
	}
	if count["Listener"] != 1 {
		t.Errorf("%d responses with the one listener", count["Listener"])
	}
}

func TestRestartResendsNothing(t *testing.T) {
	onDemand := func(name string) proto.Message {
		if name == "one.test" {
			return certificate("one")
		}
		return nil
	}
	held := map[string]map[string]string{}
	names := map[string][]string{cds: nil, lds: {"*"}, eds: {"a"}, rds: {"http"}, sds: {"one.test"}}
	for attempt := range 2 {
		s := New(Options{})
		path, stop := serve(t, s)
		rev := s.Publish(snapshot(t, onDemand, cluster("a", 1), assignment("a", 1), entryPoint(t, "http"), table("http", "a")))
		c := connect(t, path)
		c.held = held
		for _, typeURL := range []string{cds, eds, sds, lds, rds} {
			c.ask("node", typeURL, names[typeURL]...)
		}
		if attempt == 0 {
			for range names {
				resp := c.next()
				c.apply(resp)
				c.ack(resp)
			}
		} else {
			// A wildcard request is always answered.
			c.ack(c.take("Cluster"))
			c.ack(c.take("Listener"))
			c.silent("nothing has changed")
		}
		wait(t, s, rev)
		stop()
	}
}

func TestRestartTellsWhatIsGone(t *testing.T) {
	s := New(Options{})
	path, _ := serve(t, s)
	s.Publish(world(t, 1, "a"))
	c := connect(t, path)
	c.held = map[string]map[string]string{cds: {"old": "1"}, eds: {"old": "1", "a": "1"}}
	c.ask("node", cds)
	c.take("Cluster +a") // The old one stays until the routes are accepted.
	c.ask("", eds, "old", "a")
	c.take("ClusterLoadAssignment +a")
	c.silent("routes are not accepted yet")
}

func TestWildcardIsAnsweredEvenIfEmpty(t *testing.T) {
	s := New(Options{})
	path, _ := serve(t, s)
	c := connect(t, path)
	c.ask("node", cds)
	ctx, cancel := context.WithTimeout(context.Background(), testWaitMax)
	defer cancel()
	if err := s.WaitConnected(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if n := len(c.inbox); n != 0 {
		t.Errorf("%d responses before there is a snapshot", n)
	}
	rev := s.Publish(snapshot(t, nil))
	c.ack(c.take("Cluster"))
	c.ask("", lds, "*")
	c.ack(c.take("Listener"))
	wait(t, s, rev)
}

func TestWildcardAndNames(t *testing.T) {
	s := New(Options{})
	path, _ := serve(t, s)
	s.Publish(snapshot(t, nil, cluster("a", 1), cluster("b", 1)))
	c := connect(t, path)
	c.ask("node", cds, "a", "nothing")
	c.ack(c.take("Cluster +a -nothing"))
	c.ask("", cds, "*")
	c.ack(c.take("Cluster +b"))
	c.ask("", cds, "a")
	c.ack(c.take("Cluster +a")) // Asked for again, sent again.
	c.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: cds, ResourceNamesUnsubscribe: []string{"a"}})
	c.ack(c.take("Cluster +a")) // Still in the wildcard, and the proxy must be told.
	c.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: cds, ResourceNamesUnsubscribe: []string{"*"}})
	c.silent("the proxy forgets by itself")
	s.Publish(snapshot(t, nil, cluster("a", 2), cluster("b", 2)))
	c.silent("nothing but a name that does not exist is subscribed")
	// Where there is no wildcard, * is a name: an SNI must not open all certificates.
	s.Publish(snapshot(t, nil, Resource{TypeURL: sds, Name: "x", Message: namedSecret("x")}))
	c.ask("", sds, "*")
	c.ack(c.take("Secret -*"))
	c.ask("", sds)
	c.silent("an empty request is no wildcard either")
}

func namedSecret(name string) proto.Message {
	secret := certificate("x")
	secret.Name = name
	return secret
}

func TestOnDemandSecrets(t *testing.T) {
	const limit = 3
	s := New(Options{OnDemandMax: limit})
	path, _ := serve(t, s)
	known := map[string]bool{"a": true, "b": true, "c": true, "d": true}
	shared := certificate("shared")
	publish := func(certs map[string]bool) {
		s.Publish(snapshot(t, func(name string) proto.Message {
			if certs[name] {
				return shared
			}
			return nil
		}, Resource{TypeURL: sds, Name: "static", Message: func() proto.Message { m := certificate("s"); m.Name = "static"; return m }()}))
	}
	publish(known)
	c := connect(t, path)
	step := func(want string, ask ...string) *discoveryv3.DeltaDiscoveryResponse {
		t.Helper()
		if len(ask) > 0 {
			c.ask("", sds, ask...)
		}
		resp := c.take(want)
		c.ack(resp)
		return resp
	}
	step("Secret +static", "static")
	resp := step("Secret +a", "a")
	secret := certificate("")
	if err := resp.GetResources()[0].GetResource().UnmarshalTo(secret); err != nil {
		t.Fatal(err)
	}
	if want := proto.CloneOf(shared); !proto.Equal(secret, func() proto.Message { want.Name = "a"; return want }()) {
		t.Errorf("the secret is %v", secret)
	}
	step("Secret -unknown", "unknown")
	step("Secret +b", "b")
	step("Secret +c -a", "c") // The oldest is taken back; static is not one of them.
	step("Secret +a", "a")    // unknown was the oldest, and the proxy has nothing of it.
	publish(map[string]bool{"b": true})
	step("Secret -a -c")
	publish(known)
	step("Secret +a +c")
	step("Secret +d -b", "d")
	publish(map[string]bool{"b": true, "unknown": true})
	step("Secret -a -c -d") // Neither b nor unknown is subscribed any more.
	c.silent("all is told")
}

func TestInvalidNamesDoNotEndTheStream(t *testing.T) {
	s := New(Options{})
	path, _ := serve(t, s)
	s.Publish(snapshot(t, nil, cluster("a", 1)))
	c := connect(t, path)
	c.ask("node", cds)
	c.ack(c.take("Cluster +a"))
	// Go's proto refuses to write such a name, so the message is put together by hand, with a valid one before it.
	raw := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: sds, ResourceNamesSubscribe: []string{"good"}}
	raw.ProtoReflect().SetUnknown([]byte("\x1a\x02\xff\xfe\x22\x01\xff\x2a\x03\x0a\x01\xff"))
	c.send(raw)
	c.ack(c.take("Secret -good"))
}

func TestSlowProxyHoldsUpNobody(t *testing.T) {
	s := New(Options{})
	path, _ := serve(t, s)
	big := func(generation int) *Snapshot {
		resources := make([]Resource, 20000)
		for i := range resources {
			resources[i] = cluster(fmt.Sprintf("cluster-%d-%s", i, strings.Repeat("x", 100)), generation)
		}
		return snapshot(t, nil, resources...)
	}
	one, two := big(1), big(2)
	rev := s.Publish(one)
	slow := connectSilent(t, path) // A response larger than the flow control window, and nobody reads it.
	slow.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: cds})
	fast := connect(t, path)
	fast.ask("fast", cds)
	for generation := range 10 {
		resp := fast.next()
		if got := resp.GetSystemVersionInfo(); got != fmt.Sprint(rev) {
			t.Fatalf("got revision %s, want %d", got, rev)
		}
		fast.ack(resp)
		rev = s.Publish([]*Snapshot{two, one}[generation%2])
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Wait(ctx, rev); err == nil {
		t.Error("Wait did not wait for the proxy that does not read")
	}
	slow.cancel()
}

func TestProxyThatNeverAsksForClustersIsServedInTheEnd(t *testing.T) {
	s := New(Options{})
	s.orderWait = 20 * time.Millisecond
	path, _ := serve(t, s)
	rev := s.Publish(world(t, 1, "a"))
	c := connect(t, path)
	c.ask("node", rds, "http")
	c.ack(c.take("RouteConfiguration +http"))
	wait(t, s, rev)
}

func TestProxyThatNeverAsksForEndpointsIsServedInTheEnd(t *testing.T) {
	s := New(Options{})
	s.orderWait = 20 * time.Millisecond
	path, _ := serve(t, s)
	rev := s.Publish(world(t, 1, "a"))
	c := connect(t, path)
	c.ask("node", cds)
	c.ack(c.take("Cluster +a"))
	c.ask("", lds)
	c.ack(c.take("Listener +http"))
	wait(t, s, rev)
}

func TestOnlyTheDeltaMethodIsServed(t *testing.T) {
	s := New(Options{})
	path, _ := serve(t, s)
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(dial(t, path)).StreamAggregatedResources(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unimplemented {
		t.Errorf("StreamAggregatedResources: %v, want Unimplemented", err)
	}
	c := connect(t, path)
	c.send(&discoveryv3.DeltaDiscoveryRequest{})
	if resp, open := <-c.inbox; open {
		t.Errorf("a request without a type was answered: %v", resp)
	}
}

func TestConnectionsLeaveNothingBehind(t *testing.T) {
	s := New(Options{})
	path, _ := serve(t, s)
	rev := s.Publish(world(t, 1, "a", "b"))
	ctx, cancel := context.WithTimeout(context.Background(), testWaitMax)
	defer cancel()
	for range 20 {
		c := connect(t, path)
		c.ask("node", cds)
		c.ask("", lds)
		c.next()
		if err := s.WaitConnected(ctx, 1); err != nil {
			t.Fatal(err)
		}
		c.cancel()
		if err := s.await(ctx, func() bool { return len(s.streams) == 0 }); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Proxies(); len(got) != 0 {
		t.Errorf("the ledger has %+v", got)
	}
	wait(t, s, rev)
}

func TestManyProxiesFollowManyEdits(t *testing.T) {
	s := New(Options{})
	path, _ := serve(t, s)
	const proxies = 8
	s.Publish(world(t, 1, "a"))
	var clients []*client
	done := make(chan struct{}, proxies)
	for i := range proxies {
		c := connect(t, path)
		c.ask(fmt.Sprintf("node-%d", i), cds)
		c.ask("", lds)
		go func() { c.run(nil); done <- struct{}{} }()
		clients = append(clients, c)
	}
	random := rand.New(rand.NewPCG(1, 2))
	var rev Revision
	var last *Snapshot
	for range 50 {
		var names []string
		for i := range 10 {
			if random.IntN(2) == 0 {
				names = append(names, fmt.Sprintf("cluster-%d", i))
			}
		}
		last = world(t, random.IntN(3), names...)
		rev = s.Publish(last)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testWaitMax)
	defer cancel()
	if err := s.WaitConnected(ctx, proxies); err != nil {
		t.Fatal(err)
	}
	wait(t, s, rev)
	ledger := s.Proxies()
	for i, p := range ledger {
		if p.Node != fmt.Sprintf("node-%d", i) || p.Revision != rev {
			t.Errorf("proxy %d is %s at revision %d, want %d", i, p.Node, p.Revision, rev)
		}
	}
	for _, c := range clients {
		c.cancel()
		<-done
		for _, typeURL := range []string{cds, lds, rds} {
			set := last.types[typeURL]
			if set == nil {
				set = &typeSet{}
			}
			if got, want := fmt.Sprint(sortedKeys(c.held[typeURL])), fmt.Sprint(set.names); got != want {
				t.Errorf("the proxy holds the %ss %s, want %s", shortType(typeURL), got, want)
			}
		}
	}
}

func TestListenUnix(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "new", "a.sock")
	lis, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != folderMode {
		t.Errorf("the folder has %v, %v", info.Mode(), err)
	}
	if _, err := ListenUnix(path); err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Errorf("a second listener: %v", err)
	}
	if err := lis.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenUnix(path); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("an open folder: %v", err)
	}
	if _, err := ListenUnix(filepath.Join(folder, strings.Repeat("x", 100), "a.sock")); err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("a long path: %v", err)
	}
}
