package status

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/source"
)

// objectKey is an object of a cluster by kind.
type objectKey struct{ cluster, kind, namespace, name string }

func objectOf(o diag.Origin) objectKey {
	return objectKey{cluster: o.Cluster, kind: o.Kind, namespace: o.Namespace, name: o.Name}
}

// references finds objects in a world: kubectl describe asks for Events by the UID. What is not there, as a flag or a DNS
// name, has no reference.
func references(w source.World, wanted map[objectKey]bool) map[objectKey]corev1.ObjectReference {
	kinds := map[string]bool{}
	for key := range wanted {
		kinds[key.kind] = true
	}
	f := finder{wanted: wanted, found: map[objectKey]corev1.ObjectReference{}}
	for kind := range kinds {
		f.find(w, kind)
	}
	return f.found
}

type finder struct {
	wanted map[objectKey]bool
	found  map[objectKey]corev1.ObjectReference
}

func (f finder) find(w source.World, kind string) {
	core, networking := corev1.SchemeGroupVersion, networkingv1.SchemeGroupVersion
	switch kind {
	case "Ingress":
		for _, o := range w.Ingresses {
			f.add(o.Cluster, networking.WithKind(kind), o)
		}
	case "Service":
		for _, o := range w.Services {
			f.add(o.Cluster, core.WithKind(kind), o)
		}
	case "Secret":
		for _, o := range w.Secrets {
			f.add(o.Cluster, core.WithKind(kind), o)
		}
	case "ConfigMap":
		for _, o := range w.ConfigMaps {
			f.add(o.Cluster, core.WithKind(kind), o)
		}
	case "EndpointSlice":
		for _, o := range w.EndpointSlices {
			f.add(o.Cluster, discoveryv1.SchemeGroupVersion.WithKind(kind), o)
		}
	case "Endpoints":
		for _, o := range w.Endpoints {
			f.add(o.Cluster, core.WithKind(kind), o)
		}
	case "IngressClass":
		for _, o := range w.IngressClasses {
			f.add(o.Cluster, networking.WithKind(kind), o)
		}
	case "Namespace":
		for _, o := range w.Namespaces {
			f.add(o.Cluster, core.WithKind(kind), o)
		}
	case "Node":
		for _, o := range w.Nodes {
			f.add(o.Cluster, core.WithKind(kind), o)
		}
	}
}

func (f finder) add(cluster string, kind schema.GroupVersionKind, o metav1.Object) {
	key := objectKey{cluster: cluster, kind: kind.Kind, namespace: o.GetNamespace(), name: o.GetName()}
	if !f.wanted[key] {
		return
	}
	f.found[key] = corev1.ObjectReference{
		APIVersion: kind.GroupVersion().String(), Kind: kind.Kind, Namespace: o.GetNamespace(), Name: o.GetName(),
		UID: o.GetUID(), ResourceVersion: o.GetResourceVersion(),
	}
}
