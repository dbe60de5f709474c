package translator

import (
	"fmt"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
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
	// Class is the name of the one class that is served, whether or not there is an IngressClass of that name.
	Class string
	// Controller, where Class is empty, has the classes served whose IngressClass has it as spec.controller. Where both are
	// empty, every Ingress is served.
	Controller string
	// WithoutClass has Ingresses served that name no class, though none that is served is the default.
	WithoutClass bool
}

const (
	// classAnnotation is the legacy way to name a class (Kubernetes: Ingress, deprecated annotation).
	classAnnotation = "kubernetes.io/ingress.class"
	// traefikClassAnnotation is Traefik 1.7's own spelling of it.
	traefikClassAnnotation = "traefik.kubernetes.io/ingress.class"
	// solverLabel is on the Ingresses of cert-manager's HTTP-01 solver.
	solverLabel = "acme.cert-manager.io/http01-solver"
	// traefikClass is the class name by which an Ingress is in the traefik dialect without any annotation.
	traefikClass = "traefik"
)

// chooser is a Selection in a world.
type chooser struct {
	Selection
	classes map[classKey]source.IngressClass
	// defaults holds, for each cluster, the first by name of the classes that are served and marked as default.
	defaults map[string]string
	// served holds the same of all classes that are served.
	served map[string]string
}

// classKey names an IngressClass of a cluster.
type classKey struct{ cluster, name string }

func (s Selection) in(w source.World) chooser {
	c := chooser{Selection: s, classes: map[classKey]source.IngressClass{}, defaults: map[string]string{}, served: map[string]string{}}
	first := func(of map[string]string, class source.IngressClass) {
		if other, ok := of[class.Cluster]; !ok || class.Name < other {
			of[class.Cluster] = class.Name
		}
	}
	for _, class := range w.IngressClasses {
		c.classes[classKey{class.Cluster, class.Name}] = class
		if !c.serves(class) {
			continue
		}
		first(c.served, class)
		if class.Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true" {
			first(c.defaults, class)
		}
	}
	return c
}

func (s Selection) serves(class source.IngressClass) bool {
	if s.Class != "" {
		return class.Name == s.Class
	}
	return s.Controller != "" && class.Spec.Controller == s.Controller
}

// choose says whether an Ingress is served, by which class, and if not, why.
func (c chooser) choose(ing source.Ingress) (bool, string, diag.D) {
	class, at := ingressClass(ing)
	if class == "" {
		class = c.defaults[ing.Cluster]
	}
	if why, fix := c.otherClass(ing.Cluster, class); why != "" {
		return false, class, diag.New(diag.CodeNotSelected, at, why, "it is not served", fix+" if it should be")
	}
	if c.Selector != nil && !c.Selector.Matches(labels.Set(ing.Labels)) {
		return false, class, c.unlabelled(ing)
	}
	return true, class, diag.D{}
}

// askedHosts are the hosts that an Ingress's rules ask for, each once, with an empty one for every host. The strings are the
// object's own: of other classes' Ingresses there may be many.
func askedHosts(ing source.Ingress) []string {
	hosts := make([]string, 0, len(ing.Spec.Rules)+1)
	if ing.Spec.DefaultBackend != nil {
		hosts = append(hosts, "")
	}
	for _, rule := range ing.Spec.Rules {
		hosts = append(hosts, rule.Host)
	}
	slices.Sort(hosts)
	return slices.Clip(slices.Compact(hosts))
}

// unlabelled tells of an Ingress that the selector leaves out. Nobody but cert-manager writes a solver's, which waits for ever
// where it is left out by mistake, and it is of a class that is served.
func (c chooser) unlabelled(ing source.Ingress) diag.D {
	at, why := ing.Origin("metadata.labels"), fmt.Sprintf("its labels do not match --ingress-selector %s", c.Selector)
	if ing.Labels[solverLabel] == "true" {
		return diag.New(diag.CodeNotSelected, at, why, "it is not served, so that cert-manager gets no certificate by it",
			"add the label to http01.ingress.ingressTemplate.metadata.labels of the issuer's solver").At(diag.Warning)
	}
	return diag.New(diag.CodeNotSelected, at, why, "it is not served", "add the label if it should be")
}

// otherClass says why an Ingress of a class, empty for none, is not one that is served, and what to do; nothing where it is.
func (c chooser) otherClass(cluster, class string) (why, fix string) {
	if c.Class == "" && c.Controller == "" || class == "" && c.WithoutClass {
		return "", ""
	}
	if c.Class != "" {
		switch class {
		case c.Class:
			return "", ""
		case "":
			return "it names no class, --ingress-class is " + c.Class, "set spec.ingressClassName: " + c.Class
		}
		return fmt.Sprintf("its class is %s, --ingress-class is %s", class, c.Class), "set spec.ingressClassName: " + c.Class
	}
	fix = "create an IngressClass with spec.controller: " + c.Controller + ", and set spec.ingressClassName to its name"
	if ours := c.served[cluster]; ours != "" {
		fix = "set spec.ingressClassName: " + ours
	}
	object, exists := c.classes[classKey{cluster, class}]
	switch {
	case class == "":
		return "it names no class, and no IngressClass of " + c.Controller + " is the default", fix
	case !exists:
		return "there is no IngressClass " + class, fix
	case object.Spec.Controller != c.Controller:
		return fmt.Sprintf("its class %s is of %q, --controller-name is %s", class, object.Spec.Controller, c.Controller), fix
	}
	return "", ""
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
