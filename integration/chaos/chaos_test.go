// Package chaos edits, rotates, drains and kills while requests run, on both data planes, and counts what fails.
//
// CI runs the short form; make chaos runs the long one. Edits are drawn from a seed, which is printed; CHAOS_SEED=N
// makes them anew.
package chaos

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/controlplane/up"
	"github.com/postern-gateway/postern/dataplane/envoyproc"
)

const (
	formVariable = "CHAOS"
	formLong     = "long"
	seedVariable = "CHAOS_SEED"
	// waitMax is a hang limit, not a measure.
	waitMax = 2 * time.Minute
	// webSockets are open elsewhere all the time.
	webSockets = 100
	// steadyHosts are never edited.
	steadyHosts = 4
)

// figures are the size of a run.
type figures struct {
	edits, rotations, kills int
	// drains are how often endpoints go from many to few and back.
	drains int
	// pace is the least time between two edits, 0 for none.
	pace time.Duration
}

func size() figures {
	if os.Getenv(formVariable) == formLong {
		return figures{edits: 200, rotations: 200, kills: 20, drains: 10, pace: 300 * time.Millisecond}
	}
	return figures{edits: 40, rotations: 40, kills: 5, drains: 3}
}

func TestMain(m *testing.M) {
	if folder := os.Getenv(controlPlaneVariable); folder != "" {
		os.Exit(runControlPlane(folder))
	}
	goleak.VerifyTestMain(m)
}

// eachDataPlane runs a test on both; without an Envoy that part is skipped, in CI it fails.
func eachDataPlane(t *testing.T, test func(t *testing.T, dataPlane string)) {
	t.Run(up.DataPlaneGo, func(t *testing.T) { test(t, up.DataPlaneGo) })
	t.Run(up.DataPlaneEnvoy, func(t *testing.T) {
		live.NeedEnvoy(t)
		test(t, up.DataPlaneEnvoy)
	})
}

// seed is what the edits of a test are drawn from.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := uint64(1) // CI makes the same edits every time; the long form draws others.
	if os.Getenv(formVariable) == formLong {
		n = uint64(time.Now().UnixNano())
	}
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
	}
	t.Logf("again with %s=%d", seedVariable, n)
	return n
}

// gateway is data plane and control plane over a folder of manifests.
type gateway struct {
	t           *testing.T
	manifests   string
	certificate string // folder of the default one
	http, https string
	// edited is the backend of the host that is edited while no control plane runs.
	edited netip.AddrPort
	// envoy is set where Envoy is the data plane.
	envoy *envoyproc.Config
}

// newGateway prepares one with the manifests of the steady hosts. Nothing runs yet.
func newGateway(t *testing.T) *gateway {
	t.Helper()
	// Not t.TempDir: the names of tests are too long for the path of a socket.
	folder, err := os.MkdirTemp("", "chaos")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("TMPDIR", folder)
	g := &gateway{
		t: t, manifests: filepath.Join(folder, "manifests"), certificate: filepath.Join(folder, "certificate"),
	}
	g.http, g.https = traffic.Entries(t)
	for _, dir := range []string{g.manifests, g.certificate} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	g.writeDefault(newPair(t, "default.test"))
	for i := range steadyHosts {
		name := fmt.Sprintf("steady-%d", i)
		g.replace(name+".yaml", ingress(name, steadyHost(i), "")+service(name, "", traffic.Listen(t, name).Address())+
			secret(name, newPair(t, steadyHost(i))))
	}
	return g
}

func steadyHost(i int) string { return fmt.Sprintf("steady-%d.test", i) }

// writeDefault makes a certificate the default one. Its two files are written one after the other.
func (g *gateway) writeDefault(p pair) {
	g.t.Helper()
	for name, text := range map[string][]byte{"tls.crt": p.Certificate, "tls.key": p.Key} {
		if err := os.WriteFile(filepath.Join(g.certificate, name), text, 0o600); err != nil {
			g.t.Fatal(err)
		}
	}
}

// replace writes a file of manifests as careful programs do: it is whole or as it was.
func (g *gateway) replace(name, text string) {
	g.t.Helper()
	if err := replaceFile(filepath.Join(g.manifests, name), text); err != nil {
		g.t.Fatal(err)
	}
}

func replaceFile(path, text string) error {
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(temporary, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// options are the flags that it runs with.
func (g *gateway) options() options.Options {
	var o options.Options
	o.Register(pflag.NewFlagSet("up", pflag.ContinueOnError))
	o.HTTP, o.HTTPS, o.TLSCertDir = g.http, g.https, g.certificate
	return o
}

// up runs postern up until the test ends, and returns when it serves.
func (g *gateway) up(dataPlane string) {
	g.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done, told := make(chan struct{}), make(chan error, 1), &tail{}
	config := up.Config{
		Paths: []string{g.manifests}, Options: g.options(), DataPlane: dataPlane, Stdin: strings.NewReader(""),
		Output: up.OutputText, Out: told, Err: told, OnReady: func() { close(ready) },
	}
	go func() { done <- up.Run(ctx, config) }()
	g.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			g.t.Errorf("up ends with %v", err)
		}
		if g.t.Failed() {
			g.t.Logf("the last words of up:\n%s", told)
		}
	})
	select {
	case <-ready:
	case err := <-done:
		done <- nil
		g.t.Fatalf("up ends at its start: %v", err)
	case <-time.After(waitMax):
		g.t.Fatal("up does not serve")
	}
	if dataPlane == up.DataPlaneEnvoy {
		found, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "postern-*", "envoy"))
		if err != nil || len(found) != 1 {
			g.t.Fatalf("the folder of Envoy: %q, %v", found, err)
		}
		g.envoy = &envoyproc.Config{Folder: found[0]}
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte // guarded by mu
}

// tailBytes is how much of it.
const tailBytes = 8 << 10

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, p...)
	w.text = w.text[max(0, len(w.text)-tailBytes):]
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.text)
}

// pair is a certificate of a host, signed by the CA that clients trust.
type pair struct {
	casetest.Pair
	// serial is what it is known by.
	serial string
}

var pairs int

// newPair makes one that no other call has made.
func newPair(t *testing.T, name string) pair {
	t.Helper()
	pairs++
	p := casetest.NewPair(fmt.Sprintf("%s %d", name, pairs), casetest.SignedByCA)
	parsed, err := tls.X509KeyPair(p.Certificate, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{p, parsed.Leaf.SerialNumber.String()}
}

// trusting are the settings of a client that verifies the certificate for a host.
func trusting(host string, protocols ...string) *tls.Config {
	return &tls.Config{RootCAs: casetest.ClientCAs(), ServerName: host, NextProtos: protocols}
}

// eventually tries until there is no error.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(waitMax)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, waitMax, err)
		}
	}
}
