package resolve

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// TestKnown: the conditions of every endpoint, those that are not written included.
func TestKnown(t *testing.T) {
	yes, no, port, name := true, false, int32(80), "web"
	condition := func(ready, serving, terminating *bool) discoveryv1.EndpointConditions {
		return discoveryv1.EndpointConditions{Ready: ready, Serving: serving, Terminating: terminating}
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		Ports:      []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
	}
	for i, c := range []discoveryv1.EndpointConditions{
		condition(nil, nil, nil), condition(&no, nil, nil), condition(&no, &yes, &yes), condition(&no, &no, &yes), condition(&yes, &yes, &no),
	} {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.0.0.%d", 9-i)}, Conditions: c})
	}
	slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{"no address"}}, discoveryv1.Endpoint{})
	//lint:ignore SA1019 Users' files still carry the deprecated kind.
	legacy := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "old"}, Subsets: []corev1.EndpointSubset{{
		Addresses: []corev1.EndpointAddress{{IP: "10.0.0.2"}}, NotReadyAddresses: []corev1.EndpointAddress{{IP: "10.0.0.1"}, {IP: "x"}},
		Ports: []corev1.EndpointPort{{Name: "web", Port: 81}},
	}}}
	index := indexEndpoints(source.World{
		EndpointSlices: []source.EndpointSlice{{EndpointSlice: slice}}, Endpoints: []source.Endpoints{{Endpoints: legacy}},
	})
	for _, tt := range []struct {
		service, port string
		want          []string
	}{
		{"web", "web", []string{
			"10.0.0.5:80 true true false EndpointSlice ns/web-1 endpoints[4]", "10.0.0.6:80 false false true EndpointSlice ns/web-1 endpoints[3]",
			"10.0.0.7:80 false true true EndpointSlice ns/web-1 endpoints[2]", "10.0.0.8:80 false true false EndpointSlice ns/web-1 endpoints[1]",
			"10.0.0.9:80 true true false EndpointSlice ns/web-1 endpoints[0]",
		}},
		{"web", "other", nil},
		{"old", "web", []string{"10.0.0.1:81 false false false Endpoints ns/old subsets[0]", "10.0.0.2:81 true true false Endpoints ns/old subsets[0]"}},
		{"old", "other", nil},
		{"none", "web", nil},
	} {
		var got []string
		for _, e := range index.known(ServiceKey{Namespace: "ns", Name: tt.service}, tt.port) {
			got = append(got, fmt.Sprintf("%s %t %t %t %s", e.Address, e.Ready, e.Serving, e.Terminating, e.Origin))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s %s: %q, want %q", tt.service, tt.port, got, tt.want)
		}
	}
}

// TestLostBy: the first rule that tells two claims apart is the one that is named.
func TestLostBy(t *testing.T) {
	old, young := time.Unix(1, 0), time.Unix(2, 0)
	claim := func(name string, created time.Time, weight int, standIn bool) ranked {
		return ranked{
			claim: model.Claim{Object: model.ObjectID{Namespace: "ns", Name: name, Created: created}, StandIn: standIn},
			route: model.Route{Weight: weight},
		}
	}
	for want, pair := range map[model.ConflictRule][2]ranked{
		model.LostByWeight:  {claim("a", old, 1, true), claim("b", young, 2, false)},
		model.LostByStandIn: {claim("a", old, 1, true), claim("b", young, 1, false)},
		model.LostByAge:     {claim("a", time.Time{}, 1, false), claim("b", young, 1, false)},
		model.LostByName:    {claim("b", old, 1, false), claim("a", old, 1, false)},
		model.LostByPlace:   {claim("a", old, 1, false), claim("a", old, 1, false)},
	} {
		if got := lostBy(pair[0], pair[1]); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
