package diag

import "slices"

// State is what became of an annotation. The states are in the order of what they cost its owner, the most costly first.
type State int

const (
	// StateCloses is an annotation because of which routes answer 503.
	StateCloses State = iota
	// StateBadValue is one whose value, or a part of it, is none of the accepted forms.
	StateBadValue
	// StateUnknown is one that its dialect does not have.
	StateUnknown
	// StateNotYet is one that Postern knows and does not apply yet.
	StateNotYet
	// StateRefused is one that Postern knows and never applies.
	StateRefused
	// StateOtherController is one of an ingress controller that Postern does not stand in for.
	StateOtherController
	// StateUnjudged is one that refers to what may not be read by whoever asks.
	StateUnjudged
	// StateWithoutEffect is one in whose place another counts, or that has nothing to act on.
	StateWithoutEffect
	// StateApproximated is one that is applied with a difference.
	StateApproximated
	// StateApplied is one that is applied as its dialect's own controller did.
	StateApplied
	// StateOtherTool is one that is not for an ingress controller.
	StateOtherTool

	states = iota
)

// States are all states, in their order.
func States() []State {
	out := make([]State, states)
	for i := range out {
		out[i] = State(i)
	}
	return out
}

// String is the state's name in reports, for programs to rely on.
func (s State) String() string {
	return [states]string{
		"closes", "bad-value", "unknown", "not-yet", "refused", "other-controller", "unjudged", "without-effect", "approximated", "applied", "other-tool",
	}[s]
}

// MarshalText makes the name the JSON form.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Annotation is what became of one annotation of an object. Its value is left out: it may hold a credential.
type Annotation struct {
	Origin Origin `json:"origin"`
	// Dialect is the name of the table that has, or lacks, the annotation, and Key its name there; both are empty where no
	// table is for it.
	Dialect string `json:"dialect,omitempty"`
	Key     string `json:"key,omitempty"`
	State   State  `json:"state"`
	// Note says how it differs from what its dialect's controller did, or why it is in this state.
	Note string `json:"note,omitempty"`
	// Codes are those of the diagnostics about it, sorted.
	Codes []Code `json:"codes,omitempty"`
}

// Told is the annotation once a diagnostic at its place is known.
func (a Annotation) Told(d D) Annotation {
	if !slices.Contains(a.Codes, d.Code) {
		a.Codes = append(slices.Clone(a.Codes), d.Code)
		slices.Sort(a.Codes)
	}
	switch {
	case d.Code == CodeBadValue, d.Code == CodeNoSuchEntry:
		return a.Worse(StateBadValue, d.Message)
	case d.Code == CodeRefusedAnnot:
		return a.Worse(StateRefused, d.Message)
	case d.Code == CodeUnread:
		return a.Worse(StateUnjudged, d.Message)
	case d.Code == CodeWithoutEffect:
		return a.Worse(StateWithoutEffect, d.Message)
	case d.Code == CodeOtherController && d.Severity == Error:
		return a.Worse(StateCloses, d.Message)
	}
	return a
}

// Worse is the annotation in a state that costs more, with the reason; it is as before where that one costs less.
func (a Annotation) Worse(s State, why string) Annotation {
	if s < a.State {
		a.State, a.Note = s, why
	}
	return a
}
