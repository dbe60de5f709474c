// Package native reads an Ingress as networking.k8s.io/v1 says and nothing more, with Postern's own annotations.
package native

import (
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/source"
)

// Table is Postern's own annotations. There is none yet; a key under the prefix is unknown.
var Table = &dialect.Table{Name: "postern", Prefixes: []string{"postern.dev/"}}

// Shape reads the annotations of an Ingress.
func Shape(ing source.Ingress) (dialect.Shape, []diag.D) {
	r := dialect.Read(Table, dialect.OnIngress, ing.Annotations, ing.AnnotationOrigin)
	return dialect.Shape{Path: dialect.NativePath, Closed: r.Closed}, r.Diagnostics
}
