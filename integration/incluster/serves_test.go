package incluster

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/integration/processes"
	"github.com/postern-gateway/postern/manifests"
)

// service is the Service web.
const service = `
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: [{port: 80}]}}
`

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
// before and is told of by an Event, one that restricts and cannot be applied closes, a repair recovers, endpoints move, and
// the address of the load balancer is written. With namespaces, the rights in these are enough; with ipv6, clients of both
// families are served and told apart.
func TestServes(t *testing.T) {
	for name, tt := range map[string]struct {
		plane, controller string
		set               []string
	}{
		"go":               {"go", "example.com/edge", nil},
		"envoy":            {"envoy", "postern.dev/ingress-controller", nil},
		"in one namespace": {"go", "postern.dev/ingress-controller", []string{`watch.namespaces=["shop"]`}},
		"go, IPv6 too":     {"go", "postern.dev/ingress-controller", []string{ipv6}},
		"envoy, IPv6 too":  {"envoy", "postern.dev/ingress-controller", []string{ipv6}},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.plane == "envoy" {
				live.NeedEnvoy(t)
			}
			if slices.Contains(tt.set, ipv6) {
				needIPv6(t)
			}
			r := install(t, manifests.Release{Set: append([]string{
				fmt.Sprintf(`dataPlane.proxy=%q`, tt.plane), fmt.Sprintf(`ingressClass.controller=%q`, tt.controller), `dataPlane.drain.delaySeconds=0`,
			}, tt.set...)})
			r.balance(published)
			backend(t, "10.244.0.9:9000")
			backend(t, "10.244.0.10:9000")
			r.cluster.Apply(t, service+endpoint("10.244.0.9")+ingress("/a", ""))
			const control = "10.244.1.1"
			r.resolveServices("postern-controlplane", control)
			r.run("postern-controlplane", control, nil).awaitReady()
			r.run("postern-dataplane", node, nil).awaitReady()
			await(t, "the Ingress", "/a", "200 10.244.0.9:9000")
			r.awaitAddress("shop", "web", published)

			r.cluster.Apply(t, ingress("/new", `traefik.ingress.kubernetes.io/priority: high`))
			r.awaitEvent("PreviousVersionServed", tt.controller)
			look(t, "/a", "200 10.244.0.9:9000")
			look(t, "/new", "404")
			r.cluster.Apply(t, endpoint("10.244.0.10"))
			await(t, "endpoints of the version before", "/a", "200 10.244.0.10:9000")
			r.cluster.Apply(t, ingress("/new", ""))
			await(t, "the repair", "/new", "200 10.244.0.10:9000")
			look(t, "/a", "404")
			r.cluster.Apply(t, ingress("/new", `traefik.ingress.kubernetes.io/whitelist-source-range: nonsense`))
			await(t, "a restriction that cannot be applied", "/new", "503")
			r.cluster.Apply(t, ingress("/new", ""))
			await(t, "its repair", "/new", "200 10.244.0.10:9000")
			if slices.Contains(tt.set, ipv6) {
				if err := wantAnswer("[::1]", "/new", "200 10.244.0.10:9000"); err != nil {
					t.Error(err)
				}
				r.cluster.Apply(t, ingress("/new", `traefik.ingress.kubernetes.io/whitelist-source-range: 10.244.0.0/16`))
				processes.Eventually(t, "IPv6 is not admitted", func() error { return wantAnswer("[::1]", "/new", "403") })
				look(t, "/new", "200 10.244.0.10:9000")
			}
		})
	}
}

// balance gives the data plane's Service an address, as a cloud does.
func (r *release) balance(address string) {
	r.t.Helper()
	patch := fmt.Sprintf(`{"status": {"loadBalancer": {"ingress": [{"ip": %q}]}}}`, address)
	_, err := r.client.CoreV1().Services(system).Patch(r.t.Context(), "postern-dataplane", types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
	if err != nil {
		r.t.Fatal(err)
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

const ipv6 = "ipv6=true"

// needIPv6 skips the test where the kernel has none; in CI it fails.
func needIPv6(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp6", "[::1]:0")
	if err == nil {
		_ = l.Close()
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// answer is the status of the host for a path, and with 200 the body.
func answer(path string) (string, error) { return answerAt(node, path) }

// wantAnswer is an error where the answer at an address is another.
func wantAnswer(address, path, want string) error {
	got, err := answerAt(address, path)
	if err == nil && got != want {
		err = fmt.Errorf("%s: %s, want %s", path, got, want)
	}
	return err
}

func answerAt(address, path string) (string, error) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+address+":8080"+path, nil)
	if err != nil {
		return "", err
	}
	request.Host = "web.test"
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: processes.WaitMax}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Sprint(response.StatusCode), nil
	}
	body, err := io.ReadAll(response.Body)
	return "200 " + string(body), err
}

func look(t *testing.T, path, want string) {
	t.Helper()
	if got, err := answer(path); err != nil || got != want {
		t.Errorf("%s: %s, %v; want %s", path, got, err, want)
	}
}

func await(t *testing.T, what, path, want string) {
	t.Helper()
	processes.Eventually(t, what, func() error { return wantAnswer(node, path, want) })
}

// awaitEvent waits for an Event of a reason in the namespace shop, which says by which controller it is.
func (r *release) awaitEvent(reason, controller string) {
	r.t.Helper()
	processes.Eventually(r.t, "an Event "+reason, func() error {
		all, err := r.client.EventsV1().Events("shop").List(r.t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		var seen []string
		for _, e := range all.Items {
			if seen = append(seen, e.Reason+" by "+e.ReportingController); e.Reason == reason && e.ReportingController == controller {
				return nil
			}
		}
		return fmt.Errorf("Events %q", seen)
	})
}
