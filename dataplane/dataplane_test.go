package dataplane_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/postern-gateway/postern/dataplane"
	"github.com/postern-gateway/postern/dataplane/config"
)

// shake does a TLS handshake and gives the names of the server's certificate.
func shake(t testing.TB, at net.Addr, trust *authority, sni string) ([]string, error) {
	t.Helper()
	dialer := &net.Dialer{Timeout: patience}
	conn, err := tls.DialWithDialer(dialer, "tcp", at.String(), &tls.Config{
		ServerName: sni, InsecureSkipVerify: true, RootCAs: trust.pool(), NextProtos: []string{"h2", "http/1.1"},
	})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].DNSNames, nil
}

func TestCertificatesOnDemand(t *testing.T) {
	ca := newAuthority(t)
	one, oneKey := ca.sign(t, "one.test")
	other, otherKey := ca.sign(t, "default.test")
	configure := func(t *testing.T, c *controlPlane, p *plane) {
		b := backend(t)
		c.set(clusterOf("echo"), assignment("echo", b.Listener.Addr()),
			routes("http", host("*", forward(prefix("/"), "echo"))), routes("https", host("*", forward(prefix("/"), "echo"))),
			listener(t, "http", p.http), listener(t, "https", p.https),
			certificateSecret("one.test", one, oneKey), certificateSecret("default", other, otherKey))
	}
	onEach(t, configure, func(t *testing.T, c *controlPlane, p *plane) {
		expect := func(sni, want string) {
			t.Helper()
			names, err := shake(t, p.https, ca, sni)
			if got := strings.Join(names, ","); got != want {
				t.Errorf("SNI %q: certificate of %q (%v), want %q", sni, got, err, want)
			}
		}
		expect("one.test", "one.test")
		expect("", "default.test")
		// becomes is expect for a change: Envoy accepts it on its main thread, and the workers follow.
		becomes := func(sni, want string) {
			t.Helper()
			for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
				if names, _ := shake(t, p.https, ca, sni); strings.Join(names, ",") == want {
					return
				}
			}
			expect(sni, want)
		}
		began := time.Now()
		expect("unknown.test", "")
		expect("ONE.test", "") // asked for in the client's spelling, and there is nothing of that name
		if time.Since(began) > patience/4 {
			t.Errorf("names for which there is nothing took %v to fail", time.Since(began))
		}
		c.set(certificateSecret("unknown.test", one, oneKey)) // from now on there is one
		expect("unknown.test", "one.test")
		two, twoKey := ca.sign(t, "two.test")
		c.set(certificateSecret("one.test", two, twoKey)) // renewed
		c.secret(t, "one.test")
		becomes("one.test", "two.test")
		c.remove(config.SecretType, "one.test") // taken back
		c.await(t, "the name to be given up", func() bool {
			for s := range c.streams {
				if len(s.waiting) > 0 {
					return false
				}
			}
			return true
		})
		expect("one.test", "")
		checkTLSRequest(t, p.https, ca)
	})
}

// checkTLSRequest asks over HTTP/2 and over HTTP/1.1.
func checkTLSRequest(t *testing.T, at net.Addr, ca *authority) {
	for _, http2 := range []bool{true, false} {
		transport := &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: ca.pool(), ServerName: "default.test", InsecureSkipVerify: true},
			ForceAttemptHTTP2: http2,
		}
		transport.TLSClientConfig.ServerName = ""
		r, err := (&http.Client{Transport: transport}).Get("https://" + at.String() + "/a%2e/b")
		if err != nil {
			t.Errorf("over TLS: %v", err)
			continue
		}
		body, _ := io.ReadAll(r.Body)
		r.Body.Close()
		transport.CloseIdleConnections()
		if r.ProtoAtLeast(2, 0) != http2 || !strings.HasPrefix(string(body), "GET /a./b HTTP/1.1\n") || !strings.Contains(string(body), "X-Forwarded-Proto: https\r\n") {
			t.Errorf("over TLS: %s, %s", r.Proto, body)
		}
	}
}

func TestUpstreamTLS(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	configure := func(t *testing.T, c *controlPlane, p *plane) {
		good := backend(t, ca.serving(t, "svc.ns.svc", "svc"))
		foreign := backend(t, stranger.serving(t, "svc.ns.svc"))
		misnamed := backend(t, ca.serving(t, "elsewhere.test"))
		wild := backend(t, ca.serving(t, "*.ns.svc"))
		plain := backend(t)
		for name, change := range map[string]struct {
			to     *httptest.Server
			verify []string
		}{
			"good": {good, []string{"svc.ns.svc", "x.test"}}, "foreign": {foreign, []string{"svc.ns.svc"}},
			"misnamed": {misnamed, []string{"svc.ns.svc"}}, "skipped": {foreign, nil}, "plain": {plain, []string{"svc.ns.svc"}},
			"wild": {wild, []string{"svc.ns.svc"}}, "case": {good, []string{"SVC.ns.svc"}}, "deep": {wild, []string{"a.svc.ns.svc"}},
		} {
			c.set(clusterOf(name, overTLS("svc.ns.svc", change.verify...)), assignment(name, change.to.Listener.Addr()))
		}
		h := host("*")
		for _, name := range []string{"good", "foreign", "misnamed", "skipped", "plain", "wild", "case", "deep"} {
			h.Routes = append(h.Routes, forward(prefix("/"+name), name))
		}
		c.set(trustSecret(ca.pem), routes("http", h), listener(t, "http", p.http))
	}
	onEach(t, configure, func(t *testing.T, c *controlPlane, p *plane) {
		for path, want := range map[string]int{"/good": 200, "/foreign": 503, "/misnamed": 503, "/skipped": 200, "/plain": 503, "/wild": 200, "/case": 200, "/deep": 503} {
			a := parse(t, raw(t, p.http, render("GET "+path+"|Host: h.test")), "GET")
			if a.status != want {
				t.Errorf("%s: %d, want %d", path, a.status, want)
			}
			if want == 503 && a.body != "503\n" {
				t.Errorf("%s: the client reads %q", path, a.body)
			}
		}
		if p.name != "go" {
			return
		}
		for _, want := range []string{
			"foreign: the endpoint's certificate is not signed by a trusted authority",
			`misnamed: TLS: the certificate is for ["elsewhere.test"], not for any of ["svc.ns.svc"]`,
			"plain: the endpoint does not speak TLS",
		} {
			if got := p.failures.all(); !strings.Contains(strings.Join(got, "\n"), want) {
				t.Errorf("no failure %q among %q", want, got)
			}
		}
		if n := len(p.failures.all()); n != 4 {
			t.Errorf("%d failures reported, want 4: %q", n, p.failures.all())
		}
	})
}

func TestWebSocketAndH2C(t *testing.T) {
	configure := func(t *testing.T, c *controlPlane, p *plane) {
		b := backend(t)
		two := backend(t, func(s *httptest.Server) {
			s.Config.Protocols = new(http.Protocols)
			s.Config.Protocols.SetUnencryptedHTTP2(true)
		})
		c.set(clusterOf("echo"), assignment("echo", b.Listener.Addr()), clusterOf("two", h2c), assignment("two", two.Listener.Addr()),
			routes("http", host("*",
				underPrefix(forward(prefix("/k8s/"), "echo", rewriteTo("/")), "/k8s"),
				forward(prefix("/two"), "two"), forward(prefix("/"), "echo"))), listener(t, "http", p.http))
	}
	onEach(t, configure, func(t *testing.T, c *controlPlane, p *plane) {
		a := parse(t, raw(t, p.http, render("POST /two/a%20b?|Host: h.test|Content-Length: 3")), "POST")
		checkAnswer(t, "h2c", a, 200, "POST /two/a%20b? HTTP/2.0|host: h.test|X-Forwarded-For: 127.0.0.1")

		conn, err := net.Dial("tcp", p.http.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(conn, "GET /k8s/ws?a=b HTTP/1.1\r\nHost: h.test\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n")
		reader := bufio.NewReader(conn)
		r, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.StatusCode != 101 || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || r.Header.Get("X-Path") != "/ws?a=b" {
			t.Fatalf("%s %v", r.Status, r.Header)
		}
		for i := range 3 { // one frame at a time: nothing may be held back
			line := fmt.Sprintf("frame %d\n", i)
			io.WriteString(conn, line)
			if back, err := reader.ReadString('\n'); back != line {
				t.Fatalf("%q came back as %q: %v", line, back, err)
			}
		}
		p.stop() // ends with the connection still open
		if _, err := reader.ReadByte(); err == nil {
			t.Error("the upgraded connection outlived the proxy")
		}
	})
}

// watchedConn counts the connections that the other side closes.
type watchedConn struct {
	net.Conn
	closed *atomic.Int64
}

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, io.EOF) {
		c.closed.Add(1)
	}
	return n, err
}

// TestEditUnderLoad changes routes, endpoints, clusters and the listener while keep-alive connections are busy.
func TestEditUnderLoad(t *testing.T) {
	c := newControlPlane(t)
	one, two := backend(t), backend(t)
	p := startGo(t, c, func(p *plane) {
		c.set(clusterOf("one"), assignment("one", one.Listener.Addr()), clusterOf("two"), assignment("two", two.Listener.Addr()),
			routes("http", host("*", forward(prefix("/"), "one", rewriteTo("/v0/")))), listener(t, "http", p.http))
	})
	const workers, edits = 8, 60
	var requests, failed, closed atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	var load sync.WaitGroup
	latest := make([]atomic.Int64, workers)
	for worker := range workers {
		load.Go(func() {
			transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
				return &watchedConn{conn, &closed}, err
			}}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: patience}
			for ctx.Err() == nil {
				r, err := client.Post("http://"+p.http.String()+"/x", "text/plain", strings.NewReader("body"))
				requests.Add(1)
				if err != nil {
					failed.Add(1)
					t.Errorf("request: %v", err)
					return
				}
				body, _ := io.ReadAll(r.Body)
				r.Body.Close()
				var version int64
				if n, _ := fmt.Sscanf(string(body), "POST /v%d/x HTTP/1.1", &version); r.StatusCode != 200 || n != 1 {
					failed.Add(1)
					t.Errorf("status %d, body %q", r.StatusCode, body)
				}
				if old := latest[worker].Swap(version); old > version {
					t.Errorf("a connection saw route %d after %d", version, old)
				}
			}
		})
	}
	for edit := range edits {
		cluster := []string{"one", "two"}[edit%2]
		c.set(clusterOf(cluster, func(k *clusterProto, _ *explicitProto) { k.ConnectTimeout.Seconds = int64(2 + edit) }),
			assignment("one", one.Listener.Addr(), two.Listener.Addr()))
		c.settled(t)
		l := listener(t, "http", p.http)
		m := manager(t, "http", false)
		m.MaxRequestHeadersKb = wrapperspb.UInt32(uint32(60 + edit%3)) // a new server behind the same socket
		l.FilterChains[0].Filters[0].ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: typed(m)}
		c.set(routes("http", host("*", forward(prefix("/"), cluster, rewriteTo(fmt.Sprintf("/v%d/", edit+1))))), l)
		c.settled(t)
	}
	for worker := range workers { // every connection sees the last edit
		for deadline := time.Now().Add(patience); latest[worker].Load() != edits && time.Now().Before(deadline) && !t.Failed(); {
			raw(t, p.http, render("GET /|Host: h.test"))
		}
		if got := latest[worker].Load(); got != edits {
			t.Errorf("worker %d still sees edit %d of %d", worker, got, edits)
		}
	}
	cancel()
	load.Wait()
	t.Logf("%d requests, %d failed", requests.Load(), failed.Load())
	if closed.Load() != 0 {
		t.Errorf("the edits closed %d connections", closed.Load())
	}
}

func TestRefusal(t *testing.T) {
	c := newControlPlane(t)
	b := backend(t)
	p := startGo(t, c, func(p *plane) {
		c.set(clusterOf("echo"), assignment("echo", b.Listener.Addr()), listener(t, "http", p.http),
			routes("http", host("*", forward(prefix("/"), "echo", rewriteTo("/good/")))))
	})
	serves := func(want string) {
		t.Helper()
		checkAnswer(t, "after a refusal", parse(t, raw(t, p.http, render("GET /x|Host: h.test")), "GET"), 200, want)
	}
	bad := forward(prefix("/"), "echo", rewriteTo("/bad/"))
	bad.GetRoute().AppendXForwardedHost = true
	c.set(routes("http", host("*", bad)))
	c.refused(t, `route configuration "http": virtual_hosts[0].routes[0].route.append_x_forwarded_host: not supported by the Go data plane`)
	serves("GET /good/x HTTP/1.1")

	l := listener(t, "http", p.http)
	m := manager(t, "http", false)
	m.Via = "postern"
	l.FilterChains[0].Filters[0].ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: typed(m)}
	c.set(l)
	c.refused(t, `listener "http": filter_chains[0].filters[0].typed_config.HttpConnectionManager.via: not supported by the Go data plane`)
	serves("GET /good/x HTTP/1.1")

	// One bad cluster among good ones: the good are in force, the bad is named, and the whole response is refused.
	worse := clusterOf("worse")
	worse.AltStatName, worse.ConnectionPoolPerDownstreamConnection = "fine", true
	c.set(worse, clusterOf("better"), assignment("better", b.Listener.Addr()), listener(t, "http", p.http),
		routes("http", host("*", forward(prefix("/"), "better", rewriteTo("/better/")))))
	c.refused(t, `cluster "worse": connection_pool_per_downstream_connection: not supported by the Go data plane`)
	c.await(t, "the new routes", func() bool {
		for s := range c.streams {
			return s.acked[config.RouteType]["http"] == c.resources[config.RouteType]["http"].Version &&
				s.acked[config.EndpointType]["better"] != ""
		}
		return false
	})
	serves("GET /better/x HTTP/1.1")
}

// TestControlPlaneAway cuts the stream: requests and known names are still served, and the next stream is told what is
// held, so that nothing is sent twice.
func TestControlPlaneAway(t *testing.T) {
	ca := newAuthority(t)
	chain, key := ca.sign(t, "one.test")
	c := newControlPlane(t)
	b := backend(t)
	p := startGo(t, c, func(p *plane) {
		c.set(clusterOf("echo"), assignment("echo", b.Listener.Addr()), listener(t, "http", p.http), listener(t, "https", p.https),
			routes("http", host("*", forward(prefix("/"), "echo"))), routes("https", host("*", forward(prefix("/"), "echo"))),
			certificateSecret("one.test", chain, key))
	})
	if _, err := shake(t, p.https, ca, "one.test"); err != nil {
		t.Fatal(err)
	}
	c.stop()
	c.await(t, "the stream to end", func() bool { return len(c.streams) == 0 })
	checkAnswer(t, "while away", parse(t, raw(t, p.http, render("GET /x|Host: h.test")), "GET"), 200, "GET /x HTTP/1.1")
	if _, err := shake(t, p.https, ca, "one.test"); err != nil {
		t.Errorf("a known name while away: %v", err)
	}
	c.mu.Lock()
	clear(c.initial)
	before := c.nonce
	c.mu.Unlock()
	c.start(t)
	c.settled(t)
	c.await(t, "every type on the new stream", func() bool { return len(c.initial) == 5 })
	c.mu.Lock()
	if c.initial[config.SecretType]["one.test"] == "" || c.initial[config.ListenerType]["https"] == "" || c.initial[config.EndpointType]["echo"] == "" {
		t.Errorf("versions told to the new stream: %v", c.initial)
	}
	if c.nonce != before {
		t.Errorf("%d responses were sent anew", c.nonce-before)
	}
	c.mu.Unlock()
	c.set(routes("http", host("*", forward(prefix("/"), "echo", rewriteTo("/after/")))))
	c.settled(t)
	checkAnswer(t, "after", parse(t, raw(t, p.http, render("GET /x|Host: h.test")), "GET"), 200, "GET /after/x HTTP/1.1")
}

// TestRetry: one of two endpoints is down. With a retry policy no request fails, whatever its method, and a body that
// has not been taken goes to the other.
func TestRetry(t *testing.T) {
	configure := func(t *testing.T, c *controlPlane, p *plane) {
		b := backend(t)
		c.set(clusterOf("echo"), assignment("echo", closedPort(t), b.Listener.Addr()), listener(t, "http", p.http),
			routes("http", host("*", forward(prefix("/"), "echo"))))
	}
	onEach(t, configure, func(t *testing.T, c *controlPlane, p *plane) {
		for range 6 {
			a := parse(t, raw(t, p.http, render("POST /x|Host: h.test|Content-Length: 3")), "POST")
			checkAnswer(t, "retry", a, 200, "POST /x HTTP/1.1|abc")
		}
	})
}

// TestKeepAliveAfterFailure: an answer that does not wait for the request's body leaves the connection in order.
func TestKeepAliveAfterFailure(t *testing.T) {
	configure := func(t *testing.T, c *controlPlane, p *plane) {
		b := backend(t)
		c.set(clusterOf("echo"), assignment("echo", b.Listener.Addr()), clusterOf("dead"), assignment("dead", closedPort(t)),
			listener(t, "http", p.http),
			routes("http", host("*", forward(prefix("/dead"), "dead"), direct(prefix("/closed"), 503), forward(prefix("/"), "echo"))))
	}
	onEach(t, configure, func(t *testing.T, c *controlPlane, p *plane) {
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport, Timeout: patience}
		for i := range 40 {
			path, want := []string{"/dead", "/x", "/closed", "/y"}[i%4], []int{503, 200, 503, 200}[i%4]
			body := strings.Repeat("b", []int{3, 100_000}[i/4%2])
			if path == "/dead" {
				body = "bbb" // Envoy answers 507 to one that its buffer for a second try does not hold
			}
			r, err := client.Post("http://"+p.http.String()+path, "text/plain", strings.NewReader(body))
			if err != nil {
				t.Fatalf("%d %s: %v", i, path, err)
			}
			got, err := io.ReadAll(r.Body)
			r.Body.Close()
			if err != nil || r.StatusCode != want || want == 200 && !strings.HasSuffix(string(got), body) {
				t.Errorf("%d %s: status %d, %d bytes, %v", i, path, r.StatusCode, len(got), err)
			}
		}
	})
}

// TestStreaming: what a backend sends goes on at once, and so does what a client sends, both at the same time.
func TestStreaming(t *testing.T) {
	turns := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		control.EnableFullDuplex()
		w.WriteHeader(200)
		control.Flush()
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			fmt.Fprintf(w, "got %s\n", lines.Text())
			control.Flush()
		}
	}))
	t.Cleanup(turns.Close)
	configure := func(t *testing.T, c *controlPlane, p *plane) {
		c.set(clusterOf("turns"), assignment("turns", turns.Listener.Addr()), listener(t, "http", p.http),
			routes("http", host("*", forward(prefix("/"), "turns"))))
	}
	onEach(t, configure, func(t *testing.T, c *controlPlane, p *plane) {
		body, in := io.Pipe()
		request, _ := http.NewRequest("POST", "http://"+p.http.String()+"/", body)
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		r, err := (&http.Client{Transport: transport, Timeout: patience}).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if got, typed := r.Header["Content-Type"]; typed {
			t.Errorf("Content-Type %q was made up", got)
		}
		answers := bufio.NewReader(r.Body)
		for i := range 3 {
			fmt.Fprintf(in, "line %d\n", i)
			if got, err := answers.ReadString('\n'); got != fmt.Sprintf("got line %d\n", i) {
				t.Fatalf("%q: %v", got, err)
			}
		}
		in.Close()
		if rest, err := io.ReadAll(answers); len(rest) > 0 || err != nil {
			t.Errorf("after the end: %q, %v", rest, err)
		}
	})
}

func TestRunFails(t *testing.T) {
	if err := dataplane.Run(t.Context(), dataplane.Options{Target: "unix:///nowhere", NodeID: "x"}); err == nil {
		t.Error("no error without a cluster name")
	}
	taken, free := sockets(t)
	defer taken.Close()
	free.Close()
	c := newControlPlane(t)
	c.set(clusterOf("echo"), assignment("echo"), routes("http", host("*", forward(prefix("/"), "echo"))), listener(t, "http", taken.Addr()))
	err := dataplane.Run(t.Context(), dataplane.Options{Target: c.target(), NodeID: "x", Cluster: "y"})
	var taking *net.OpError
	if !errors.As(err, &taking) || !strings.Contains(err.Error(), `listener "http"`) {
		t.Errorf("an address that is taken: %v", err)
	}
}
