package translator_test

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/mutate"
	"github.com/postern-gateway/postern/translator/source"
)

// movesPerWorld is how many times in a row the endpoints of one world move.
const movesPerWorld = 4

// TestWithEndpoints: the short path of endpoints gives what a translation of everything does, of every case and of what
// random changes make of it, and leaves every other resource the same message.
func TestWithEndpoints(t *testing.T) {
	eachCase(t, func(t *testing.T, w source.World, s translator.Settings) {
		for seed := range uint64(mutantsPerCase / 10) {
			world := w
			if seed > 0 {
				world = mutate.World(w, seed)
			}
			r := rand.New(rand.NewPCG(seed, 7))
			result := translator.Translate(world, s)
			for range movesPerWorld {
				world = movedEndpoints(world, r)
				before := result
				result = translator.WithEndpoints(before, world, s)
				want := translator.Translate(world, s)
				if !bytes.Equal(fingerprint(t, result), fingerprint(t, want)) {
					t.Fatalf("seed %d: the short path gives another result", seed)
				}
				if got, want := result.Gateway.Assignments, want.Gateway.Assignments; !reflect.DeepEqual(got, want) {
					t.Fatalf("seed %d: the short path knows other endpoints: %+v, want %+v", seed, got, want)
				}
			}
		}
	})
}

// TestWithEndpointsSpares: what is not other than before is the very same message, and something does move.
func TestWithEndpointsSpares(t *testing.T) {
	moved, same := 0, 0
	for _, c := range casetest.Load(t, "testdata") {
		world, settings := c.World(t)
		r := rand.New(rand.NewPCG(1, 1))
		before := translator.Translate(world, settings)
		for range movesPerWorld {
			world = movedEndpoints(world, r)
			after := translator.WithEndpoints(before, world, settings)
			for i, old := range before.Resources {
				switch {
				case after.Resources[i].Message == old.Message:
					same++
				case old.TypeURL != "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment":
					// Names outside of the cluster may not lead to an endpoint, so that all is translated there.
					if len(after.Gateway.OutsideNames) == 0 {
						t.Errorf("%s: %s %s is another message", c.Name, old.TypeURL, old.Name)
					}
				default:
					moved++
				}
			}
			before = after
		}
	}
	if moved < 100 || same < 1000 {
		t.Errorf("%d assignments moved and %d resources stayed: the law looks at too little", moved, same)
	}
}

// movedEndpoints is a world whose EndpointSlices have changed somehow; nothing else of it has.
func movedEndpoints(w source.World, r *rand.Rand) source.World {
	out := w
	out.EndpointSlices = slices.Clone(w.EndpointSlices)
	for i := range out.EndpointSlices {
		if r.IntN(2) == 0 {
			out.EndpointSlices[i].EndpointSlice = movedSlice(out.EndpointSlices[i].EndpointSlice, r)
		}
	}
	if n := len(out.EndpointSlices); n > 0 {
		switch i := r.IntN(n); r.IntN(4) {
		case 0:
			out.EndpointSlices = slices.Delete(out.EndpointSlices, i, i+1)
		case 1:
			more := out.EndpointSlices[i]
			more.EndpointSlice = movedSlice(more.EndpointSlice, r)
			more.Name += "-more"
			out.EndpointSlices = append(out.EndpointSlices, more)
		}
	}
	return out
}

func movedSlice(s *discoveryv1.EndpointSlice, r *rand.Rand) *discoveryv1.EndpointSlice {
	s = s.DeepCopy()
	yes, no := true, false
	switch r.IntN(6) {
	case 0:
		s.Endpoints = nil
	case 1:
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{"10.9.9.9"}})
	case 2:
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{"not an address"}})
	case 3:
		for i := range s.Endpoints {
			s.Endpoints[i].Conditions = discoveryv1.EndpointConditions{Ready: &no, Serving: &yes, Terminating: &yes}
		}
	case 4:
		s.Labels = map[string]string{discoveryv1.LabelServiceName: "another"}
	default:
		if len(s.Endpoints) > 0 {
			s.Endpoints = s.Endpoints[1:]
		}
	}
	return s
}
