package incluster

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/controlplane/kube"
	"github.com/postern-gateway/postern/controlplane/names"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/integration/cluster"
	"github.com/postern-gateway/postern/integration/cluster/proxy"
	"github.com/postern-gateway/postern/integration/processes"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/explain"
)

const (
	// churnTime is how long objects change while the API server fails.
	churnTime = time.Minute
	// churnPace is the time between two changes.
	churnPace = 20 * time.Millisecond
	// steadyHosts are never changed, churnHosts are.
	steadyHosts, churnHosts = 20, 20
	// faultSeed draws the faults and the changes.
	faultSeed = 1
)

// faults are what a bad day of an API server is like, several times a second.
var faults = proxy.Faults{
	Gone: 0.2, TooMany: 0.1, Reset: 0.1, Cut: 0.4, Expire: 0.4, CutAfter: 3 * time.Second, Slow: 0.3, SlowBy: 2 * time.Second,
}

// hosts are objects of a host with a certificate of its own.
func hostObjects(name string) string {
	pair := casetest.NewPair(name+".test", casetest.SignedByCA)
	return fmt.Sprintf(`
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: %[1]s, namespace: shop}, spec: {ingressClassName: postern,
  tls: [{hosts: [%[1]s.test], secretName: %[1]s}],
  rules: [{host: %[1]s.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: %[1]s, port: {number: 80}}}}]}}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: %[1]s, namespace: shop}, spec: {ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %[1]s, namespace: shop, labels: {kubernetes.io/service-name: %[1]s}},
  addressType: IPv4, endpoints: [{addresses: [10.244.5.1]}], ports: [{port: 8080}]}
---
{apiVersion: v1, kind: Secret, metadata: {name: %[1]s, namespace: shop}, type: kubernetes.io/tls, data: {tls.crt: %[2]s, tls.key: %[3]s}}
---
`, name, base64.StdEncoding.EncodeToString(pair.Certificate), base64.StdEncoding.EncodeToString(pair.Key))
}

const class = `{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: postern}, spec: {controller: postern.dev/ingress-controller}}
---
`

// TestAPIServerFaults: while the API server answers 410 and 429, drops connections and watches and is slow, for a minute of
// changes, no snapshot lacks a host that did not change; afterwards the last is that of a control plane just started.
func TestAPIServerFaults(t *testing.T) {
	settings := clusterSettings(t)
	c, granted := rightsFor(settings).start(t)
	var objects string
	for i := range steadyHosts {
		objects += hostObjects(steady(i))
	}
	c.Apply(t, class+objects)
	p := proxy.Start(t, c.Config, faultSeed)
	p.SetFaults(faults)
	w := &witness{t: t, changed: make(chan struct{})}
	startController(t, p.Config(granted), settings, w)
	edits := churn(t, c)
	p.SetFaults(proxy.Faults{})

	want := translator.Translate(startWatch(t, granted, settings).world(nil, nil), settings)
	deadline := time.After(processes.WaitMax)
	for {
		last, changed := w.last()
		found := differences(want, last.Result)
		if len(found) == 0 {
			break
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("the last snapshot is not that of a fresh build: %v", found)
		}
	}
	t.Logf("%d changes, %d publications; faults: %v", edits, w.count(), p.Done())
	for _, fault := range []string{"410", "429", "reset", "cut", "expire", "slow"} {
		if p.Done()[fault] == 0 {
			t.Errorf("%s has never happened", fault)
		}
	}
}

func steady(i int) string { return fmt.Sprintf("steady-%d", i) }

// clusterSettings are those of postern controlplane without a flag.
func clusterSettings(t *testing.T) translator.Settings {
	t.Helper()
	var o options.Options
	o.RegisterCluster(pflag.NewFlagSet("controlplane", pflag.ContinueOnError))
	settings, err := o.Settings()
	if err != nil {
		t.Fatal(err)
	}
	return settings
}

// startController runs the control plane of a cluster until the test ends. It has no proxies.
func startController(t *testing.T, config *rest.Config, settings translator.Settings, observer controller.Observer) {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	c := controller.New(controller.Config{
		Source: kube.New(kube.Options{Client: client, Log: log}), Settings: settings, Names: names.New(names.Options{}), Log: log,
		Serve: func(ctx context.Context, _ *xds.Server) error {
			<-ctx.Done()
			return nil
		},
	})
	c.Observe(observer)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// witness looks at every publication.
type witness struct {
	t *testing.T

	mu sync.Mutex
	// latest, published and changed are guarded by mu.
	latest    controller.Publication
	published int
	changed   chan struct{}
}

// Refused implements controller.Observer.
func (w *witness) Refused(string, xds.NACK) {}

// Published implements controller.Observer: every steady host is served, as always.
func (w *witness) Published(p controller.Publication) {
	for i := range steadyHosts {
		host := steady(i) + ".test"
		story, err := explain.Explain(p.Result.Gateway, nil, explain.Request{
			Method: "GET", URL: "https://" + host + "/", From: netip.MustParseAddr("127.0.0.1"), At: time.Now(),
		})
		d := story.Decision
		if err != nil || d.Backend != "shop/"+steady(i)+"/80" || len(d.Endpoints) != 1 || story.Certificate == nil || story.Certificate.Subject() != host {
			w.t.Errorf("revision %d: %s: %+v, certificate %+v, %v", p.Revision, host, d, story.Certificate, err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.latest = p
	w.published++
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *witness) last() (controller.Publication, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.latest, w.changed
}

func (w *witness) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.published
}

// churn changes objects for churnTime, and gives how often.
func churn(t *testing.T, c *cluster.Cluster) int {
	t.Helper()
	draw := rand.New(rand.NewPCG(faultSeed, 1))
	w := writer{t, dynamicClient(t, c)}
	made := map[int]bool{}
	edits := 0
	ticker := time.NewTicker(churnPace)
	defer ticker.Stop()
	for end := time.Now().Add(churnTime); time.Now().Before(end); edits++ {
		<-ticker.C
		i := draw.IntN(churnHosts)
		name := fmt.Sprintf("churn-%d", i)
		switch {
		case !made[i]:
			c.Apply(t, hostObjects(name))
			made[i] = true
		case draw.IntN(4) == 0:
			for _, kind := range []string{"Ingress", "Service", "EndpointSlice", "Secret"} {
				if err := w.of(key{kind, "shop", name}).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			delete(made, i)
		default:
			c.Apply(t, fmt.Sprintf(`{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %[1]s, namespace: shop, labels: {kubernetes.io/service-name: %[1]s}},
  addressType: IPv4, endpoints: [{addresses: [10.244.5.%[2]d]}], ports: [{port: 8080}]}`, name, 1+draw.IntN(200)))
		}
	}
	return edits
}
