// Package native reads Postern's own annotations, which may stand on an Ingress of any dialect, on Services and on
// Namespaces. An Ingress that no other dialect claims is read as networking.k8s.io/v1 says, and by these.
//
// Each file holds one family: its entries in the table and the code that applies them.
package native

import (
	"slices"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// Table is Postern's own annotations; a key under the prefix that is not here is unknown.
var Table = &dialect.Table{
	Name:        "postern",
	Prefixes:    []string{"postern.dev/"},
	Annotations: dialect.MarkRestricting(slices.Concat(backends, rewrites, upstream, externalNames, entry)),
}

// Annotate adds what Postern's own annotations say to the shape that an Ingress's dialect gave it.
func Annotate(ing source.Ingress, shape dialect.Shape) (dialect.Shape, []diag.D) {
	r := dialect.Read(Table, dialect.OnIngress, ing.Annotations, ing.AnnotationOrigin)
	shape = annotateBackends(r, shape)
	shape = annotateUpstream(r, shape)
	shape = annotateRewrites(r, ing, shape)
	shape = annotateEntry(r, ing.Namespace, shape)
	if shape.Closed == nil {
		shape.Closed = r.Closed
	}
	shape.Annotated = append(shape.Annotated, r.Annotated...)
	return shape, r.Diagnostics
}

// Service adds what Postern's own annotations say to the traits that another dialect's gave a Service.
func Service(s source.Service, traits model.ServiceTraits) model.ServiceTraits {
	r := dialect.Read(Table, dialect.OnService, s.Annotations, s.AnnotationOrigin)
	traits = serviceBackends(r, traits)
	traits = serviceUpstream(r, traits)
	traits.ExternalNameFrom = readExternalNames(r)
	if traits.Closed == nil {
		traits.Closed = r.Closed
	}
	traits.Diagnostics = append(traits.Diagnostics, r.Diagnostics...)
	traits.Annotated = append(traits.Annotated, r.Annotated...)
	return traits
}
