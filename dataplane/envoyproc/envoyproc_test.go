package envoyproc_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/proto"

	"github.com/postern-gateway/postern/controlplane/xds"
)

func (h *harness) listeners(luaDisabled bool) []xds.Resource {
	return []xds.Resource{listener(h.t, "http", h.http, luaDisabled), listener(h.t, "https", h.https, luaDisabled)}
}

func (h *harness) tables(clusters map[string]string) []xds.Resource {
	return []xds.Resource{routes("http", clusters, markRoute(h.t)), routes("https", clusters, nil)}
}

// startAndWait starts Envoy, then waits.
func (h *harness) startAndWait(rev xds.Revision) {
	h.t.Helper()
	h.startEnvoy()
	h.wait(rev)
}

func (h *harness) same(got []string, want ...string) {
	h.t.Helper()
	if !slices.Equal(got, want) {
		h.t.Errorf("sent %q, want %q", got, want)
	}
}

// unmoved fails if an edit touched a listener.
func (h *harness) unmoved() {
	h.t.Helper()
	stats := h.stats()
	for _, name := range []string{
		"listener_manager.total_listeners_draining", "listener_manager.listener_modified", "listener_manager.listener_in_place_updated",
		"listener_manager.listener_removed", "cluster_manager.warming_clusters",
	} {
		if value, known := stats[name]; !known || value != 0 {
			h.t.Errorf("%s is %d (known: %v), want 0", name, value, known)
		}
	}
	if got := stats["listener_manager.listener_added"]; got != 2 {
		h.t.Errorf("listeners added: %d, want 2", got)
	}
}

func TestEditsAreLiveOnAnOpenConnection(t *testing.T) {
	h := newHarness(t)
	one := backend(t, "shop/one/80", backendServer(t, "one"), false)
	h.startAndWait(h.publish(nil, h.listeners(false), one, h.tables(map[string]string{"a.test": "shop/one/80"})))
	c := h.dial()
	c.eventually("a.test", "200 one")
	if got := c.get("b.test"); got != "404" {
		t.Errorf("a host without routes: got %q, want 404", got)
	}

	h.takeSent()
	two := backend(t, "shop/two/80", backendServer(t, "two"), false)
	h.wait(h.publish(nil, h.listeners(false), one, two, h.tables(map[string]string{"a.test": "shop/two/80", "b.test": "shop/one/80"})))
	c.eventually("a.test", "200 two")
	c.eventually("b.test", "200 one")
	h.same(h.takeSent(), "Cluster shop/two/80", "ClusterLoadAssignment shop/two/80", "RouteConfiguration http", "RouteConfiguration https")

	// The cluster goes after its routes.
	h.wait(h.publish(nil, h.listeners(false), two, h.tables(map[string]string{"a.test": "shop/two/80"})))
	c.eventually("b.test", "404")
	got := h.takeSent()
	if i, j := slices.Index(got, "RouteConfiguration https"), slices.Index(got, "Cluster -shop/one/80"); i < 0 || j < i {
		t.Errorf("sent %q: the cluster must be removed after the routes", got)
	}

	// The same name, changed: Envoy keeps the endpoints that it has.
	changed := backend(t, "shop/two/80", backendServer(t, "two again"), true)
	h.wait(h.publish(nil, h.listeners(false), []xds.Resource{changed[0], two[1], trust(newPair(t, "ca"))}, h.tables(map[string]string{"a.test": "shop/two/80"})))
	h.wait(h.publish(nil, h.listeners(false), two, h.tables(map[string]string{"a.test": "shop/two/80"})))
	c.eventually("a.test", "200 two")
	h.unmoved()
	if n := len(h.nacks); n != 0 {
		t.Errorf("%d refusals, want none: %+v", n, <-h.nacks)
	}
}

func TestCertificatesBySNI(t *testing.T) {
	h := newHarness(t)
	one, fallback := newPair(t, "one.test").secret(), newPair(t, "fallback").secret()
	onDemand := func(name string) proto.Message {
		switch strings.ToLower(name) {
		case "one.test":
			return one
		case "default", "other.test":
			return fallback
		}
		return nil
	}
	b := append(backend(t, "shop/one/443/https", backendServer(t, "one"), true), trust(newPair(t, "ca")))
	h.startAndWait(h.publish(onDemand, h.listeners(false), b, h.tables(map[string]string{"one.test": "shop/one/443/https"})))

	for _, c := range []struct{ sni, want string }{
		{"one.test", "one.test"}, {"ONE.TEST", "one.test"}, {"other.test", "fallback"}, {"", "fallback"},
		{"nothing.test", ""}, {"*", ""}, {"xdstp://x/y", ""}, {strings.Repeat("x", 250), ""}, {"a\x01b", ""},
		// A name that Envoy has asked for as something else, and one that is no UTF-8: neither is answered, and the
		// handshake ends by transport_socket_connect_timeout. The second must not cut the stream.
		{trustName, ""}, {"\xff\xfe.test", ""}, {trustName, ""}, {"\xff\xfe.test", ""},
		{"one.test", "one.test"}, {"late.test", ""},
	} {
		got, err := h.handshake(c.sni)
		if got != c.want {
			t.Errorf("SNI %q: got the certificate of %q (%v), want %q", c.sni, got, err, c.want)
		}
	}
	for _, sent := range h.takeSent() {
		if !utf8.ValidString(sent) || strings.ContainsRune(sent, utf8.RuneError) {
			t.Errorf("sent %q", sent)
		}
	}
	proxies := h.server.Proxies()
	if len(proxies) != 1 || proxies[0].Node != "test-node" || proxies[0].Cluster != "test-cluster" {
		t.Errorf("the ledger has %+v, want the one proxy", proxies)
	}

	// A certificate that comes later, and one that is replaced.
	next := newPair(t, "next").secret()
	later := func(name string) proto.Message {
		if name == "late.test" || name == "one.test" {
			return next
		}
		return nil
	}
	h.wait(h.publish(later, h.listeners(false), b, h.tables(map[string]string{"one.test": "shop/one/443/https"})))
	for _, c := range []struct{ sni, want string }{{"one.test", "next"}, {"late.test", "next"}, {"other.test", ""}, {"", ""}} {
		if got, err := h.handshake(c.sni); got != c.want {
			t.Errorf("SNI %q after the change: got the certificate of %q (%v), want %q", c.sni, got, err, c.want)
		}
	}
	h.unmoved()
}

func TestOnDemandSecretsAreTakenBack(t *testing.T) {
	h := newHarness(t)
	h.options.OnDemandMax = 3
	h.restartServer()
	fallback := newPair(t, "fallback").secret()
	h.startAndWait(h.publish(func(string) proto.Message { return fallback }, h.listeners(false), h.tables(nil)))
	for round := range 2 {
		for i := range 10 {
			sni := fmt.Sprintf("name-%d.test", i)
			if got, err := h.handshake(sni); got != "fallback" {
				t.Fatalf("round %d, SNI %q: got %q, %v", round, sni, got, err)
			}
		}
	}
	sent := h.takeSent()
	for _, want := range []string{"Secret -name-0.test", "Secret -name-5.test"} {
		if !slices.Contains(sent, want) {
			t.Errorf("%s was not taken back: %q", want, sent)
		}
	}
}

func TestRefusalIsReportedAndHoldsRemovals(t *testing.T) {
	h := newHarness(t)
	one := backend(t, "shop/one/80", backendServer(t, "one"), false)
	two := backend(t, "shop/two/80", backendServer(t, "two"), false)
	table := map[string]string{"a.test": "shop/one/80"}
	h.startAndWait(h.publish(nil, h.listeners(false), one, h.tables(table)))
	c := h.dial()
	c.eventually("a.test", "200 one")
	h.takeSent()

	table = map[string]string{"a.test": "shop/two/80", "bad.test": "shop/two/80"}
	bad := []xds.Resource{routes("http", table, badRegex), routes("https", map[string]string{"a.test": "shop/two/80"}, nil)}
	h.wait(h.publish(nil, h.listeners(false), two, bad))
	nack := <-h.nacks
	if !strings.Contains(nack.Words, "missing )") || !strings.Contains(nack.TypeURL, "RouteConfiguration") {
		t.Errorf("refusal is %+v, want RE2's words on the routes", nack)
	}
	if len(nack.Origins) == 0 || nack.Origins[0].Kind != "Ingress" {
		t.Errorf("refusal names %v, want the Ingress", nack.Origins)
	}
	t.Log(nack)
	c.eventually("a.test", "200 one")
	if sent := h.takeSent(); slices.Contains(sent, "Cluster -shop/one/80") {
		t.Errorf("sent %q: the cluster of the routes still in force was removed", sent)
	}

	table = map[string]string{"a.test": "shop/two/80"}
	h.wait(h.publish(nil, h.listeners(false), two, h.tables(table)))
	c.eventually("a.test", "200 two")
	if sent := h.takeSent(); !slices.Contains(sent, "Cluster -shop/one/80") {
		t.Errorf("sent %q: the cluster must go once good routes are accepted", sent)
	}
	h.unmoved()
}

func TestRestartOfTheControlPlaneResendsNothing(t *testing.T) {
	h := newHarness(t)
	one := append(backend(t, "shop/one/80", backendServer(t, "one"), false), backend(t, "shop/tls/443/https", backendServer(t, "tls"), true)...)
	one = append(one, trust(newPair(t, "ca")))
	cert := newPair(t, "one.test").secret()
	onDemand := func(name string) proto.Message {
		if name == "one.test" || name == "two.test" {
			return cert
		}
		return nil
	}
	table := map[string]string{"a.test": "shop/one/80", "b.test": "shop/tls/443/https"}
	h.startAndWait(h.publish(onDemand, h.listeners(false), one, h.tables(table)))
	c := h.dial()
	c.eventually("a.test", "200 one")
	if _, err := h.handshake("one.test"); err != nil {
		t.Fatal(err)
	}

	h.stopServer()
	c.eventually("a.test", "200 one")
	if got, err := h.handshake("one.test"); got != "one.test" {
		t.Errorf("a certificate that was asked for before: got %q, %v", got, err)
	}
	h.takeSent()
	h.startServer()
	h.wait(h.publish(onDemand, h.listeners(false), one, h.tables(table)))
	h.same(h.takeSent())
	c.eventually("a.test", "200 one")
	if got, err := h.handshake("two.test"); got != "one.test" {
		t.Errorf("a certificate that was not asked for before: got %q, %v", got, err)
	}

	// A cluster that changed meanwhile is in force at once, endpoints and all.
	h.stopServer()
	h.startServer()
	moved := backend(t, "shop/tls/443/https", backendServer(t, "plain"), false)
	begin := time.Now()
	h.wait(h.publish(onDemand, h.listeners(false), one[:2], []xds.Resource{moved[0], one[3], one[4]}, h.tables(table)))
	c.eventually("b.test", "200 tls")
	if took := time.Since(begin); took > edsTimeout {
		t.Errorf("the changed cluster came into force after %v, so Envoy waited for its endpoints", took)
	}
	h.unmoved()
}

// edsTimeout is Envoy's default initial_fetch_timeout.
const edsTimeout = 15 * time.Second

func TestClustersOfOneServiceShareTheirEndpoints(t *testing.T) {
	h := newHarness(t)
	one := backend(t, "shop/one/80", backendServer(t, "one"), false)
	h.startAndWait(h.publish(nil, h.listeners(false), one, h.tables(map[string]string{"a.test": "shop/one/80"})))
	second := proto.CloneOf(one[0].Message.(*clusterv3.Cluster))
	second.Name = "shop/one/80/h2c"
	begin := time.Now()
	h.wait(h.publish(nil, h.listeners(false), one, []xds.Resource{{TypeURL: one[0].TypeURL, Name: second.Name, Message: second}},
		h.tables(map[string]string{"a.test": second.Name})))
	h.dial().eventually("a.test", "200 one")
	if took := time.Since(begin); took > edsTimeout {
		t.Errorf("the second cluster came into force after %v, so Envoy waited for its endpoints", took)
	}
}

// TestScriptIsSwitchedOnByTheRoute pins down how a filter that is off in the chain is switched on for one route.
func TestScriptIsSwitchedOnByTheRoute(t *testing.T) {
	for _, disabled := range []bool{false, true} {
		t.Run(fmt.Sprintf("disabled=%v", disabled), func(t *testing.T) {
			h := newHarness(t)
			one := backend(t, "shop/one/80", backendServer(t, "one"), false)
			h.startAndWait(h.publish(nil, h.listeners(disabled), one, h.tables(map[string]string{"a.test": "shop/one/80", "marked.test": "shop/one/80"})))
			c := h.dial()
			c.eventually("a.test", "200 one")
			c.eventually("marked.test", "200 one /k8s")
		})
	}
}

func TestUpstreamFailuresAreReportedOnce(t *testing.T) {
	h := newHarness(t)
	closed := backend(t, "shop/closed/80", freeAddress(t), false)
	untrusted := append(backend(t, "shop/tls/443/https", tlsBackend(t), true), trust(newPair(t, "ca")))
	h.startAndWait(h.publish(nil, h.listeners(false), closed, untrusted, h.tables(map[string]string{"a.test": "shop/closed/80", "b.test": "shop/tls/443/https"})))
	c := h.dial()
	for range 3 {
		c.eventually("a.test", "503")
	}
	if got := <-h.failures; got[0] != "shop/closed/80" || !strings.Contains(got[1], "refused") {
		t.Errorf("got %q, want the closed port of shop/closed/80", got)
	}
	c.eventually("b.test", "503")
	if got := <-h.failures; got[0] != "shop/tls/443/https" || !strings.Contains(got[1], "certificate verify failed") {
		t.Errorf("got %q, want the untrusted certificate of shop/tls/443/https", got)
	}
}
