// Package translator turns Kubernetes objects into Envoy's xDS resources: Translate is the specification of what
// Postern does, and everything else serves it.
//
// The way of one Ingress: it is chosen or not (choose.go), read by its dialect into claims (dialect/traefik,
// dialect/native, dialect/nginx), its claims are ordered and its references looked up (resolve), and the resulting
// model.Gateway is rendered as resources (envoy) or asked (explain).
package translator

//go:generate go run ./docgen ../docs

import (
	"cmp"
	"slices"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/dialect/native"
	"github.com/postern-gateway/postern/translator/dialect/traefik"
	"github.com/postern-gateway/postern/translator/envoy"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/resolve"
	"github.com/postern-gateway/postern/translator/source"
)

// Settings are what the operator decides, beside the objects.
type Settings struct {
	// Selection says which Ingresses are served.
	Selection Selection
	// Resolve holds the entries, the edge and how backends are reached.
	Resolve resolve.Settings
	// TraefikStringPrefix has Traefik's PathPrefix end anywhere in the path, as 1.7 did.
	TraefikStringPrefix bool
}

// Result is all that translation says of a world.
type Result struct {
	Gateway model.Gateway
	// Served are the Ingresses that are chosen, sorted, whatever could be made of them.
	Served []model.ObjectKey
	// Resources are sorted by type and name. Certificates are not among them: see Secret.
	Resources []envoy.Resource
	// Diagnostics are sorted by place.
	Diagnostics []diag.D
	// Annotations is what became of each annotation of the Ingresses that are served and of the Services that they refer
	// to, and of Postern's own on Namespaces, sorted by place.
	Annotations []diag.Annotation
	// Absent is what the Ingresses that are served refer to in vain.
	Absent resolve.Absent

	secrets map[model.Host]*tlsv3.Secret
	// endpoints, and what was told and read without them, are what WithEndpoints goes on from.
	endpoints resolve.Endpoints
	told      []diag.D
	read      []diag.Annotation
	// exceptions are what the result was made with; untold is told without them.
	exceptions exceptions
	untold     []diag.D
}

// Translate makes the gateway and its resources. It is pure and total: the same set of objects, in whatever order,
// gives identical results, and bad input becomes a diagnostic.
func Translate(w source.World, s Settings) Result { return translate(w, s, exceptions{}) }

// translate is Translate with exceptions.
func translate(w source.World, s Settings, except exceptions) Result {
	ds := slices.Clone(w.Diagnostics)
	in := resolve.Input{World: w, Services: except.closeServices(serviceTraits(w)), Namespaces: namespaceTraits(w), Settings: s.Resolve}
	var annotations []diag.Annotation
	var served []model.ObjectKey
	var unserved []model.Unserved
	for _, traits := range in.Namespaces {
		ds = append(ds, traits.Diagnostics...)
		annotations = append(annotations, traits.Annotated...)
	}
	selection := s.Selection.in(w)
	for _, ing := range sortedIngresses(w) {
		chosen, class, d := selection.choose(ing)
		if !chosen {
			ds = append(ds, d)
			unserved = append(unserved, model.Unserved{Hosts: askedHosts(ing), Reason: d.Message, Origin: d.Origin})
			continue
		}
		served = append(served, model.ObjectKey{Cluster: ing.Cluster, Namespace: ing.Namespace, Name: ing.Name})
		reading := except.closeClaims(ing, read(ing, class, dialectSettings(s)))
		in.Claims = append(in.Claims, reading.Claims...)
		in.TLS = append(in.TLS, reading.TLS...)
		ds = append(ds, reading.Diagnostics...)
		annotations = append(annotations, reading.Annotated...)
	}
	resolved := resolve.Resolve(in)
	g := resolved.Gateway
	g.Unserved = unserved
	ds = append(ds, resolved.Diagnostics...)
	r := Result{
		Gateway: g, Served: served, Resources: envoy.Render(g), secrets: certificateSecrets(g), endpoints: resolved.Endpoints, Absent: resolved.Absent,
		exceptions: except, told: except.tell(ds), untold: ds, read: append(annotations, serviceAnnotations(in, g)...),
	}
	return r.judge()
}

// judge makes the diagnostics of all that was told, and judges the annotations by them.
func (r Result) judge() Result {
	r.Diagnostics = diag.Sort(slices.Concat(r.told, r.endpoints.Diagnostics()))
	r.Annotations = judged(r.read, r.Diagnostics, r.Gateway)
	return r
}

// WithEndpoints is Translate for a World that differs from the one before, whose Result is given, in nothing but
// EndpointSlices: equal in every byte, and made in a fraction of the time, since pods come and go more often than anything
// else. Resources that are not other than before are the same messages.
func WithEndpoints(before Result, w source.World, s Settings) Result {
	moved, ok := before.endpoints.Move(w)
	if !ok {
		return translate(w, s, before.exceptions)
	}
	r := before
	r.endpoints = moved.Endpoints
	if len(moved.Assignments) > 0 {
		r.Gateway.Assignments = slices.Clone(before.Gateway.Assignments)
	}
	cloned := false
	for name, a := range moved.Assignments {
		i, used := slices.BinarySearchFunc(r.Gateway.Assignments, name, func(a model.Assignment, name string) int {
			return cmp.Compare(a.Name, name)
		})
		if !used {
			continue
		}
		r.Gateway.Assignments[i].Endpoints, r.Gateway.Assignments[i].Known = a.Addresses, a.Known
		if !a.Served {
			continue
		}
		if !cloned {
			r.Resources, cloned = slices.Clone(before.Resources), true
		}
		resource := envoy.Assignment(r.Gateway.Assignments[i])
		at, _ := slices.BinarySearchFunc(r.Resources, resource, envoy.Resource.Compare)
		r.Resources[at] = resource
	}
	if moved.Told {
		r = r.judge()
	}
	return r
}

func dialectSettings(s Settings) dialect.Settings {
	out := dialect.Settings{StringPrefix: s.TraefikStringPrefix}
	for _, e := range s.Resolve.Entries {
		out.Entries = append(out.Entries, e.Name)
	}
	return out
}

func sortedIngresses(w source.World) []source.Ingress {
	out := slices.Clone(w.Ingresses)
	slices.SortFunc(out, func(a, b source.Ingress) int {
		return cmp.Or(
			cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
		)
	})
	return out
}

// serviceTraits reads the annotations of Services, Traefik's before Postern's own.
func serviceTraits(w source.World) map[resolve.ServiceKey]model.ServiceTraits {
	out := map[resolve.ServiceKey]model.ServiceTraits{}
	for _, s := range w.Services {
		speaksTraefik, speaksNative := traefik.Table.Speaks(s.Annotations), native.Table.Speaks(s.Annotations)
		if !speaksTraefik && !speaksNative {
			continue
		}
		var traits model.ServiceTraits
		if speaksTraefik {
			traits = traefik.Service(s)
		}
		if speaksNative {
			traits = native.Service(s, traits)
		}
		out[resolve.ServiceKey{Cluster: s.Cluster, Namespace: s.Namespace, Name: s.Name}] = traits
	}
	return out
}

// namespaceTraits reads the annotations of Namespaces.
func namespaceTraits(w source.World) map[resolve.NamespaceKey]model.NamespaceTraits {
	out := map[resolve.NamespaceKey]model.NamespaceTraits{}
	for _, n := range w.Namespaces {
		if native.Table.Speaks(n.Annotations) {
			out[resolve.NamespaceKey{Cluster: n.Cluster, Name: n.Name}] = native.Namespace(n)
		}
	}
	return out
}

// Same says whether two results are one: what WithEndpoints gives where nothing is other than before.
func (r Result) Same(o Result) bool {
	return sameSlice(r.Resources, o.Resources) && sameSlice(r.Diagnostics, o.Diagnostics)
}

// sameSlice compares by identity.
func sameSlice[E any](a, b []E) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}
