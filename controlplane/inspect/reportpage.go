package inspect

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/report"
)

// reportPage is a report as postern lint makes it, with a page of each of its lists. The sums are of all.
type reportPage struct {
	report.Report
	Filter filter `json:"filter"`
	// State and Outcome narrow the annotations and the Ingresses to those of one state and one outcome, by their names.
	State   string `json:"annotationState,omitempty"`
	Outcome string `json:"outcome,omitempty"`
	// Paging is of both lists: the longer has pages behind the end of the other.
	Paging paging `json:"paging"`
}

func (reportPage) Title() string { return "Report" }

// reported is what is asked for of the report, uncut.
func reported(v View, r *http.Request) reportPage {
	p := reportPage{Report: v.index().report, Filter: filterOf(r), State: r.URL.Query().Get("state"), Outcome: r.URL.Query().Get("outcome")}
	p.Filter.State = ""
	p.Annotations, p.Ingresses = []report.Annotation{}, []report.Ingress{}
	for _, a := range v.index().report.Annotations {
		if (p.State == "" || a.State.String() == p.State) && contains(p.Filter.Text, a.Origin.Annotation, a.Origin.Object()) {
			p.Annotations = append(p.Annotations, a)
		}
	}
	for _, i := range v.index().report.Ingresses {
		if (p.Outcome == "" || i.Outcome.String() == p.Outcome) && contains(p.Filter.Text, append([]string{i.Origin.Object()}, i.Hosts...)...) {
			p.Ingresses = append(p.Ingresses, i)
		}
	}
	return p
}

func reportData(v View, r *http.Request) (any, error) {
	p := reported(v, r)
	p.Paging = pagingOf(max(len(p.Annotations), len(p.Ingresses)), r)
	p.Annotations, p.Ingresses = partOf(p.Annotations, p.Paging), partOf(p.Ingresses, p.Paging)
	return p, nil
}

// reportView is the report for people: what costs most comes first, and equal annotations are told of together.
type reportView struct {
	reportPage
	States, Outcomes []countRow
	Keys             []keyRow
	Rows             []outcomeRow
}

// countRow is how many annotations or Ingresses are in a state or have an outcome.
type countRow struct {
	Name, Words, Link string
	Count             int
}

// keyRow is an annotation in one state, on however many objects.
type keyRow struct {
	annotationRow
	Objects []place
	Count   int
}

// keyObjectsShown bounds the objects that a row names.
const keyObjectsShown = 5

// outcomeRow is an Ingress with what becomes of it.
type outcomeRow struct {
	report.Ingress
	Place place
	Look  look
}

func reportHTML(v View, r *http.Request) (any, error) {
	p := reportView{reportPage: reported(v, r)}
	for _, s := range diag.States() {
		if n := p.Summary.States[s].Annotations; n > 0 {
			p.States = append(p.States, countRow{s.String(), report.Words(s), link("report", "state", s.String(), "q", p.Filter.Text), n})
		}
	}
	for _, o := range report.Outcomes() {
		if n := p.Summary.Outcomes[o]; n > 0 {
			p.Outcomes = append(p.Outcomes, countRow{o.String(), o.Words(), link("report", "outcome", o.String(), "q", p.Filter.Text), n})
		}
	}
	keys := keyRows(p.Annotations)
	slices.SortStableFunc(p.Ingresses, func(a, b report.Ingress) int { return cmp.Compare(a.Outcome, b.Outcome) })
	p.Paging = pagingOf(max(len(keys), len(p.Ingresses)), r)
	p.Keys = partOf(keys, p.Paging)
	for _, i := range partOf(p.Ingresses, p.Paging) {
		i.Hosts = i.Hosts[:min(len(i.Hosts), ingressHostsMax)]
		p.Rows = append(p.Rows, outcomeRow{i, placeOf(i.Origin), lookOfOutcome(i.Outcome)})
	}
	return p, nil
}

// keyRows are the annotations, those together of which the same is to be said, the most costly first.
func keyRows(of []report.Annotation) []keyRow {
	type key struct {
		annotation string
		state      diag.State
		note, fix  string
	}
	var out []keyRow
	at := map[key]int{}
	for _, a := range of {
		k := key{a.Origin.Annotation, a.State, a.Note, a.Fix}
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, keyRow{annotationRow: annotationRowOf(a)})
		}
		out[i].Count++
		if len(out[i].Objects) < keyObjectsShown {
			out[i].Objects = append(out[i].Objects, placeOf(a.Origin))
		}
	}
	slices.SortStableFunc(out, func(a, b keyRow) int {
		return cmp.Or(cmp.Compare(a.State, b.State), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Annotation, b.Annotation))
	})
	return out
}

// reportFilePath is the report as one file, with a style of its own in it.
const reportFilePath = "/report.html"

func reportFile(v View, w io.Writer) error {
	return v.index().report.HTML(w, report.Page{Place: fmt.Sprintf("a gateway at revision %d", v.Revision)})
}
