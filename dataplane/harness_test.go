package dataplane_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http/httpguts"

	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/controlplane/casetest/transcript"
	"github.com/postern-gateway/postern/dataplane"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A plane is a data plane under test: it serves what the control plane says on two addresses.
type plane struct {
	name        string
	http, https net.Addr
	log         *transcript.Text
	failures    *failureLog
	stop        func()
	// connectionsMax is for the Go data plane; 0 leaves it to it.
	connectionsMax int
}

type failureLog struct {
	mu    sync.Mutex
	lines []string
	added chan struct{} // capacity 1
}

func (f *failureLog) add(cluster, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines = append(f.lines, cluster+": "+reason)
	select {
	case f.added <- struct{}{}:
	default:
	}
}

func (f *failureLog) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.lines...)
}

// sockets opens the two listeners' sockets.
func sockets(t testing.TB) (plain, secure net.Listener) {
	var out [2]net.Listener
	for i := range out {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		out[i] = l
	}
	return out[0], out[1]
}

// startGo runs the Go data plane against a control plane. configure is called with the plane's addresses before it
// starts, to put up resources; startGo returns when the plane listens.
func startGo(t testing.TB, c *controlPlane, configure func(*plane)) *plane {
	t.Helper()
	plain, secure := sockets(t)
	p := &plane{name: "go", http: plain.Addr(), https: secure.Addr(), log: &transcript.Text{}, failures: &failureLog{added: make(chan struct{}, 1)}}
	configure(p)
	prepared := map[string]net.Listener{plain.Addr().String(): plain, secure.Addr().String(): secure}
	ready, ended := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		ended <- dataplane.Run(ctx, dataplane.Options{
			Target: c.target(), NodeID: "go-1", Cluster: "postern",
			Log:               slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			OnUpstreamFailure: p.failures.add,
			ConnectionsMax:    p.connectionsMax,
			Ready:             func() { close(ready) },
			Listen: func(network, address string) (net.Listener, error) {
				if l := prepared[address]; l != nil {
					delete(prepared, address)
					return l, nil
				}
				return net.Listen(network, address)
			},
		})
	}()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		for _, l := range prepared {
			l.Close()
		}
	})
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Log(p.log.String())
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		t.Fatalf("Run ended: %v", err)
	case <-time.After(patience):
		t.Fatal("not ready in time")
	}
	return p
}

const bootstrap = `{
 "node": {"id": "envoy-1", "cluster": "postern"},
 "dynamic_resources": {
  "ads_config": {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "ads"}}]},
  "lds_config": {"ads": {}, "resource_api_version": "V3"}, "cds_config": {"ads": {}, "resource_api_version": "V3"}},
 "static_resources": {"clusters": [{"name": "ads", "type": "STATIC", "connect_timeout": "1s",
  "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
   "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}},
  "load_assignment": {"cluster_name": "ads", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": %q}}}}]}]}}]}
}`

// startEnvoy runs the Envoy that the variable ENVOY names, in the Go data plane's place.
func startEnvoy(t testing.TB, c *controlPlane, configure func(*plane)) *plane {
	t.Helper()
	plain, secure := sockets(t)
	plain.Close()
	secure.Close()
	p := &plane{name: "envoy", http: plain.Addr(), https: secure.Addr(), log: &transcript.Text{}, failures: &failureLog{}}
	configure(p)
	file := filepath.Join(t.TempDir(), "bootstrap.json")
	if err := os.WriteFile(file, fmt.Appendf(nil, bootstrap, c.path), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(live.NeedEnvoy(t), "-c", file, "--use-dynamic-base-id", "--concurrency", "1", "-l", "warn")
	command.Stdout, command.Stderr = p.log, p.log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	p.stop = sync.OnceFunc(func() {
		command.Process.Kill()
		command.Wait()
	})
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Log(p.log.String())
		}
	})
	c.settled(t)
	for deadline := time.Now().Add(patience); ; { // ACKed is not yet listening
		conn, err := net.Dial("tcp", p.http.String())
		if err == nil {
			conn.Close()
			return p
		}
		if time.Now().After(deadline) {
			t.Fatalf("Envoy does not listen: %v\n%s", err, p.log.String())
		}
	}
}

// onEach runs a test on the Go data plane and on Envoy: both must do the same.
func onEach(t *testing.T, configure func(*testing.T, *controlPlane, *plane), test func(*testing.T, *controlPlane, *plane)) {
	planes := map[string]func(testing.TB, *controlPlane, func(*plane)) *plane{"go": startGo, "envoy": startEnvoy}
	for name, start := range planes {
		t.Run(name, func(t *testing.T) {
			c := newControlPlane(t)
			p := start(t, c, func(p *plane) { configure(t, c, p) })
			test(t, c, p)
		})
	}
}

// backend answers with the request line and headers that it got, lower case and sorted, and with what the request's
// X-Reply-Location and X-Reply-Cookie headers ask for.
func backend(t testing.TB, change ...func(*httptest.Server)) *httptest.Server {
	s := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	for _, f := range change {
		f(s)
	}
	if s.TLS != nil {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func echo(w http.ResponseWriter, r *http.Request) {
	if httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") {
		echoUpgraded(w, r)
		return
	}
	for _, v := range r.Header["X-Reply-Location"] {
		w.Header().Add("Location", v)
	}
	for _, v := range r.Header["X-Reply-Cookie"] {
		w.Header().Add("Set-Cookie", v)
	}
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %s\nhost: %s\n", r.Method, r.RequestURI, r.Proto, r.Host)
	r.Header.Write(w)
	io.WriteString(w, "\n")
	w.Write(body)
}

// echoUpgraded sends back every byte after the switch.
func echoUpgraded(w http.ResponseWriter, r *http.Request) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: Upgrade\r\nContent-Type: text/html\r\nX-Path: %s\r\n\r\n", r.Header.Get("Upgrade"), r.RequestURI)
	io.Copy(conn, buffered)
}

// raw sends bytes and reads the whole answer; the request should ask for the connection to be closed.
func raw(t testing.TB, at net.Addr, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	io.WriteString(conn, request)
	answer, err := io.ReadAll(conn)
	if err != nil && len(answer) == 0 {
		return "no answer: " + err.Error()
	}
	return string(answer)
}

// answer is an HTTP answer taken apart.
type answer struct {
	status int
	header http.Header
	body   string
}

func parse(t testing.TB, text, method string) answer {
	t.Helper()
	r, err := http.ReadResponse(newReader(text), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	body, _ := io.ReadAll(r.Body)
	return answer{r.StatusCode, r.Header, string(body)}
}

// An authority signs certificates for tests.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

func newAuthority(t testing.TB) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, _ := x509.ParseCertificate(der)
	return &authority{certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// sign makes a certificate and key for names, both PEM.
func (a *authority) sign(t testing.TB, names ...string) (chain, key []byte) {
	return a.signFor(t, x509.ExtKeyUsageServerAuth, names...)
}

func (a *authority) signFor(t testing.TB, usage x509.ExtKeyUsage, names ...string) (chain, key []byte) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, DNSNames: names, Subject: pkix.Name{CommonName: strings.Join(names, "+")},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.certificate, &private.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// serving has a backend speak TLS with a certificate for names.
func (a *authority) serving(t testing.TB, names ...string) func(*httptest.Server) {
	chain, key := a.sign(t, names...)
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		t.Fatal(err)
	}
	return func(s *httptest.Server) { s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}} }
}

// closedPort is an address where nothing listens. It stays bound, so that nobody else comes to listen there.
func closedPort(t testing.TB) net.Addr {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(socket) })
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(socket)
	if err != nil {
		t.Fatal(err)
	}
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: bound.(*syscall.SockaddrInet4).Port}
}
