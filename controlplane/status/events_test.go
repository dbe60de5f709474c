package status

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/source"
)

func fakeClient() *fake.Clientset { return fake.NewClientset() }

func list(t *testing.T, client *fake.Clientset) []eventsv1.Event {
	t.Helper()
	all, err := client.EventsV1().Events(metav1.NamespaceAll).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return all.Items
}

func writes(client *fake.Clientset) int {
	n := 0
	for _, a := range client.Actions() {
		if a.GetResource().Resource == "events" && a.GetVerb() != "list" {
			n++
		}
	}
	return n
}

// TestDiagnosticsAreToldOnce: the leader tells each, however often it is published, and a new one soon after.
func TestDiagnosticsAreToldOnce(t *testing.T) {
	client := fakeClient()
	s, stop := start(t, client, options(newProxies()))
	s.Published(publication(1, "web"))
	eventually(t, "an Event", func() bool { return len(list(t, client)) == 1 })
	e := list(t, client)[0]
	if e.Type != "Warning" || e.Reason != "NoService" || e.Regarding.UID != "uid-web" || e.Regarding.APIVersion != "networking.k8s.io/v1" ||
		e.ReportingController != "postern.dev/ingress-controller" || e.ReportingInstance != "a" || e.Action == "" || e.EventTime.IsZero() {
		t.Errorf("%+v", e)
	}
	if want := "P5001 spec.rules[0].http.paths[0]: there is no Service shop/web; effect: the path answers 503; fix: create it"; e.Note != want {
		t.Errorf("the note is %q, want %q", e.Note, want)
	}
	for rev := range xds.Revision(50) {
		s.Published(publication(rev+2, "web"))
	}
	s.Published(publication(60, "web", "other"))
	eventually(t, "the second Event", func() bool { return len(list(t, client)) == 2 })
	stop()
	if n := writes(client); n != 2 {
		t.Errorf("%d writes for two things to tell", n)
	}
	// Another replica finds them told.
	o := options(newProxies())
	o.Identity = "b"
	s, stop = start(t, client, o)
	s.Published(publication(1, "web", "other", "third"))
	eventually(t, "the third Event", func() bool { return len(list(t, client)) == 3 })
	stop()
	for _, e := range list(t, client) {
		if e.Series != nil {
			t.Errorf("%s is counted again a moment after", e.Name)
		}
	}
}

// TestEventsOfManyObjects: bounded by object, by note and by queue, and of every kind that a diagnostic may stand on.
func TestEventsOfManyObjects(t *testing.T) {
	p := publication(1)
	at := func(kind, namespace, name string) diag.Origin {
		return source.Place{}.Origin(kind, namespace, name, "metadata")
	}
	meta := func(namespace, name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "u"}
	}
	p.World = source.World{
		Services:   []source.Service{{Service: &corev1.Service{ObjectMeta: meta("shop", "s")}}},
		Secrets:    []source.Secret{{Secret: &corev1.Secret{ObjectMeta: meta("shop", "s")}}},
		Namespaces: []source.Namespace{{Namespace: &corev1.Namespace{ObjectMeta: meta("", "shop")}}},
	}
	for i := range 30 {
		p.Result.Diagnostics = append(p.Result.Diagnostics,
			diag.New(diag.CodeUnknownAnnot, at("Service", "shop", "s"), fmt.Sprint("one ", i), "none", ""))
	}
	p.Result.Diagnostics = append(p.Result.Diagnostics,
		diag.New(diag.CodeBadCertificate, at("Secret", "shop", "s"), strings.Repeat("é", 2000), "none", ""),
		diag.New(diag.CodeUnknownAnnot, at("Namespace", "", "shop"), "m", "none", ""),
		diag.New(diag.CodeUnknownAnnot, at("flag", "", "--http"), "m", "none", ""),
		diag.New(diag.CodeNoService, at("Service", "shop", "s"), "the worst", "none", ""))
	list := diagnosticEvents(p, "")
	var got []string
	for _, e := range list {
		got = append(got, fmt.Sprintf("%s %s %s", e.regarding.Kind, e.namespace(), e.reason))
		if len(e.note) > noteBytesMax || !strings.HasPrefix(e.note, "P") && e.reason != reasonMore {
			t.Errorf("the note %q of %d bytes", e.note, len(e.note))
		}
	}
	want := slices.Concat([]string{"Service shop NoService"}, slices.Repeat([]string{"Service shop UnknownAnnotation"}, 9),
		[]string{"Service shop MoreDiagnostics", "Secret shop BadCertificate", "Namespace default UnknownAnnotation"})
	if !slices.Equal(got, want) {
		t.Errorf("%v\nwant %v", got, want)
	}
}

// TestEventsAreBounded: neither an object nor the sum of all can flood the API server.
func TestEventsAreBounded(t *testing.T) {
	q := newEvents(fakeClient(), testLog(t), eventSource{"c", "i"})
	one := func(name, note string) event {
		return event{regarding: corev1.ObjectReference{Kind: "Ingress", Namespace: "shop", Name: name}, reason: "R", note: note}
	}
	for i := range 1000 {
		q.tell(usual, one("flapping", fmt.Sprint(i)))
		q.tell(usual, one("flapping", "the same"))
	}
	if len(q.queued) != eventsPerObjectMax {
		t.Errorf("%d Events of one object wait", len(q.queued))
	}
	for i := range 2 * eventsQueuedMax {
		q.tell(usual, one(fmt.Sprint(i), ""))
	}
	if len(q.queued) != eventsQueuedMax || q.dropped == 0 {
		t.Errorf("%d Events wait, %d are dropped", len(q.queued), q.dropped)
	}
}

// TestEventsAreTriedAgain: what the API server does not take now it takes later.
func TestEventsAreTriedAgain(t *testing.T) {
	client := fakeClient()
	failures := 0
	client.PrependReactor("create", "events", func(k8stesting.Action) (bool, runtime.Object, error) {
		failures++
		return failures < eventTriesMax, nil, errors.New("away")
	})
	s, stop := start(t, client, options(newProxies()))
	s.Published(publication(1, "web"))
	eventually(t, "an Event", func() bool { return len(list(t, client)) == 1 })
	stop()
	if failures != eventTriesMax {
		t.Errorf("%d tries", failures)
	}
}

// TestRefusals: on the objects that the proxy names first, on at most nackObjectsMax, in its words, and when it has come
// to accept what is there.
func TestRefusals(t *testing.T) {
	client, fake := fakeClient(), newProxies()
	s, stop := start(t, client, options(fake))
	defer stop()
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("web-%03d", i))
	}
	p := forwarding(1, 1)
	p.World = publication(1, names...).World
	fake.set(refusing(1))
	nack := xds.NACK{TypeURL: resource.RouteType, Words: "route of shop/web-077: no such thing", Blamed: []string{"http"}, Revision: 1}
	for _, i := range p.World.Ingresses {
		nack.Origins = append(nack.Origins, i.Origin("spec.rules[0]"), i.Origin("spec.rules[1]"))
	}
	s.Published(p)
	s.Refused("a", nack)
	s.Refused("b", nack)
	eventually(t, "Events", func() bool { return len(list(t, client)) == nackObjectsMax })
	var told bool
	for _, e := range list(t, client) {
		told = told || e.Regarding.Name == "web-077"
		if e.Type != "Warning" || e.Reason != reasonRefused || !strings.Contains(e.Note, nack.Words) || !strings.Contains(e.Note, "100 objects") {
			t.Errorf("%s: %q", e.Reason, e.Note)
		}
	}
	if !told {
		t.Error("no Event on the Ingress that the proxy names")
	}
	version, _ := p.Snapshot.Version(resource.RouteType, "http")
	state := serving(2)
	state.Types = append(state.Types, xds.TypeState{TypeURL: resource.RouteType, Accepted: []xds.NamedVersion{{Name: "http", Version: version}}})
	fake.set(state)
	p.Revision = 2
	// Of one Ingress an older version serves on: nothing is accepted of what was refused.
	held := p.World.Ingresses[77].Ingress.DeepCopy()
	held.ResourceVersion = "6"
	p.World.Ingresses = slices.Clone(p.World.Ingresses)
	p.World.Ingresses[77].Ingress = held
	s.Published(p)
	eventually(t, "accepted", func() bool { return len(list(t, client)) == 2*nackObjectsMax-1 })
}
