package incluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/dataplane/ads"
	"github.com/postern-gateway/postern/dataplane/identity"
	"github.com/postern-gateway/postern/integration/processes"
	"github.com/postern-gateway/postern/manifests"
)

// replicas are where the two control planes are.
var replicas = []string{"10.244.1.1", "10.244.1.2"}

// TestReplicas: two control planes serve the same bytes; when the one that leads is killed, the other writes status.
func TestReplicas(t *testing.T) {
	r := install(t, manifests.Release{Set: []string{`dataPlane.proxy="go"`, fmt.Sprintf(`status.addresses=[%q]`, published)}})
	r.resolveServices("postern-controlplane", replicas...)
	pods := map[string]*pod{}
	for _, address := range replicas {
		p := r.run("postern-controlplane", address, nil)
		pods[p.name] = p
		p.awaitReady()
	}
	r.run("postern-dataplane", node, nil).awaitReady()
	const before = "before"
	r.cluster.Apply(t, shop(before))
	r.awaitAddress("shop", before, published)

	took := map[string]*taker{}
	for name, p := range pods {
		took[name] = r.take(p)
	}
	processes.Eventually(t, "both serve the same", func() error {
		var all []map[string]string
		for _, taken := range took {
			all = append(all, taken.all())
		}
		return same(all[0], all[1], "shop/"+before+"/80")
	})

	leader := r.leader()
	if pods[leader] == nil {
		t.Fatalf("%q leads, and is none of the replicas", leader)
	}
	pods[leader].Kill()
	r.cluster.Apply(t, shop("after"))
	r.awaitAddress("shop", "after", published)
	if now := r.leader(); now == leader || pods[now] == nil {
		t.Errorf("%q leads after the death of %q", now, leader)
	}
}

// shop is a host with its own name, and all that it needs.
func shop(name string) string {
	return strings.ReplaceAll(`
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: NAME, namespace: shop}, spec: {ingressClassName: postern,
  rules: [{host: NAME.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: NAME, port: {number: 80}}}}]}}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: NAME, namespace: shop}, spec: {ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: NAME, namespace: shop, labels: {kubernetes.io/service-name: NAME}},
  addressType: IPv4, endpoints: [{addresses: [10.244.5.1]}], ports: [{port: 8080}]}
`, "NAME", name)
}

// leader is who holds the Lease.
func (r *release) leader() string {
	r.t.Helper()
	lease, err := r.client.CoordinationV1().Leases(system).Get(r.t.Context(), "postern", metav1.GetOptions{})
	if err != nil || lease.Spec.HolderIdentity == nil {
		r.t.Fatalf("the Lease: %v, %v", lease, err)
	}
	return *lease.Spec.HolderIdentity
}

// taker is a proxy that takes everything from one control plane.
type taker struct {
	client *ads.Client

	mu sync.Mutex
	// has are versions and bytes by type and name, guarded by mu.
	has map[string]string
}

// Apply implements ads.Handler.
func (k *taker) Apply(u ads.Update) map[string]error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, res := range u.Resources {
		k.has[u.TypeURL+" "+res.Name] = res.Version + " " + string(res.Resource.GetValue())
		if u.TypeURL == resource.ClusterType {
			k.client.Subscribe(resource.EndpointType, res.Name)
		}
	}
	for _, name := range u.Removed {
		delete(k.has, u.TypeURL+" "+name)
	}
	return nil
}

func (k *taker) all() map[string]string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.has)
}

// take connects to a control plane with the data plane's certificate, until the test ends.
func (r *release) take(p *pod) *taker {
	r.t.Helper()
	k := &taker{has: map[string]string{}}
	log := slog.New(slog.DiscardHandler)
	spec := r.template("postern-dataplane").Spec
	files, err := identity.Open(r.volume(&pod{t: r.t, name: "taker"}, spec.Volumes[0], nil), identity.DataPlane, log)
	if err != nil {
		r.t.Fatal(err)
	}
	k.client, err = ads.New(ads.Options{
		Target: p.address + ":18000", NodeID: "taker", Cluster: "takers", Handler: k, Credentials: files.Client("postern-controlplane"), Log: log,
		Wildcards: []string{resource.ClusterType, resource.ListenerType},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, entry := range []string{"http", "https"} {
		k.client.Subscribe(resource.RouteType, entry)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.client.Run(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		<-done
	})
	return k
}

// same says what keeps two replicas from serving the same, a backend of this name among it.
func same(a, b map[string]string, backend string) error {
	for _, name := range []string{resource.ClusterType + " " + backend, resource.EndpointType + " " + backend, resource.RouteType + " http", resource.ListenerType + " https"} {
		if a[name] == "" {
			return errors.New("there is no " + name)
		}
	}
	if len(a) != len(b) {
		return fmt.Errorf("%d and %d resources", len(a), len(b))
	}
	for name, text := range a {
		if b[name] != text {
			return errors.New(name + " differs")
		}
	}
	return nil
}
