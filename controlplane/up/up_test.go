package up

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/controlplane/xds"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// waitMax is a hang limit, not a measure.
const waitMax = 60 * time.Second

// editsUnderLoad is how many edits are made while requests run.
const editsUnderLoad = 20

// eachDataPlane runs a test on both; without an Envoy that part is skipped, in CI it fails.
func eachDataPlane(t *testing.T, test func(t *testing.T, dataPlane string)) {
	t.Run(DataPlaneGo, func(t *testing.T) { test(t, DataPlaneGo) })
	t.Run(DataPlaneEnvoy, func(t *testing.T) {
		live.NeedEnvoy(t)
		test(t, DataPlaneEnvoy)
	})
}

// gateway is a running up with a folder of its own.
type gateway struct {
	t           *testing.T
	dir         string
	dns         []string
	http, https string
	// output is Config.Output.
	output   string
	live     chan xds.Revision
	out, err *lockedBuffer
	end      context.CancelFunc
	done     chan error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
	// more is sent to, where it is not full, when something was written; it may be nil.
	more chan struct{}
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (g *gateway) write(name, text string) {
	g.t.Helper()
	// As editors do: the file is whole or not there.
	temporary := filepath.Join(g.dir, "."+name)
	if err := os.WriteFile(temporary, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
	if err := os.Rename(temporary, filepath.Join(g.dir, name)); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gateway) waitLive() {
	g.t.Helper()
	select {
	case <-g.live:
	case <-time.After(waitMax):
		g.t.Fatalf("the edit is not live; out:\n%s\nerr:\n%s", g.out, g.err)
	}
}

func newGateway(t *testing.T, files map[string]string) *gateway {
	g := &gateway{t: t, dir: t.TempDir(), live: make(chan xds.Revision, 1000), out: &lockedBuffer{more: make(chan struct{}, 1)}, err: &lockedBuffer{}, done: make(chan error, 1)}
	g.http, g.https = traffic.Entries(t)
	for name, text := range files {
		g.write(name, text)
	}
	return g
}

func (g *gateway) config(dataPlane string, change func(*options.Options)) Config {
	var o options.Options
	o.Register(pflag.NewFlagSet("up", pflag.ContinueOnError))
	o.HTTP, o.HTTPS = g.http, g.https
	if change != nil {
		change(&o)
	}
	return Config{
		Paths: []string{g.dir}, DNSServers: g.dns, Options: o, DataPlane: dataPlane, Stdin: strings.NewReader(""),
		Output: g.output, Out: g.out, Err: g.err,
		OnLive: func(r xds.Revision) { g.live <- r },
	}
}

// start runs it and returns when it serves; the test's end ends it, and that must be clean.
func (g *gateway) start(dataPlane string, change func(*options.Options)) {
	g.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	g.end = cancel
	ready := make(chan struct{})
	config := g.config(dataPlane, change)
	config.OnReady = func() { close(ready) }
	go func() { g.done <- Run(ctx, config) }()
	g.t.Cleanup(func() {
		cancel()
		if err := <-g.done; err != nil {
			g.t.Errorf("up ends with %v; err:\n%s", err, g.err)
		}
	})
	select {
	case <-ready:
	case err := <-g.done:
		g.done <- nil
		g.t.Fatalf("up ends at its start: %v; err:\n%s", err, g.err)
	case <-time.After(waitMax):
		g.t.Fatalf("up is not ready; err:\n%s", g.err)
	}
}

func backend(t *testing.T, name string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func ingress(name, host, path, service, address string) string {
	at := netip.MustParseAddrPort(address)
	return fmt.Sprintf(`{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: %[1]s}, spec: {rules: [{host: %[2]s, http: {paths: [{path: %[3]s, pathType: Prefix, backend: {service: {name: %[4]s, port: {number: 80}}}}]}}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: %[4]s}, spec: {ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %[4]s-1, labels: {kubernetes.io/service-name: %[4]s}}, addressType: IPv4, endpoints: [{addresses: [%[5]s]}], ports: [{port: %[6]d}]}
`, name, host, path, service, at.Addr(), at.Port())
}

// client keeps one connection.
func client(t *testing.T) *http.Client {
	transport := &http.Transport{MaxConnsPerHost: 1, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: waitMax}
}

func ask(c *http.Client, address, host, path string) (int, string, error) {
	r, err := http.NewRequest(http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return 0, "", err
	}
	r.Host = host
	response, err := c.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

func (g *gateway) want(c *http.Client, host, path string, status int, body string) {
	g.t.Helper()
	got, text, err := ask(c, g.http, host, path)
	if err != nil || got != status || body != "" && text != body {
		g.t.Errorf("GET http://%s%s: %d %q, %v; want %d %q; err:\n%s", host, path, got, text, err, status, body, g.err)
	}
}

// TestEditsUnderLoad: edits are live with no restart and no failed request, on connections from before too.
func TestEditsUnderLoad(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, dataPlane string) {
		one, two := backend(t, "one"), backend(t, "two")
		g := newGateway(t, map[string]string{
			"steady.yaml": ingress("steady", "steady.test", "/", "steady", one),
			"edited.yaml": ingress("edited", "edited.test", "/", "edited", one),
		})
		g.start(dataPlane, nil)
		before := client(t)
		g.want(before, "edited.test", "/", 200, "one")
		g.want(before, "edited.test", "/two", 200, "one")
		end := g.underLoad("steady.test", "edited.test")
		for i := range editsUnderLoad {
			address, want := two, "two"
			if i%2 == 1 {
				address, want = one, "one"
			}
			g.write("edited.yaml", ingress("edited", "edited.test", "/", fmt.Sprintf("edited-%d", i%4), address))
			g.waitLive()
			g.eventually(before, "edited.test", "/", want)
		}
		t.Logf("%d requests during %d edits", end(), editsUnderLoad)
	})
}

// underLoad asks hosts, on one connection, until end is called, which gives the number of requests. None may fail.
func (g *gateway) underLoad(hosts ...string) (end func() int64) {
	return g.underLoadBy(client(g.t), hosts...)
}

func (g *gateway) underLoadBy(loader *http.Client, hosts ...string) (end func() int64) {
	load := traffic.Start(traffic.Client{Kind: "request while edits are made", Restless: true, Ask: func() error {
		for _, host := range hosts {
			if status, _, err := ask(loader, g.http, host, "/"); err != nil || status != 200 {
				return fmt.Errorf("%s: %d, %v", host, status, err)
			}
		}
		return nil
	}})
	return func() int64 {
		g.t.Helper()
		report := load.Stop()
		report.Check(g.t, 1)
		return report.Total()
	}
}

// eventually allows for the moment that Envoy's worker threads take after its main thread has accepted a revision.
func (g *gateway) eventually(c *http.Client, host, path, body string) {
	g.t.Helper()
	for deadline := time.Now().Add(waitMax); time.Now().Before(deadline); {
		if status, got, err := ask(c, g.http, host, path); err == nil && status == 200 && got == body {
			return
		}
	}
	g.t.Fatalf("GET http://%s%s never answers %q", host, path, body)
}

// TestLastGood: a file that does not parse keeps serving what it held, others stay live, and a deleted one is gone.
func TestLastGood(t *testing.T) {
	one := backend(t, "one")
	g := newGateway(t, map[string]string{
		"a.yaml": ingress("a", "a.test", "/", "a", one),
		"b.yaml": ingress("b", "b.test", "/", "b", one),
	})
	g.start(DataPlaneGo, nil)
	c := client(t)
	g.write("a.yaml", "kind: [")
	g.write("b.yaml", ingress("b", "c.test", "/", "b", one))
	g.waitLive()
	g.want(c, "a.test", "/", 200, "one")
	g.eventually(c, "c.test", "/", "one")
	g.want(c, "b.test", "/", 404, "")
	if err := os.Remove(filepath.Join(g.dir, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	g.waitLive()
	g.want(c, "c.test", "/", 404, "")
	g.want(c, "a.test", "/", 200, "one")
	if !strings.Contains(g.err.String(), "a.yaml:1") {
		t.Errorf("the broken file is not named with its line:\n%s", g.err)
	}
}

// TestCertificateFolder: the default certificate is read again when it changes.
func TestCertificateFolder(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, dataPlane string) {
		dir := t.TempDir()
		first := writeCertificate(t, dir)
		g := newGateway(t, map[string]string{"a.yaml": ingress("a", "a.test", "/", "a", backend(t, "one"))})
		g.start(dataPlane, func(o *options.Options) { o.TLSCertDir = dir })
		if got := g.served(); !bytes.Equal(got, first) {
			t.Error("another certificate than that of the folder is served")
		}
		second := writeCertificate(t, dir)
		g.waitLive()
		for deadline := time.Now().Add(waitMax); !bytes.Equal(g.served(), second); {
			if time.Now().After(deadline) {
				t.Fatal("the changed certificate is never served")
			}
		}
	})
}

// writeCertificate writes a new pair and gives the certificate's bytes.
func writeCertificate(t *testing.T, dir string) []byte {
	t.Helper()
	c, err := options.SelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"tls.crt": c.Chain, "tls.key": c.Key} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.X509KeyPair(c.Chain, c.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pair.Certificate[0]
}

// served is the certificate that a handshake without SNI gets.
func (g *gateway) served() []byte {
	g.t.Helper()
	conn, err := tls.Dial("tcp", g.https, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Raw
}

// TestUpstreamFailure: the operator reads which backend failed and why, and the two ways out; the client does not.
func TestUpstreamFailure(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, dataPlane string) {
		s := httptest.NewTLSServer(http.NotFoundHandler())
		t.Cleanup(s.Close)
		s.Config.ErrorLog = nil
		text := strings.Replace(ingress("a", "a.test", "/", "a", s.Listener.Addr().String()),
			"{port: 80}", "{port: 80, appProtocol: https}", 1)
		g := newGateway(t, map[string]string{"a.yaml": text})
		g.start(dataPlane, nil)
		c := client(t)
		status, body, err := ask(c, g.http, "a.test", "/")
		if err != nil || status != 503 || strings.TrimSpace(body) != "503" {
			t.Errorf("%d %q, %v; want a plain 503", status, body, err)
		}
		for _, want := range []string{"default/a/80/https", "--upstream-ca", "--upstream-insecure-skip-verify"} {
			for deadline := time.Now().Add(waitMax); !strings.Contains(g.err.String(), want); {
				if time.Now().After(deadline) {
					t.Fatalf("the operator does not read %s:\n%s", want, g.err)
				}
			}
		}
	})
}

// TestStartErrors: what keeps up from serving is one plain sentence.
func TestStartErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	also, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := also.Addr().String()
	also.Close()
	good := ingress("a", "a.test", "/", "a", "127.0.0.1:1")
	for name, c := range map[string]struct {
		files     map[string]string
		dataPlane string
		change    func(*options.Options)
		want      string
	}{
		"broken file": {map[string]string{"a.yaml": good, "b.yaml": "kind: Ingress\nspec: [\n"}, DataPlaneGo, nil, "b.yaml:"},
		"taken port":  {map[string]string{"a.yaml": good}, DataPlaneGo, func(o *options.Options) { o.HTTP = taken.Addr().String() }, "address already in use"},
		"one port":    {map[string]string{"a.yaml": good}, DataPlaneGo, func(o *options.Options) { o.HTTP, o.HTTPS = free, free }, "--https " + free + " cannot be listened on"},
		"data plane":  {map[string]string{"a.yaml": good}, "nginx", nil, "write go or envoy"},
		"no envoy":    {map[string]string{"a.yaml": good}, DataPlaneEnvoy, nil, "no-such-envoy"},
		"selector":    {map[string]string{"a.yaml": good}, DataPlaneGo, func(o *options.Options) { o.IngressSelector = "a b" }, "--ingress-selector"},
		"no folder":   {map[string]string{"a.yaml": good}, DataPlaneGo, func(o *options.Options) { o.TLSCertDir = "/no/such/folder" }, "--tls-cert-dir"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, c.files)
			config := g.config(c.dataPlane, c.change)
			if name == "no envoy" {
				config.EnvoyPath = "/no-such-envoy"
			}
			ctx, cancel := context.WithTimeout(context.Background(), waitMax)
			defer cancel()
			err := Run(ctx, config)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want one with %q", err, c.want)
			}
		})
	}
}

// TestInspectTakesAnEntry: pages on an entry's port, whichever of its addresses they are on, are found before anything is
// said to be served.
func TestInspectTakesAnEntry(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "0.0.0.0"} {
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at := taken.Addr().(*net.TCPAddr)
		taken.Close()
		g := newGateway(t, map[string]string{"a.yaml": ingress("a", "a.test", "/", "a", "127.0.0.1:1")})
		config := g.config(DataPlaneGo, func(o *options.Options) { o.HTTPS = fmt.Sprintf("%s:%d", host, at.Port) })
		config.Inspect.Address = at.String()
		ctx, cancel := context.WithTimeout(context.Background(), waitMax)
		err = Run(ctx, config)
		cancel()
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("--inspect has its port %d", at.Port)) || strings.Contains(g.out.String()+g.err.String(), "looked at") {
			t.Errorf("%s: %v\n%s%s", host, err, g.out, g.err)
		}
	}
}

// TestNamesThatAreNoHosts: an SNI that is no host name is refused before it can be asked for as a secret.
func TestNamesThatAreNoHosts(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, dataPlane string) {
		g := newGateway(t, map[string]string{"a.yaml": ingress("a", "a.test", "/", "a", backend(t, "one"))})
		g.start(dataPlane, nil)
		for sni, served := range map[string]bool{
			"a.test": true, "A.test": true, "other_1.test": true, "": true,
			"trust/upstream": false, "*": false, "\xff.test": false, "xdstp://a/b": false,
		} {
			conn, err := tls.DialWithDialer(&net.Dialer{Timeout: waitMax}, "tcp", g.https, &tls.Config{ServerName: sni, InsecureSkipVerify: true})
			if err == nil {
				conn.Close()
			}
			if (err == nil) != served {
				t.Errorf("SNI %q: %v; want it served: %v", sni, err, served)
			}
		}
	})
}

// TestRefusals: an edit is not live where the data plane refuses it, and is where only an older refusal still stands.
func TestRefusals(t *testing.T) {
	refused := []xds.NamedVersion{{Name: "http", Version: "1"}}
	proxies := []xds.ProxyState{{Types: []xds.TypeState{
		{Refused: refused, LastNACK: &xds.NACK{Revision: 3, Words: "no"}},
		{LastNACK: &xds.NACK{Revision: 9, Words: "mended since"}},
	}}}
	for since, want := range map[xds.Revision]int{0: 1, 3: 1, 4: 0} {
		if got := refusals(proxies, since); len(got) != want {
			t.Errorf("since revision %d: %q, want %d", since, got, want)
		}
	}
}
