package incluster

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/postern-gateway/postern/translator/source"
)

// key names an object.
type key struct{ kind, namespace, name string }

// String is the object for people.
func (k key) String() string {
	if k.namespace == "" {
		return k.kind + " " + k.name
	}
	return k.kind + " " + k.namespace + "/" + k.name
}

// resources are where the API server has each kind.
var resources = map[string]schema.GroupVersionResource{
	"Ingress":       {Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"},
	"IngressClass":  {Group: "networking.k8s.io", Version: "v1", Resource: "ingressclasses"},
	"EndpointSlice": {Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"},
	"Service":       {Version: "v1", Resource: "services"},
	"Secret":        {Version: "v1", Resource: "secrets"},
	"ConfigMap":     {Version: "v1", Resource: "configmaps"},
	"Namespace":     {Version: "v1", Resource: "namespaces"},
	"Node":          {Version: "v1", Resource: "nodes"},
}

// objects are those of a World, of the kinds that a cluster is watched for.
func objects(w source.World) map[key]metav1.Object {
	out := map[key]metav1.Object{}
	add := func(kind string, o metav1.Object) { out[key{kind, o.GetNamespace(), o.GetName()}] = o }
	for _, o := range w.Ingresses {
		add("Ingress", o.Ingress)
	}
	for _, o := range w.Services {
		add("Service", o.Service)
	}
	for _, o := range w.EndpointSlices {
		add("EndpointSlice", o.EndpointSlice)
	}
	for _, o := range w.Secrets {
		add("Secret", o.Secret)
	}
	for _, o := range w.ConfigMaps {
		add("ConfigMap", o.ConfigMap)
	}
	for _, o := range w.IngressClasses {
		add("IngressClass", o.IngressClass)
	}
	for _, o := range w.Namespaces {
		add("Namespace", o.Namespace)
	}
	for _, o := range w.Nodes {
		add("Node", o.Node)
	}
	return out
}

// given says whether the API server makes an object by itself.
func given(k key) bool {
	return k == key{"Service", "default", "kubernetes"} ||
		k.kind == "Namespace" && (k.name == "default" || strings.HasPrefix(k.name, "kube-"))
}

// lookedUp says whether objects of a kind are watched by name, and only where something refers to them.
func lookedUp(k key) bool { return k.kind == "Secret" || k.kind == "ConfigMap" }

// sorted are the names of objects, Namespaces first, since others stand in them.
func sorted[V any](all map[key]V) []key {
	return slices.SortedFunc(maps.Keys(all), func(a, b key) int {
		if first, second := a.kind == "Namespace", b.kind == "Namespace"; first != second {
			if first {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
	})
}

// refusal is why the API server does not take an object.
type refusal struct {
	key key
	err error
}

func (r *refusal) Error() string { return r.key.String() + ": " + r.err.Error() }

// writer writes objects to the API server.
type writer struct {
	t      *testing.T
	client dynamic.Interface
}

// become has the API server's objects, which have the versions before, be those of a World. It gives their versions, or the
// first object that is not taken.
func (w writer) become(world source.World, before map[key]string) (map[key]string, *refusal) {
	w.t.Helper()
	wanted := objects(world)
	for k := range objects(world) {
		if namespace := (key{"Namespace", "", k.namespace}); k.namespace != "" && wanted[namespace] == nil {
			wanted[namespace] = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: k.namespace}}
		}
	}
	after := map[key]string{}
	for _, k := range sorted(wanted) {
		_, exists := before[k]
		version, err := w.write(k, wanted[k], exists || given(k))
		if err != nil {
			return nil, &refusal{k, err}
		}
		after[k] = version
	}
	for _, k := range sorted(before) {
		// A namespace would stay for ever, as nobody finalizes it; empty, it means nothing.
		if _, kept := after[k]; kept || k.kind == "Namespace" {
			continue
		}
		if err := w.of(k).Delete(w.t.Context(), k.name, metav1.DeleteOptions{}); err != nil {
			w.t.Fatalf("delete %s: %v", k, err)
		}
	}
	return after, nil
}

func (w writer) of(k key) dynamic.ResourceInterface {
	resource := w.client.Resource(resources[k.kind])
	if k.namespace == "" {
		return resource
	}
	return resource.Namespace(k.namespace)
}

// write creates or updates an object and gives its version.
func (w writer) write(k key, o metav1.Object, exists bool) (version string, err error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		w.t.Fatalf("%s: %v", k, err)
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(resources[k.kind].GroupVersion().WithKind(k.kind))
	if !exists {
		created, err := w.of(k).Create(w.t.Context(), u, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) && k.kind == "Namespace" {
			created, err = w.of(k).Get(w.t.Context(), k.name, metav1.GetOptions{})
		}
		if err != nil {
			return "", err
		}
		return w.writeStatus(k, u, created.GetResourceVersion())
	}
	now, err := w.of(k).Get(w.t.Context(), k.name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatalf("get %s: %v", k, err)
	}
	u.SetResourceVersion(now.GetResourceVersion())
	updated, err := w.of(k).Update(w.t.Context(), u, metav1.UpdateOptions{})
	if err != nil {
		return "", err
	}
	return w.writeStatus(k, u, updated.GetResourceVersion())
}

// writeStatus writes the addresses of a load balancer, which otherwise its controller would.
func (w writer) writeStatus(k key, u *unstructured.Unstructured, version string) (string, error) {
	_, balanced, _ := unstructured.NestedSlice(u.Object, "status", "loadBalancer", "ingress")
	if k.kind != "Service" || !balanced {
		return version, nil
	}
	u.SetResourceVersion(version)
	updated, err := w.of(k).UpdateStatus(w.t.Context(), u, metav1.UpdateOptions{})
	if err != nil {
		return "", err
	}
	return updated.GetResourceVersion(), nil
}
