package dialect

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// Reader reads one object's annotations by one table and gathers what is to be said of them.
type Reader struct {
	table       *Table
	on          Kind
	annotations map[string]string
	at          func(key string) diag.Origin
	// Diagnostics are what reading told so far.
	Diagnostics []diag.D
	// Closed is why the object's routes must answer 503, nil where they need not.
	Closed *model.Closed
	// Annotated is what became of each annotation of the dialect so far.
	Annotated []diag.Annotation
}

// Read makes a reader and judges every annotation of the table's dialect: unknown, not yet applied, written twice.
// The function at places an annotation by its whole key.
func Read(t *Table, on Kind, annotations map[string]string, at func(key string) diag.Origin) *Reader {
	r := &Reader{table: t, on: on, annotations: annotations, at: at}
	for _, whole := range sortedKeys(annotations) {
		key, ours := t.split(whole)
		if !ours {
			continue
		}
		r.Annotated = append(r.Annotated, diag.Annotation{Origin: at(whole), Dialect: t.Name, Key: key, State: diag.StateApplied})
		entry, known := t.Find(key, on)
		if !known {
			r.unknown(whole, key)
			continue
		}
		first := r.firstSpelling(entry)
		if first == "" {
			// The prefix is written in another case: what it says counts for nothing but closing.
			r.unknown(whole, key)
			continue
		}
		if first != whole {
			r.mark(diag.StateWithoutEffect, first+" counts in its place")
			r.Say(diag.New(diag.CodeTwoSpellings, at(whole),
				fmt.Sprintf("%s is given under two prefixes", key),
				fmt.Sprintf("%s counts, this one has no effect", first), "keep one of the two").With(at(first)))
			continue
		}
		switch entry.Support {
		case Applied:
		case Approximated:
			r.mark(diag.StateApproximated, entry.Note)
		case NotYet:
			r.notYet(whole, entry)
		case Refused:
			r.refused(whole, entry)
		}
	}
	return r
}

// mark gives the annotation that was read last its state.
func (r *Reader) mark(s diag.State, note string) {
	last := &r.Annotated[len(r.Annotated)-1]
	last.State, last.Note = s, note
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// Say adds a diagnostic.
func (r *Reader) Say(d diag.D) { r.Diagnostics = append(r.Diagnostics, d) }

// Close adds a diagnostic because of which the routes answer 503.
func (r *Reader) Close(d diag.D) {
	r.Say(d)
	r.close(d.Message, d.Code, d.Origin)
}

// close has the routes answer 503; the first reason stands.
func (r *Reader) close(reason string, code diag.Code, at diag.Origin) {
	if r.Closed == nil {
		r.Closed = &model.Closed{Reason: reason, Code: code, Origin: at}
	}
	for i, a := range r.Annotated {
		if a.Origin == at {
			r.Annotated[i] = a.Worse(diag.StateCloses, reason)
		}
	}
}

func (r *Reader) firstSpelling(a Annotation) string {
	for _, whole := range r.table.Spellings(a) {
		if _, ok := r.annotations[whole]; ok {
			return whole
		}
	}
	return ""
}

// unknown tells of a key that is not in the table. One that looks as if it restricted access closes the routes: it may
// be a misspelt key, one that another controller reads under this prefix, or one that stands on the wrong object.
func (r *Reader) unknown(whole, key string) {
	at := r.at(whole)
	near, found := r.nearest(key)
	message := fmt.Sprintf("the %s dialect has no annotation %s on %s", r.table.Name, key, r.on.indefinite())
	fix := "remove it, or correct the key"
	if found {
		message += fmt.Sprintf("; did you mean %s?", near.Key)
		fix = "write " + r.table.Prefixes[0] + near.Key
	}
	r.mark(diag.StateUnknown, message)
	why := ""
	switch {
	case found && near.Restricts:
		why = near.Key + " restricts access"
	case found && near.Protects:
		why = near.Key + " protects a connection"
	case looksRestricting(key):
		why = "such a key restricts access"
	}
	if why == "" {
		r.Say(diag.New(diag.CodeUnknownAnnot, at, message, "it has no effect", fix))
		return
	}
	r.Say(diag.New(diag.CodeUnknownAnnot, at, message, "its routes answer 503, because "+why, fix).At(diag.Error))
	r.close(key+" is unknown, and "+why, diag.CodeUnknownAnnot, at)
}

// nearest is the entry that a misspelt key most likely meant; one that restricts access wins a tie.
func (r *Reader) nearest(key string) (Annotation, bool) {
	best, bestDistance := Annotation{}, len(key)+1
	for _, a := range r.table.Annotations {
		if a.On != r.on {
			continue
		}
		d := diag.Distance(strings.ToLower(key), a.Key)
		if d < bestDistance || d == bestDistance && a.Restricts && !best.Restricts {
			best, bestDistance = a, d
		}
	}
	return best, bestDistance <= max(1, len(best.Key)/4)
}

func (r *Reader) notYet(whole string, entry Annotation) {
	at := r.at(whole)
	message := whole + " is not applied yet"
	r.mark(diag.StateNotYet, entry.Doc)
	switch {
	case entry.Restricts && admitsEveryone(entry.Key, r.annotations[whole]):
		// cert-manager writes this range on its HTTP01 solvers: it restricts nobody.
		r.mark(diag.StateApplied, "it admits every address")
	case entry.Restricts:
		r.Say(diag.New(diag.CodeAccessClosed, at, message,
			"its routes answer 503, because it restricts access",
			"remove it if the routes may be open, or wait for the release that applies it"))
		r.close(entry.Key+" restricts access and is not applied yet", diag.CodeAccessClosed, at)
	default:
		r.Say(diag.New(diag.CodeNotYet, at, message, "the routes are served without it", ""))
	}
}

// refused tells of an annotation that is never applied.
func (r *Reader) refused(whole string, entry Annotation) {
	at := r.at(whole)
	r.mark(diag.StateRefused, entry.Note)
	d := diag.New(diag.CodeRefusedAnnot, at, whole+" is not applied: "+entry.Note, "the routes are served without it", "remove it")
	if entry.Restricts {
		d = d.At(diag.Error)
		d.Effect, d.Fix = "its routes answer 503, because it restricts access", "remove it if the routes may be open"
		r.Close(d)
		return
	}
	r.Say(d)
}

// admitsEveryone says whether a list of allowed source ranges holds every IPv4 and every IPv6 address.
func admitsEveryone(key, value string) bool {
	if key != "whitelist-source-range" && key != "allowlist-source-range" {
		return false
	}
	var ranges []netip.Prefix
	for _, item := range strings.Split(value, ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(item))
		if err != nil {
			return false
		}
		ranges = append(ranges, p)
	}
	return AdmitsEveryone(ranges)
}

// AdmitsEveryone says whether ranges hold every IPv4 and every IPv6 address.
func AdmitsEveryone(ranges []netip.Prefix) bool {
	var v4, v6 bool
	for _, p := range ranges {
		v4 = v4 || p.Bits() == 0 && p.Addr().Is4()
		v6 = v6 || p.Bits() == 0 && p.Addr().Is6()
	}
	return v4 && v6
}

// Value is the value of an entry by the order of lookup, its place, and whether it is there. Asking for a key that
// is not in the table is a fault of ours.
func (r *Reader) Value(key string) (string, diag.Origin, bool) {
	entry, ok := r.table.Find(key, r.on)
	if !ok {
		panic("dialect: " + r.table.Name + " has no entry " + key)
	}
	whole := r.firstSpelling(entry)
	if whole == "" {
		return "", diag.Origin{}, false
	}
	return strings.TrimSpace(r.annotations[whole]), r.at(whole), true
}

// Text is as Value, but that an empty value counts as absent and is told of: for what Traefik 1.7 took an empty value as its
// default.
func (r *Reader) Text(key string) (string, diag.Origin, bool) {
	text, at, ok := r.Value(key)
	if ok && text == "" {
		r.Say(diag.New(diag.CodeWithoutEffect, at, "the value is empty", "it counts as absent", "give it a value, or remove it"))
	}
	return text, at, ok && text != ""
}

// Bad says that a value is none of the accepted forms.
func (r *Reader) Bad(at diag.Origin, value, accepted, effect string) {
	fix := "write " + accepted
	if near, ok := diag.Nearest(value, strings.FieldsFunc(accepted, func(c rune) bool { return c == ',' || c == ' ' })); ok {
		fix = "did you mean " + near + "?"
	}
	r.Say(diag.New(diag.CodeBadValue, at, fmt.Sprintf("%q is not %s", value, accepted), effect, fix))
}

// Bool reads what strconv.ParseBool accepts, as Traefik 1.7 did; a bad value is diagnosed and counts as absent.
func (r *Reader) Bool(key string) (value bool, at diag.Origin, ok bool) {
	text, at, ok := r.Value(key)
	if !ok {
		return false, at, false
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		r.Bad(at, text, "true or false", "it has no effect")
		return false, at, false
	}
	return b, at, true
}
