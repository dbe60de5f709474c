package inspect

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/postern-gateway/postern/translator/diag"
)

// reportPage says what became of the annotations of all that is served.
type reportPage struct {
	Filter filter `json:"filter"`
	// State narrows the list to annotations in one state, by the state's name.
	State  string       `json:"annotationState,omitempty"`
	States []stateCount `json:"states"`
	Keys   []keyRow     `json:"keys"`
	Paging paging       `json:"paging"`
}

func (reportPage) Title() string { return "Annotations" }

// stateCount is how many annotations are in a state.
type stateCount struct {
	State diag.State `json:"state"`
	Words string     `json:"words"`
	Count int        `json:"count"`
	Link  string     `json:"-"`
}

// keyRow is an annotation in one state, on however many objects.
type keyRow struct {
	annotationRow
	Objects []place `json:"objects"`
	Count   int     `json:"count"`
}

// keyObjectsShown bounds the objects that a row names.
const keyObjectsShown = 5

func reportData(v View, r *http.Request) (any, error) {
	p := reportPage{Filter: filterOf(r), State: r.URL.Query().Get("state"), States: []stateCount{}, Keys: []keyRow{}}
	p.Filter.State = ""
	type key struct {
		annotation string
		state      diag.State
		note, fix  string
	}
	counts := map[diag.State]int{}
	at := map[key]int{}
	for _, a := range v.Result.Annotations {
		counts[a.State]++
		if p.State != "" && a.State.String() != p.State || !contains(p.Filter.Text, a.Origin.Annotation, a.Origin.Object()) {
			continue
		}
		k := key{a.Origin.Annotation, a.State, a.Note, v.index().fix(a)}
		i, ok := at[k]
		if !ok {
			i = len(p.Keys)
			at[k] = i
			p.Keys = append(p.Keys, keyRow{annotationRow: v.index().annotationRows([]diag.Annotation{a})[0]})
			p.Keys[i].Position = ""
		}
		p.Keys[i].Count++
		if len(p.Keys[i].Objects) < keyObjectsShown {
			p.Keys[i].Objects = append(p.Keys[i].Objects, placeOf(a.Origin))
		}
	}
	for _, s := range diag.States() {
		if counts[s] > 0 {
			p.States = append(p.States, stateCount{s, stateWords[s], counts[s], link("report", "state", s.String(), "q", p.Filter.Text)})
		}
	}
	slices.SortStableFunc(p.Keys, func(a, b keyRow) int {
		return cmp.Or(cmp.Compare(a.State, b.State), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Annotation, b.Annotation))
	})
	p.Keys, p.Paging = cut(p.Keys, r)
	return p, nil
}
