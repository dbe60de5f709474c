// Package controlplane runs the processes of a cluster, postern controlplane and postern dataplane, against a real API
// server.
package controlplane

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/integration/cluster"
)

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }

const (
	// hangLimit bounds every wait; what is waited for comes in a fraction of it.
	hangLimit = time.Minute
	// lookEvery is how often it is looked whether it has come.
	lookEvery = 20 * time.Millisecond
)

// objects are a class, a Service and an endpoint.
const objects = `
{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: postern}, spec: {controller: postern.dev/ingress-controller}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: postern}}
---
` + "\n"

func endpoint(address string) string {
	return fmt.Sprintf(`
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web, namespace: shop, labels: {kubernetes.io/service-name: web}},
  addressType: IPv4, ports: [{port: 9000, protocol: TCP, name: ""}], endpoints: [{addresses: [%s], conditions: {ready: true}}]}
`, address)
}

func ingress(path, annotations string) string {
	return fmt.Sprintf(`
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop, annotations: {%s}}
spec:
  ingressClassName: postern
  rules: [{host: web.test, http: {paths: [{path: %s, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
`, annotations, path)
}

// TestServes: both processes, with either data plane: a change is served, an update that cannot be served leaves the version
// before and is told of by an Event, one that restricts and cannot be applied closes, a repair recovers, endpoints move.
func TestServes(t *testing.T) {
	for _, plane := range []string{"go", "envoy"} {
		t.Run(plane, func(t *testing.T) {
			if plane == "envoy" {
				live.NeedEnvoy(t)
			}
			c := cluster.Start(t)
			backend(t, "10.244.0.9:9000")
			backend(t, "10.244.0.10:9000")
			c.Apply(t, objects+endpoint("10.244.0.9")+ingress("/a", ""))
			certs := t.TempDir()
			run(t, "certs", "--dir", certs, "--namespace", "postern").wait(t)
			run(t, "controlplane", "--kubeconfig", cluster.Kubeconfig(t, c.Config), "--xds-cert-dir", certs+"/controlplane",
				"--xds", "10.244.0.1:18000", "--health", "10.244.0.1:8081", "--metrics", "10.244.0.1:9090",
				"--lease-namespace", "postern", "--identity", "one", "--upstream-insecure-skip-verify")
			await(t, "the control plane is ready", "http://10.244.0.1:8081/readyz", "200 ok")
			run(t, "dataplane", "--data-plane", plane, "--xds", "10.244.0.1:18000", "--xds-cert-dir", certs+"/dataplane",
				"--health", "10.244.0.1:8082", "--node-id", "proxy", "--drain-delay", "0s", "--drain-timeout", "1s")
			const site = "http://10.244.0.1:8080"
			await(t, "the Ingress", site+"/a", "200 10.244.0.9:9000")

			c.Apply(t, ingress("/new", `traefik.ingress.kubernetes.io/priority: high`))
			awaitEvent(t, c, "PreviousVersionServed")
			look(t, site+"/a", "200 10.244.0.9:9000")
			look(t, site+"/new", "404")
			c.Apply(t, endpoint("10.244.0.10"))
			await(t, "endpoints of the version before", site+"/a", "200 10.244.0.10:9000")
			c.Apply(t, ingress("/new", ""))
			await(t, "the repair", site+"/new", "200 10.244.0.10:9000")
			look(t, site+"/a", "404")
			c.Apply(t, ingress("/new", `traefik.ingress.kubernetes.io/whitelist-source-range: nonsense`))
			await(t, "a restriction that cannot be applied", site+"/new", "503")
			c.Apply(t, ingress("/new", ""))
			await(t, "its repair", site+"/new", "200 10.244.0.10:9000")
		})
	}
}

// backend answers by its address until the test ends.
func backend(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, address) })}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
}

// process is a postern that runs.
type process struct {
	command *exec.Cmd
	done    chan error
	log     *text
}

// text is written by one goroutine and read by another.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *text) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *text) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// run starts a postern, which is asked to end with the test.
func run(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{command: exec.Command(binary(t), args...), done: make(chan error, 1), log: &text{}}
	p.command.Stdout, p.command.Stderr = p.log, p.log
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.done <- p.command.Wait()
	}()
	t.Cleanup(func() {
		_ = p.command.Process.Signal(os.Interrupt)
		late := time.AfterFunc(hangLimit, func() { _ = p.command.Process.Kill() })
		<-ended
		late.Stop()
		if t.Failed() {
			t.Logf("postern %s:\n%s", args[0], p.log)
		}
	})
	return p
}

// wait waits for a process that ends by itself.
func (p *process) wait(t *testing.T) {
	t.Helper()
	if err := <-p.done; err != nil {
		t.Fatalf("%v: %s", err, p.log)
	}
}

var (
	building sync.Once
	built    string
)

// binary is that of POSTERN, which make test sets, or one built here.
func binary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("POSTERN"); path != "" {
		return path
	}
	building.Do(func() {
		folder, err := os.MkdirTemp("", "postern-")
		if err != nil {
			t.Fatal(err)
		}
		built = filepath.Join(folder, "postern")
		command := exec.Command("go", "build", "-o", built, "./cmd/postern")
		command.Dir, command.Env = filepath.Join("..", ".."), append(os.Environ(), "GOWORK=off")
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
	})
	return built
}

// get is the status and the first word of the body.
func get(url string) string {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err.Error()
	}
	request.Host = "web.test"
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: hangLimit}
	response, err := client.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		return err.Error()
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Sprint(response.StatusCode)
	}
	return fmt.Sprint(response.StatusCode, " ", string(bytes.TrimSpace(body)))
}

func look(t *testing.T, url, want string) {
	t.Helper()
	if got := get(url); got != want {
		t.Errorf("%s: %s, want %s", url, got, want)
	}
}

func await(t *testing.T, what, url, want string) {
	t.Helper()
	until(t, what, func() (string, bool) {
		got := get(url)
		return got, got == want
	})
}

func awaitEvent(t *testing.T, c *cluster.Cluster, reason string) {
	t.Helper()
	client := c.Client(t)
	until(t, "an Event "+reason, func() (string, bool) {
		events, err := client.EventsV1().Events("shop").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err.Error(), false
		}
		var seen []string
		for _, e := range events.Items {
			seen = append(seen, e.Reason)
		}
		return strings.Join(seen, " "), strings.Contains(strings.Join(seen, " "), reason)
	})
}

// until looks again and again.
func until(t *testing.T, what string, done func() (string, bool)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hangLimit)
	defer cancel()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		got, ok := done()
		if ok {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within %s; at last %s", what, hangLimit, got)
		}
	}
}
