package kube_test

import (
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/postern-gateway/postern/controlplane/kube"
	"github.com/postern-gateway/postern/translator/model"
)

// refuse has requests be answered as to somebody without the right to make them: VERB RESOURCE, in all namespaces where
// nothing follows, or in one.
func (c *cluster) refuse(denied ...string) {
	c.client.PrependReactor("*", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		asked := strings.TrimSpace(a.GetVerb() + " " + a.GetResource().Resource + " " + a.GetNamespace())
		c.note(asked)
		if slices.Contains(denied, asked) {
			return true, nil, apierrors.NewForbidden(a.GetResource().GroupResource(), "", nil)
		}
		return false, nil, nil
	})
}

// references are those of the tests below.
var references = model.References{
	Secrets:    []model.ObjectKey{{Namespace: "shop", Name: "tls"}, {Namespace: "shop", Name: "none"}, {Namespace: "shop", Name: "No Name"}},
	ConfigMaps: []model.ObjectKey{{Namespace: "shop", Name: "ca"}},
}

// TestRead: what is referred to is asked for by its name, once, and nothing else of its kind.
func TestRead(t *testing.T) {
	c := newCluster(t, ingress("shop", "web"), ingress("other", "web"), secret("shop", "tls"), secret("shop", "unrelated"))
	c.refuse()
	reader := kube.Reader{Client: c.client, Namespace: "shop"}
	reading, err := reader.Read(t.Context())
	if err != nil || len(reading.World.Ingresses) != 2 || reading.Namespace != "" || len(reading.Denied) > 0 {
		t.Fatalf("%v: %+v", err, reading)
	}
	reading, more, err := reader.Look(t.Context(), reading, references)
	if err != nil || !more || len(reading.World.Secrets) != 1 || len(reading.World.Unread) > 0 {
		t.Fatalf("%v, %v: %+v", err, more, reading.World)
	}
	if _, more, err := reader.Look(t.Context(), reading, references); err != nil || more {
		t.Errorf("what is known is looked up again: %v, %v", err, more)
	}
	for _, asked := range c.requests() {
		if strings.HasPrefix(asked, "list secrets") || strings.HasPrefix(asked, "watch") || strings.Contains(asked, "No Name") {
			t.Errorf("it was asked to %s", asked)
		}
	}
}

// TestReadWithFewRights: of a namespace alone, without what else may not be read; Ingresses must be.
func TestReadWithFewRights(t *testing.T) {
	c := newCluster(t, ingress("shop", "web"), ingress("other", "web"), secret("shop", "tls"))
	c.refuse("list ingresses", "list services", "list endpointslices shop", "list ingressclasses", "list namespaces", "get secrets shop")
	reader := kube.Reader{Client: c.client, Namespace: "shop"}
	reading, err := reader.Read(t.Context())
	if err != nil || len(reading.World.Ingresses) != 1 || reading.Namespace != "shop" || !reading.EndpointsDenied() {
		t.Fatalf("%v: %+v", err, reading)
	}
	var denied []string
	for _, d := range reading.Denied {
		denied = append(denied, d.Kind)
	}
	if want := []string{"EndpointSlice", "IngressClass", "Namespace"}; !slices.Equal(denied, want) {
		t.Errorf("%q are denied, want %q", denied, want)
	}
	reading, _, err = reader.Look(t.Context(), reading, references)
	if err != nil || len(reading.World.Secrets) > 0 || len(reading.World.Unread) != 2 || reading.World.Unread[0].Kind != model.KindSecret {
		t.Errorf("%v: %+v", err, reading.World.Unread)
	}
	if _, err := (kube.Reader{Client: c.client}).Read(t.Context()); !apierrors.IsForbidden(err) {
		t.Errorf("of all namespaces it reads, %v", err)
	}
	c.refuse("list ingresses", "list ingresses shop")
	if _, err := reader.Read(t.Context()); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "list Ingresses of namespace shop") {
		t.Errorf("without Ingresses it reads, %v", err)
	}
}
