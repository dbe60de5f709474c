package pod_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"github.com/postern-gateway/postern/controlplane/authority"
	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/controlplane/files"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/dataplane/identity"
	"github.com/postern-gateway/postern/dataplane/pod"
	"github.com/postern-gateway/postern/translator"
)

const (
	// waitMax is a hang limit, not a measure.
	waitMax  = time.Minute
	certLife = time.Hour
	// podVariable makes this test binary a data plane, with this configuration as JSON; it ends with its standard input.
	podVariable = "POSTERN_TEST_POD"
	host        = "shop.test"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(podVariable); text != "" {
		os.Exit(runPod(text))
	}
	goleak.VerifyTestMain(m)
}

func runPod(text string) int {
	var config pod.Config
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	config.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if err := pod.Run(ctx, config); err != nil {
		fmt.Fprintln(os.Stderr, "postern: "+err.Error())
		return 1
	}
	return 0
}

func eachDataPlane(t *testing.T, test func(t *testing.T, dataPlane string)) {
	t.Run(pod.Go, func(t *testing.T) { test(t, pod.Go) })
	t.Run(pod.Envoy, func(t *testing.T) {
		live.NeedEnvoy(t)
		test(t, pod.Envoy)
	})
}

// site is a control plane and what its data planes serve.
type site struct {
	t       *testing.T
	folder  string
	xds     string
	backend *httptest.Server
}

// newSite makes certificates and a backend. No control plane runs yet.
func newSite(t *testing.T) *site {
	t.Helper()
	folder, err := os.MkdirTemp("", "pod") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	s := &site{t: t, folder: folder, xds: traffic.Address(t)}
	ca, err := authority.NewCA(certLife)
	if err != nil {
		t.Fatal(err)
	}
	for dir, role := range map[string]authority.Role{"controlplane": authority.ControlPlane(""), "dataplane": authority.DataPlane()} {
		pair, err := ca.Issue(role, certLife)
		if err != nil {
			t.Fatal(err)
		}
		if err := authority.Write(filepath.Join(folder, dir), authority.Files(pair, ca.Certificate)); err != nil {
			t.Fatal(err)
		}
	}
	s.backend = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "hello")
	}))
	t.Cleanup(s.backend.Close)
	return s
}

// files are the control plane's certificates.
func (s *site) files() *identity.Folder {
	s.t.Helper()
	f, err := identity.Open(filepath.Join(s.folder, "controlplane"), identity.ControlPlane, slog.New(slog.NewTextHandler(s.t.Output(), nil)))
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

// publication is what a data plane with these addresses is to serve.
func (s *site) publication(httpAddress, httpsAddress string) *xds.Snapshot {
	s.t.Helper()
	snapshot, err := controller.Snapshot(nil, s.translated(httpAddress, httpsAddress))
	if err != nil {
		s.t.Fatal(err)
	}
	return snapshot
}

func (s *site) translated(httpAddress, httpsAddress string) translator.Result {
	s.t.Helper()
	at := netip.MustParseAddrPort(s.backend.Listener.Addr().String())
	path := filepath.Join(s.folder, "site.yaml")
	pair := casetest.NewPair(host, casetest.SignedByCA)
	if err := os.WriteFile(path, []byte(manifests(pair)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	state, err := files.Read([]string{path}, files.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	var o options.Options
	o.Register(pflag.NewFlagSet("test", pflag.ContinueOnError))
	o.HTTP, o.HTTPS, o.Backends = httpAddress, httpsAddress, []string{"default/shop:80=" + at.String()}
	settings, err := o.Settings()
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := options.EnsureCertificate(&settings); err != nil {
		s.t.Fatal(err)
	}
	return translator.Translate(state.World(), settings)
}

func manifests(p casetest.Pair) string {
	indent := func(text []byte) string {
		return "    " + strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n    ")
	}
	return `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: default}
spec:
  tls: [{hosts: [` + host + `], secretName: shop}]
  rules:
  - host: ` + host + `
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: shop, port: {number: 80}}}}]}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: default}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Secret
metadata: {name: shop, namespace: default}
type: kubernetes.io/tls
stringData:
  tls.crt: |
` + indent(p.Certificate) + `
  tls.key: |
` + indent(p.Key) + `
`
}

// controlPlane serves a snapshot until the test ends, or stop.
func (s *site) controlPlane(snapshot *xds.Snapshot) (stop func()) {
	s.t.Helper()
	lis, err := net.Listen("tcp", s.xds)
	if err != nil {
		s.t.Fatal(err)
	}
	server := xds.New(xds.Options{OnNACK: func(_ string, n xds.NACK) { s.t.Errorf("refused: %s", n.Words) }})
	server.Publish(snapshot)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	files := s.files()
	go func() { done <- server.ServeTLS(ctx, lis, files) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(stop)
	return stop
}

// proxy is a data plane in a process of its own.
type proxy struct {
	t           *testing.T
	config      pod.Config
	http, https string
	command     *exec.Cmd
	ended       chan struct{}
	err         error // of the process, set before ended is closed

	mu   sync.Mutex
	said strings.Builder // guarded by mu
}

// prepare gives a data plane that does not run yet.
func (s *site) prepare(dataPlane string) *proxy {
	s.t.Helper()
	p := &proxy{t: s.t, ended: make(chan struct{})}
	p.http, p.https = traffic.Entries(s.t)
	p.config = pod.Config{
		DataPlane: dataPlane, XDS: s.xds, CertDir: filepath.Join(s.folder, "dataplane"), ServerName: identity.ControlPlaneName,
		NodeID: "pod-" + dataPlane, Folder: filepath.Join(s.folder, "run"), Health: traffic.Address(s.t), Concurrency: 2,
		DrainTimeout: waitMax,
	}
	return p
}

func (p *proxy) start() {
	p.t.Helper()
	text, err := json.Marshal(p.config)
	if err != nil {
		p.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	p.command = exec.Command(self)
	p.command.Env = append(os.Environ(), podVariable+"="+string(text))
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := p.command.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	out, err := p.command.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.mu.Lock()
			p.said.WriteString(lines.Text() + "\n")
			p.mu.Unlock()
		}
		p.err = p.command.Wait()
	}()
	p.t.Cleanup(func() {
		_ = stdin.Close()
		p.awaitEnd()
		if p.t.Failed() {
			p.t.Logf("the data plane says:\n%s", p.words())
		}
	})
}

func (p *proxy) words() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

func (p *proxy) awaitEnd() {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(waitMax):
		_ = p.command.Process.Kill() // It may be gone.
		p.t.Errorf("the data plane does not end:\n%s", p.words())
	}
}

func (p *proxy) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.command.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// health asks the process; the status is 0 where it does not answer.
func (p *proxy) health(path string) (int, string) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: waitMax}
	response, err := client.Get("http://" + p.config.Health + path)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

// awaitHealth waits until a path answers so.
func (p *proxy) awaitHealth(path string, want int) {
	p.t.Helper()
	eventually(p.t, path, func() error {
		select {
		case <-p.ended:
			p.t.Fatalf("the data plane has ended: %v\n%s", p.err, p.words())
		default:
		}
		if got, text := p.health(path); got != want {
			return fmt.Errorf("%d %s, want %d", got, text, want)
		}
		return nil
	})
}

// get is one request over a connection of its own.
func (p *proxy) get() error {
	c := traffic.Dial(p.http, nil)
	defer c.Close()
	a, err := c.Get(host, "/")
	if err == nil && a.Status != http.StatusPermanentRedirect && a.Status != http.StatusOK {
		err = fmt.Errorf("status %d", a.Status)
	}
	return err
}

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
