// Package status tests the writing of status and Events against a real API server, under the rights that docs/operate lists.
package status

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spf13/pflag"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/controlplane/options"
	controlstatus "github.com/postern-gateway/postern/controlplane/status"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/dataplane"
	"github.com/postern-gateway/postern/integration/cluster"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/source"
)

// hangMax bounds every wait in these tests.
const hangMax = 2 * time.Minute

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }

// rights are those of docs/operate/status-and-events.md, and the reading of objects, which is the controller's.
const rights = `
{apiVersion: v1, kind: ServiceAccount, metadata: {name: postern, namespace: postern}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: postern, namespace: postern}
rules:
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create]}
- {apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [postern], verbs: [get, update]}
- {apiGroups: [""], resources: [services], resourceNames: [gateway], verbs: [get, list, watch]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: postern, namespace: postern},
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: postern}, subjects: [{kind: ServiceAccount, name: postern}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: postern}
rules:
- {apiGroups: [networking.k8s.io], resources: [ingresses], verbs: [list, watch]}
- {apiGroups: [networking.k8s.io], resources: [ingresses/status], verbs: [patch]}
- {apiGroups: [events.k8s.io], resources: [events], verbs: [create, get, patch]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: postern},
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: postern}, subjects: [{kind: ServiceAccount, name: postern, namespace: postern}]}
`

// lab is an API server with the rights.
type lab struct {
	*cluster.Cluster
	admin *kubernetes.Clientset
	// before is how many requests there were before the test.
	before int
}

func newLab(t *testing.T) *lab {
	t.Helper()
	c := cluster.Start(t)
	c.Apply(t, rights)
	l := &lab{Cluster: c, admin: c.Client(t), before: len(c.Requests(t))}
	c.CheckRights(t, "postern", "postern")
	return l
}

// requests are Postern's of this test.
func (l *lab) requests(t *testing.T) []cluster.Request {
	var out []cluster.Request
	for _, r := range l.Requests(t)[l.before:] {
		if r.User.Username == cluster.User("postern", "postern") {
			out = append(out, r)
		}
	}
	return out
}

// count is how many requests of a verb Postern has made of a resource, by what is in its path.
func (l *lab) count(t *testing.T, verb, path string) int {
	n := 0
	for _, r := range l.requests(t) {
		if r.Verb == verb && strings.Contains(r.RequestURI, path) {
			n++
		}
	}
	return n
}

// replica is a control plane whose world a test publishes by hand.
type replica struct {
	t      *testing.T
	lab    *lab
	server *xds.Server
	status *controlstatus.Status
	socket string
	// cut is set when the replica is killed: it reaches the API server no more.
	cut  *atomic.Bool
	stop func()
}

// cuttable is a way to the API server that a kill ends, connections included, so that not even the Lease is released.
type cuttable struct {
	next http.RoundTripper
	cut  *atomic.Bool
}

func (c cuttable) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.cut.Load() {
		return nil, errors.New("killed")
	}
	return c.next.RoundTrip(r)
}

func (l *lab) replica(t *testing.T, identity string, change func(*controlstatus.Options)) *replica {
	t.Helper()
	r := &replica{t: t, lab: l, cut: &atomic.Bool{}}
	config := l.As(t, "postern", "postern")
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return cuttable{next, r.cut} })
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo})).With("replica", identity)
	r.server = xds.New(xds.Options{Log: log, OnNACK: func(node string, n xds.NACK) { r.status.Refused(node, n) }})
	o := controlstatus.Options{
		Controller: "postern.dev/ingress-controller", Identity: identity, LeaseNamespace: "postern", LeaseName: "postern",
		PublishAddresses: []string{"10.95.0.1"}, Proxies: r.server,
	}
	if change != nil {
		change(&o)
	}
	if r.status, err = controlstatus.New(client, log, o); err != nil {
		t.Fatal(err)
	}
	r.socket = filepath.Join(t.TempDir(), "xds", "a.sock")
	lis, err := xds.ListenUnix(r.socket)
	if err != nil {
		t.Fatal(err)
	}
	r.stop = background(t, func(ctx context.Context) error {
		return errors.Join(parallel(ctx, r.status.Run, func(ctx context.Context) error { return r.server.Serve(ctx, lis) })...)
	})
	return r
}

// background runs something until stop is called or the test ends.
func background(t *testing.T, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func parallel(ctx context.Context, runs ...func(context.Context) error) []error {
	errs := make([]error, len(runs))
	var group sync.WaitGroup
	for i, run := range runs {
		group.Go(func() { errs[i] = run(ctx) })
	}
	group.Wait()
	return errs
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(line []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(line)))
	return len(line), nil
}

// dataPlane connects a Go data plane.
func (r *replica) dataPlane() (stop func()) {
	return background(r.t, func(ctx context.Context) error {
		return dataplane.Run(ctx, dataplane.Options{
			Target: "unix://" + r.socket, NodeID: "proxy", Cluster: "postern", Log: slog.New(slog.DiscardHandler),
			Listen: func(network, _ string) (net.Listener, error) { return net.Listen(network, "127.0.0.1:0") },
		})
	})
}

// publish translates what the API server has and serves it, with resources beside it.
func (r *replica) publish(extra ...xds.Resource) xds.Revision {
	r.t.Helper()
	var o options.Options
	o.RegisterCluster(pflag.NewFlagSet("controlplane", pflag.ContinueOnError))
	o.HTTP, o.HTTPS, o.IngressClass = "127.0.0.1:8080", "", "postern"
	settings, err := o.Settings()
	if err != nil {
		r.t.Fatal(err)
	}
	w := r.lab.world(r.t)
	result := translator.Translate(w, settings)
	resources := extra
	for _, res := range result.Resources {
		resources = append(resources, xds.Resource{TypeURL: res.TypeURL, Name: res.Name, Message: res.Message, Origins: res.Origins})
	}
	snapshot, err := xds.NewSnapshot(resources, result.Secret)
	if err != nil {
		r.t.Fatal(err)
	}
	revision := r.server.Publish(snapshot)
	r.status.Published(controller.Publication{Revision: revision, Snapshot: snapshot, World: w, Result: result})
	return revision
}

func (l *lab) world(t *testing.T) source.World {
	t.Helper()
	var w source.World
	ctx, all := t.Context(), metav1.ListOptions{}
	ingresses, err := l.admin.NetworkingV1().Ingresses("").List(ctx, all)
	if err != nil {
		t.Fatal(err)
	}
	for i := range ingresses.Items {
		w.Ingresses = append(w.Ingresses, source.Ingress{Ingress: &ingresses.Items[i], APIVersion: "networking.k8s.io/v1"})
	}
	services, err := l.admin.CoreV1().Services("").List(ctx, all)
	if err != nil {
		t.Fatal(err)
	}
	for i := range services.Items {
		w.Services = append(w.Services, source.Service{Service: &services.Items[i]})
	}
	slices, err := l.admin.DiscoveryV1().EndpointSlices("").List(ctx, all)
	if err != nil {
		t.Fatal(err)
	}
	for i := range slices.Items {
		w.EndpointSlices = append(w.EndpointSlices, source.EndpointSlice{EndpointSlice: &slices.Items[i]})
	}
	return w
}

// await watches an Ingress until a condition holds, and returns it and all its states on the way.
func (l *lab) await(t *testing.T, what, name string, condition func(*networkingv1.Ingress) bool) []*networkingv1.Ingress {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hangMax)
	defer cancel()
	// Without a resource version the watch begins with the object as it is.
	w, err := l.admin.NetworkingV1().Ingresses("shop").Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	var seen []*networkingv1.Ingress
	for event := range w.ResultChan() {
		if i, ok := event.Object.(*networkingv1.Ingress); ok {
			seen = append(seen, i)
			if condition(i) {
				return seen
			}
		}
	}
	t.Fatalf("%s: not within %s", what, hangMax)
	return nil
}

// has is the condition that an Ingress has these addresses, of which those with a letter are host names.
func has(addresses ...string) func(*networkingv1.Ingress) bool {
	return func(i *networkingv1.Ingress) bool {
		return strings.Join(targets(i), " ") == strings.Join(addresses, " ")
	}
}

// targets are what external-dns makes records of: every IP and host name in the status.
func targets(i *networkingv1.Ingress) []string {
	var out []string
	for _, a := range i.Status.LoadBalancer.Ingress {
		if a.IP != "" {
			out = append(out, a.IP)
		}
		if a.Hostname != "" {
			out = append(out, a.Hostname)
		}
	}
	return out
}

// healthy is when Argo CD calls an Ingress healthy; before, it is progressing, and a sync waits for it.
func healthy(i *networkingv1.Ingress) bool { return len(i.Status.LoadBalancer.Ingress) > 0 }
