package incluster

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/postern-gateway/postern/integration/processes"
	"github.com/postern-gateway/postern/manifests"
)

const (
	// many is how many Ingresses there are, each with a Service and an endpoint of its own.
	many = 10_000
	// manyEdits is how many of them are edited, one after the other.
	manyEdits = 3
	// residentMax is far more than is taken for so many.
	residentMax = 1 << 30
)

// TestManyIngresses: a control plane becomes ready, and a data plane serves, with 10,000 Ingresses; an edit of one sends the
// routes of its entries and nothing else. Times and memory are told.
func TestManyIngresses(t *testing.T) {
	r := install(t, manifests.Release{Set: []string{`dataPlane.proxy="go"`, `dataPlane.drain.delaySeconds=0`}})
	r.cluster.Apply(t, `{apiVersion: v1, kind: Namespace, metadata: {name: shop}}`)
	r.cluster.Fill(t, manyIngresses())
	const control = "10.244.1.1"
	r.resolveServices("postern-controlplane", control)
	began := time.Now()
	c := r.run("postern-controlplane", control, nil)
	c.awaitReady()
	ready := time.Since(began)
	began = time.Now()
	r.run("postern-dataplane", node, nil).awaitReady()
	served := time.Since(began)
	metrics := control + ":9090"
	r.awaitSettled(metrics)
	atFirst := c.memory()

	before := scrape(t, metrics)
	if n := before[`postern_ingresses_served{cluster=""}`]; n != many {
		t.Errorf("%v Ingresses are served", n)
	}
	for i := range manyEdits {
		name := manyName(i * many / manyEdits)
		patch := []byte(`{"metadata": {"annotations": {"ingress.kubernetes.io/ssl-redirect": "true"}}}`)
		if _, err := r.client.NetworkingV1().Ingresses("shop").Patch(t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		// Answers are no count of edits: that of the start may be told late.
		processes.Eventually(t, "edit "+name, func() error {
			if n := scrape(t, metrics)[routesSent] - before[routesSent]; n < float64(tables*(i+1)) {
				return fmt.Errorf("%v route configurations are sent for %d edits", n, i+1)
			}
			return nil
		})
		r.awaitSettled(metrics)
	}
	after := scrape(t, metrics)
	if sent, want := after[routesSent]-before[routesSent], tables*manyEdits; sent != float64(want) {
		t.Errorf("%v route configurations are sent, want %d", sent, want)
	}
	average := (after[answers+"_sum"] - before[answers+"_sum"]) / (after[answers+"_count"] - before[answers+"_count"])
	t.Logf("ready %s after the start, the data plane %s after its own; memory %s at first, %s after %d edits; Go's heap in use %.0f MB; an edit is answered after %.0f ms",
		ready.Round(time.Millisecond), served.Round(time.Millisecond), atFirst, c.memory(), manyEdits, after["go_memstats_heap_inuse_bytes"]/1e6, average*1000)
	if resident := c.status("VmHWM") << 10; resident > residentMax {
		t.Errorf("%d bytes of memory at most, want %d", resident, residentMax)
	}
}

// routesSent counts the route tables that went out, of which each entry has one: tables.
const (
	routesSent = `postern_xds_resources_sent_total{type="RouteConfiguration"}`
	tables     = 2
)

// answers is the histogram of the time from a change to the last answer of a data plane.
const answers = "postern_change_answer_delay_seconds"

func manyName(i int) string { return fmt.Sprintf("web-%05d", i) }

// manyIngresses are the objects, by where the API server keeps them.
func manyIngresses() map[string]any {
	all := map[string]any{}
	class, prefix, port := "postern", networkingv1.PathTypePrefix, int32(8080)
	for i := range many {
		name := manyName(i)
		meta := metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name), CreationTimestamp: metav1.Now()}
		all["ingress/shop/"+name] = &networkingv1.Ingress{
			TypeMeta: metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"}, ObjectMeta: meta,
			Spec: networkingv1.IngressSpec{IngressClassName: &class, Rules: []networkingv1.IngressRule{{
				Host: name + ".test",
				IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{
					Path: "/", PathType: &prefix,
					Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: name, Port: networkingv1.ServiceBackendPort{Number: 80}}},
				}}}},
			}}},
		}
		all["services/specs/shop/"+name] = &corev1.Service{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}, ObjectMeta: meta,
			Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Ports: []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}}},
		}
		meta.Labels = map[string]string{discoveryv1.LabelServiceName: name}
		all["endpointslices/shop/"+name] = &discoveryv1.EndpointSlice{
			TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}, ObjectMeta: meta, AddressType: discoveryv1.AddressTypeIPv4,
			Endpoints: []discoveryv1.Endpoint{{Addresses: []string{fmt.Sprintf("10.244.%d.%d", 100+i/250, 1+i%250)}}},
			Ports:     []discoveryv1.EndpointPort{{Port: &port}},
		}
	}
	return all
}

// awaitSettled waits until a data plane has answered everything.
func (r *release) awaitSettled(metrics string) {
	r.t.Helper()
	processes.Eventually(r.t, "a data plane that has everything", func() error {
		if now := scrape(r.t, metrics); now["postern_proxies_connected"] != 1 || now["postern_proxies_behind"] != 0 {
			return fmt.Errorf("%v connected, %v behind", now["postern_proxies_connected"], now["postern_proxies_behind"])
		}
		return nil
	})
}

// scrape gives the numbers of /metrics.
func scrape(t *testing.T, address string) map[string]float64 {
	t.Helper()
	series, err := processes.Scrape(address)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for name, value := range series {
		if out[name], err = strconv.ParseFloat(value, 64); err != nil {
			t.Fatalf("%s %s: %v", name, value, err)
		}
	}
	return out
}

// status is a line of /proc/PID/status, in kB.
func (p *pod) status(line string) int {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Command.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + line + `:\s+(\d+) kB$`).FindSubmatch(text)
	if found == nil {
		p.t.Fatalf("no %s in\n%s", line, text)
	}
	n, err := strconv.Atoi(string(found[1]))
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// memory is what the process takes of the machine, and has taken at most.
func (p *pod) memory() string {
	p.t.Helper()
	return fmt.Sprintf("%d MB (at most %d)", p.status("VmRSS")/1000, p.status("VmHWM")/1000)
}
