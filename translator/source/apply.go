package source

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Apply is a World once objects were applied to it: each takes the place of that of its kind, namespace and name, and what is
// not named stays. An Ingress that was there keeps its age, which decides conflicts; one that was not, and says no time
// itself, was created at the given time, which may be zero.
//
// It is kubectl apply as far as routing goes, but that an object is taken whole: a field or an annotation that somebody else
// has added to it goes.
func (w World) Apply(objects World, created time.Time) World {
	out := Merge(w)
	before := map[objectKey]Ingress{}
	for _, i := range w.Ingresses {
		before[keyOf(i.Place, i.Ingress)] = i
	}
	var ingresses []Ingress
	for _, i := range objects.Ingresses {
		written := *i.Ingress
		if old, ok := before[keyOf(i.Place, i.Ingress)]; ok {
			written.UID, written.CreationTimestamp = old.UID, old.CreationTimestamp
		} else if written.CreationTimestamp.IsZero() {
			written.CreationTimestamp = metav1.NewTime(created)
		}
		i.Ingress = &written
		ingresses = append(ingresses, i)
	}
	out.Ingresses = replaced(w.Ingresses, ingresses, func(o Ingress) objectKey { return keyOf(o.Place, o.Ingress) })
	out.Services = replaced(w.Services, objects.Services, func(o Service) objectKey { return keyOf(o.Place, o.Service) })
	out.EndpointSlices = replaced(w.EndpointSlices, objects.EndpointSlices, func(o EndpointSlice) objectKey { return keyOf(o.Place, o.EndpointSlice) })
	out.Endpoints = replaced(w.Endpoints, objects.Endpoints, func(o Endpoints) objectKey { return keyOf(o.Place, o.Endpoints) })
	out.Secrets = replaced(w.Secrets, objects.Secrets, func(o Secret) objectKey { return keyOf(o.Place, o.Secret) })
	out.ConfigMaps = replaced(w.ConfigMaps, objects.ConfigMaps, func(o ConfigMap) objectKey { return keyOf(o.Place, o.ConfigMap) })
	out.IngressClasses = replaced(w.IngressClasses, objects.IngressClasses, func(o IngressClass) objectKey { return keyOf(o.Place, o.IngressClass) })
	out.Namespaces = replaced(w.Namespaces, objects.Namespaces, func(o Namespace) objectKey { return keyOf(o.Place, o.Namespace) })
	out.Nodes = replaced(w.Nodes, objects.Nodes, func(o Node) objectKey { return keyOf(o.Place, o.Node) })
	out.Unread = slices.DeleteFunc(out.Unread, func(u Unread) bool {
		of := objectKey{u.Cluster, u.Namespace, u.Name}
		return u.Kind == "Secret" && slices.ContainsFunc(objects.Secrets, func(o Secret) bool { return keyOf(o.Place, o.Secret) == of }) ||
			u.Kind == "ConfigMap" && slices.ContainsFunc(objects.ConfigMaps, func(o ConfigMap) bool { return keyOf(o.Place, o.ConfigMap) == of })
	})
	out.Names = append(out.Names, objects.Names...)
	out.Diagnostics = append(out.Diagnostics, objects.Diagnostics...)
	return out
}

// objectKey is an object among those of its kind.
type objectKey struct{ cluster, namespace, name string }

func keyOf(p Place, o metav1.Object) objectKey {
	return objectKey{p.Cluster, o.GetNamespace(), o.GetName()}
}

// replaced are the objects of before, those that by has too as they are there, and then what only by has.
func replaced[T any](before, by []T, key func(T) objectKey) []T {
	at := map[objectKey]int{}
	out := slices.Clone(before)
	for i, o := range out {
		at[key(o)] = i
	}
	for _, o := range by {
		i, ok := at[key(o)]
		if !ok {
			i = len(out)
			at[key(o)] = i
			out = append(out, o)
		}
		out[i] = o
	}
	return out
}
