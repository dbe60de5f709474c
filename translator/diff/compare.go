// Package diff says which requests two gateways treat otherwise: by class of request, each change with a request that shows it.
//
// Compare finds the classes by the structure of the model, and has explain judge the witnesses, so that what is told was seen.
package diff

import (
	"cmp"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
)

// Side is one of the two that are compared.
type Side struct {
	Gateway     model.Gateway
	Diagnostics []diag.D
}

// Compare says what the gateway of b does with requests that a's does not. It is pure, and the same whatever the order of
// the objects; from b to a it says the same, backwards.
//
// Requests fall into classes by entry, host and path (hostClass, witnesses), so that all of a class come to the same routes. Where
// these routes are not the same by structure, a request is looked for with which they behave otherwise: the witness.
func Compare(a, b Side) Report { return CompareIn("", a, b) }

// CompareIn is Compare, but that it tells only of what either side has from a namespace; empty is all of them. What
// settings decide is of every namespace, and so is what a handshake shows for a host of its Ingresses.
func CompareIn(namespace string, a, b Side) Report {
	a.Gateway, b.Gateway = model.Comparable(withKnownUsers(a.Gateway, b.Gateway), withKnownUsers(b.Gateway, a.Gateway))
	c := &comparison{namespace: namespace, a: newSide(a.Gateway), b: newSide(b.Gateway), groups: map[string]*Class{}, lower: map[string][]string{}, hopeless: map[string]int{}}
	c.gatewaySettings()
	for _, scheme := range []string{"http", "https"} {
		c.entry(scheme)
	}
	return c.report()
}

// comparison is the work of one Compare.
type comparison struct {
	a, b *side
	// namespace is the one that is told of, empty for all; elsewhere counts the changes that are not.
	namespace string
	elsewhere int
	// groups are the classes by what changes.
	groups map[string]*Class
	// lower are the paths that come to other routes behind those of an exact host, by entry and wildcard.
	lower map[string][]string
	// hopeless is how often no request was found that shows a change.
	hopeless map[string]int
	unseen   []Unseen
}

// side is a gateway, found by what requests name.
type side struct {
	gateway      model.Gateway
	reader       reader
	tables       map[string]*table
	certificates map[string]model.Certificate
	clientCAs    map[string]model.ClientCA
}

func newSide(g model.Gateway) *side {
	out := &side{
		gateway: g, reader: newReader(g), tables: map[string]*table{}, certificates: map[string]model.Certificate{}, clientCAs: map[string]model.ClientCA{},
	}
	for _, t := range g.Tables {
		out.tables[schemeOf(t.Entry)] = out.reader.table(t)
	}
	for _, c := range g.Certificates {
		out.certificates[c.Host.Name()] = c
	}
	for _, ca := range g.ClientCAs {
		out.clientCAs[ca.Name] = ca
	}
	return out
}

func schemeOf(e model.Entry) string {
	if e.TLS {
		return "https"
	}
	return "http"
}

// withKnownUsers is a gateway without the users that another one, which came without its secrets, cannot be compared in.
func withKnownUsers(g, other model.Gateway) model.Gateway {
	out := slices.Clone(g.Users)
	for i, u := range out {
		j := slices.IndexFunc(other.Users, func(o model.Users) bool { return o.Name == u.Name })
		if j >= 0 && len(other.Users[j].Entries) == 0 {
			out[i].Entries = nil
		}
	}
	g.Users = out
	return g
}

// entry compares what is asked over one scheme.
func (c *comparison) entry(scheme string) {
	ta, tb := c.a.tables[scheme], c.b.tables[scheme]
	switch {
	case ta == nil && tb == nil:
		return
	case ta == nil || tb == nil:
		c.opened(scheme)
		return
	}
	if scheme == "https" {
		for _, class := range c.classes(scheme, true) {
			c.connection(class)
		}
	}
	for _, class := range c.classes(scheme, false) {
		la, lb := ta.levels(class), tb.levels(class)
		for _, path := range c.paths(class, la, lb) {
			sa, sb := sequence(la, path), sequence(lb, path)
			if !sameSequence(sa, sb) {
				c.changed(change{class: class, path: path, a: sa, b: sb, la: la, lb: lb})
			}
		}
	}
}

// paths are those of a class at which other routes may be tried. Hosts whose own routes are equal share what is behind them,
// so that a change there costs each of them no more than it changes.
func (c *comparison) paths(of hostClass, a, b []level) []string {
	if sameLevel(a[0], b[0]) && of.kind == model.HostExact && a[1].misdirected == b[1].misdirected {
		key := of.scheme + " " + of.wildcard()
		if a[1].misdirected {
			key += " misdirected"
		}
		paths, known := c.lower[key]
		if !known {
			paths = differing(a[1:], b[1:])
			c.lower[key] = paths
		}
		return paths
	}
	return differing(a, b)
}

func sameLevel(a, b level) bool { return a.key == b.key && a.misdirected == b.misdirected }

// differing are the paths that come to other routes, among those of the levels from the first one on that differs.
func differing(a, b []level) []string {
	for len(a) > 0 && sameLevel(a[0], b[0]) {
		a, b = a[1:], b[1:]
	}
	if len(a) == 0 {
		return nil
	}
	var out []string
	for _, path := range witnesses(append(slices.Clone(a), b...)...) {
		if !sameSequence(sequence(a, path), sequence(b, path)) {
			out = append(out, path)
		}
	}
	return out
}

// change is a path of a class that comes to other routes.
type change struct {
	class  hostClass
	path   string
	a, b   []view
	la, lb []level
}

// first is where the two part: the route of either side, nil where it has none.
func (ch change) first() (a, b *view) {
	for i := range max(len(ch.a), len(ch.b)) {
		a, b = nil, nil
		if i < len(ch.a) {
			a = &ch.a[i]
		}
		if i < len(ch.b) {
			b = &ch.b[i]
		}
		if a == nil || b == nil || !a.same(*b) {
			return a, b
		}
	}
	return a, b
}

// changed looks for a request that shows a change, and writes it down.
func (c *comparison) changed(ch change) {
	va, vb := ch.first()
	words := wordsBetween(va, vb)
	what := Class{Kind: kindOf(va, vb, words), Changed: words, Before: textOf(va, vb, words), After: textOf(vb, va, words)}
	if va.takesSpellings() != vb.takesSpellings() {
		what = Class{Kind: OtherAnswer, Changed: []string{"other spellings of the path"}, Before: spellingsText(va), After: spellingsText(vb)}
	}
	key := keyOf(va) + "\x00" + keyOf(vb)
	pair, options := c.pair(ch), c.options(ch)
	request, found := explain.Request{}, false
	switch what.Kind {
	case Elsewhere:
		request, found = pair.search(options, triesFew, differInBackend)
	case Added, Removed:
		request, found = pair.search(options, triesFew, oneForwards)
	}
	if !found {
		request, found = pair.search(options, c.triesFor(key), differInAnswer)
	}
	if !found {
		c.hopeless[key]++
		if odd(ch.path) || va != nil && !va.sure || vb != nil && !vb.sure {
			return // It may be taken by neither.
		}
		if !c.concerns(member{class: ch.class, a: va.originsOf(words), b: vb.originsOf(words)}) {
			return
		}
		c.addUnseen(Unseen{Entry: ch.class.scheme, Host: ch.class.String(), Asked: ch.path, Before: what.Before, After: what.After, Count: 1})
		return
	}
	c.add(what, member{class: ch.class, path: ch.path, pattern: patternOf(va, vb), request: request, pair: pair, found: true, a: va.originsOf(words), b: vb.originsOf(words)})
}

// takesSpellings says whether a closed route takes the path as another spelling of its own.
func (v *view) takesSpellings() bool { return v != nil && v.closed && !v.sure }

func spellingsText(v *view) string {
	if v.takesSpellings() {
		return "503 for paths that some backends read as it"
	}
	return "they are paths of their own"
}

// addUnseen counts equal ones together.
func (c *comparison) addUnseen(u Unseen) {
	i := slices.IndexFunc(c.unseen, func(has Unseen) bool { return has.Before == u.Before && has.After == u.After })
	if i < 0 {
		c.unseen = append(c.unseen, u)
		return
	}
	c.unseen[i].Count++
}

func keyOf(v *view) string {
	if v == nil {
		return ""
	}
	return v.key
}

func patternOf(a, b *view) string {
	if b != nil {
		return b.pattern
	}
	return a.pattern
}

// wordsBetween are the words for what differs.
func wordsBetween(a, b *view) []string {
	var out []string
	for _, word := range words {
		if a == nil || b == nil {
			v := a
			if a == nil {
				v = b
			}
			if _, there := v.parts[word]; there {
				out = append(out, word)
			}
			continue
		}
		x, inA := a.parts[word]
		y, inB := b.parts[word]
		// How a backend is spoken to says nothing where there is none.
		if x.key != y.key && (word != wordTLS || inA && inB) {
			out = append(out, word)
		}
	}
	return out
}

func kindOf(a, b *view, changed []string) Kind {
	plain := func(v *view) string {
		text := strings.ReplaceAll(v.parts[wordBackend].key, withoutEndpoints, "")
		return text
	}
	switch {
	case a == nil:
		return Added
	case b == nil:
		return Removed
	case slices.Contains(changed, wordAnswer):
		return OtherAnswer
	case slices.Contains(changed, wordBackend) && plain(a) == plain(b):
		return OtherAnswer
	case slices.Contains(changed, wordBackend):
		return Elsewhere
	default:
		return OtherPolicy
	}
}

// textOf is one side of a change in a line.
func textOf(v, other *view, changed []string) string {
	if v == nil {
		return "404"
	}
	var out []string
	for _, word := range changed {
		p, there := v.parts[word]
		text := p.text
		switch {
		case !there && other != nil && (word == wordBackend || word == wordAnswer):
			continue
		case !there:
			text = "none"
		case other == nil && word == wordTLS && text == string(model.ProtocolHTTP):
			continue
		case other != nil && other.parts[word].text == text:
			text += " (" + p.others(other.parts[word]) + ")"
		}
		if word != wordBackend && word != wordAnswer {
			text = word + ": " + text
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

// triesFor is how many requests are tried for a change: few where it was never seen before.
func (c *comparison) triesFor(key string) int {
	if c.hopeless[key] >= hopelessMax {
		return triesFew
	}
	return triesMax
}

const (
	// triesMax bounds the requests that are tried for one path of one host.
	triesMax = 4000
	// triesFew is the bound once hopelessMax paths were tried in vain with the same change.
	triesFew, hopelessMax = 20, 5
)

// member is a path of a class that changes, with the request that shows it.
type member struct {
	class         hostClass
	path, pattern string
	request       explain.Request
	pair          pair
	a, b          []diag.Origin
	// found says that there is a request; every that the change is of every host of the entry; connection that it is one of
	// handshakes, whatever the path.
	found, every, connection bool
}

// add writes a change down with its equals.
func (c *comparison) add(what Class, m member) {
	if !c.concerns(m) {
		c.elsewhere++
		return
	}
	key := strings.Join(append([]string{string(what.Kind), what.Before, what.After}, what.Changed...), "\x00")
	group, known := c.groups[key]
	if !known {
		group = &what
		c.groups[key] = group
	}
	group.take(m)
}

// concerns says whether a change is of the namespace that is told of.
func (c *comparison) concerns(m member) bool {
	if c.namespace == "" || m.every {
		return true
	}
	from := func(o diag.Origin) bool { return o.Namespace == c.namespace }
	if slices.ContainsFunc(m.a, from) || slices.ContainsFunc(m.b, from) {
		return true
	}
	if !m.connection {
		return false
	}
	for _, s := range []*side{c.a, c.b} {
		for _, l := range s.tables[m.class.scheme].levels(m.class)[:2] {
			if slices.ContainsFunc(l.views, func(v view) bool { return slices.ContainsFunc(v.origins, from) }) {
				return true
			}
		}
	}
	return false
}

func (c *comparison) report() Report {
	out := Report{Unseen: c.unseen, Elsewhere: c.elsewhere}
	for _, group := range c.groups {
		group.finish()
		out.Classes = append(out.Classes, *group)
	}
	slices.SortFunc(out.Classes, func(a, b Class) int {
		return cmp.Or(
			cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)), cmp.Compare(b.Count, a.Count),
			strings.Compare(a.firstPlace(), b.firstPlace()), strings.Compare(a.Before, b.Before), strings.Compare(a.After, b.After),
		)
	})
	return out
}
