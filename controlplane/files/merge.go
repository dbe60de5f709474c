package files

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/source"
)

// Merge is a World with the objects of all parts. Where two have the same kind, namespace and name, the one that comes
// first by file name, then by line, counts; the other gets a diagnostic and is left out.
func Merge(parts ...source.World) source.World {
	w := source.Merge(parts...)
	d := &w.Diagnostics
	w.Ingresses = unique(d, "Ingress", w.Ingresses, func(o source.Ingress) source.Place { return o.Place })
	w.Services = unique(d, "Service", w.Services, func(o source.Service) source.Place { return o.Place })
	w.EndpointSlices = unique(d, "EndpointSlice", w.EndpointSlices, func(o source.EndpointSlice) source.Place { return o.Place })
	w.Endpoints = unique(d, "Endpoints", w.Endpoints, func(o source.Endpoints) source.Place { return o.Place })
	w.Secrets = unique(d, "Secret", w.Secrets, func(o source.Secret) source.Place { return o.Place })
	w.ConfigMaps = unique(d, "ConfigMap", w.ConfigMaps, func(o source.ConfigMap) source.Place { return o.Place })
	w.IngressClasses = unique(d, "IngressClass", w.IngressClasses, func(o source.IngressClass) source.Place { return o.Place })
	w.Namespaces = unique(d, "Namespace", w.Namespaces, func(o source.Namespace) source.Place { return o.Place })
	w.Nodes = unique(d, "Node", w.Nodes, func(o source.Node) source.Place { return o.Place })
	return w
}

// unique keeps the first of each object.
func unique[T metav1.Object](ds *[]diag.D, kind string, objects []T, place func(T) source.Place) []T {
	type placed struct {
		object T
		file   string
		line   int
	}
	all := make([]placed, 0, len(objects))
	for _, o := range objects {
		p := place(o)
		all = append(all, placed{o, p.File, p.Line("")})
	}
	byPlace := func(a, b placed) int { return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.line, b.line)) }
	if !slices.IsSortedFunc(all, byPlace) { // Files come sorted as a rule, and there may be thousands.
		slices.SortStableFunc(all, byPlace)
	}
	type name struct{ cluster, namespace, name string }
	first := make(map[name]T, len(all))
	var out []T
	for _, p := range all {
		o := p.object
		id := name{place(o).Cluster, o.GetNamespace(), o.GetName()}
		winner, twice := first[id]
		if !twice {
			first[id] = o
			out = append(out, o)
			continue
		}
		origin := func(o T) diag.Origin { return place(o).Origin(kind, o.GetNamespace(), o.GetName(), "") }
		*ds = append(*ds, diag.New(diag.CodeDuplicateObject, origin(o),
			"another document has the same kind, namespace and name",
			"this one is left out; the other one counts",
			"remove one of them, or rename it").With(origin(winner)))
	}
	return out
}
