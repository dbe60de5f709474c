// Package report is what becomes of Ingresses and of each of their annotations, for those who move to Postern: as data, as
// text, and as one page of HTML.
package report

import (
	"cmp"
	"slices"

	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// Input is what a report is made of.
type Input struct {
	World  source.World
	Result translator.Result
	// Namespace limits what is told to its objects; without it all are told of.
	Namespace string
	// Caveats are sentences on what was not read, and so could not be judged.
	Caveats []string
}

// Report is what becomes of the Ingresses of a world; its JSON form is described in docs/operate/lint.md.
type Report struct {
	Summary Summary `json:"summary"`
	// Annotations are those of the Ingresses that are served, of the Services that they refer to, and Postern's own on
	// Namespaces, sorted by place.
	Annotations []Annotation `json:"annotations"`
	// Ingresses are all that were read, sorted by namespace and name.
	Ingresses []Ingress `json:"ingresses"`
	Caveats   []string  `json:"caveats,omitempty"`
	// diagnostics are those that are told, by object.
	diagnostics map[string][]diag.D
}

// Summary are the sums of a report.
type Summary struct {
	// Ingresses are those that are served, NotServed the others that were read.
	Ingresses   int `json:"ingresses"`
	NotServed   int `json:"notServed"`
	Annotations int `json:"annotations"`
	// Outcomes, States and Diagnostics have an item for each outcome, state and severity, whether or not there is any of it.
	Outcomes    map[Outcome]int       `json:"outcomes"`
	States      map[diag.State]Tally  `json:"states"`
	Diagnostics map[diag.Severity]int `json:"diagnostics"`
}

// Tally counts annotations, and the objects that they stand on.
type Tally struct {
	Annotations int `json:"annotations"`
	Objects     int `json:"objects"`
}

// Annotation is what became of an annotation, and what to do.
type Annotation struct {
	diag.Annotation
	// Fix is what to do, or to use in its place; empty where nothing is to be done.
	Fix string `json:"fix,omitempty"`
}

// Make makes the report.
func Make(in Input) Report {
	ds := Within(in.Result.Diagnostics, in.Namespace)
	r := Report{
		Annotations: []Annotation{}, Ingresses: []Ingress{}, Caveats: in.Caveats, diagnostics: map[string][]diag.D{},
		Summary: Summary{Outcomes: map[Outcome]int{}, States: map[diag.State]Tally{}, Diagnostics: diag.Count(ds)},
	}
	for _, d := range ds {
		r.diagnostics[d.Origin.Object()] = append(r.diagnostics[d.Origin.Object()], d)
	}
	for _, a := range in.Result.Annotations {
		if concerns(a.Origin, in.Namespace) {
			r.Annotations = append(r.Annotations, Annotation{a, r.fix(a)})
		}
	}
	r.addIngresses(in)
	r.sum()
	return r
}

// Within are the diagnostics that concern a namespace: about its objects, or about none of any. Without a namespace it is all.
func Within(ds []diag.D, namespace string) []diag.D {
	out := []diag.D{}
	for _, d := range ds {
		if concerns(d.Origin, namespace) {
			out = append(out, d)
		}
	}
	return out
}

func concerns(o diag.Origin, namespace string) bool {
	return namespace == "" || o.Namespace == namespace || o.Namespace == "" && (o.Kind != "Namespace" || o.Name == namespace)
}

// fix is what the worst diagnostic about an annotation says is to be done.
func (r *Report) fix(a diag.Annotation) string {
	fix, worst := "", diag.Severity(-1)
	for _, d := range r.diagnostics[a.Origin.Object()] {
		if d.Origin == a.Origin && d.Fix != "" && d.Severity > worst {
			fix, worst = d.Fix, d.Severity
		}
	}
	return fix
}

// sum counts what the report has.
func (r *Report) sum() {
	r.Summary.Annotations = len(r.Annotations)
	objects := map[diag.State]map[string]bool{}
	counts := map[diag.State]int{}
	for _, a := range r.Annotations {
		if objects[a.State] == nil {
			objects[a.State] = map[string]bool{}
		}
		counts[a.State]++
		objects[a.State][a.Origin.Object()] = true
	}
	for _, s := range diag.States() {
		r.Summary.States[s] = Tally{Annotations: counts[s], Objects: len(objects[s])}
	}
	for _, o := range Outcomes() {
		r.Summary.Outcomes[o] = 0
	}
	for _, i := range r.Ingresses {
		r.Summary.Outcomes[i.Outcome]++
	}
	r.Summary.NotServed = r.Summary.Outcomes[NotServed]
	r.Summary.Ingresses = len(r.Ingresses) - r.Summary.NotServed
}

// addIngresses judges each Ingress that is told of.
func (r *Report) addIngresses(in Input) {
	j := judge{served: map[model.ObjectKey]bool{}, routes: routesOf(in.Result.Gateway), annotations: map[string][]Annotation{}, diagnostics: r.diagnostics}
	for _, key := range in.Result.Served {
		j.served[key] = true
	}
	for _, a := range r.Annotations {
		j.annotations[a.Origin.Object()] = append(j.annotations[a.Origin.Object()], a)
	}
	for _, i := range in.World.Ingresses {
		if concerns(i.Origin(""), in.Namespace) {
			r.Ingresses = append(r.Ingresses, j.ingress(i))
		}
	}
	slices.SortFunc(r.Ingresses, func(a, b Ingress) int { return byName(a.Origin, b.Origin) })
}

func byName(a, b diag.Origin) int {
	return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
}
