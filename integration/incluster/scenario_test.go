package incluster

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/controlplane/files"
	"github.com/postern-gateway/postern/controlplane/names/dnstest"
	"github.com/postern-gateway/postern/integration/processes"
	"github.com/postern-gateway/postern/manifests"
	"github.com/postern-gateway/postern/translator/source"
)

const (
	dashboardAddress = "10.244.9.1"
	node             = "10.244.2.1"
	published        = "10.95.0.1"
	sslOnNode        = "/share/k8s/traefik/ssl"
	secure           = "https://" + node + ":8443"
	// named is the same, by the name in its certificate.
	named = "https://node.test:8443"
)

// scenario are the objects of the example, with endpoints where this test runs the app: an API server takes none of the
// loopback.
func scenario(t *testing.T) source.World {
	t.Helper()
	const folder = processes.Root + "/docs/examples/kubernetes-dashboard"
	var parts []source.World
	for _, name := range []string{"kubernetes-dashboard.yaml", "traefik-dashboard.yaml", "monocular.yaml", "endpoints.yaml"} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		w, err := files.Decode(name, []byte(strings.ReplaceAll(string(text), "127.0.0.1", dashboardAddress)))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, w)
	}
	return adapted(files.Merge(parts...))
}

// runApp runs the stand-in for the Kubernetes dashboard until the test ends.
func runApp(t *testing.T) {
	t.Helper()
	app := exec.Command(os.Getenv(appVariable), "--listen", dashboardAddress+":9443", "--about-listen", dashboardAddress+":9080", "--catalog-listen", dashboardAddress+":9081")
	app.Stdout, app.Stderr = t.Output(), t.Output()
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = app.Process.Signal(syscall.SIGTERM)
		_ = app.Wait()
	})
}

// TestScenario is the one that Postern was begun for, with the chart's own objects, by either data plane: the Kubernetes
// dashboard, which speaks https only, in another namespace, behind /k8s by an ExternalName, and always over https; and beside
// it, behind /postern, the page in the place of the old chart's.
func TestScenario(t *testing.T) {
	for _, plane := range []string{"go", "envoy"} {
		t.Run(plane, func(t *testing.T) {
			if plane == "envoy" {
				live.NeedEnvoy(t)
			}
			serveScenario(t, plane)
		})
	}
}

func serveScenario(t *testing.T, plane string) {
	r := install(t, manifests.Release{
		Values: []string{filepath.Join(processes.Root, "docs/examples/from-the-traefik-chart/postern-values.yaml")},
		Set:    []string{fmt.Sprintf(`status.addresses=[%q]`, published), fmt.Sprintf(`dataPlane.proxy=%q`, plane)},
	})
	ssl := t.TempDir()
	pair := casetest.NewPair("node.test", casetest.SignedByCA)
	write(t, filepath.Join(ssl, "tls.crt"), pair.Certificate)
	write(t, filepath.Join(ssl, "tls.key"), pair.Key)
	runApp(t)
	w := writer{t, dynamicClient(t, r.cluster)}
	if _, no := w.become(scenario(t), nil); no != nil {
		t.Fatal(no)
	}
	const control = "10.244.1.1"
	r.resolveServices("postern-controlplane", control).Set("node.test", dnstest.Record{Addresses: []netip.Addr{netip.MustParseAddr(node)}})
	controlPlane := r.run("postern-controlplane", control, map[string]string{sslOnNode: ssl})
	controlPlane.awaitReady()
	r.connect(inspectName, controlPlane)
	r.run("postern-dataplane", node, nil).awaitReady()

	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: casetest.ClientCAs(), ServerName: "node.test"}, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	processes.Eventually(t, "the dashboard is served", func() error {
		page, err := processes.GetBy(client, secure+"/k8s/")
		if err == nil && !strings.Contains(page, "Login as this app sees it") {
			err = errors.New("this is another page: " + page)
		}
		return err
	})
	redirects(t, client, "http://"+node+":8080/k8s/x?y=1", "https://"+node+"/k8s/x?y=1")
	if _, err := processes.GetBy(client, "http://"+node+":8080/traefik/"); err != nil {
		t.Errorf("the page of the old chart: %v", err)
	}
	r.lookIn(client)
	// Without the gateway, as by the host port.
	r.visitor(client, "http://"+control+":8083/").refused()
	r.awaitAddress("default", "kubernetes-dashboard", published)
	r.checkEvent()
}

// lookIn is that the page is served behind the gateway, to whoever has the credential.
func (r *release) lookIn(client *http.Client) {
	r.t.Helper()
	v := r.visitor(client, secure+"/postern/")
	v.shows("", "<title>Overview · Postern</title>")
	v.refused()
	redirects(r.t, client, "http://"+node+":8080/postern/hosts?q=1", "https://"+node+"/postern/hosts?q=1")
	redirects(r.t, client, secure+"/postern", secure+"/postern/")
	v.shows("proxies", "<title>Proxies · Postern</title>", "postern-dataplane-10-244-2-1")
	v.shows("ingresses", "default/kubernetes-dashboard", "/postern-inspect")
	v.shows("ingress?namespace=default&name=kubernetes-dashboard", "takes off /k8s", "redirects to HTTPS (302)")
	v.base = named + "/postern/"
	if out := v.snapshot(); !strings.Contains(out, "clusters") {
		r.t.Errorf("snapshot says %s", out)
	}
	if out := v.snapshot("proxies"); !strings.Contains(out, "postern-dataplane-10-244-2-1") {
		r.t.Errorf("snapshot proxies says %s", out)
	}
}

// redirects fails the test unless a URL leads to a place by 302.
func redirects(t *testing.T, client *http.Client, url, to string) {
	t.Helper()
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if got := answer.Header.Get("Location"); answer.StatusCode != http.StatusFound || got != to {
		t.Errorf("%s: %s to %q, want %q", url, answer.Status, got, to)
	}
}

// awaitAddress waits until an Ingress has the address in its status.
func (r *release) awaitAddress(namespace, name, address string) {
	r.t.Helper()
	processes.Eventually(r.t, "the status of "+name, func() error {
		ing, err := r.client.NetworkingV1().Ingresses(namespace).Get(r.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if got := ing.Status.LoadBalancer.Ingress; len(got) != 1 || got[0].IP != address {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
}

// checkEvent is that a misspelt annotation is told to whoever describes its Ingress.
func (r *release) checkEvent() {
	r.t.Helper()
	r.cluster.Apply(r.t, `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: odd, namespace: default, labels: {app: traefik},
  annotations: {traefik.ingress.kubernetes.io/rule-typ: PathPrefixStrip}}, spec: {rules: [{host: odd.test, http: {paths: [
  {path: /, pathType: Prefix, backend: {service: {name: traefik-dashboard, port: {number: 80}}}}]}}]}}`)
	processes.Eventually(r.t, "an Event of the annotation", func() error {
		all, err := r.client.EventsV1().Events("default").List(r.t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, e := range all.Items {
			if about(e, "Ingress", "odd") && e.Type == corev1.EventTypeWarning && strings.Contains(e.Note, "rule-typ") {
				return nil
			}
		}
		return fmt.Errorf("%d other Events", len(all.Items))
	})
}

func about(e eventsv1.Event, kind, name string) bool {
	return e.Regarding.Kind == kind && e.Regarding.Name == name
}
