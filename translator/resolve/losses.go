package resolve

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// loss is a claim that gets no request on one entry.
type loss struct {
	// code is CodeConflict or CodeHidden.
	code  diag.Code
	in    list
	loser *ranked
	// by are the routes that it loses to: the winner of a conflict, or those that hide it.
	by []*model.Route
	// answering are those that answer in its place: by, but for a winner that is hidden itself.
	answering []*model.Route
}

// losses gathers those of a list, whose routes it is given in the order in which they are tried.
type losses struct {
	in    list
	cover *cover
	// tried are the routes so far, as the cover numbers them.
	tried []*model.Route
	// hiddenBy is for the matches that are hidden.
	hiddenBy map[model.PathMatch][]*model.Route
	all      []loss
}

func (l list) losses() *losses {
	found := &losses{in: l, cover: newCover(), hiddenBy: map[model.PathMatch][]*model.Route{}}
	for i := range l.before {
		found.add(&l.before[i])
	}
	return found
}

func (l *losses) add(r *model.Route) {
	l.cover.add(len(l.tried), *r)
	l.tried = append(l.tried, r)
}

// next takes the next route of the list.
func (l *losses) next(r *ranked) {
	if by := l.cover.hides(r.route.Path); len(by) > 0 {
		routes := make([]*model.Route, len(by))
		for i, n := range by {
			routes[i] = l.tried[n]
		}
		l.hiddenBy[r.route.Path] = routes
		l.all = append(l.all, loss{code: diag.CodeHidden, in: l.in, loser: r, by: routes, answering: routes})
	}
	l.add(&r.route)
}

// conflict takes a claim whose host and path another has.
func (l *losses) conflict(loser, winner *ranked) {
	by := []*model.Route{&winner.route}
	answering := by
	if hiding := l.hiddenBy[winner.route.Path]; hiding != nil {
		answering = hiding
	}
	l.all = append(l.all, loss{code: diag.CodeConflict, in: l.in, loser: loser, by: by, answering: answering})
}

// told is a loss and the entries that have it.
type told struct {
	loss
	entries []string
}

// tellLosses makes one diagnostic of what one claim loses to the same routes, on however many entries.
func (s Settings) tellLosses(all []loss) []diag.D {
	type key struct {
		code   diag.Code
		object model.ObjectID
		index  int
		by     [2]diag.Origin
	}
	at := map[key]int{}
	var groups []told
	for _, l := range all {
		k := key{code: l.code, object: l.loser.claim.Object, index: l.loser.claim.Index}
		for i, r := range l.by {
			k.by[i] = r.Origins[0]
		}
		i, known := at[k]
		if !known {
			i = len(groups)
			at[k], groups = i, append(groups, told{loss: l})
		}
		if l.severity() > groups[i].severity() {
			groups[i].loss = l
		}
		groups[i].entries = append(groups[i].entries, l.in.entry)
	}
	var ds []diag.D
	for _, g := range groups {
		ds = append(ds, g.diagnostics(s.openTo(g.loser.claim))...)
	}
	return ds
}

// openTo counts the entries that a claim is on.
func (s Settings) openTo(c model.Claim) int {
	n := 0
	for _, e := range s.Entries {
		if onEntry(c, e) {
			n++
		}
	}
	return n
}

// diagnostics are one for each path that makes up the claim, which is on so many entries.
func (t told) diagnostics(entries int) []diag.D {
	where := ""
	if len(t.entries) < entries {
		where = "on the " + strings.Join(t.entries, " and the ") + " entry "
	}
	d := diag.New(t.code, diag.Origin{}, t.message(), where+t.effect(), t.fix()).At(t.severity())
	for _, r := range t.by {
		d = d.With(r.Origins[0])
	}
	if t.winnerIsHidden() {
		for _, r := range t.answering {
			d = d.With(r.Origins[0])
		}
	}
	var ds []diag.D
	for _, d.Origin = range t.loser.claim.Origins[:len(t.loser.claim.Backends)] {
		ds = append(ds, d)
	}
	return ds
}

func (l loss) winnerIsHidden() bool { return l.answering[0] != l.by[0] }

// message says what the claim loses, and to whom.
func (l loss) message() string {
	what := l.in.name(l.loser.route)
	if l.code == diag.CodeHidden {
		return fmt.Sprintf("%s is hidden by %s, %s", what, l.named(l.by), l.why())
	}
	text := fmt.Sprintf("%s is taken by %s", what, l.by[0].Origins[0].Object())
	if l.winnerIsHidden() {
		text += ", and hidden by " + l.named(l.answering)
	}
	return text
}

// name is a route of the list as messages name it.
func (l list) name(r model.Route) string {
	if l.defaults {
		return "the default backend"
	}
	return fmt.Sprintf("%s %s", l.host, r.Path)
}

// named names routes that hide another: they stand in the same list, or before the default backends.
func (l loss) named(routes []*model.Route) string {
	var names []string
	for _, r := range routes {
		names = append(names, fmt.Sprintf("%s %s of %s", l.in.host, r.Path, r.Origins[0].Object()))
	}
	return strings.Join(names, " and ")
}

// why says what puts the routes that hide the claim before it.
func (l loss) why() string {
	first, own := l.by[0].Weight, l.loser.route.Weight
	switch {
	case l.in.defaults:
		return "since rules are tried before default backends"
	case len(l.by) > 1:
		return "which are tried first and leave nothing of it"
	case first > own:
		return fmt.Sprintf("which is tried first by its weight, %d to %d", first, own)
	default:
		return "which is tried first"
	}
}

// effect says who answers in the claim's place.
func (l loss) effect() string {
	switch lost := l.restriction(); {
	case lost != "":
		return lost
	case l.harmless():
		return "it gets no request; those for it are answered by the same backend"
	default:
		return "it gets no request; those for it are answered by " + l.destination()
	}
}

// restriction says what keeps requests off the claim and does not where they are answered, empty for nothing.
func (l loss) restriction() string {
	r := l.loser.route
	closed, refuses := r.Action.(*model.Closed)
	for _, other := range l.answering {
		_, refused := other.Action.(*model.Closed)
		switch {
		case refused:
		case refuses:
			return fmt.Sprintf("requests are answered by %s, although here they would be refused (%s)", l.destination(), closed.Reason)
		default:
			for _, by := range r.Restricted {
				if !slices.Contains(other.Restricted, by) {
					return fmt.Sprintf("requests are answered by %s, to which %s does not apply", l.destination(), by.Annotation)
				}
			}
		}
	}
	return ""
}

// destination is where requests go in place of the claim's backends.
func (l loss) destination() string {
	var places []string
	for _, r := range l.answering {
		if _, closed := r.Action.(*model.Closed); closed {
			places = append(places, "a 503")
		}
		for _, t := range targetsOf(*r) {
			places = append(places, t.Backend)
		}
	}
	return strings.Join(places, " and ")
}

// fix says what to do.
func (l loss) fix() string {
	switch {
	case l.harmless():
		return "remove it"
	case l.in.defaults && l.code == diag.CodeHidden:
		return "give the rule a host, or remove one of the two"
	case l.code == diag.CodeHidden && l.by[0].Priority > 0:
		return "choose another host or path, lower the priority of the other, or remove one of the two"
	case l.winnerIsHidden() || len(l.by) > 1:
		return "choose another host or path, or remove it"
	default:
		return "choose another host or path, or remove one of the two"
	}
}

// severity is by what is lost: a restriction, a backend, or nothing where an Ingress says the same thing twice.
func (l loss) severity() diag.Severity {
	switch {
	case l.restriction() != "":
		return diag.Error
	case l.harmless():
		return diag.Info
	default:
		return diag.Warning
	}
}

// harmless is true where the same Ingress has the requests answered in the same way.
func (l loss) harmless() bool {
	return !slices.ContainsFunc(l.answering, func(r *model.Route) bool {
		return r.Object != l.loser.route.Object || !reflect.DeepEqual(answerOf(*r), answerOf(l.loser.route))
	})
}

// answerOf is what a route does, without the places that say so.
func answerOf(r model.Route) model.Route {
	switch action := r.Action.(type) {
	case *model.Closed:
		r.Action = &model.Closed{Reason: action.Reason, Code: action.Code}
	case *model.Forward:
		forward := *action
		forward.Targets = slices.Clone(action.Targets)
		for i := range forward.Targets {
			forward.Targets[i].Origin = diag.Origin{}
		}
		r.Action = &forward
	}
	r.Origins, r.Losers, r.LostBy, r.Priority, r.Weight, r.RuleLength = nil, nil, nil, 0, 0, 0
	return r
}
