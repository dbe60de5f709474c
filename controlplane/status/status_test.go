package status

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// hangMax bounds every wait in these tests.
const hangMax = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// proxies stand in for the xDS server: what they have accepted is what the test says.
type proxies struct {
	mu      sync.Mutex
	states  []xds.ProxyState
	changed chan struct{}
}

func newProxies() *proxies { return &proxies{changed: make(chan struct{})} }

func (p *proxies) set(states ...xds.ProxyState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.states = states
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *proxies) Proxies() []xds.ProxyState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.states
}

func (p *proxies) WaitServing(ctx context.Context, rev xds.Revision) error {
	for {
		p.mu.Lock()
		states, changed := p.states, p.changed
		p.mu.Unlock()
		for _, s := range states {
			if s.Revision >= rev {
				return nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// serving is a proxy with listeners that has answered all of a revision.
func serving(rev xds.Revision) xds.ProxyState {
	return xds.ProxyState{Node: "a", Revision: rev, Types: []xds.TypeState{{TypeURL: resource.ListenerType}}}
}

// publication has Ingresses that are served, all of them with a diagnostic, and nothing else.
func publication(rev xds.Revision, names ...string) controller.Publication {
	p := controller.Publication{Revision: rev, Snapshot: must(xds.NewSnapshot(nil, nil))}
	for _, name := range names {
		i := source.Ingress{Ingress: &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: types.UID("uid-" + name), ResourceVersion: "7",
		}}}
		p.World.Ingresses = append(p.World.Ingresses, i)
		p.Result.Served = append(p.Result.Served, model.ObjectKey{Namespace: "shop", Name: name})
		p.Result.Diagnostics = append(p.Result.Diagnostics,
			diag.New(diag.CodeNoService, i.Origin("spec.rules[0].http.paths[0]"), "there is no Service shop/"+name, "the path answers 503", "create it"),
			diag.New(diag.CodeNotSelected, i.Origin(""), "a remark", "none", ""))
	}
	return p
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func options(p Proxies) Options {
	return Options{
		Controller: "postern.dev/ingress-controller", Identity: "a", LeaseNamespace: "postern", LeaseName: "postern",
		Proxies: p, EndpointsWait: time.Hour,
		times: times{lease: 2 * time.Second, renew: time.Second, retry: 50 * time.Millisecond, handOff: time.Hour},
	}
}

// start runs a Status until the test ends or stop is called.
func start(t *testing.T, client kubernetes.Interface, o Options) (s *Status, stop func()) {
	t.Helper()
	s, err := New(client, testLog(t), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(line []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(line)))
	return len(line), nil
}

// eventually waits for a condition that nothing announces.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(hangMax)
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("%s: not within %s", what, hangMax)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestNewRefuses(t *testing.T) {
	good := options(newProxies())
	for name, change := range map[string]func(*Options){
		"no identity":       func(o *Options) { o.Identity = "" },
		"no lease":          func(o *Options) { o.LeaseName = "" },
		"two sources":       func(o *Options) { o.PublishService.Name, o.PublishAddresses = "gw", []string{"1.2.3.4"} },
		"a broken address":  func(o *Options) { o.PublishAddresses = []string{"1.2.3.400"} },
		"a zone":            func(o *Options) { o.PublishAddresses = []string{"fe80::1%eth0"} },
		"a name with space": func(o *Options) { o.PublishAddresses = []string{"a b"} },
	} {
		o := good
		change(&o)
		if _, err := New(nil, slog.New(slog.DiscardHandler), o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestAddresses(t *testing.T) {
	list, err := parseAddresses([]string{"gw.Example.com.", "2001:db8::1", "192.0.2.1", "192.0.2.1"})
	if want := []address{{ip: "192.0.2.1"}, {ip: "2001:db8::1"}, {hostname: "gw.example.com"}}; err != nil || !equal(list, want) {
		t.Errorf("%v, %v, want %v", list, err, want)
	}
	balanced := corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{
		{Hostname: "lb.example.com"}, {IP: "192.0.2.9"}, {IP: "192.0.2.1", Hostname: "lb.example.com"},
	}}}
	for _, c := range []struct {
		name   string
		spec   corev1.ServiceSpec
		status corev1.ServiceStatus
		want   []address
	}{
		{"balanced", corev1.ServiceSpec{Type: "LoadBalancer", ClusterIPs: []string{"10.0.0.1"}, ExternalIPs: []string{"192.0.2.5"}}, balanced,
			[]address{{ip: "192.0.2.1"}, {ip: "192.0.2.9"}, {hostname: "lb.example.com"}}},
		{"not balanced", corev1.ServiceSpec{Type: "LoadBalancer", ClusterIPs: []string{"10.0.0.1"}, ExternalIPs: []string{"192.0.2.5"}}, corev1.ServiceStatus{},
			[]address{{ip: "192.0.2.5"}}},
		{"pending", corev1.ServiceSpec{Type: "LoadBalancer", ClusterIPs: []string{"10.0.0.1"}}, corev1.ServiceStatus{}, nil},
		{"node port", corev1.ServiceSpec{Type: "NodePort", ClusterIPs: []string{"10.0.0.1", "fd00::1"}}, corev1.ServiceStatus{},
			[]address{{ip: "10.0.0.1"}, {ip: "fd00::1"}}},
		{"node port with external IPs", corev1.ServiceSpec{Type: "NodePort", ClusterIPs: []string{"10.0.0.1"}, ExternalIPs: []string{"192.0.2.5"}}, corev1.ServiceStatus{},
			[]address{{ip: "192.0.2.5"}}},
		{"headless", corev1.ServiceSpec{Type: "ClusterIP", ClusterIPs: []string{"None"}}, corev1.ServiceStatus{}, nil},
		{"a name", corev1.ServiceSpec{Type: "ExternalName", ExternalName: "gw.example.com"}, corev1.ServiceStatus{}, []address{{hostname: "gw.example.com"}}},
	} {
		if got := serviceAddresses(&corev1.Service{Spec: c.spec, Status: c.status}); !equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func equal(a, b []address) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func testLog(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(testWriter{t}, nil)) }
