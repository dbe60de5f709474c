package kube_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/postern-gateway/postern/controlplane/casetest/transcript"
	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/controlplane/kube"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hangMax is how long a test waits for what must come.
const hangMax = 30 * time.Second

// cluster is a fake API server: its client, and what was asked of it.
type cluster struct {
	t      *testing.T
	client *fake.Clientset
	// watches are those that were opened, as RESOURCE NAMESPACE SELECTOR.
	watches chan string
	log     transcript.Text
	lock    sync.Mutex
	asked   []string // guarded by lock
}

func newCluster(t *testing.T, objects ...runtime.Object) *cluster {
	c := &cluster{t: t, client: fake.NewClientset(objects...), watches: make(chan string, 100)}
	c.client.PrependReactor("list", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		c.note("list", a.GetResource().Resource, a.GetNamespace(), a.(clienttesting.ListAction).GetListRestrictions().Fields.String())
		return false, nil, nil
	})
	c.client.PrependWatchReactor("*", func(a clienttesting.Action) (bool, watch.Interface, error) {
		selector := a.(clienttesting.WatchAction).GetWatchRestrictions().Fields.String()
		c.note("watch", a.GetResource().Resource, a.GetNamespace(), selector)
		w, err := c.client.Tracker().Watch(a.GetResource(), a.GetNamespace())
		c.watches <- strings.TrimSpace(a.GetResource().Resource + " " + a.GetNamespace() + " " + selector)
		return true, w, err
	})
	return c
}

func (c *cluster) note(words ...string) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.asked = append(c.asked, strings.Join(words, " "))
}

func (c *cluster) requests() []string {
	c.lock.Lock()
	defer c.lock.Unlock()
	return slices.Clone(c.asked)
}

// run starts a source that ends with the test.
func (c *cluster) run(o kube.Options) *kube.Source {
	o.Client, o.Log = c.client, slog.New(slog.NewTextHandler(&c.log, nil))
	s := kube.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	c.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			c.t.Error(err)
		}
	})
	return s
}

// waitWatches waits for these watches to be open: a fake API server forgets what is written between a list and its watch.
func (c *cluster) waitWatches(want ...string) {
	c.t.Helper()
	missing := slices.Clone(want)
	for len(missing) > 0 {
		select {
		case w := <-c.watches:
			missing = slices.DeleteFunc(missing, func(m string) bool { return m == w })
		case <-time.After(hangMax):
			c.t.Fatalf("these are not watched: %q; asked was %q", missing, c.requests())
		}
	}
}

// wait receives changes until the world is as it should be, and gives the last change. It leaves none for the next wait:
// a world is seen with its change, which need not have been received by then.
func wait(t *testing.T, s *kube.Source, what string, ok func(w source.World, complete bool) bool) controller.Change {
	t.Helper()
	hang := time.After(hangMax)
	var last controller.Change
	for {
		if w, complete := s.World(); ok(w, complete) {
			select {
			case last = <-s.Changes():
			default:
			}
			return last
		}
		select {
		case last = <-s.Changes():
		case <-hang:
			w, complete := s.World()
			t.Fatalf("waited in vain for %s: complete %v, faults %v, %+v", what, complete, s.Faults(), w)
		}
	}
}

func complete(_ source.World, complete bool) bool { return complete }

func meta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: namespace, Name: name, UID: "1", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
		Annotations: map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "{}", "postern.dev/x": "y"},
	}
}

func ingress(namespace, name string) *networkingv1.Ingress {
	return &networkingv1.Ingress{ObjectMeta: meta(namespace, name)}
}

func secret(namespace, name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: meta(namespace, name), Data: map[string][]byte{"tls.crt": []byte("x")}}
}

func slice(namespace, name, address string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{ObjectMeta: meta(namespace, name)}
	s.Labels = map[string]string{discoveryv1.LabelServiceName: "web", "app": "x"}
	node := "node-1"
	s.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{address}, NodeName: &node}}
	return s
}

func key(namespace, name string) model.ObjectKey {
	return model.ObjectKey{Namespace: namespace, Name: name}
}

// TestWorld: every kind that routing needs is in the world, without what costs memory and is not read; a change says
// whether it is of endpoints only.
func TestWorld(t *testing.T) {
	c := newCluster(t, ingress("shop", "web"), &corev1.Service{ObjectMeta: meta("shop", "web")}, slice("shop", "web-1", "10.0.0.1"),
		&networkingv1.IngressClass{ObjectMeta: meta("", "edge")}, &corev1.Namespace{ObjectMeta: meta("", "shop")},
		&corev1.Node{ObjectMeta: meta("", "node-1"), Status: corev1.NodeStatus{Images: []corev1.ContainerImage{{Names: []string{"x"}}}}},
		secret("shop", "tls"), &corev1.ConfigMap{ObjectMeta: meta("shop", "ca")})
	s := c.run(kube.Options{Cluster: "east", Nodes: true})
	c.waitWatches("ingresses", "services", "endpointslices", "ingressclasses", "namespaces", "nodes")
	wait(t, s, "every kind", complete)
	w, _ := s.World()
	if len(w.Ingresses) != 1 || len(w.Services) != 1 || len(w.EndpointSlices) != 1 || len(w.IngressClasses) != 1 ||
		len(w.Namespaces) != 1 || len(w.Nodes) != 1 || len(w.Secrets) != 0 || len(w.ConfigMaps) != 0 {
		t.Fatalf("the world is %+v", w)
	}
	ing := w.Ingresses[0]
	if ing.ManagedFields != nil || len(ing.Annotations) != 1 || ing.Annotations["postern.dev/x"] != "y" || ing.UID != "1" {
		t.Errorf("the Ingress is kept as %+v", ing.Ingress)
	}
	if got := ing.Origin("spec.rules[0]").String(); got != "Ingress east:shop/web spec.rules[0]" {
		t.Errorf("its place is told as %q", got)
	}
	if e := w.EndpointSlices[0]; len(e.Labels) != 1 || e.Endpoints[0].NodeName != nil || e.Endpoints[0].Addresses[0] != "10.0.0.1" {
		t.Errorf("the EndpointSlice is kept as %+v", e.EndpointSlice)
	}
	if w.Nodes[0].Status.Images != nil {
		t.Errorf("the Node is kept as %+v", w.Nodes[0].Node)
	}
	c.update(slice("shop", "web-1", "10.0.0.2"))
	change := wait(t, s, "the other address", func(w source.World, _ bool) bool { return w.EndpointSlices[0].Endpoints[0].Addresses[0] == "10.0.0.2" })
	if !change.EndpointsOnly || change.At.IsZero() {
		t.Errorf("a change of endpoints is told as %+v", change)
	}
	c.update(&corev1.Service{ObjectMeta: meta("shop", "web"), Spec: corev1.ServiceSpec{ExternalName: "x.test"}})
	change = wait(t, s, "the other Service", func(w source.World, _ bool) bool { return w.Services[0].Spec.ExternalName != "" })
	if change.EndpointsOnly {
		t.Error("a change of a Service is told as one of endpoints only")
	}
}

func (c *cluster) update(o runtime.Object) {
	c.t.Helper()
	var err error
	switch o := o.(type) {
	case *corev1.Service:
		_, err = c.client.CoreV1().Services(o.Namespace).Update(context.Background(), o, metav1.UpdateOptions{})
	case *discoveryv1.EndpointSlice:
		_, err = c.client.DiscoveryV1().EndpointSlices(o.Namespace).Update(context.Background(), o, metav1.UpdateOptions{})
	case *corev1.Secret:
		_, err = c.client.CoreV1().Secrets(o.Namespace).Create(context.Background(), o, metav1.CreateOptions{})
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// TestNamespaces: with namespaces given, nothing of others is asked for.
func TestNamespaces(t *testing.T) {
	c := newCluster(t, ingress("shop", "web"), ingress("blog", "web"), ingress("secret", "web"))
	s := c.run(kube.Options{Namespaces: []string{"shop", "blog", "shop"}})
	wait(t, s, "both namespaces", complete)
	if w, _ := s.World(); len(w.Ingresses) != 2 || w.Ingresses[0].Namespace != "blog" || w.Ingresses[1].Namespace != "shop" {
		t.Errorf("the Ingresses are %+v", w.Ingresses)
	}
	for _, r := range c.requests() {
		if !strings.Contains(r, " shop ") && !strings.Contains(r, " blog ") && !strings.Contains(r, "metadata.name=") && !strings.Contains(r, "ingressclasses") {
			t.Errorf("%q is asked for", r)
		}
	}
}

// TestLookups: a Secret is asked for by its name, once something refers to it, and is watched until nothing does; what does
// not exist is an answer, and is noticed when it comes.
func TestLookups(t *testing.T) {
	c := newCluster(t, secret("shop", "tls"), secret("shop", "helm"), &corev1.ConfigMap{ObjectMeta: meta("shop", "ca")})
	s := c.run(kube.Options{})
	s.Want(model.References{
		Secrets:    []model.ObjectKey{key("shop", "new"), key("shop", "tls"), {Cluster: "other", Namespace: "shop", Name: "helm"}, key("shop", "No such name")},
		ConfigMaps: []model.ObjectKey{key("shop", "ca")},
	})
	c.waitWatches("secrets shop metadata.name=tls", "secrets shop metadata.name=new", "configmaps shop metadata.name=ca")
	wait(t, s, "the answers", complete)
	w, _ := s.World()
	if len(w.Secrets) != 1 || w.Secrets[0].Name != "tls" || w.Secrets[0].Annotations != nil || len(w.ConfigMaps) != 1 {
		t.Fatalf("the world is %+v", w)
	}
	c.update(secret("shop", "new"))
	wait(t, s, "the new Secret", func(w source.World, _ bool) bool { return len(w.Secrets) == 2 })
	s.Want(model.References{Secrets: []model.ObjectKey{key("shop", "new")}})
	if after, complete := s.World(); len(after.Secrets) != 1 || after.Secrets[0].Name != "new" || len(after.ConfigMaps) != 0 || !complete {
		t.Errorf("after others are not wanted any more, the world is %+v", after)
	}
	if w.Secrets[0].Name != "tls" {
		t.Error("a world that was handed out is written to")
	}
	for _, r := range c.requests() {
		if of := strings.Fields(r); (of[1] == "secrets" || of[1] == "configmaps") && (len(of) != 4 || !strings.HasPrefix(of[3], "metadata.name=") || of[2] != "shop" || of[3] == "metadata.name=helm") {
			t.Errorf("%q is asked for", r)
		}
	}
}

// TestWantBeforeRun: what is wanted before anything runs is looked up then.
func TestWantBeforeRun(t *testing.T) {
	c := newCluster(t, secret("shop", "tls"))
	s := kube.New(kube.Options{Client: c.client, Log: slog.New(slog.DiscardHandler)})
	s.Want(model.References{Secrets: []model.ObjectKey{key("shop", "tls")}})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	wait(t, s, "the Secret", func(w source.World, complete bool) bool { return complete && len(w.Secrets) == 1 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	s.Want(model.References{Secrets: []model.ObjectKey{key("shop", "late")}})
}

// forbid has requests for a resource in a namespace refused, until allow is called.
func (c *cluster) forbid(resource, namespace string) (allow func()) {
	var lock sync.Mutex
	refuse := true
	fault := func(a clienttesting.Action) error {
		lock.Lock()
		defer lock.Unlock()
		if !refuse || namespace != "" && a.GetNamespace() != namespace {
			return nil
		}
		return apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", errors.New("postern may not list it"))
	}
	c.client.PrependReactor("list", resource, func(a clienttesting.Action) (bool, runtime.Object, error) {
		err := fault(a)
		return err != nil, nil, err
	})
	return func() {
		lock.Lock()
		defer lock.Unlock()
		refuse = false
	}
}

// TestRefusedKind: a kind that may not be listed keeps the world incomplete, and is told of once, in the log and among the
// faults, until it may.
func TestRefusedKind(t *testing.T) {
	c := newCluster(t, &networkingv1.IngressClass{ObjectMeta: meta("", "edge")})
	allow := c.forbid("ingressclasses", "")
	s := c.run(kube.Options{})
	c.waitWatches("ingresses", "services", "endpointslices", "namespaces")
	tried := func() int {
		n := 0
		for _, r := range c.client.Actions() {
			if r.Matches("list", "ingressclasses") {
				n++
			}
		}
		return n
	}
	c.until("a second attempt", func() bool { return tried() > 1 })
	if _, complete := s.World(); complete {
		t.Error("without IngressClasses the world is complete")
	}
	faults := s.Faults()
	if len(faults) != 1 || !strings.Contains(faults[0].String(), "IngressClass is not known yet: ingressclasses is forbidden: postern may not list it") {
		t.Errorf("the faults are %v", faults)
	}
	if n := strings.Count(c.log.String(), "may not list it"); n != 1 {
		t.Errorf("the fault is logged %d times:\n%s", n, c.log.String())
	}
	allow()
	wait(t, s, "IngressClasses", complete)
	if faults := s.Faults(); len(faults) != 0 {
		t.Errorf("the faults are %v", faults)
	}
	if !strings.Contains(c.log.String(), "answers again") {
		t.Errorf("that it is over is not logged:\n%s", c.log.String())
	}
}

// until waits for what no change tells.
func (c *cluster) until(what string, ok func() bool) {
	c.t.Helper()
	hang := time.After(hangMax)
	for !ok() {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-hang:
			c.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestRefusedSecret: a Secret that may not be read holds up nobody else; that none may be read at all is a fault of the
// installation, and keeps a control plane that has never served from being ready.
func TestRefusedSecret(t *testing.T) {
	c := newCluster(t, secret("shop", "tls"), secret("closed", "tls"))
	c.forbid("secrets", "closed")
	s := c.run(kube.Options{})
	wait(t, s, "every kind", complete)
	s.Want(model.References{Secrets: []model.ObjectKey{key("closed", "tls")}})
	c.until("the refusal", func() bool {
		return slices.ContainsFunc(s.Faults(), func(f kube.Fault) bool { return strings.HasPrefix(f.String(), "Secret closed/tls is not known yet: ") })
	})
	if _, complete := s.World(); complete {
		t.Error("no Secret may be read, and the world is complete")
	}
	both := model.References{Secrets: []model.ObjectKey{key("closed", "tls"), key("shop", "tls")}}
	s.Want(both)
	wait(t, s, "the other Secret", func(w source.World, complete bool) bool { return complete && len(w.Secrets) == 1 })
	s.Want(both)
	s.Want(model.References{Secrets: []model.ObjectKey{key("closed", "tls")}})
	if _, complete := s.World(); !complete {
		t.Error("what serves is held up by one Secret that may not be read")
	}
	if n := strings.Count(c.log.String(), "may not list it"); n != 1 {
		t.Errorf("the refusal is logged %d times:\n%s", n, c.log.String())
	}
}

// TestManyLookups: more than are asked for at once are all answered.
func TestManyLookups(t *testing.T) {
	const secrets = 200
	var objects []runtime.Object
	var r model.References
	for i := range secrets {
		name := fmt.Sprintf("tls-%03d", i)
		objects = append(objects, secret("shop", name))
		r.Secrets = append(r.Secrets, key("shop", name))
	}
	c := newCluster(t, objects...)
	c.watches = make(chan string, 2*secrets)
	s := c.run(kube.Options{})
	s.Want(r)
	wait(t, s, "all Secrets", func(w source.World, complete bool) bool { return complete && len(w.Secrets) == secrets })
	if w, _ := s.World(); !slices.IsSortedFunc(w.Secrets, func(a, b source.Secret) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the Secrets are not sorted")
	}
}

// TestExpired: a watch that has fallen behind is begun anew by a list, and what is known serves on meanwhile.
func TestExpired(t *testing.T) {
	c := newCluster(t, ingress("shop", "web"))
	first := make(chan *watch.FakeWatcher, 1)
	var once sync.Once
	c.client.PrependWatchReactor("ingresses", func(clienttesting.Action) (bool, watch.Interface, error) {
		var w *watch.FakeWatcher
		once.Do(func() { w = watch.NewFake() })
		if w == nil {
			return false, nil, nil
		}
		first <- w
		return true, w, nil
	})
	s := c.run(kube.Options{})
	wait(t, s, "the Ingress", complete)
	w := <-first
	if err := c.client.Tracker().Add(ingress("shop", "api")); err != nil {
		t.Fatal(err)
	}
	w.Error(&metav1.Status{Status: metav1.StatusFailure, Code: 410, Reason: metav1.StatusReasonExpired})
	wait(t, s, "the other Ingress", func(w source.World, complete bool) bool {
		if len(w.Ingresses) == 0 || !complete {
			t.Error("what was known is gone")
		}
		return len(w.Ingresses) == 2
	})
	if strings.Contains(c.log.String(), "cannot be read") {
		t.Errorf("an expired watch is logged as a fault:\n%s", c.log.String())
	}
}
