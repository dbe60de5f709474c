package incluster

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
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
	"github.com/postern-gateway/postern/integration/processes"
	"github.com/postern-gateway/postern/manifests"
	"github.com/postern-gateway/postern/translator/source"
)

const (
	dashboardAddress = "10.244.9.1"
	node             = "10.244.2.1"
	published        = "10.95.0.1"
	sslOnNode        = "/share/k8s/traefik/ssl"
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

// TestScenario is the one that Postern was begun for, with the chart's own objects: the Kubernetes dashboard, which speaks
// https only, in another namespace, behind /k8s by an ExternalName, and always over https.
func TestScenario(t *testing.T) {
	live.NeedEnvoy(t)
	r := install(t, manifests.Release{
		Values: []string{filepath.Join(processes.Root, "docs/examples/from-the-traefik-chart/postern-values.yaml")},
		Set:    []string{fmt.Sprintf(`status.addresses=[%q]`, published)},
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
	r.resolveServices("postern-controlplane", control)
	r.run("postern-controlplane", control, map[string]string{sslOnNode: ssl}).awaitReady()
	r.run("postern-dataplane", node, nil).awaitReady()

	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: casetest.ClientCAs(), ServerName: "node.test"}, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	secure := "https://" + node + ":8443"
	processes.Eventually(t, "the dashboard is served", func() error {
		page, err := processes.GetBy(client, secure+"/k8s/")
		if err == nil && !strings.Contains(page, "Login as this app sees it") {
			err = errors.New("this is another page: " + page)
		}
		return err
	})
	answer, err := client.Get("http://" + node + ":8080/k8s/x?y=1")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if to := answer.Header.Get("Location"); answer.StatusCode != http.StatusFound || to != "https://"+node+"/k8s/x?y=1" {
		t.Errorf("over http: %s to %q", answer.Status, to)
	}
	if _, err := processes.GetBy(client, "http://"+node+":8080/traefik/"); err != nil {
		t.Errorf("the page of the old chart: %v", err)
	}
	r.awaitAddress("default", "kubernetes-dashboard", published)
	r.checkEvent()
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
