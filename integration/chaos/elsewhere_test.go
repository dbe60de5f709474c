package chaos

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
)

// Elsewhere is what no edit is about: requests of each kind to the steady hosts, and WebSockets through them.
type elsewhere struct {
	t       *testing.T
	gateway *gateway
	sockets []*traffic.WebSocket
	// kept are connections that nothing may close.
	kept []*traffic.Connection
	// counters are Envoy's, of its listeners, before anything happened.
	counters map[string]uint64
}

// watchElsewhere opens the WebSockets and takes Envoy's counters.
func watchElsewhere(t *testing.T, g *gateway) *elsewhere {
	t.Helper()
	e := &elsewhere{t: t, gateway: g}
	for i := range webSockets {
		host := steadyHost(i % steadyHosts)
		var settings *tls.Config
		address := g.http
		if i%2 == 1 {
			address, settings = g.https, trusting(host)
		}
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if settings != nil {
			conn = tls.Client(conn, settings)
		}
		w, err := traffic.OpenWebSocket(conn, host, "/socket")
		if err != nil {
			t.Fatal(err)
		}
		e.sockets = append(e.sockets, w)
		t.Cleanup(func() { _ = w.Close() })
	}
	e.counters = g.listenerCounters()
	return e
}

// clients are the load elsewhere. Only the handshakes are of new connections.
func (e *elsewhere) clients() []traffic.Client {
	g := e.gateway
	upload := strings.Repeat("0123456789abcdef", 1024)
	var out []traffic.Client
	add := func(kind, method, body, proto string, dial func(host string) *traffic.Connection, keep bool) {
		connections := make([]*traffic.Connection, steadyHosts)
		if keep {
			for i := range connections {
				connections[i] = dial(steadyHost(i))
				e.t.Cleanup(connections[i].Close)
			}
			e.kept = append(e.kept, connections...)
		}
		n := 0
		out = append(out, traffic.Client{Kind: kind, Ask: func() error {
			i := n % steadyHosts
			n++
			c := connections[i]
			if c == nil {
				c = dial(steadyHost(i))
				defer c.Close()
			}
			a, err := c.Do(method, steadyHost(i), "/steady", []byte(body))
			want := fmt.Sprintf("steady-%d /steady HTTP/1.1 %s\n%s", i, steadyHost(i), body)
			if err == nil && keep && a.Close {
				err = errors.New("the answer asks for the connection to be closed")
			}
			if err == nil && (a.Status != http.StatusOK || a.Body != want || a.Proto != proto) {
				err = fmt.Errorf("%d %.200q over %s, want %.200q over %s", a.Status, a.Body, a.Proto, want, proto)
			}
			return err
		}})
	}
	plain := func(string) *traffic.Connection { return traffic.Dial(g.http, nil) }
	add("GET over HTTP/1.1", http.MethodGet, "", "HTTP/1.1", plain, true)
	add("GET over HTTP/2", http.MethodGet, "", "HTTP/2.0", func(host string) *traffic.Connection { return traffic.Dial(g.https, trusting(host, "h2")) }, true)
	add("POST over TLS", http.MethodPost, upload, "HTTP/1.1", func(host string) *traffic.Connection { return traffic.Dial(g.https, trusting(host)) }, false)
	add("new connection", http.MethodGet, "", "HTTP/1.1", plain, false)
	next := 0
	return append(out, traffic.Client{Kind: "echo over a WebSocket", Ask: func() error {
		i := next % webSockets
		next++
		if err := e.sockets[i].Echo(); err != nil {
			return fmt.Errorf("WebSocket %d: %w", i, err)
		}
		return nil
	}})
}

// check fails the test for every fault.
func (e *elsewhere) check(except ...string) {
	e.t.Helper()
	for _, fault := range e.faults(except...) {
		e.t.Error(fault)
	}
}

// faults are looked for when the load has stopped: every WebSocket lives, every kept connection is its first, and
// nothing has moved Envoy's listeners; counters with a prefix of except may have.
func (e *elsewhere) faults(except ...string) []string {
	e.t.Helper()
	var out []string
	for i, w := range e.sockets {
		if err := w.Echo(); err != nil {
			out = append(out, fmt.Sprintf("WebSocket %d, in the end: %v", i, err))
		}
	}
	for _, c := range e.kept {
		for _, end := range c.Ends() {
			out = append(out, "a connection that nothing may close has ended "+end)
		}
	}
	for _, moved := range movedCounters(e.counters, e.gateway.listenerCounters()) {
		if !slices.ContainsFunc(except, func(prefix string) bool { return strings.HasPrefix(moved, prefix) }) {
			out = append(out, "Envoy's listeners have moved: "+moved)
		}
	}
	return out
}

// listenerCounters are Envoy's counters and gauges of its listener manager; empty for the Go data plane.
func (g *gateway) listenerCounters() map[string]uint64 {
	g.t.Helper()
	if g.envoy == nil {
		return nil
	}
	all, err := g.envoy.Stats(context.Background())
	if err != nil {
		g.t.Fatal(err)
	}
	maps.DeleteFunc(all, func(name string, _ uint64) bool { return !strings.HasPrefix(name, "listener_manager.") })
	for _, name := range []string{"listener_manager.listener_modified", "listener_manager.listener_in_place_updated", "listener_manager.total_listeners_draining", "listener_manager.lds.update_success"} {
		if _, kept := all[name]; !kept {
			g.t.Fatalf("Envoy has no counter %s", name)
		}
	}
	return all
}

// movedCounters are those that differ.
func movedCounters(before, after map[string]uint64) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if before[name] != after[name] {
			out = append(out, fmt.Sprintf("%s was %d and is %d", name, before[name], after[name]))
		}
	}
	return out
}
