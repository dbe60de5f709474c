package controller

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/source"
)

// farmSize is the number of Ingresses, each with a Service and an EndpointSlice of its own.
const farmSize = 10_000

// farm is a large cluster.
func farm(t testing.TB) source.World {
	t.Helper()
	one := parse(t, web+ingress("a", "/"))
	var w source.World
	for i := range farmSize {
		name := fmt.Sprintf("web-%05d", i)
		service, slice, ing := one.Services[0], one.EndpointSlices[0], one.Ingresses[0]
		service.Service, slice.EndpointSlice, ing.Ingress = service.DeepCopy(), slice.DeepCopy(), ing.DeepCopy()
		service.Name, slice.Name, ing.Name = name, name+"-1", name
		slice.Labels = map[string]string{"kubernetes.io/service-name": name}
		ing.Spec.Rules[0].Host = name + ".test"
		ing.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name = name
		w.Services, w.EndpointSlices, w.Ingresses = append(w.Services, service), append(w.EndpointSlices, slice), append(w.Ingresses, ing)
	}
	return w
}

// TestOneEndpointOfTenThousand: one endpoint of a large cluster makes one resource anew, whose bytes are all that a proxy is
// sent, and every other one is the very same message.
func TestOneEndpointOfTenThousand(t *testing.T) {
	s := settings(t)
	world := farm(t)
	began := time.Now()
	before := translator.Translate(world, s)
	first, err := Snapshot(nil, before)
	if err != nil {
		t.Fatal(err)
	}
	whole := time.Since(began)
	moved := world
	move("10.9.9.9")(&moved)
	began = time.Now()
	after := translator.WithEndpoints(before, moved, s)
	second, err := Snapshot(first, after)
	if err != nil {
		t.Fatal(err)
	}
	short := time.Since(began)
	anew, bytes := 0, 0
	for _, typeURL := range second.Types() {
		old := first.Resources(typeURL)
		for i, r := range second.Resources(typeURL) {
			if r.Message != old[i].Message {
				anew++
				bytes += proto.Size(r.Message)
			}
		}
	}
	if want := 2*farmSize + 3; len(before.Resources) < want {
		t.Errorf("%d resources, want %d at least", len(before.Resources), want)
	}
	if anew != 1 || bytes > 200 {
		t.Errorf("%d resources of %d bytes are made anew, want one", anew, bytes)
	}
	t.Logf("%d resources: %s for all of it, %s for one endpoint, %d bytes", len(before.Resources), whole, short, bytes)
}

// TestOneEndpointTravels: all that a proxy is sent of it is that resource.
func TestOneEndpointTravels(t *testing.T) {
	m := newMemory(parse(t, web+ingress("a", "/")+strings.ReplaceAll("---"+web+ingress("b", "/"), "web", "other")))
	var mu sync.Mutex
	var sent []xds.Sent
	travelled := func() []xds.Sent {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(sent)
	}
	r := startWith(t, m, settings(t), xds.Options{OnSend: func(_ string, s xds.Sent) {
		mu.Lock()
		defer mu.Unlock()
		sent = append(sent, s)
	}})
	r.connect(t, &proxy{})
	r.settle(t)
	before := len(travelled())
	m.edit(Change{EndpointsOnly: true}, move("10.9.9.9"))
	r.seen.await(t, "other endpoints", func(p Publication) bool { return p.EndpointsOnly })
	r.settle(t)
	if now := travelled()[before:]; len(now) != 1 || !slices.Equal(now[0].Resources, []string{"shop/web/80"}) {
		t.Errorf("%v travelled", now)
	}
}

func BenchmarkEndpoint(b *testing.B) {
	s := settings(b)
	world := farm(b)
	result := translator.Translate(world, s)
	snapshot, err := Snapshot(nil, result)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("whole", func(b *testing.B) {
		for b.Loop() {
			if _, err := Snapshot(nil, translator.Translate(world, s)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("endpoint", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			move(fmt.Sprintf("10.0.%d.%d", i/250%250, i%250+1))(&world)
			result = translator.WithEndpoints(result, world, s)
			if snapshot, err = Snapshot(snapshot, result); err != nil {
				b.Fatal(err)
			}
		}
	})
}
