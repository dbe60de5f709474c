package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
)

// add adds the block of an object. Where one says the same already, the object is named there: of thousands that were made
// from one template the page tells once for each namespace.
func (s *namespaceSection) add(b block) {
	if s.alike == nil {
		s.alike = map[string]int{}
	}
	said := b.said()
	i, known := s.alike[said]
	if !known {
		s.alike[said] = len(s.Blocks)
		s.Blocks = append(s.Blocks, b)
		return
	}
	s.Blocks[i].Names = append(s.Blocks[i].Names, b.Names...)
	// Each has lines of its own.
	for row := range s.Blocks[i].Rows {
		s.Blocks[i].Rows[row].Line = ""
	}
	for d := range s.Blocks[i].Diagnostics {
		s.Blocks[i].Diagnostics[d].Line = ""
	}
}

// said is all that a block says but for whom it is about and in which lines.
func (b block) said() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%q %q %q", b.Class, b.Text, b.Why+b.Routes)
	for _, d := range b.Diagnostics {
		d.Line = ""
		fmt.Fprintf(&out, " %q", d)
	}
	for _, r := range b.Rows {
		r.Line = ""
		fmt.Fprintf(&out, " %q", r)
	}
	fmt.Fprintf(&out, " %q", b.Quiet)
	return out.String()
}

// block is the Ingress as the page has it.
func (i Ingress) block(notes map[noteKey]string) block {
	l := outcomeLooks[i.Outcome]
	b := block{
		Names: []named{{Name: i.Origin.Name, Place: i.Origin.Position(), Hosts: strings.Join(i.Hosts, ", ")}},
		Mark:  l.mark, Class: l.class, Text: l.words, Why: i.Why, Open: i.Outcome < Approximated,
	}
	if i.Routes > 0 {
		b.Routes = Count(i.Routes, "route", "routes")
		if i.Closed > 0 {
			b.Routes += fmt.Sprintf(", %d of them closed", i.Closed)
		}
	}
	told := map[diag.Origin]bool{}
	byCost := slices.SortedStableFunc(slices.Values(i.annotations), func(a, b Annotation) int { return cmp.Compare(a.State, b.State) })
	for _, a := range byCost {
		if quiet(a.State) && a.Note == "" {
			b.Quiet = append(b.Quiet, a.Origin.Annotation)
			continue
		}
		told[a.Origin] = true
		b.Rows = append(b.Rows, a.row(notes))
	}
	for _, d := range i.diagnostics {
		// What an annotation's row says need not be said again, nor why an Ingress is not served.
		if told[d.Origin] || d.Code == diag.CodeNotSelected {
			continue
		}
		b.Diagnostics = append(b.Diagnostics, find(d))
	}
	return b
}

func (a Annotation) row(notes map[noteKey]string) annotationRow {
	l := stateLooks[a.State]
	row := annotationRow{Key: a.Origin.Annotation, Mark: l.mark, Class: l.class, Text: l.words, Fix: a.Fix, Line: line(a.Origin)}
	if a.State == diag.StateApproximated {
		// The difference is of the annotation, and not of the Ingress: it is told once.
		row.Difference = notes[noteKey{a.State, a.Origin.Annotation, a.Note}]
	}
	if row.Difference != "" {
		return row
	}
	row.Note = a.Note
	return row
}

func line(o diag.Origin) string {
	if o.Line == 0 {
		return ""
	}
	return fmt.Sprintf("line %d", o.Line)
}

var severityLooks = map[diag.Severity]look{
	diag.Error: {"✕", classBad, "error"}, diag.Warning: {"!", classWork, "warning"}, diag.Info: {"–", classQuiet, "remark"},
}

// find is a diagnostic as the page has it.
func find(d diag.D) finding {
	l := severityLooks[d.Severity]
	out := finding{
		Mark: l.mark, Class: l.class, Word: l.words, Code: string(d.Code), Place: d.Origin.Place(), Line: line(d.Origin),
		Message: d.Message, Effect: d.Effect, Fix: d.Fix,
	}
	for _, o := range d.Others {
		other := o.String()
		if at := o.Position(); at != "" {
			other += " (" + at + ")"
		}
		out.Others = append(out.Others, other)
	}
	return out
}
