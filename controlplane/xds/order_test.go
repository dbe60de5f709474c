package xds

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
)

func TestAdditionsAndRemovalsAreOrdered(t *testing.T) {
	s := New(Options{})
	c := startUp(t, s)
	rev := s.Publish(world(t, 1, "b"))
	clusters := c.take("Cluster +b")
	c.silent("routes wait for the new cluster, the old one stays")
	c.ack(clusters)
	c.silent("routes wait for the new cluster's endpoints")
	c.ask("", eds, "b")
	endpoints := c.take("ClusterLoadAssignment +b")
	c.silent("routes wait for the endpoints' ACK")
	c.ack(endpoints)
	routes := c.take("RouteConfiguration +http")
	c.silent("the old cluster waits for the routes' ACK")
	c.ack(routes)
	c.ack(c.take("Cluster -a"))
	c.ack(c.take("ClusterLoadAssignment -a"))
	wait(t, s, rev)
}

// TestSharedRoutesStandBetweenTheirClusters: what a route shares out to is there before it, and leaves after it.
func TestSharedRoutesStandBetweenTheirClusters(t *testing.T) {
	s := New(Options{})
	c := startUp(t, s)
	rev := s.Publish(snapshot(t, nil, entryPoint(t, "http"), shared("http", "b", "d"),
		cluster("b", 1), assignment("b", 1), cluster("d", 1), assignment("d", 1)))
	clusters := c.take("Cluster +b +d")
	c.silent("routes wait for both new clusters")
	c.ack(clusters)
	c.ask("", eds, "b", "d")
	endpoints := c.take("ClusterLoadAssignment +b +d")
	c.silent("routes wait for the endpoints of both")
	c.ack(endpoints)
	routes := c.take("RouteConfiguration +http")
	c.silent("the old cluster waits for the routes' ACK")
	c.ack(routes)
	c.ack(c.take("Cluster -a"))
	c.ack(c.take("ClusterLoadAssignment -a"))
	wait(t, s, rev)
	s.Publish(snapshot(t, nil, entryPoint(t, "http"), shared("http", "b"), cluster("b", 1), assignment("b", 1)))
	c.ack(c.take("RouteConfiguration +http"))
	c.ack(c.take("Cluster -d"))
	c.ack(c.take("ClusterLoadAssignment -d"))
}

func TestChangedClusterBringsItsEndpointsAgain(t *testing.T) {
	s := New(Options{})
	c := startUp(t, s)
	s.Publish(world(t, 2, "a"))
	c.take("Cluster +a")
	c.take("ClusterLoadAssignment +a") // Without it Envoy warms the cluster for 15 s.
}

func TestRefusedRoutesHoldRemovalsAndAreNotRepeated(t *testing.T) {
	nacks := make(chan NACK, 10)
	s := New(Options{OnNACK: func(node string, n NACK) { nacks <- n }})
	c := startUp(t, s)
	rev := s.Publish(world(t, 1, "b"))
	c.ask("", eds, "b")
	// The assignment may come before or after the clusters.
	for range 2 {
		c.ack(c.next())
	}
	c.nack(c.take("RouteConfiguration +http"), "no such regex in route configuration http: oops")
	wait(t, s, rev)
	n := <-nacks
	if n.TypeURL != rds || len(n.Blamed) != 1 || n.Blamed[0] != "http" || !strings.HasSuffix(n.Words, "oops") || n.Revision != rev ||
		len(n.Origins) != 1 || n.Origins[0].Name != "http" {
		t.Errorf("the refusal is %+v", n)
	}
	c.silent("refused routes are not repeated, and their clusters stay")
	s.Publish(world(t, 1, "b"))
	c.silent("the same routes again are the same refusal")
	p := s.Proxies()[0]
	for _, typ := range p.Types {
		if typ.TypeURL == rds && (typ.LastNACK == nil || len(typ.Refused) != 1 || typ.Accepted[0].Version == typ.Refused[0].Version) {
			t.Errorf("the ledger has %+v", typ)
		}
	}

	s.Publish(world(t, 1, "b", "c"))
	c.ask("", eds, "c")
	for range 2 {
		c.ack(c.next())
	}
	c.ack(c.take("RouteConfiguration +http"))
	c.take("Cluster -a")
}

func TestSecretOfClustersGoesAfterThem(t *testing.T) {
	s := New(Options{})
	path, _ := serve(t, s)
	s.Publish(snapshot(t, nil, cluster("a", 1), assignment("a", 1), Resource{TypeURL: sds, Name: "trust", Message: namedSecret("trust")}))
	c := connect(t, path)
	c.ask("node", cds)
	c.ack(c.take("Cluster +a"))
	c.ask("", sds, "trust")
	c.ack(c.take("Secret +trust"))
	s.Publish(snapshot(t, nil, cluster("a", 2), assignment("a", 1)))
	clusters := c.take("Cluster +a")
	c.silent("the cluster may still use the secret")
	c.ack(clusters)
	c.take("Secret -trust")
}

func TestRoutesWaitForTheSecretsOfTheirClusters(t *testing.T) {
	s := New(Options{})
	c := startUp(t, s)
	secret := func(name string) Resource { return Resource{TypeURL: sds, Name: name, Message: namedSecret(name)} }
	onDemand := func(string) proto.Message { return certificate("sni") }
	rev := s.Publish(snapshot(t, onDemand, secureCluster(t, "b", "trust/b", "client/b"), assignment("a", 1), assignment("b", 1),
		secret("trust/b"), secret("client/b"), cluster("a", 1), entryPoint(t, "http"), table("http", "b")))
	c.ack(c.take("Cluster +b"))
	c.ask("", eds, "b")
	c.ack(c.take("ClusterLoadAssignment +b"))
	c.silent("the proxy is about to ask for two secrets")
	c.ask("", sds, "trust/b", "one.test")
	first := c.take("Secret +one.test +trust/b")
	c.silent("it is about to ask for the other")
	c.ask("", sds, "client/b")
	c.silent("the other waits for the answer to the first, and the routes for the other")
	c.ack(first)
	second := c.take("Secret +client/b")
	c.ack(c.take("RouteConfiguration +http")) // Sent before the routes is enough.
	c.ack(second)
	wait(t, s, rev)
}

func TestWhatListenersNameGoesAfterThem(t *testing.T) {
	s := New(Options{})
	ca := func(name string) Resource { return Resource{TypeURL: sds, Name: name, Message: namedSecret(name)} }
	with := func(name string) Revision {
		return s.Publish(snapshot(t, nil, guarded(t, "https", "https/"+name, "client-ca/"+name), table("https/"+name), ca("client-ca/"+name)))
	}
	path, _ := serve(t, s)
	with("old")
	c := connect(t, path)
	c.ask("node", cds)
	c.ack(c.take("Cluster"))
	c.ask("", lds)
	c.ack(c.take("Listener +https"))
	c.ask("", rds, "https/old")
	c.ack(c.take("RouteConfiguration +https/old"))
	c.ask("", sds, "client-ca/old")
	c.ack(c.take("Secret +client-ca/old"))

	rev := with("new")
	listeners := c.take("Listener +https")
	c.silent("the listener of before may still use its routes and its CA")
	c.ack(listeners)
	c.silent("the new listener waits for what it names")
	c.ask("", rds, "https/new")
	c.ack(c.take("RouteConfiguration +https/new"))
	c.silent("it waits for the CA yet")
	c.ask("", sds, "client-ca/new")
	// What goes may come with what is new, or after it.
	gone := map[string]bool{}
	for !gone["RouteConfiguration -https/old"] || !gone["Secret -client-ca/old"] {
		response := c.next()
		gone[strings.Replace(describe(response), " +client-ca/new", "", 1)] = true
		c.ack(response)
	}
	wait(t, s, rev)
}
