package report

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/dialect/native"
	"github.com/postern-gateway/postern/translator/dialect/nginx"
	"github.com/postern-gateway/postern/translator/dialect/traefik"
)

//go:embed page.gohtml
var pageText string

//go:embed page.css
var pageStyle string

// Policy is the page's Content-Security-Policy: it is shown with the style that is in it, and nothing else is loaded or run.
var Policy = "default-src 'none'; style-src 'sha256-" + hashed(pageStyle) + "'; base-uri 'none'; form-action 'none'"

func hashed(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// pageTemplate escapes whatever comes from objects, by where it stands.
var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"count": Count}).Parse(pageText))

// Page is what the HTML form has beside the report. Nothing in it is of the clock: one report gives one page.
type Page struct {
	// Title is the heading, and Place says what was read; both may be empty.
	Title, Place string
}

// HTML writes the report as one page that needs nothing else: no script, no font, no picture, and no network, which it has
// browsers forbid.
func (r Report) HTML(w io.Writer, p Page) error {
	return pageTemplate.Execute(w, r.page(p))
}

// The parts of the page, as the template has them.
type (
	page struct {
		Title, Place string
		Style        template.CSS
		Policy       string
		Report       Report
		Outcomes     []outcomeRow
		States       []stateSection
		Namespaces   []namespaceSection
		Severities   string
	}
	outcomeRow struct {
		Mark, Class, Text string
		Ingresses         int
		// Start and Share are in percent of all Ingresses.
		Start, Share string
	}
	stateSection struct {
		State               diag.State
		Mark, Class, Text   string
		Annotations, Object int
		Keys                []keySection
	}
	keySection struct {
		Key, Kind, Doc string
		Count          int
		Notes          []noteRow
		// More is how many notes are told of with their Ingresses only.
		More int
	}
	noteRow struct {
		ID        string
		Note, Fix string
		Places    []string
		// Count is the number of places, of which some are named.
		Count int
	}
	namespaceSection struct {
		Name, ID  string
		Ingresses int
		Blocks    []block
		Others    []block
		// alike are the blocks by what they say.
		alike map[string]int
	}
	// block is an object, or several of one namespace of which the same is to be said.
	block struct {
		Names             []named
		Mark, Class, Text string
		Why               string
		// Open has it shown unfolded.
		Open        bool
		Routes      string
		Diagnostics []finding
		Rows        []annotationRow
		// Quiet are the annotations that are applied as they are, or are for other tools.
		Quiet []string
	}
	named struct{ Name, Place, Hosts string }
	// finding is a diagnostic.
	finding struct {
		Mark, Class, Word, Code, Place, Line, Message, Effect, Fix string
		Others                                                     []string
	}
	annotationRow struct {
		Key, Mark, Class, Text, Note, Fix, Line string
		// Difference is the anchor of the note, where that is the same for all of the key.
		Difference string
	}
)

// look is how a page shows an outcome or a state: a mark, a class of colour, and words.
type look struct{ mark, class, words string }

const (
	classBad, classWork, classUnsure, classNear, classGood, classQuiet = "bad", "work", "unsure", "near", "good", "quiet"
)

var outcomeLooks = [outcomes]look{
	Closed:        {"✕", classBad, "answers 503"},
	WithoutRoutes: {"✕", classBad, "has no route"},
	PartlyClosed:  {"✕", classBad, "answers 503 in part"},
	Incomplete:    {"!", classWork, "served without something it asks for"},
	Unjudged:      {"?", classUnsure, "not judged"},
	Approximated:  {"≈", classNear, "served, with known differences"},
	AsWritten:     {"✓", classGood, "served as written"},
	NotServed:     {"–", classQuiet, "not served"},
}

var stateLooks = map[diag.State]look{
	diag.StateCloses:          {"✕", classBad, "refused: its routes answer 503"},
	diag.StateBadValue:        {"!", classWork, "bad value"},
	diag.StateUnknown:         {"!", classWork, "unknown"},
	diag.StateNotYet:          {"!", classWork, "not applied yet"},
	diag.StateRefused:         {"!", classWork, "refused"},
	diag.StateOtherController: {"!", classWork, "of another controller"},
	diag.StateUnjudged:        {"?", classUnsure, "not judged"},
	diag.StateWithoutEffect:   {"–", classQuiet, "without effect"},
	diag.StateApproximated:    {"≈", classNear, "approximated"},
	diag.StateApplied:         {"✓", classGood, "applied"},
	diag.StateOtherTool:       {"–", classQuiet, "for another tool"},
}

// Words say an outcome in short.
func (o Outcome) Words() string { return outcomeLooks[o].words }

// Words say in short what a state is.
func Words(s diag.State) string { return stateLooks[s].words }

func (r Report) page(p Page) page {
	out := page{Title: cmp.Or(p.Title, "What becomes of the Ingresses"), Place: p.Place, Style: template.CSS(pageStyle), Policy: Policy, Report: r, Severities: Severities(r.Summary.Diagnostics)}
	before := 0
	percent := func(n int) string { return fmt.Sprintf("%.1f", 100*float64(n)/float64(len(r.Ingresses))) }
	for _, o := range Outcomes() {
		n, l := r.Summary.Outcomes[o], outcomeLooks[o]
		if n > 0 {
			out.Outcomes = append(out.Outcomes, outcomeRow{
				Mark: l.mark, Class: l.class, Text: outcomeHeadings[o], Ingresses: n, Start: percent(before), Share: percent(n),
			})
		}
		before += n
	}
	notes := map[noteKey]string{}
	for _, s := range diag.States() {
		if t := r.Summary.States[s]; t.Annotations > 0 {
			section := stateSection{State: s, Mark: stateLooks[s].mark, Class: stateLooks[s].class, Text: headings[s], Annotations: t.Annotations, Object: t.Objects}
			for _, g := range r.groups(s) {
				section.Keys = append(section.Keys, g.section(notes))
			}
			out.States = append(out.States, section)
		}
	}
	out.Namespaces = r.namespaces(notes)
	return out
}

// noteKey is what makes a note one and the same.
type noteKey struct {
	state     diag.State
	key, note string
}

// quiet says that nothing is to be said of each annotation in a state.
func quiet(s diag.State) bool { return s == diag.StateApplied || s == diag.StateOtherTool }

const (
	// notesMax bounds the reasons that an annotation is shown with, where it has another on each object, placesMax the places
	// of each reason: all of them stand with their Ingresses.
	notesMax  = 20
	placesMax = 100
)

// section is the group as the page has it. The anchors of its notes are added to notes.
func (g group) section(notes map[noteKey]string) keySection {
	first := g.members[0]
	out := keySection{Key: g.key, Kind: g.kind, Count: len(g.members), Doc: docOf(first)}
	at := map[string]int{}
	for _, a := range g.members {
		i, known := at[a.Note]
		if !known && len(out.Notes) == notesMax {
			out.More++
			continue
		}
		if !known {
			i = len(out.Notes)
			at[a.Note] = i
			id := fmt.Sprintf("note-%d", len(notes)+1)
			notes[noteKey{a.State, a.Origin.Annotation, a.Note}] = id
			out.Notes = append(out.Notes, noteRow{ID: id, Note: a.Note, Fix: a.Fix})
		}
		if quiet(a.State) {
			continue
		}
		if out.Notes[i].Count++; out.Notes[i].Count <= placesMax {
			out.Notes[i].Places = append(out.Notes[i].Places, placeOf(a.Origin))
		}
	}
	return out
}

// docOf is what an annotation is for, by the table of its dialect.
func docOf(a Annotation) string {
	for _, t := range []*dialect.Table{traefik.Table, nginx.Table, native.Table} {
		if t.Name == a.Dialect {
			entry, _ := t.Find(a.Key, dialect.Kind(a.Origin.Kind))
			return entry.Doc
		}
	}
	return ""
}

// namespaces are the Ingresses by namespace, and what else has annotations there.
func (r Report) namespaces(notes map[noteKey]string) []namespaceSection {
	var out []namespaceSection
	section := func(o diag.Origin) *namespaceSection {
		name := o.Namespace
		if name == "" {
			name = o.Name
		}
		if o.Cluster != "" {
			name = o.Cluster + ":" + name
		}
		i := slices.IndexFunc(out, func(s namespaceSection) bool { return s.Name == name })
		if i < 0 {
			i = len(out)
			out = append(out, namespaceSection{Name: name})
		}
		return &out[i]
	}
	for _, i := range r.Ingresses {
		s := section(i.Origin)
		s.Ingresses++
		s.add(i.block(notes))
	}
	for _, others := range r.others() {
		s := section(others.Origin)
		b := others.block(notes)
		b.Mark, b.Class, b.Text, b.Routes = "", classQuiet, others.Origin.Kind, ""
		s.Others = append(s.Others, b)
	}
	slices.SortStableFunc(out, func(a, b namespaceSection) int { return cmp.Compare(a.Name, b.Name) })
	for i := range out {
		out[i].ID = fmt.Sprintf("namespace-%d", i+1)
	}
	return out
}

// others are the objects that are no Ingresses and have annotations, each with them.
func (r Report) others() []Ingress {
	var out []Ingress
	at := map[string]int{}
	for _, a := range r.Annotations {
		object := a.Origin.Object()
		if a.Origin.Kind == string(dialect.OnIngress) {
			continue
		}
		i, known := at[object]
		if !known {
			i = len(out)
			at[object] = i
			o := a.Origin
			o.Annotation, o.Field, o.Line = "", "", 0
			out = append(out, Ingress{Origin: o, diagnostics: r.diagnostics[object]})
		}
		out[i].annotations = append(out[i].annotations, a)
	}
	slices.SortFunc(out, func(a, b Ingress) int { return byName(a.Origin, b.Origin) })
	return out
}
