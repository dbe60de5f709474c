package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
)

// headings say what a state means.
var headings = map[diag.State]string{
	diag.StateCloses:          "closes its routes: they answer 503",
	diag.StateBadValue:        "has a value that cannot be used",
	diag.StateUnknown:         "unknown to its dialect: it has no effect",
	diag.StateNotYet:          "not applied yet: the routes are served without it",
	diag.StateRefused:         "refused: the routes are served without it",
	diag.StateOtherController: "for an ingress controller that Postern does not stand in for: it has no effect",
	diag.StateUnjudged:        "not judged: it refers to what may not be read by whoever asks",
	diag.StateWithoutEffect:   "without effect: another one counts, or there is nothing that it could act on",
	diag.StateApproximated:    "applied, with a difference",
	diag.StateApplied:         "applied",
	diag.StateOtherTool:       "for another tool: it is left alone",
}

// Text writes the report for people: the states that cost most at the top, the sums at the end, where a terminal stays.
func (r Report) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s served, %d not; %s on them and on their Services\n",
		Count(r.Summary.Ingresses, "Ingress", "Ingresses"), r.Summary.NotServed, Count(r.Summary.Annotations, "annotation", "annotations"))
	for _, state := range diag.States() {
		if r.Summary.States[state].Annotations == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s\n", headings[state])
		for _, g := range r.groups(state) {
			g.text(&b)
		}
	}
	for _, caveat := range r.Caveats {
		b.WriteString("\n")
		wrap(&b, "", strings.Fields(caveat))
	}
	b.WriteString("\n  Ingresses\n")
	for _, o := range Outcomes() {
		if n := r.Summary.Outcomes[o]; n > 0 {
			fmt.Fprintf(&b, "%11d  %s\n", n, outcomeHeadings[o])
		}
	}
	b.WriteString("\nannotations  objects\n")
	for _, state := range diag.States() {
		if t := r.Summary.States[state]; t.Annotations > 0 {
			fmt.Fprintf(&b, "%11d  %7d  %s\n", t.Annotations, t.Objects, headings[state])
		}
	}
	fmt.Fprintf(&b, "%s (postern lint has them)\n", Severities(r.Summary.Diagnostics))
	_, err := io.WriteString(w, b.String())
	return err
}

// group is the annotations of one key, on one kind of object, in one state.
type group struct {
	key, kind string
	members   []Annotation
}

// groups are those of a state, the largest first.
func (r Report) groups(state diag.State) []group {
	var out []group
	for _, a := range r.Annotations {
		if a.State != state {
			continue
		}
		i := slices.IndexFunc(out, func(g group) bool { return g.key == a.Origin.Annotation && g.kind == a.Origin.Kind })
		if i < 0 {
			i = len(out)
			out = append(out, group{key: a.Origin.Annotation, kind: a.Origin.Kind})
		}
		out[i].members = append(out[i].members, a)
	}
	slices.SortStableFunc(out, func(a, b group) int {
		return cmp.Or(cmp.Compare(len(b.members), len(a.members)), cmp.Compare(a.key, b.key))
	})
	return out
}

func (g group) text(b *strings.Builder) {
	fmt.Fprintf(b, "  %s  %s\n", g.key, Count(len(g.members), g.kind, plural(g.kind)))
	var notes []string
	places := map[string][]string{}
	for _, a := range g.members {
		if _, told := places[a.Note]; !told {
			notes = append(notes, a.Note)
		}
		places[a.Note] = append(places[a.Note], placeOf(a.Origin))
	}
	for _, note := range notes {
		if note != "" {
			wrap(b, "    ", strings.Fields(note))
		}
		wrap(b, "      ", separated(places[note]))
	}
}

// placeOf is the object without its kind, and where it stands.
func placeOf(o diag.Origin) string {
	name := strings.TrimPrefix(o.Object(), o.Kind+" ")
	if pos := o.Position(); pos != "" {
		return name + " (" + pos + ")"
	}
	return name
}

// lineMax is the width that text is wrapped at.
const lineMax = 100

// wrap writes words as lines, each behind an indent.
func wrap(b *strings.Builder, indent string, words []string) {
	width := 0
	for _, word := range words {
		switch {
		case width == 0:
			b.WriteString(indent)
			width = len(indent)
		case width+1+len(word) > lineMax:
			b.WriteString("\n" + indent)
			width = len(indent)
		default:
			b.WriteString(" ")
			width++
		}
		b.WriteString(word)
		width += len(word)
	}
	b.WriteString("\n")
}

// Severities counts diagnostics in words.
func Severities(counts map[diag.Severity]int) string {
	return strings.Join([]string{
		Count(counts[diag.Error], "error", "errors"), Count(counts[diag.Warning], "warning", "warnings"), Count(counts[diag.Info], "remark", "remarks"),
	}, ", ")
}

// Count is a number with the word for one or for many.
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func plural(kind string) string {
	if strings.HasSuffix(kind, "s") {
		return kind + "es"
	}
	return kind + "s"
}

// separated puts a comma behind each item but the last.
func separated(items []string) []string {
	out := slices.Clone(items)
	for i := range out[:len(out)-1] {
		out[i] += ","
	}
	return out
}
