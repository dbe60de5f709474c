// Package diag is how Postern tells a user what it made of an object: coded, placed, with the effect and the way out.
//
// A diagnostic is data, never an error: translation always has a result. A diagnostic of severity Error means that
// something the user asked for is not served as asked; a Warning, that it is served with a difference; Info, that a
// choice was made which the user may want to know.
package diag

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity orders diagnostics by what they cost the user.
type Severity int

const (
	// Info tells of a choice that costs nothing.
	Info Severity = iota
	// Warning tells of a difference to what was asked.
	Warning
	// Error tells of something that is not served as asked.
	Error
)

// String gives the word that reports use.
func (s Severity) String() string {
	return [...]string{"info", "warning", "error"}[s]
}

// MarshalText makes the word the JSON form.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the word.
func (s *Severity) UnmarshalText(text []byte) error {
	for of := Info; of <= Error; of++ {
		if of.String() == string(text) {
			*s = of
			return nil
		}
	}
	return fmt.Errorf("%q is no severity", text)
}

// Origin is the place that something comes from: an object, a field in it, and for files the line.
type Origin struct {
	Cluster   string `json:"cluster,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Field is the path to the field as kubectl writes it: spec.rules[0].http.paths[1].
	Field string `json:"field,omitempty"`
	// Annotation is the full key, where the field is an annotation.
	Annotation string `json:"annotation,omitempty"`
	File       string `json:"file,omitempty"`
	Line       int    `json:"line,omitempty"`
}

// Object is the object without field and place: Ingress default/web.
func (o Origin) Object() string {
	name := o.Name
	if o.Namespace != "" {
		name = o.Namespace + "/" + o.Name
	}
	if o.Cluster != "" {
		name = o.Cluster + ":" + name
	}
	return strings.TrimSpace(o.Kind + " " + name)
}

// Place is the field or annotation within the object, empty for the whole object.
func (o Origin) Place() string {
	if o.Annotation != "" {
		return "metadata.annotations[" + o.Annotation + "]"
	}
	return o.Field
}

// Position is file:line, the file alone where no line is known, or empty.
func (o Origin) Position() string {
	if o.File != "" && o.Line > 0 {
		return fmt.Sprintf("%s:%d", o.File, o.Line)
	}
	return o.File
}

// String is the origin in one line, without file and line: Ingress default/web spec.rules[0].
func (o Origin) String() string {
	return strings.TrimSpace(o.Object() + " " + o.Place())
}

// Compare orders origins for output: as they stand in their files, then by object and field.
func (o Origin) Compare(p Origin) int {
	return cmp.Or(
		cmp.Compare(o.Cluster, p.Cluster),
		cmp.Compare(o.File, p.File),
		cmp.Compare(o.Line, p.Line),
		cmp.Compare(o.Namespace, p.Namespace),
		cmp.Compare(o.Kind, p.Kind),
		cmp.Compare(o.Name, p.Name),
		cmp.Compare(o.Place(), p.Place()),
	)
}

// D is one diagnostic.
type D struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Origin   Origin   `json:"origin"`
	// Others are the places that contributed: the winner of a conflict, the Service that lacks a port.
	Others []Origin `json:"others,omitempty"`
	// Message says what is wrong, Effect what happens now, Fix what to do.
	Message string `json:"message"`
	Effect  string `json:"effect"`
	Fix     string `json:"fix,omitempty"`
}

// New makes a diagnostic of a registered code with its registered severity. An unknown code is a fault of ours.
func New(code Code, at Origin, message, effect, fix string) D {
	info, ok := registry[code]
	if !ok {
		panic("diag: code " + string(code) + " is not registered")
	}
	return D{Code: code, Severity: info.Severity, Origin: at, Message: message, Effect: effect, Fix: fix}
}

// With returns the diagnostic with contributing origins.
func (d D) With(others ...Origin) D {
	d.Others = append(slices.Clone(d.Others), others...)
	return d
}

// At returns the diagnostic with another severity than its code's usual one.
func (d D) At(s Severity) D {
	d.Severity = s
	return d
}

// String is the diagnostic as lint prints it, in two or three lines.
func (d D) String() string {
	var b strings.Builder
	if pos := d.Origin.Position(); pos != "" {
		b.WriteString(pos + ": ")
	}
	fmt.Fprintf(&b, "%s %s: %s: %s", d.Severity, d.Code, d.Origin, d.Message)
	for _, o := range d.Others {
		fmt.Fprintf(&b, "\n    see %s", o)
		if pos := o.Position(); pos != "" {
			fmt.Fprintf(&b, " (%s)", pos)
		}
	}
	fmt.Fprintf(&b, "\n    effect: %s", d.Effect)
	if d.Fix != "" {
		fmt.Fprintf(&b, "\n    fix: %s", d.Fix)
	}
	return b.String()
}

// Sort orders diagnostics by place, then code, then message, and drops exact repetitions.
func Sort(ds []D) []D {
	out := slices.Clone(ds)
	slices.SortStableFunc(out, func(a, b D) int {
		return cmp.Or(
			a.Origin.Compare(b.Origin),
			cmp.Compare(a.Code, b.Code),
			cmp.Compare(a.Message, b.Message),
			cmp.Compare(a.Effect, b.Effect),
		)
	})
	return slices.CompactFunc(out, func(a, b D) bool {
		return a.Code == b.Code && a.Origin == b.Origin && a.Message == b.Message && slices.Equal(a.Others, b.Others)
	})
}

// Worst is the highest severity among ds, and false where there is none.
func Worst(ds []D) (Severity, bool) {
	if len(ds) == 0 {
		return Info, false
	}
	return slices.MaxFunc(ds, func(a, b D) int { return cmp.Compare(a.Severity, b.Severity) }).Severity, true
}

// Count counts the diagnostics of each severity.
func Count(ds []D) map[Severity]int {
	counts := map[Severity]int{Error: 0, Warning: 0, Info: 0}
	for _, d := range ds {
		counts[d.Severity]++
	}
	return counts
}
