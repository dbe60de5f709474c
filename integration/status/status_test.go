package status

import (
	"fmt"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	controlstatus "github.com/postern-gateway/postern/controlplane/status"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/envoy"
)

// ingress is an Ingress of a host and of a Service.
func ingress(name, service string) string {
	return fmt.Sprintf(`
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %[1]s, namespace: shop}
spec:
  ingressClassName: postern
  rules: [{host: %[1]s.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: %[2]s, port: {number: 80}}}}]}}]
`, name, service)
}

// web is a Service with an endpoint.
const web = `
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web, namespace: shop, labels: {kubernetes.io/service-name: web}},
  addressType: IPv4, ports: [{port: 8080, protocol: TCP, name: ""}], endpoints: [{addresses: [10.244.0.9], conditions: {ready: true}}]}
`

// TestTwoReplicas: one leads and writes once what both serve; killed, it is followed within the Lease's time, and stopped,
// at once; no Ingress ever loses its address meanwhile.
func TestTwoReplicas(t *testing.T) {
	l := newLab(t)
	l.Apply(t, ingress("one", "web")+web)
	a := l.replica(t, "a", nil)
	a.dataPlane()
	a.publish()
	l.await(t, "the leader writes", "one", has("10.95.0.1"))
	b := l.replica(t, "b", nil)
	b.dataPlane()
	b.publish()
	for range 50 {
		a.publish()
	}
	if n := l.count(t, "patch", "/status"); n != 1 {
		t.Errorf("%d writes for one Ingress", n)
	}
	a.cut.Store(true)
	began := time.Now()
	l.Apply(t, ingress("two", "web"))
	b.publish()
	l.await(t, "the next leader writes", "two", has("10.95.0.1"))
	t.Logf("the address came %s after the leader was killed", time.Since(began).Round(100*time.Millisecond))
	c := l.replica(t, "c", nil)
	c.dataPlane()
	began = time.Now()
	b.stop()
	l.Apply(t, ingress("three", "web"))
	c.publish()
	states := l.await(t, "the one after writes", "three", has("10.95.0.1"))
	t.Logf("the address came %s after the leader was stopped", time.Since(began).Round(100*time.Millisecond))
	if !healthy(states[len(states)-1]) {
		t.Error("Argo CD would wait")
	}
	for _, name := range []string{"one", "two"} {
		l.await(t, "the address stays", name, has("10.95.0.1"))
	}
	if n := l.count(t, "patch", "/status"); n != 3 {
		t.Errorf("%d writes for three Ingresses", n)
	}
}

// TestAcceptedFirst: no address before a proxy has the routes and their endpoints; without endpoints it comes all the same
// when EndpointsWait has passed, so that a sync of Argo CD ends.
func TestAcceptedFirst(t *testing.T) {
	const wait = 2 * time.Second
	l := newLab(t)
	l.Apply(t, ingress("one", "web")+ingress("empty", "none")+web+
		"\n---\n{apiVersion: v1, kind: Service, metadata: {name: none, namespace: shop}, spec: {ports: [{port: 80}]}}")
	r := l.replica(t, "a", func(o *controlstatus.Options) { o.EndpointsWait = wait })
	r.publish()
	l.awaitEvent(t, "empty", "NoEndpoints")
	if n := l.count(t, "patch", "/status"); n != 0 {
		t.Errorf("%d writes before a proxy has accepted anything", n)
	}
	began := time.Now()
	r.dataPlane()
	l.await(t, "the address", "one", has("10.95.0.1"))
	l.await(t, "the address without endpoints", "empty", healthy)
	if passed := time.Since(began); passed < wait {
		t.Errorf("the address of what has no endpoints came after %s", passed)
	}
}

// TestClassChange: what leaves for another class loses the address that was written here, and no other.
func TestClassChange(t *testing.T) {
	l := newLab(t)
	l.Apply(t, ingress("leaves", "web")+ingress("taken", "web")+ingress("stays", "web")+web)
	r := l.replica(t, "a", nil)
	r.dataPlane()
	r.publish()
	for _, name := range []string{"leaves", "taken", "stays"} {
		l.await(t, "the address", name, has("10.95.0.1"))
	}
	for _, name := range []string{"leaves", "taken"} {
		l.patch(t, name, `{"spec":{"ingressClassName":"other"}}`)
	}
	// The other controller is quick, and writes the way that most do.
	taken, err := l.admin.NetworkingV1().Ingresses("shop").Get(t.Context(), "taken", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	taken.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: "10.95.0.77"}}
	if _, err := l.admin.NetworkingV1().Ingresses("shop").UpdateStatus(t.Context(), taken, metav1.UpdateOptions{FieldManager: "other"}); err != nil {
		t.Fatal(err)
	}
	r.publish()
	l.await(t, "the address is removed", "leaves", has())
	l.await(t, "the other's address stays", "taken", has("10.95.0.77"))
	l.await(t, "the address stays", "stays", has("10.95.0.1"))
	l.patch(t, "leaves", `{"spec":{"ingressClassName":"postern"}}`)
	r.publish()
	l.await(t, "the address is back", "leaves", has("10.95.0.1"))
	// What someone else overwrites is written again.
	l.patch(t, "stays", `{"status":{"loadBalancer":{"ingress":[{"ip":"10.95.0.78"}]}}}`, "status")
	l.await(t, "the address is written again", "stays", has("10.95.0.1"))
}

func (l *lab) patch(t *testing.T, name, patch string, subresource ...string) {
	t.Helper()
	_, err := l.admin.NetworkingV1().Ingresses("shop").Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, subresource...)
	if err != nil {
		t.Fatal(err)
	}
}

// TestPublishingService: the status follows it, and stays when it goes.
func TestPublishingService(t *testing.T) {
	l := newLab(t)
	l.Apply(t, ingress("one", "web")+web)
	r := l.replica(t, "a", func(o *controlstatus.Options) {
		o.PublishAddresses, o.PublishService = nil, types.NamespacedName{Namespace: "postern", Name: "gateway"}
	})
	r.dataPlane()
	r.publish()
	services := l.admin.CoreV1().Services("postern")
	service, err := services.Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "gateway"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		balancer []corev1.LoadBalancerIngress
		want     []string
	}{
		{[]corev1.LoadBalancerIngress{{IP: "10.95.0.4"}}, []string{"10.95.0.4"}},
		{[]corev1.LoadBalancerIngress{{Hostname: "lb.example.com"}, {IP: "10.95.0.5"}}, []string{"10.95.0.5", "lb.example.com"}},
	} {
		service.Status.LoadBalancer.Ingress = step.balancer
		if service, err = services.UpdateStatus(t.Context(), service, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		l.await(t, "the Service's address", "one", has(step.want...))
	}
	if err := services.Delete(t.Context(), "gateway", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	l.Apply(t, ingress("two", "web"))
	revision := r.publish()
	if err := r.server.WaitServing(t.Context(), revision); err != nil {
		t.Fatal(err)
	}
	r.stop()
	l.await(t, "the address stays", "one", has("10.95.0.5", "lb.example.com"))
}

// TestRefusal: what a proxy refuses is told on the object behind it, in the proxy's words, within 5 s; and that it is
// accepted then.
func TestRefusal(t *testing.T) {
	l := newLab(t)
	l.Apply(t, ingress("one", "web")+ingress("broken", "web")+web)
	r := l.replica(t, "a", nil)
	r.dataPlane()
	began := time.Now()
	r.publish(brokenBackend(clusterv3.Cluster_STATIC)...)
	e := l.awaitEvent(t, "broken", "ProxyRefused")
	passed := time.Since(began)
	t.Logf("the Event came %s after", passed.Round(time.Millisecond))
	if passed > 5*time.Second {
		t.Errorf("the Event came %s after", passed)
	}
	if e.Type != "Warning" || !strings.Contains(e.Message, "shop/broken/80") || !strings.Contains(e.Message, "only EDS") {
		t.Errorf("%s: %s", e.Type, e.Message)
	}
	r.publish(brokenBackend(clusterv3.Cluster_EDS)...)
	if e := l.awaitEvent(t, "broken", "ProxyAccepted"); e.Type != "Normal" || !strings.Contains(e.Message, "shop/broken/80") {
		t.Errorf("%s: %s", e.Type, e.Message)
	}
}

// brokenBackend is a cluster behind the Ingress broken; the Go data plane takes it if it is of type EDS.
func brokenBackend(kind clusterv3.Cluster_DiscoveryType) []xds.Resource {
	const name = "shop/broken/80"
	origins := []diag.Origin{{Kind: "Ingress", Namespace: "shop", Name: "broken", Field: "spec.rules[0]"}}
	ads := &corev3.ConfigSource{ResourceApiVersion: corev3.ApiVersion_V3, ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}}
	return []xds.Resource{
		{TypeURL: envoy.TypeCluster, Name: name, Origins: origins, Message: &clusterv3.Cluster{
			Name: name, ConnectTimeout: durationpb.New(time.Second),
			ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: kind},
			EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads, ServiceName: name},
		}},
		{TypeURL: envoy.TypeEndpoint, Name: name, Origins: origins, Message: &endpointv3.ClusterLoadAssignment{ClusterName: name}},
	}
}

// awaitEvent waits for an Event on an Ingress the way kubectl describe looks for it.
func (l *lab) awaitEvent(t *testing.T, name, reason string) corev1.Event {
	t.Helper()
	i, err := l.admin.NetworkingV1().Ingresses("shop").Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	selector := fmt.Sprintf("involvedObject.kind=Ingress,involvedObject.name=%s,involvedObject.namespace=shop,involvedObject.uid=%s", name, i.UID)
	w, err := l.admin.CoreV1().Events("shop").Watch(t.Context(), metav1.ListOptions{FieldSelector: selector})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	timeout := time.After(hangMax)
	for {
		select {
		case event, open := <-w.ResultChan():
			if !open {
				t.Fatal("the watch of Events ended")
			}
			if e, ok := event.Object.(*corev1.Event); ok && e.Reason == reason {
				return *e
			}
		case <-timeout:
			t.Fatalf("no Event %s on %s within %s", reason, name, hangMax)
		}
	}
}

// TestManyBadIngresses: a thousand of them get an Event each, no faster than the bound, and none is told again.
func TestManyBadIngresses(t *testing.T) {
	const bad, perSecond, burst = 1000, 20, 50
	l := newLab(t)
	var all strings.Builder
	for i := range bad {
		all.WriteString(ingress(fmt.Sprintf("bad-%03d", i), "missing"))
	}
	l.Apply(t, all.String())
	r := l.replica(t, "a", nil)
	began := time.Now()
	r.publish()
	told := func() int {
		events, err := l.admin.EventsV1().Events("shop").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return len(events.Items)
	}
	for n := 0; n < bad; {
		if n = told(); time.Since(began) > hangMax {
			t.Fatalf("%d Events within %s", n, hangMax)
		}
		r.publish()
	}
	passed := time.Since(began)
	for range 10 {
		r.publish()
	}
	r.stop()
	writes := l.count(t, "create", "/events") + l.count(t, "patch", "/events")
	t.Logf("%d writes of Events in %s", writes, passed.Round(time.Second))
	if writes != bad {
		t.Errorf("%d writes of Events for %d things to tell", writes, bad)
	}
	if most := burst + perSecond*passed.Seconds(); float64(writes) > most+1 {
		t.Errorf("%d writes of Events in %s", writes, passed)
	}
}
