package dataplane_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	idleTimeout = 600 * time.Millisecond
	// drips keep a stream moving for longer than idleTimeout.
	drips, dripInterval = 12, 100 * time.Millisecond
)

// reluctant answers by the path: never, half, in drips, or with a connection that it upgrades and leaves.
func reluctant(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	switch r.URL.Path {
	case "/half":
		io.WriteString(w, "half")
		control.Flush()
		<-r.Context().Done()
	case "/drips":
		ticker := time.NewTicker(dripInterval)
		defer ticker.Stop()
		for range drips {
			<-ticker.C
			io.WriteString(w, ".")
			control.Flush()
		}
	case "/ws":
		conn, _, err := control.Hijack()
		if err == nil {
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			io.Copy(io.Discard, conn)
		}
	default:
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}
}

// TestStreamIdleTimeout: an exchange on which nothing moves ends, one on which something does goes on.
func TestStreamIdleTimeout(t *testing.T) {
	b := httptest.NewServer(http.HandlerFunc(reluctant))
	t.Cleanup(b.Close)
	configure := func(t *testing.T, c *controlPlane, p *plane) {
		l := withManager(listener(t, "http", p.http), func(m *hcmv3.HttpConnectionManager) { m.StreamIdleTimeout = durationpb.New(idleTimeout) })
		c.set(clusterOf("b"), assignment("b", b.Listener.Addr()), l, routes("http", host("*", forward(prefix("/"), "b"))))
	}
	onEach(t, configure, func(t *testing.T, c *controlPlane, p *plane) {
		for request, want := range map[string]string{
			"GET /never HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n":                                            "504",
			"POST /never HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\nContent-Length: 10\r\n\r\nabc":                  "408",
			"POST /never HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n": "408",
			"GET /half HTTP/1.1\r\nHost: h.test\r\n\r\n":                                                                  "200 half, and no end",
			"GET /drips HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n":                                            "200 " + strings.Repeat(".", drips),
			"GET /ws HTTP/1.1\r\nHost: h.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nx":                      "101",
		} {
			if got := outcome(t, raw(t, p.http, request)); got != want {
				t.Errorf("%q: %s, want %s", request, got, want)
			}
		}
		client := &http.Client{Transport: h2cTransport(t), Timeout: patience}
		r, err := client.Get("http://" + p.http.String() + "/never")
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusGatewayTimeout {
			t.Errorf("over HTTP/2: %s", r.Status)
		}
	})
}

// outcome is the status of an answer and its body, where it is not an answer of the proxy's own.
func outcome(t *testing.T, text string) string {
	t.Helper()
	r, err := http.ReadResponse(newReader(text), nil)
	if err != nil {
		return fmt.Sprintf("%q: %v", text, err)
	}
	body, err := io.ReadAll(r.Body)
	out := fmt.Sprint(r.StatusCode)
	if r.StatusCode == http.StatusOK {
		out += " " + string(body)
	}
	if err != nil {
		out += ", and no end"
	}
	return out
}

func h2cTransport(t testing.TB) *http.Transport {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// TestSlowHeaders: request headers that do not come to an end are not waited for.
func TestSlowHeaders(t *testing.T) {
	configure := func(t *testing.T, c *controlPlane, p *plane) {
		l := withManager(listener(t, "http", p.http), func(m *hcmv3.HttpConnectionManager) { m.RequestHeadersTimeout = durationpb.New(idleTimeout) })
		c.set(clusterOf("b"), assignment("b"), l, routes("http", host("*", forward(prefix("/"), "b"))))
	}
	onEach(t, configure, func(t *testing.T, c *controlPlane, p *plane) {
		begin := time.Now()
		got := raw(t, p.http, "GET / HTTP/1.1\r\nHost: h.test\r\nX-Slow: ")
		if took := time.Since(begin); took < idleTimeout || took >= patience || strings.HasPrefix(got, "HTTP/1.1 2") {
			t.Errorf("after %v: %q", took, got)
		}
	})
}

// TestConnectionsAreLimited: beyond the limit, over all listeners, a connection is closed; a closed one gives its place
// back. Envoy's test is in package envoyproc.
func TestConnectionsAreLimited(t *testing.T) {
	c := newControlPlane(t)
	p := startGo(t, c, func(p *plane) {
		p.connectionsMax = 2
		b := backend(t)
		c.set(clusterOf("echo"), assignment("echo", b.Listener.Addr()), listener(t, "http", p.http),
			routes("http", host("*", forward(prefix("/"), "echo"))))
	})
	ask := func(conn net.Conn) (int, error) {
		conn.SetDeadline(time.Now().Add(patience))
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h.test\r\n\r\n")
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return 0, err
		}
		_, err = io.Copy(io.Discard, r.Body)
		return r.StatusCode, err
	}
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", p.http.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	first, second := dial(), dial()
	for _, conn := range []net.Conn{first, second, first} {
		if status, err := ask(conn); status != 200 {
			t.Fatalf("within the limit: %d, %v", status, err)
		}
	}
	if status, err := ask(dial()); err == nil {
		t.Errorf("beyond the limit: %d", status)
	}
	second.Close()
	for deadline := time.Now().Add(patience); ; { // the proxy sees the end a moment later
		if status, _ := ask(dial()); status == 200 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the place of a closed connection is not given back")
		}
	}
}

// resets are the streams of a flood, more than the 500 after which Envoy looks at how long they lived.
const resets = 3000

// TestRapidReset floods a data plane with streams that are reset as soon as they are opened (CVE-2023-44487): another
// client is served meanwhile, and the backend sees no more of them at once than a connection may have streams.
func TestRapidReset(t *testing.T) {
	var now, most atomic.Int64
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/flood" {
			return
		}
		n := now.Add(1)
		defer now.Add(-1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
		}
		<-r.Context().Done()
	}))
	t.Cleanup(b.Close)
	configure := func(t *testing.T, c *controlPlane, p *plane) {
		c.set(clusterOf("b"), assignment("b", b.Listener.Addr()), listener(t, "http", p.http), routes("http", host("*", forward(prefix("/"), "b"))))
	}
	onEach(t, configure, func(t *testing.T, c *controlPlane, p *plane) {
		most.Store(0)
		flooded := make(chan error, 1)
		go func() { flooded <- flood(p.http) }()
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
		for served := 0; ; served++ {
			r, err := client.Get("http://" + p.http.String() + "/quiet")
			if err != nil {
				t.Fatalf("another client, after %d answers: %v", served, err)
			}
			r.Body.Close()
			select {
			case err := <-flooded:
				if p.name == "envoy" && err == nil {
					t.Error("Envoy took the whole flood")
				}
				t.Logf("%d answers meanwhile; the flood: %v; at most %d at once at the backend", served+1, err, most.Load())
				if n := most.Load(); n > 100 {
					t.Errorf("the backend saw %d requests of the flood at once", n)
				}
				return
			default:
			}
		}
	})
}

// flood opens streams and resets them. Its error is how the proxy ended the connection; nil is that it did not.
func flood(at net.Addr) error {
	conn, err := net.Dial("tcp", at.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	io.WriteString(conn, http2.ClientPreface)
	framer := http2.NewFramer(conn, conn)
	var block bytes.Buffer
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "h.test"}, {":path", "/flood"}} {
		hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	if err := framer.WriteSettings(); err != nil {
		return err
	}
	for i := range uint32(resets) {
		stream := 2*i + 1
		if err := errors.Join(
			framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}),
			framer.WriteRSTStream(stream, http2.ErrCodeCancel),
		); err != nil {
			return err
		}
	}
	// A ping comes back when all that was sent before is dealt with.
	if err := framer.WritePing(false, [8]byte{1}); err != nil {
		return err
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return err
		}
		switch f := frame.(type) {
		case *http2.GoAwayFrame:
			return fmt.Errorf("GOAWAY %v", f.ErrCode)
		case *http2.PingFrame:
			if f.IsAck() {
				return nil
			}
		}
	}
}
