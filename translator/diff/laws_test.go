package diff_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/worlds"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diff"
	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/mutate"
	"github.com/postern-gateway/postern/translator/source"
)

// The size of the laws: pairs of worlds, and requests that are asked of both.
const (
	pairs           = 100
	requestsPerPair = 60
)

// pair is two worlds, of which the second is most often the first one with an edit.
type pair struct {
	seed   uint64
	edit   string
	a, b   translator.Result
	probes []casetest.Probe
	report diff.Report
}

func (p pair) name() string { return fmt.Sprintf("seed %d (%s)", p.seed, p.edit) }

func (p pair) compare() diff.Report { return diff.Compare(sideOf(p.a), sideOf(p.b)) }

// drawn are the pairs, with what Compare says of them, since every law asks the same ones.
var drawn = map[uint64]*pair{}

func sideOf(r translator.Result) diff.Side {
	return diff.Side{Gateway: r.Gateway, Diagnostics: r.Diagnostics}
}

func eachPair(t *testing.T, visit func(pair)) {
	t.Helper()
	for seed := range uint64(pairs) {
		if drawn[seed] == nil {
			p := drawPair(t, seed)
			p.report = p.compare()
			drawn[seed] = &p
		}
		visit(*drawn[seed])
	}
}

// drawPair draws a world and an edit of it.
func drawPair(t *testing.T, seed uint64) pair {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 7))
	w := worlds.Draw(seed, worlds.DrawSettings(seed))
	objects, settings := read(t, w)
	out := pair{seed: seed, a: translator.Translate(objects, settings), probes: w.Probes(requestsPerPair)}
	switch edits := []string{"mutated", "mutated", "annotation", "annotation", "annotations of another", "removed", "settings", "another world"}; edits[r.IntN(len(edits))] {
	case "mutated":
		out.edit = "mutated"
		out.b = translator.Translate(mutate.World(objects, seed), settings)
	case "annotation":
		out.edit = "annotation"
		out.b = translator.Translate(annotated(objects, r, func(ing, _ *source.Ingress) {
			if keys := slices.Sorted(maps.Keys(ing.Annotations)); len(keys) > 0 {
				delete(ing.Annotations, keys[r.IntN(len(keys))])
			}
		}), settings)
	case "annotations of another":
		out.edit = "annotations of another"
		out.b = translator.Translate(annotated(objects, r, func(ing, other *source.Ingress) { maps.Copy(ing.Annotations, other.Annotations) }), settings)
	case "removed":
		out.edit = "an Ingress less"
		less := w.Without(r.IntN(len(w.Ingresses)))
		others, _ := read(t, less)
		out.b = translator.Translate(others, settings)
	case "settings":
		out.edit = "other settings"
		other := w
		other.Settings = worlds.DrawSettings(seed + 1_000_000)
		others, changed := read(t, other)
		out.b = translator.Translate(others, changed)
	default:
		out.edit = "another world"
		other := worlds.Draw(seed+1_000_000, w.Settings)
		others, _ := read(t, other)
		out.b = translator.Translate(others, settings)
		out.probes = append(out.probes, other.Probes(requestsPerPair)...)
	}
	return out
}

func read(t *testing.T, w worlds.World) (source.World, translator.Settings) {
	t.Helper()
	c, err := casetest.Parse(t, fmt.Sprintf("seed %d", w.Seed), w.Case("A world.", ""))
	if err != nil {
		t.Fatal(err)
	}
	return c.World(t)
}

// annotated is a world with one Ingress whose annotations an edit has changed.
func annotated(w source.World, r *rand.Rand, edit func(ing, other *source.Ingress)) source.World {
	w.Ingresses = slices.Clone(w.Ingresses)
	at := r.IntN(len(w.Ingresses))
	ing := w.Ingresses[at]
	ing.Ingress = ing.DeepCopy()
	if ing.Annotations == nil {
		ing.Annotations = map[string]string{}
	}
	edit(&ing, &w.Ingresses[r.IntN(len(w.Ingresses))])
	w.Ingresses[at] = ing
	return w
}

func requestOf(p casetest.Probe) explain.Request {
	return explain.Request{
		Method: p.Method, URL: p.URL, Header: p.Header, From: p.From, HTTP2: p.HTTP2,
		SNI: p.SNI, TLSVersion: p.TLSVersion, ClientCertificate: p.Client.Pair().Certificate,
	}
}

func behave(t *testing.T, r translator.Result, asked explain.Request) diff.Behaviour {
	t.Helper()
	b, err := diff.Behave(r.Gateway, asked)
	if err != nil {
		t.Fatalf("%s: %v", asked.URL, err)
	}
	return b
}

// TestWitnessesBehaveOtherwise: every request that diff shows for a change gets something else from the one gateway than from
// the other, asked of the whole of both.
func TestWitnessesBehaveOtherwise(t *testing.T) {
	kinds := map[diff.Kind]int{}
	unseen := 0
	eachPair(t, func(p pair) {
		report := p.report
		unseen += len(report.Unseen)
		for _, u := range report.Unseen {
			t.Logf("%s: unseen %+v", p.name(), u)
		}
		for _, c := range report.Classes {
			kinds[c.Kind]++
			for _, h := range c.Hosts {
				for _, path := range h.Paths {
					for _, r := range path.Requests {
						if x, y := behave(t, p.a, r), behave(t, p.b, r); x.Same(y) {
							t.Errorf("%s: %s %s: nobody can tell the two apart by\n%s\n- %s\n+ %s\n%s", p.name(), c.Kind, c.Changed, diff.Command(r), c.Before, c.After, x.Text)
						}
					}
				}
			}
		}
	})
	t.Logf("classes: %v, unseen %d", kinds, unseen)
	if len(kinds) < 6 {
		t.Errorf("the pairs have changes of few kinds: %v", kinds)
	}
}

// TestSilenceIsSameness: where diff says nothing of a request's entry, host and path, no random request behaves otherwise.
func TestSilenceIsSameness(t *testing.T) {
	silent, spoken := 0, 0
	eachPair(t, func(p pair) {
		report := p.report
		for _, probe := range p.probes {
			r := requestOf(probe)
			x, y := behave(t, p.a, r), behave(t, p.b, r)
			switch {
			case x.Same(y):
				silent++
			case says(t, p, report, r):
				spoken++
			default:
				t.Errorf("%s: %s: diff says nothing of it\n- %s\n+ %s\n%s", p.name(), probe.Line, x.Text, y.Text, diff.Difference(x, y))
			}
		}
	})
	t.Logf("%d requests are treated alike, %d otherwise", silent, spoken)
	if spoken < pairs {
		t.Errorf("%d requests are treated otherwise: too few to tell anything", spoken)
	}
}

// says is whether a report has a class for a request, by the routes that explain says it comes to.
func says(t *testing.T, p pair, report diff.Report, r explain.Request) bool {
	t.Helper()
	scheme, rest, _ := strings.Cut(r.URL, "://")
	authority := rest[:strings.IndexAny(rest+"/", "/?#")]
	host := strings.ToLower(strings.TrimSuffix(withoutPort(authority), "."))
	sni := host
	if r.SNI != "" {
		sni = strings.ToLower(r.SNI)
	}
	own := routed(t, p, r)
	for _, c := range report.Classes {
		for _, h := range c.Hosts {
			switch {
			case h.Entry != scheme:
			case h.Every:
				return true
			case h.Connection:
				for _, name := range []string{sni, host} {
					if h.Host == name || h.Host == above(name) || h.Host == "*" && !namedAnywhere(p, name) {
						return true
					}
				}
			case h.Host == className(p, scheme, host):
				for _, path := range h.Paths {
					for _, asked := range path.Asked {
						plain := explain.Request{URL: scheme + "://" + host + asked, ClientCertificate: r.ClientCertificate}
						if reflect.DeepEqual(own, routed(t, p, plain)) {
							return true
						}
					}
				}
			}
		}
	}
	return false
}

// routed are the routes of both sides that a request comes to, the one that answers first.
func routed(t *testing.T, p pair, r explain.Request) []string {
	t.Helper()
	var out []string
	for _, side := range []translator.Result{p.a, p.b} {
		story, err := explain.Explain(side.Gateway, nil, r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, "side")
		for _, c := range story.Candidates {
			if c.Outcome != explain.Lost {
				out = append(out, c.Host+" "+c.Path+" "+c.Origin.String())
			}
		}
	}
	return out
}

func withoutPort(authority string) string {
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		return authority[:i]
	}
	return authority
}

func above(host string) string {
	label, rest, ok := strings.Cut(host, ".")
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); !ok || label == "" || err == nil {
		return ""
	}
	return "*." + rest
}

// className is the class of a host as diff calls it.
func className(p pair, scheme, host string) string {
	for _, name := range []string{host, above(host)} {
		for _, side := range []translator.Result{p.a, p.b} {
			for _, table := range side.Gateway.Tables {
				for _, h := range slices.Concat(table.Exact, table.Wildcard) {
					if table.Entry.TLS == (scheme == "https") && h.Host.Name() == name && name != "" {
						return name
					}
				}
			}
		}
	}
	return "*"
}

func namedAnywhere(p pair, name string) bool {
	for _, side := range []translator.Result{p.a, p.b} {
		for _, c := range side.Gateway.Certificates {
			if c.Host.Name() == name || c.Host.Name() == above(name) {
				return true
			}
		}
	}
	return className(p, "https", name) != "*"
}

// TestCompareWithItself: nobody can tell a gateway from itself, nor from itself as it was read.
func TestCompareWithItself(t *testing.T) {
	eachPair(t, func(p pair) {
		if report := diff.Compare(sideOf(p.a), sideOf(p.a)); report.Different() || len(report.Unseen) > 0 {
			t.Errorf("%s: it differs from itself:\n%s", p.name(), report.Text())
		}
		written, err := model.Decode(model.Encode(p.a.Gateway))
		if err != nil {
			t.Fatal(err)
		}
		if report := diff.Compare(sideOf(p.a), diff.Side{Gateway: written}); report.Different() || len(report.Unseen) > 0 {
			t.Errorf("%s: it differs from itself as it was read:\n%s", p.name(), report.Text())
		}
	})
}

// TestCompareIsMirrored: from b to a, what was added is removed, what was before is after, for the same hosts and paths.
func TestCompareIsMirrored(t *testing.T) {
	eachPair(t, func(p pair) {
		there, back := mirrored(p.report), diff.Compare(sideOf(p.b), sideOf(p.a))
		want, got := outline(there), outline(back)
		if !reflect.DeepEqual(want, got) {
			t.Errorf("%s: backwards it is another:\n%s\nforwards, mirrored:\n%s", p.name(), strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func mirrored(r diff.Report) diff.Report {
	r.Classes = slices.Clone(r.Classes)
	for i, c := range r.Classes {
		c.Before, c.After = c.After, c.Before
		switch c.Kind {
		case diff.Added:
			c.Kind = diff.Removed
		case diff.Removed:
			c.Kind = diff.Added
		}
		r.Classes[i] = c
	}
	return r
}

func outline(r diff.Report) []string {
	var out []string
	for _, c := range r.Classes {
		for _, h := range c.Hosts {
			var asked []string
			for _, p := range h.Paths {
				asked = append(asked, p.Asked...)
			}
			slices.Sort(asked)
			out = append(out, fmt.Sprintln(c.Kind, c.Changed, c.Before, "->", c.After, h.Entry, h.Host, asked))
		}
	}
	slices.Sort(out)
	return out
}
