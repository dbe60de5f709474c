// Package dialect is what the dialects share: the table of annotations, and how an object's annotations are read by it.
//
// A dialect reads one object and nothing else. What it does not know or cannot apply becomes a diagnostic; what
// restricts access and cannot be applied closes the object's routes.
package dialect

import (
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// Support says what Postern does with an annotation.
type Support int

const (
	// Applied is done as the dialect's own controller did it.
	Applied Support = iota
	// Approximated is done with the difference that Note states.
	Approximated
	// NotYet is known and has no effect yet.
	NotYet
	// Refused is known and never applied; Note says why, and what to use in its place. One that restricts access closes
	// its routes.
	Refused
)

// String names the level as reports do.
func (s Support) String() string {
	return [...]string{"applied", "approximated", "not yet", "refused"}[s]
}

// Kind is a kind of object that an annotation stands on.
type Kind string

// The kinds that carry annotations.
const (
	OnIngress   Kind = "Ingress"
	OnService   Kind = "Service"
	OnNamespace Kind = "Namespace"
)

// indefinite is the kind with its article.
func (k Kind) indefinite() string {
	if k == OnIngress {
		return "an Ingress"
	}
	return "a " + string(k)
}

// Annotation is one entry of a dialect's table.
type Annotation struct {
	// Key is the name behind the prefix.
	Key string
	// Aliases are whole keys that mean the same.
	Aliases []string
	// On is the kind that it stands on.
	On Kind
	// Type says what values it takes, in words.
	Type    string
	Support Support
	// Note says how an approximated annotation differs, or why one is refused.
	Note string
	// Family is the name of the page of docs that has the entry.
	Family string
	// Case is the case, below translator/testdata, in which the annotation stands: the docs take their example from it.
	Case string
	// Restricts marks what limits who may use a route: while not applied, it closes the route.
	Restricts bool
	// Protects marks what makes a connection safer: a key that is nearly it closes the route.
	Protects bool
	// Doc is one sentence on the effect.
	Doc     string
	Example string
}

// Table is a dialect's annotations.
type Table struct {
	// Name is the dialect's name in diagnostics and docs.
	Name string
	// Prefixes are the prefixes of its keys in the order of lookup: the first one found counts.
	Prefixes    []string
	Annotations []Annotation
}

// Find is the entry of a key without prefix.
func (t *Table) Find(key string, on Kind) (Annotation, bool) {
	for _, a := range t.Annotations {
		if a.Key == key && a.On == on {
			return a, true
		}
	}
	return Annotation{}, false
}

// split takes the prefix off a whole key; false where the key is not this dialect's. Kubernetes holds a prefix to be a
// DNS name, so its case does not count.
func (t *Table) split(whole string) (string, bool) {
	for _, p := range t.Prefixes {
		if len(whole) > len(p) && strings.EqualFold(whole[:len(p)], p) {
			return whole[len(p):], true
		}
	}
	for _, a := range t.Annotations {
		for _, alias := range a.Aliases {
			if alias == whole {
				return a.Key, true
			}
		}
	}
	return "", false
}

// Speaks says whether one of the annotations is this dialect's.
func (t *Table) Speaks(annotations map[string]string) bool {
	for key := range annotations {
		if _, ok := t.split(key); ok {
			return true
		}
	}
	return false
}

// Spellings are the whole keys of an entry in the order of lookup.
func (t *Table) Spellings(a Annotation) []string {
	out := make([]string, 0, len(t.Prefixes)+len(a.Aliases))
	for _, p := range t.Prefixes {
		out = append(out, p+a.Key)
	}
	return append(out, a.Aliases...)
}

// others are the prefixes of ingress controllers that Postern has no table for. Prefixes of other tools are not
// here: what they write on an Ingress is not for us.
var others = []struct{ prefix, controller string }{
	{"alb.ingress.kubernetes.io/", "the AWS load balancer controller"},
	{"appgw.ingress.kubernetes.io/", "Azure's application gateway controller"},
	{"haproxy-ingress.github.io/", "haproxy-ingress"},
	{"haproxy.org/", "HAProxy's controller"},
	{"ingress.cloud.google.com/", "Google's controller"},
	{"ingress.pomerium.io/", "Pomerium"},
	{"konghq.com/", "Kong"},
	{"nginx.org/", "NGINX Inc.'s controller"},
	{"projectcontour.io/", "Contour"},
	{"zalando.org/", "Skipper"},
}

// OtherController is the ingress controller without a table here that a whole key belongs to.
func OtherController(whole string) (controller string, ok bool) {
	for _, o := range others {
		if strings.HasPrefix(strings.ToLower(whole), o.prefix) {
			return o.controller, true
		}
	}
	return "", false
}

// Foreign diagnoses the annotations of controllers that Postern has no table for. One that reads as if it restricted
// access closes the Ingress's routes.
func Foreign(at func(key string) diag.Origin, annotations map[string]string) ([]diag.D, *model.Closed) {
	var ds []diag.D
	var closed *model.Closed
	for _, whole := range sortedKeys(annotations) {
		controller, ok := OtherController(whole)
		if !ok {
			continue
		}
		d := diag.New(diag.CodeOtherController, at(whole),
			"this annotation belongs to "+controller+", which Postern does not stand in for",
			"it has no effect", "remove it, or say the same in one of Postern's dialects")
		if _, key, _ := strings.Cut(whole, "/"); looksRestricting(key) {
			d = d.At(diag.Error)
			d.Effect = "its routes answer 503, because such a key restricts access"
			closed = &model.Closed{Reason: whole + " reads as if it restricted access", Code: d.Code, Origin: d.Origin}
		}
		ds = append(ds, d)
	}
	return ds, closed
}
