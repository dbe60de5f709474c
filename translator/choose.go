package translator

import (
	"fmt"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/dialect/native"
	"github.com/postern-gateway/postern/translator/dialect/nginx"
	"github.com/postern-gateway/postern/translator/dialect/traefik"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// Selection says which Ingresses are served: those that match both the selector and the class.
type Selection struct {
	// Selector is matched against the Ingress's labels; nil takes all.
	Selector labels.Selector
	// Class is the name of a class; empty takes all.
	Class string
}

const (
	// classAnnotation is the legacy way to name a class (Kubernetes: Ingress, deprecated annotation).
	classAnnotation = "kubernetes.io/ingress.class"
	// traefikClassAnnotation is Traefik 1.7's own spelling of it.
	traefikClassAnnotation = "traefik.kubernetes.io/ingress.class"
	// defaultClassAnnotation marks the IngressClass of Ingresses that name none.
	defaultClassAnnotation = "ingressclass.kubernetes.io/is-default-class"
	// traefikClass is the class name by which an Ingress is in the traefik dialect without any annotation.
	traefikClass = "traefik"
)

// choose says whether an Ingress is served, by which class, and if not, why.
func (s Selection) choose(ing source.Ingress, w source.World) (bool, string, diag.D) {
	class, at := ingressClass(ing)
	if class == "" && s.Class != "" && isDefaultClass(ing.Cluster, s.Class, w) {
		class = s.Class
	}
	if s.Class != "" && class != s.Class {
		has := "it names no class"
		if class != "" {
			has = "its class is " + class
		}
		return false, class, diag.New(diag.CodeNotSelected, at,
			fmt.Sprintf("%s, --ingress-class is %s", has, s.Class), "it is not served",
			"set spec.ingressClassName: "+s.Class+" if it should be")
	}
	if s.Selector != nil && !s.Selector.Matches(labels.Set(ing.Labels)) {
		return false, class, diag.New(diag.CodeNotSelected, ing.Origin("metadata.labels"),
			fmt.Sprintf("its labels do not match --ingress-selector %s", s.Selector), "it is not served",
			"add the label if it should be")
	}
	return true, class, diag.D{}
}

// ingressClass is the class that an Ingress names and where: spec.ingressClassName, else the legacy annotation.
func ingressClass(ing source.Ingress) (string, diag.Origin) {
	if ing.Spec.IngressClassName != nil {
		return *ing.Spec.IngressClassName, ing.Origin("spec.ingressClassName")
	}
	for _, key := range []string{classAnnotation, traefikClassAnnotation} {
		if class, ok := ing.Annotations[key]; ok {
			return class, ing.AnnotationOrigin(key)
		}
	}
	return "", ing.Origin("")
}

// classAnnotations is what became of the annotations that name a class.
func classAnnotations(ing source.Ingress) []diag.Annotation {
	_, chosen := ingressClass(ing)
	var out []diag.Annotation
	for _, key := range []string{classAnnotation, traefikClassAnnotation} {
		if _, ok := ing.Annotations[key]; !ok {
			continue
		}
		a := diag.Annotation{Origin: ing.AnnotationOrigin(key), State: diag.StateApplied}
		if chosen != a.Origin {
			a.State, a.Note = diag.StateWithoutEffect, chosen.Place()+" counts in its place"
		}
		out = append(out, a)
	}
	return out
}

func isDefaultClass(cluster, name string, w source.World) bool {
	for _, c := range w.IngressClasses {
		if c.Cluster == cluster && c.Name == name && c.Annotations[defaultClassAnnotation] == "true" {
			return true
		}
	}
	return false
}

// read has an Ingress's dialect, or dialects, make claims of it.
func read(ing source.Ingress, class string, s dialect.Settings) dialect.Reading {
	speaksTraefik := traefik.Table.Speaks(ing.Annotations)
	speaksNginx := nginx.Table.Speaks(ing.Annotations)
	shape := dialect.Shape{Path: dialect.NativePath, HostAnnotation: native.PreserveHost}
	var ds []diag.D
	if speaksTraefik || class == traefikClass {
		// With a second dialect's annotations beside them, what no annotation says is native.
		protocol := model.ProtocolFromPort
		if speaksTraefik && speaksNginx {
			protocol = model.ProtocolFromService
		}
		shape, ds = traefik.Shape(ing, s, protocol)
	}
	var more []diag.D
	if speaksNginx {
		shape, more = nginx.Annotate(ing, shape)
		ds = append(ds, more...)
	}
	shape, more = native.Annotate(ing, shape)
	ds = append(ds, more...)
	if speaksTraefik && speaksNginx {
		ds = append(ds, diag.New(diag.CodeTwoDialects, ing.Origin("metadata.annotations"),
			"it carries annotations of both "+traefik.Table.Name+" and "+nginx.Table.Name,
			"each is read by its own table, and what no annotation says is native Ingress", "keep one dialect"))
	}
	foreign, closed := dialect.Foreign(ing.AnnotationOrigin, ing.Annotations)
	ds = append(ds, foreign...)
	if shape.Closed == nil {
		shape.Closed = closed
	}
	shape.Annotated = append(shape.Annotated, classAnnotations(ing)...)
	shape.Annotated = append(shape.Annotated, annotated{ing.Annotations, ing.AnnotationOrigin, shape.Annotated}.rest()...)
	reading := dialect.Claims(ing, shape)
	reading.Diagnostics = append(ds, reading.Diagnostics...)
	return reading
}
