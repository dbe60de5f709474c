package envoyproc_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/dataplane/envoyproc"
	"github.com/postern-gateway/postern/translator/diag"
)

// testWaitMax bounds every wait in these tests.
const testWaitMax = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// harness is a control plane and a real Envoy that is connected to it.
type harness struct {
	t           testing.TB
	config      envoyproc.Config
	http, https *net.TCPAddr
	options     xds.Options
	server      *xds.Server
	stopServer  func()
	nacks       chan xds.NACK
	failures    chan [2]string

	// secured is set where the control plane is reached over TLS.
	secured *securedFolders

	mu       sync.Mutex
	sent     []xds.Sent // guarded by mu
	warnings []string   // of Envoy; guarded by mu
}

func freeAddress(t testing.TB) *net.TCPAddr {
	t.Helper()
	address, err := traffic.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return net.TCPAddrFromAddrPort(address)
}

func newHarness(t testing.TB) *harness {
	t.Helper()
	path := live.NeedEnvoy(t)
	folder, err := os.MkdirTemp("", "postern") // t.TempDir is too long for a socket's path.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	h := &harness{t: t, http: freeAddress(t), https: freeAddress(t), nacks: make(chan xds.NACK, 100), failures: make(chan [2]string, 100)}
	h.config = envoyproc.Config{
		Path: path, Folder: filepath.Join(folder, "envoy"), XDSSocket: filepath.Join(folder, "xds", "ads.sock"),
		NodeID: "test-node", NodeCluster: "test-cluster", Concurrency: 1,
		OnUpstreamFailure: func(cluster, reason string) { h.failures <- [2]string{cluster, reason} },
	}
	h.startServer()
	return h
}

// listen opens the control plane's listener and gives what serves it.
func (h *harness) listen() func(context.Context) error {
	h.t.Helper()
	if h.secured != nil {
		lis := h.secured.listen(h)
		return func(ctx context.Context) error { return h.server.ServeTLS(ctx, lis, h.secured.server) }
	}
	lis, err := xds.ListenUnix(h.config.XDSSocket)
	if err != nil {
		h.t.Fatal(err)
	}
	return func(ctx context.Context) error { return h.server.Serve(ctx, lis) }
}

// startServer starts a new control plane that knows nothing of an earlier one.
func (h *harness) startServer() {
	h.t.Helper()
	serve := h.listen()
	h.options.OnNACK = func(_ string, n xds.NACK) { h.nacks <- n }
	h.options.OnSend = func(_ string, s xds.Sent) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.sent = append(h.sent, s)
	}
	h.server = xds.New(h.options)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx) }()
	h.stopServer = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Error(err)
		}
	})
	h.t.Cleanup(h.stopServer)
}

func (h *harness) restartServer() {
	h.t.Helper()
	h.stopServer()
	h.startServer()
}

// startEnvoy starts Envoy and waits until it is ready.
func (h *harness) startEnvoy() {
	h.t.Helper()
	ready := make(chan struct{})
	h.config.OnReady = func() { close(ready) }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- envoyproc.Run(ctx, h.config, slog.New(warningLog{testLog(h.t).Handler(), h})) }()
	h.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-done:
		done <- nil
		h.t.Fatalf("Envoy ended: %v", err)
	case <-time.After(testWaitMax):
		h.t.Fatal("Envoy is not ready")
	}
}

// testLog writes to the test's log, also from goroutines that end with the test's cleanup.
func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// warningLog notes what Envoy warns of.
type warningLog struct {
	slog.Handler
	h *harness
}

func (l warningLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		l.h.mu.Lock()
		defer l.h.mu.Unlock()
		text := r.Message
		r.Attrs(func(a slog.Attr) bool {
			text += " " + a.String()
			return true
		})
		l.h.warnings = append(l.h.warnings, text)
	}
	return l.Handler.Handle(ctx, r)
}

func (h *harness) publish(onDemand func(string) proto.Message, resources ...[]xds.Resource) xds.Revision {
	h.t.Helper()
	snap, err := xds.NewSnapshot(slices.Concat(resources...), func(name string) (proto.Message, []diag.Origin) {
		if onDemand == nil {
			return nil, nil
		}
		return onDemand(name), nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	if errs := snap.Check(); errs != nil {
		h.t.Fatal(errors.Join(errs...))
	}
	return h.server.Publish(snap)
}

func (h *harness) wait(rev xds.Revision) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testWaitMax)
	defer cancel()
	if err := errors.Join(h.server.WaitConnected(ctx, 1), h.server.Wait(ctx, rev)); err != nil {
		h.t.Fatalf("wait for revision %d: %v; %+v", rev, err, h.server.Proxies())
	}
}

func (h *harness) stats() map[string]uint64 {
	h.t.Helper()
	stats, err := h.config.Stats(context.Background())
	if err != nil {
		h.t.Fatal(err)
	}
	return stats
}

// takeSent returns what was sent since the last call, without empty responses.
func (h *harness) takeSent() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for _, s := range h.sent {
		word := s.TypeURL[strings.LastIndexByte(s.TypeURL, '.')+1:]
		for _, name := range s.Resources {
			out = append(out, word+" "+name)
		}
		for _, name := range s.Removed {
			out = append(out, word+" -"+name)
		}
	}
	h.sent = nil
	return out
}

// backendServer answers every request with its name.
func backendServer(t testing.TB, name string) *net.TCPAddr {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, name) }))
	t.Cleanup(server.Close)
	return server.Listener.Addr().(*net.TCPAddr)
}

// tlsBackend is a server whose certificate nobody trusts.
func tlsBackend(t testing.TB) *net.TCPAddr {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // Refused handshakes are the point.
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().(*net.TCPAddr)
}

// connection is one client connection, kept open.
type connection struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func (h *harness) dial() *connection {
	h.t.Helper()
	conn, err := net.DialTimeout("tcp", h.http.String(), testWaitMax)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	return &connection{t: h.t, conn: conn, r: bufio.NewReader(conn)}
}

// get asks for / of a host and returns status, body (of a 200) and the header x-script.
func (c *connection) get(host string) string {
	c.t.Helper()
	if err := c.conn.SetDeadline(time.Now().Add(testWaitMax)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(c.conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host); err != nil {
		c.t.Fatal(err)
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		body = nil // Envoy's own words.
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s %s", resp.StatusCode, body, resp.Header.Get("X-Script")))
}

// eventually asks until the answer is want: a worker may see a change a moment after the main thread has accepted it.
func (c *connection) eventually(host, want string) {
	c.t.Helper()
	deadline := time.Now().Add(testWaitMax)
	for {
		got := c.get(host)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("GET %s: got %q, want %q", host, got, want)
		}
	}
}

// handshake returns the name in the certificate that Envoy shows for an SNI.
func (h *harness) handshake(sni string) (string, error) {
	h.t.Helper()
	raw, err := net.DialTimeout("tcp", h.https.String(), testWaitMax)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	if err := raw.SetDeadline(time.Now().Add(testWaitMax)); err != nil {
		h.t.Fatal(err)
	}
	conn := tls.Client(raw, &tls.Config{ServerName: sni, InsecureSkipVerify: true})
	if err := conn.Handshake(); err != nil {
		return "", err
	}
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}
