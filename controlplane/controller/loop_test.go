package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

const web = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.0.0.1]}]
`

// ingress is an Ingress of namespace shop with one path to web.
func ingress(name, path string, annotations ...string) string {
	return fmt.Sprintf(`
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %s, namespace: shop, annotations: {%s}}
spec: {rules: [{host: %s.test, http: {paths: [{path: %s, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}
`, name, strings.Join(annotations, ", "), name, path)
}

// put writes objects over those of the same names.
func put(t testing.TB, manifests string) func(*source.World) {
	t.Helper()
	more := parse(t, manifests)
	return func(w *source.World) {
		w.Ingresses = slices.Clone(w.Ingresses)
		for _, ing := range more.Ingresses {
			w.Ingresses = slices.DeleteFunc(w.Ingresses, func(o source.Ingress) bool { return o.Namespace == ing.Namespace && o.Name == ing.Name })
			w.Ingresses = append(w.Ingresses, ing)
		}
		w.Services = slices.Clone(w.Services)
		for _, s := range more.Services {
			w.Services = slices.DeleteFunc(w.Services, func(o source.Service) bool { return o.Namespace == s.Namespace && o.Name == s.Name })
			w.Services = append(w.Services, s)
		}
	}
}

// move gives the Service web other endpoints.
func move(addresses ...string) func(*source.World) {
	return func(w *source.World) {
		w.EndpointSlices = slices.Clone(w.EndpointSlices)
		moved := w.EndpointSlices[0].DeepCopy()
		moved.Endpoints = nil
		for _, a := range addresses {
			moved.Endpoints = append(moved.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
		}
		w.EndpointSlices[0].EndpointSlice = moved
	}
}

// has says whether a publication serves a host.
func has(host string) func(Publication) bool {
	return func(p Publication) bool {
		return slices.ContainsFunc(p.Result.Gateway.Tables[0].Exact, func(h model.HostRoutes) bool { return h.Host.Name() == host })
	}
}

// TestNothingBeforeTheWorldIsWhole: no proxy is answered before every object is listed and every Secret that is referred
// to has been looked up.
func TestNothingBeforeTheWorldIsWhole(t *testing.T) {
	m := newMemory(parse(t, web+ingress("a", "/")))
	m.listed = false
	r := start(t, m, settings(t))
	if r.Ready() == nil {
		t.Error("it is ready before anything is listed")
	}
	m.edit(Change{}, func(*source.World) {})
	if snapshot, _ := r.Server().Snapshot(); snapshot != nil {
		t.Error("there is a snapshot before anything is listed")
	}
	m.edit(Change{}, func(*source.World) { m.listed = true })
	r.awaitServing(t)
	first := r.seen.await(t, "the first snapshot", has("a.test"))
	if first.Revision != 1 || r.Ready() != nil {
		t.Errorf("revision %d, not ready: %v", first.Revision, r.Ready())
	}
	for _, d := range first.Result.Diagnostics {
		if d.Severity == diag.Error {
			t.Errorf("the first snapshot has %v", d)
		}
	}
}

// TestFirstChangeAtOnceLaterOnesOnAnswers: a change goes out at once, and those that come while the proxies work on it
// are one.
func TestFirstChangeAtOnceLaterOnesOnAnswers(t *testing.T) {
	m := newMemory(parse(t, web+ingress("a", "/")))
	r := start(t, m, settings(t))
	p := r.connect(t, &proxy{})
	r.settle(t)
	before := r.seen.count()
	m.edit(Change{}, put(t, ingress("b", "/")))
	r.seen.await(t, "the first change", has("b.test"))
	const edits = 40
	for i := range edits {
		m.edit(Change{}, put(t, ingress(fmt.Sprintf("c%d", i), "/")))
	}
	r.seen.await(t, "the last change", has(fmt.Sprintf("c%d.test", edits-1)))
	r.settle(t)
	if !strings.Contains(p.routes(), "c39.test") {
		t.Error("the proxy lacks the last change")
	}
	if n := r.seen.count() - before; n < 2 || n >= edits {
		t.Errorf("%d edits were %d publications", edits+1, n)
	}
}

// TestEndpointsPass: endpoints reach a proxy while a change of configuration waits for another proxy that hangs.
func TestEndpointsPass(t *testing.T) {
	m := newMemory(parse(t, web+ingress("a", "/")))
	r := start(t, m, settings(t))
	p := r.connect(t, &proxy{})
	r.settle(t)
	m.edit(Change{EndpointsOnly: true}, move("10.0.0.2", "10.0.0.3"))
	last := r.seen.await(t, "other endpoints", func(p Publication) bool { return p.EndpointsOnly })
	r.settle(t)
	if got := p.endpoints("shop/web/80"); !slices.Equal(got, []string{"10.0.0.2", "10.0.0.3"}) {
		t.Errorf("the proxy has endpoints %v", got)
	}
	// What says nothing new is not published.
	m.edit(Change{EndpointsOnly: true}, func(*source.World) {})
	m.edit(Change{}, put(t, ingress("b", "/")))
	if next := r.seen.await(t, "a change", has("b.test")); next.Revision != last.Revision+1 {
		t.Errorf("revision %d after %d", next.Revision, last.Revision)
	}
	// A proxy that hangs holds back configuration for a while, and endpoints not at all: both come in one order.
	hung := r.connect(t, &proxy{gate: make(chan struct{})})
	defer close(hung.gate)
	m.edit(Change{}, put(t, ingress("c", "/")))
	r.seen.await(t, "a change though a proxy hangs", has("c.test"))
	m.edit(Change{}, put(t, ingress("d", "/")))
	m.edit(Change{EndpointsOnly: true}, move("10.0.0.9"))
	moved := r.seen.await(t, "endpoints while configuration waits", func(p Publication) bool {
		return strings.Contains(fmt.Sprint(p.Result.Gateway.Assignments), "10.0.0.9")
	})
	if !moved.EndpointsOnly || has("d.test")(moved) {
		t.Error("endpoints waited for the configuration")
	}
	r.seen.await(t, "the configuration after the bounded wait", has("d.test"))
}

// TestFaultsKeepWhatIsServed: a fault of ours ends nothing and takes nothing away.
func TestFaultsKeepWhatIsServed(t *testing.T) {
	m := newMemory(parse(t, web+ingress("a", "/")))
	r := start(t, m, settings(t))
	first := r.seen.await(t, "the first snapshot", has("a.test"))
	m.edit(Change{}, func(w *source.World) { w.Ingresses = append(slices.Clone(w.Ingresses), source.Ingress{}) }) // nil: it panics
	r.log.await("a fault of Postern's own")
	m.edit(Change{EndpointsOnly: true}, move("10.0.0.7"))
	moved := r.seen.await(t, "endpoints after the fault", func(p Publication) bool { return p.EndpointsOnly })
	if !has("a.test")(moved) || moved.Revision != first.Revision+1 {
		t.Errorf("revision %d serves %v", moved.Revision, moved.Result.Gateway.Tables)
	}
	m.edit(Change{}, func(w *source.World) {
		w.Ingresses = slices.DeleteFunc(slices.Clone(w.Ingresses), func(i source.Ingress) bool { return i.Ingress == (*networkingv1.Ingress)(nil) })
	})
	m.edit(Change{}, put(t, ingress("b", "/")))
	r.seen.await(t, "a change after the fault", has("b.test"))
}

// users is a Secret of one user, and what asks for it.
const (
	users = `
---
apiVersion: v1
kind: Secret
metadata: {name: users, namespace: shop}
stringData: {auth: "a:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="}
`
	askUsers = `traefik.ingress.kubernetes.io/auth-type: basic, traefik.ingress.kubernetes.io/auth-secret: users`
)

// TestFirstLookups: what the first snapshot refers to is looked up before it is served, however long that takes.
func TestFirstLookups(t *testing.T) {
	m := newMemory(parse(t, web+users+ingress("a", "/", askUsers)))
	m.slow = true
	r := start(t, m, settings(t))
	r.awaitWanted(t, "users")
	if snapshot, _ := r.Server().Snapshot(); snapshot != nil || r.Ready() == nil {
		t.Error("there is a snapshot before the Secret is looked up")
	}
	m.lookUp()
	if first := r.seen.await(t, "the first snapshot", has("a.test")); first.Revision != 1 || closed(first, "a.test") {
		t.Errorf("revision %d, with diagnostics %v", first.Revision, first.Result.Diagnostics)
	}
}

// TestLaterLookups: a route whose Secret is not looked up yet is not closed for that moment.
func TestLaterLookups(t *testing.T) {
	m := newMemory(parse(t, web+users+ingress("a", "/")))
	m.slow = true
	r := start(t, m, settings(t))
	r.seen.await(t, "the first snapshot", has("a.test"))
	m.edit(Change{}, put(t, ingress("b", "/", askUsers)))
	r.awaitWanted(t, "users")
	m.edit(Change{}, put(t, ingress("c", "/")))
	m.lookUp()
	if p := r.seen.await(t, "the change", has("b.test")); p.Revision != 2 || closed(p, "b.test") || !has("c.test")(p) {
		t.Errorf("revision %d, with diagnostics %v", p.Revision, p.Result.Diagnostics)
	}
	// What never is looked up holds nothing up for good.
	m.edit(Change{}, put(t, ingress("d", "/", strings.ReplaceAll(askUsers, "users", "others"))))
	if p := r.seen.await(t, "a change whose Secret nobody finds", has("d.test")); !closed(p, "d.test") {
		t.Error("a route without its users is open")
	}
}

// awaitWanted waits until a Secret is referred to.
func (r *running) awaitWanted(t testing.TB, name string) {
	t.Helper()
	key := model.ObjectKey{Namespace: "shop", Name: name}
	deadline := time.After(hangLimit)
	for {
		r.source.mu.Lock()
		wanted, asked := r.source.wanted, r.source.asked
		r.source.mu.Unlock()
		if slices.Contains(wanted.Secrets, key) {
			return
		}
		select {
		case <-asked:
		case <-deadline:
			t.Fatalf("Secret %s is not wanted", name)
		}
	}
}

// closed says whether every route of a host answers 503.
func closed(p Publication, host string) bool {
	for _, h := range p.Result.Gateway.Tables[0].Exact {
		for _, route := range h.Routes {
			if _, open := route.Action.(*model.Forward); open && h.Host.Name() == host {
				return false
			}
		}
	}
	return true
}
