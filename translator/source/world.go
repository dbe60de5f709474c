// Package source is what the translator reads: Kubernetes objects as values, with the place that each came from.
//
// A World is immutable: whoever builds one hands over its objects and never writes to them again.
package source

import (
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/postern-gateway/postern/translator/diag"
)

// Lines gives the line of each field of an object's file by field path, as spec.rules[0].http.paths[1]; annotations
// are metadata.annotations[key]. It is nil for objects that came from an API server.
type Lines map[string]int

// Place is where an object came from.
type Place struct {
	// Cluster is the name of the cluster, empty where there is only one.
	Cluster string
	// File is empty for objects from an API server.
	File  string
	Lines Lines
}

// Line is the line of a field, or of the nearest field above it that has one.
func (p Place) Line(field string) int {
	for {
		if line, ok := p.Lines[field]; ok {
			return line
		}
		if field == "" {
			return 0
		}
		field = parentField(field)
	}
}

// parentField cuts the last element off a field path: a.b[c.d] gives a.b, a.b gives a.
func parentField(field string) string {
	if strings.HasSuffix(field, "]") {
		return field[:max(strings.LastIndex(field, "["), 0)]
	}
	return field[:max(strings.LastIndex(field, "."), 0)]
}

// Ingress is an Ingress in the form of networking.k8s.io/v1, whichever version it was written in.
type Ingress struct {
	Place
	*networkingv1.Ingress
	// APIVersion is the version that it was written in.
	APIVersion string
}

// Service is a Service and its place.
type Service struct {
	Place
	*corev1.Service
}

// EndpointSlice is an EndpointSlice and its place.
type EndpointSlice struct {
	Place
	*discoveryv1.EndpointSlice
}

// Endpoints is the legacy form of endpoints; it counts only for a Service without any EndpointSlice.
type Endpoints struct {
	Place
	*corev1.Endpoints
}

// Secret is a Secret and its place. Its data must never be printed.
type Secret struct {
	Place
	*corev1.Secret
}

// ConfigMap is a ConfigMap and its place.
type ConfigMap struct {
	Place
	*corev1.ConfigMap
}

// IngressClass is an IngressClass and its place.
type IngressClass struct {
	Place
	*networkingv1.IngressClass
}

// Namespace is a Namespace and its place.
type Namespace struct {
	Place
	*corev1.Namespace
}

// Node is a Node and its place. It is read for its addresses alone.
type Node struct {
	Place
	*corev1.Node
}

// ResolvedName is what DNS says of a name outside of the cluster. The translator asks nobody: what it wants to know is
// Gateway.OutsideNames, and whoever runs it puts the answers here.
type ResolvedName struct {
	// Name is in lower case, without a dot at its end.
	Name string
	// Addresses are all that the name has, unfiltered.
	Addresses []netip.Addr
	// Aliases are the names that the name stands for, as a chain of CNAME records; of more than one chain, all.
	Aliases []string
	// Fault is why there is no fresh answer, empty where there is one. Addresses beside it are of an earlier answer.
	Fault string
}

// Unread is an object that may not be read.
type Unread struct {
	// Kind is Secret or ConfigMap.
	Kind                     string
	Cluster, Namespace, Name string
}

// World is every object that the translator may read. The order within a kind means nothing.
type World struct {
	Ingresses      []Ingress
	Services       []Service
	EndpointSlices []EndpointSlice
	Endpoints      []Endpoints
	Secrets        []Secret
	ConfigMaps     []ConfigMap
	IngressClasses []IngressClass
	Namespaces     []Namespace
	Nodes          []Node
	// Names are the answers of DNS; a name that is not here has not been asked for yet.
	Names []ResolvedName
	// Unread are the Secrets and ConfigMaps that whoever read the world was not allowed to read: of them it is not known
	// whether they exist.
	Unread []Unread
	// Diagnostics are what reading the objects already told: kinds that were skipped, fields that do not exist.
	Diagnostics []diag.D
}

// Merge is a World with the objects of all parts.
func Merge(parts ...World) World {
	var w World
	for _, p := range parts {
		w.Ingresses = append(w.Ingresses, p.Ingresses...)
		w.Services = append(w.Services, p.Services...)
		w.EndpointSlices = append(w.EndpointSlices, p.EndpointSlices...)
		w.Endpoints = append(w.Endpoints, p.Endpoints...)
		w.Secrets = append(w.Secrets, p.Secrets...)
		w.ConfigMaps = append(w.ConfigMaps, p.ConfigMaps...)
		w.IngressClasses = append(w.IngressClasses, p.IngressClasses...)
		w.Namespaces = append(w.Namespaces, p.Namespaces...)
		w.Nodes = append(w.Nodes, p.Nodes...)
		w.Names = append(w.Names, p.Names...)
		w.Unread = append(w.Unread, p.Unread...)
		w.Diagnostics = append(w.Diagnostics, p.Diagnostics...)
	}
	return w
}

// Origin places a field of an object. The field is as in Lines; empty is the object itself.
func (p Place) Origin(kind, namespace, name, field string) diag.Origin {
	return diag.Origin{
		Cluster: p.Cluster, Kind: kind, Namespace: namespace, Name: name,
		Field: field, File: p.File, Line: p.Line(field),
	}
}

// Origin places a field of the Ingress.
func (i Ingress) Origin(field string) diag.Origin {
	return i.Place.Origin("Ingress", i.Namespace, i.Name, field)
}

// AnnotationOrigin places an annotation of the Ingress.
func (i Ingress) AnnotationOrigin(key string) diag.Origin {
	o := i.Origin("metadata.annotations[" + key + "]")
	o.Field, o.Annotation = "", key
	return o
}

// Origin places a field of the Service.
func (s Service) Origin(field string) diag.Origin {
	return s.Place.Origin("Service", s.Namespace, s.Name, field)
}

// Origin places a field of the Secret.
func (s Secret) Origin(field string) diag.Origin {
	return s.Place.Origin("Secret", s.Namespace, s.Name, field)
}

// Origin places a field of the ConfigMap.
func (m ConfigMap) Origin(field string) diag.Origin {
	return m.Place.Origin("ConfigMap", m.Namespace, m.Name, field)
}

// AnnotationOrigin places an annotation of the Service.
func (s Service) AnnotationOrigin(key string) diag.Origin {
	o := s.Origin("metadata.annotations[" + key + "]")
	o.Field, o.Annotation = "", key
	return o
}

// Origin places a field of the Namespace.
func (n Namespace) Origin(field string) diag.Origin {
	return n.Place.Origin("Namespace", "", n.Name, field)
}

// AnnotationOrigin places an annotation of the Namespace.
func (n Namespace) AnnotationOrigin(key string) diag.Origin {
	o := n.Origin("metadata.annotations[" + key + "]")
	o.Field, o.Annotation = "", key
	return o
}
