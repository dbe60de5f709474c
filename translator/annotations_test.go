package translator_test

import (
	"slices"
	"testing"

	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/mutate"
	"github.com/postern-gateway/postern/translator/source"
)

// TestEveryAnnotationHasAState: each annotation of a served Ingress is reported once, and what the report says is what
// the diagnostics and the routes say.
func TestEveryAnnotationHasAState(t *testing.T) {
	eachCase(t, func(t *testing.T, w source.World, s translator.Settings) {
		checkStates(t, w, translator.Translate(w, s))
		for seed := range uint64(mutantsPerCase) {
			mutant := mutate.World(w, seed)
			checkStates(t, mutant, translator.Translate(mutant, s))
		}
	})
}

func checkStates(t *testing.T, w source.World, r translator.Result) {
	t.Helper()
	reported := map[diag.Origin]diag.Annotation{}
	for _, a := range r.Annotations {
		if _, twice := reported[a.Origin]; twice {
			t.Errorf("%s is reported twice", a.Origin)
		}
		reported[a.Origin] = a
		if a.State == diag.StateApproximated && a.Note == "" {
			t.Errorf("%s: nothing says how it differs", a.Origin)
		}
	}
	for _, ing := range w.Ingresses {
		served := !slices.ContainsFunc(r.Diagnostics, func(d diag.D) bool {
			return d.Code == diag.CodeNotSelected && d.Origin.Object() == ing.Origin("").Object()
		})
		for key := range ing.Annotations {
			if _, ok := reported[ing.AnnotationOrigin(key)]; ok != served {
				t.Errorf("%s: reported: %v, and the Ingress is served: %v", ing.AnnotationOrigin(key), ok, served)
			}
		}
	}
	harmless := []diag.State{diag.StateApproximated, diag.StateApplied, diag.StateOtherTool}
	for _, d := range r.Diagnostics {
		a, ok := reported[d.Origin]
		if d.Origin.Annotation == "" || !ok {
			continue
		}
		if !slices.Contains(a.Codes, d.Code) {
			t.Errorf("%s is reported without %s", a.Origin, d.Code)
		}
		// The codes of area P3 say that an annotation does not do what it was written for.
		if d.Code[:2] == "P3" && slices.Contains(harmless, a.State) {
			t.Errorf("%s is reported as %s in spite of: %s", a.Origin, a.State, d)
		}
	}
	// What only closes other spellings of its paths, or plain HTTP, restricts, and is applied.
	closing := map[diag.Origin]bool{}
	guarding := map[diag.Origin]bool{}
	for _, table := range r.Gateway.Tables {
		routes := slices.Concat(table.Any, table.Default)
		for _, host := range append(table.Exact, table.Wildcard...) {
			routes = append(routes, host.Routes...)
		}
		for _, route := range routes {
			if closed, ok := route.Action.(*model.Closed); ok && closed.Origin.Annotation != "" {
				if closed.Code == diag.CodeOtherSpelling || closed.Code == diag.CodePlainHTTP {
					guarding[closed.Origin] = true
				} else {
					closing[closed.Origin] = true
				}
			}
		}
	}
	for at := range closing {
		if a, ok := reported[at]; !ok || a.State != diag.StateCloses {
			t.Errorf("%s closes a route and is reported as %s (%v)", at, a.State, ok)
		}
	}
	for at := range guarding {
		told := slices.ContainsFunc(r.Diagnostics, func(d diag.D) bool { return d.Origin == at && d.Severity == diag.Error })
		if a, ok := reported[at]; !ok || a.State == diag.StateCloses && !closing[at] && !told {
			t.Errorf("%s restricts its routes and is reported as %s (%v)", at, a.State, ok)
		}
	}
}

// TestStates: the names are there for programs to rely on.
func TestStates(t *testing.T) {
	var names []string
	for _, s := range diag.States() {
		names = append(names, s.String())
	}
	want := []string{"closes", "bad-value", "unknown", "not-yet", "refused", "other-controller", "unjudged", "without-effect", "approximated", "applied", "other-tool"}
	if !slices.Equal(names, want) {
		t.Errorf("the states are %q, want %q", names, want)
	}
}
