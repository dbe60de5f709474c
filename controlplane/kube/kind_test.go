package kube

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/translator/source"
)

// TestKind: whatever is put, removed and replaced, the objects are those of a map, sorted, and what was handed out stays.
func TestKind(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	k := ingresses(source.Place{})
	want := map[string]string{}
	for range 5000 {
		namespace, name, version := strconv.Itoa(r.IntN(4)), strconv.Itoa(r.IntN(8)), strconv.Itoa(r.IntN(3))
		before := k.all()
		copied := slices.Clone(before)
		old, had := want[namespace+"/"+name]
		switch r.IntN(8) {
		case 0:
			if removed := k.remove(scope{namespace, name}); removed != had {
				t.Fatalf("%s/%s was there: %v, removed: %v", namespace, name, had, removed)
			}
			delete(want, namespace+"/"+name)
		case 1:
			changed := !had || old != version
			for key := range want {
				if key[:1] == namespace && key != namespace+"/"+name {
					delete(want, key)
					changed = true
				}
			}
			want[namespace+"/"+name] = version
			if got := k.replace(scope{namespace: namespace}, []source.Ingress{versioned(namespace, name, version)}); got != changed {
				t.Fatalf("replacing says changed: %v, want %v", got, changed)
			}
		default:
			want[namespace+"/"+name] = version
			if changed := k.put(versioned(namespace, name, version)); changed != (!had || old != version) {
				t.Fatalf("%s/%s of version %q becomes %q: changed %v", namespace, name, old, version, changed)
			}
		}
		if !slices.EqualFunc(before, copied, func(a, b source.Ingress) bool { return a.Ingress == b.Ingress }) {
			t.Fatal("objects that were handed out are written to")
		}
		got := k.all()
		if len(got) != len(want) || !slices.IsSortedFunc(got, func(a, b source.Ingress) int { return compareNames(a, b) }) {
			t.Fatalf("there are %d objects, want %d; or they are not sorted", len(got), len(want))
		}
		for _, o := range got {
			if want[o.Namespace+"/"+o.Name] != o.Annotations["version"] {
				t.Fatalf("%s/%s is of version %s, want %s", o.Namespace, o.Name, o.Annotations["version"], want[o.Namespace+"/"+o.Name])
			}
		}
	}
}

func versioned(namespace, name, version string) source.Ingress {
	return source.Ingress{Ingress: &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, Annotations: map[string]string{"version": version},
	}}}
}

// TestStatusIsNoChange: what Postern writes to an Ingress itself has nothing translated again, and is known all the same.
func TestStatusIsNoChange(t *testing.T) {
	k := ingresses(source.Place{})
	k.put(versioned("shop", "web", "1"))
	o := versioned("shop", "web", "1")
	o.ResourceVersion = "2"
	o.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: "192.0.2.1"}}
	if k.put(o) {
		t.Error("another status is another Ingress")
	}
	if got := k.all()[0]; got.ResourceVersion != "2" || len(got.Status.LoadBalancer.Ingress) != 1 {
		t.Errorf("the Ingress is kept as %+v", got.Ingress)
	}
	o = versioned("shop", "web", "1")
	o.Labels = map[string]string{"app": "x"}
	if !k.put(o) {
		t.Error("other labels are the same Ingress")
	}
}

// TestLookupsAreBounded: not more objects wait for their first answer than the bound says, and each slot is given back once.
func TestLookupsAreBounded(t *testing.T) {
	s := &Source{lookups: newLookups()}
	enter := func(ctx context.Context) (*watch, bool) {
		w := &watch{source: s, lookup: &lookup{leave: func() {}}}
		return w, s.lookups.enter(ctx, s, w)
	}
	first, _ := enter(t.Context())
	for range lookupsMax - 1 {
		if _, ok := enter(t.Context()); !ok {
			t.Fatal("there is no slot for as many as the bound says")
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok := enter(ended); ok {
		t.Fatal("there is a slot for more than the bound says")
	}
	first.lookup.leave()
	first.lookup.leave()
	if _, ok := enter(t.Context()); !ok {
		t.Fatal("a slot that was given back is not there")
	}
	if _, ok := enter(ended); ok {
		t.Fatal("a slot is given back twice")
	}
}
