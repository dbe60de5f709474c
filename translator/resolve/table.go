package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// ranked is a route with what its order is decided by.
type ranked struct {
	claim model.Claim
	route model.Route
}

// buildTable makes one entry's table of the claims that ask for it, and finds those that get no request there.
func buildTable(entry model.Entry, claims []ranked) (model.Table, []diag.D, []loss) {
	byHost := map[model.Host][]ranked{}
	var defaults []ranked
	for _, r := range claims {
		if r.claim.Rank == model.RankDefault {
			defaults = append(defaults, r)
			continue
		}
		byHost[r.claim.Host] = append(byHost[r.claim.Host], r)
	}
	t := model.Table{Entry: entry}
	var ds []diag.D
	var losses []loss
	order := func(l list, rs []ranked) []model.Route {
		l.entry = entry.Name
		ordered, more, lost := l.order(rs)
		ds, losses = append(ds, more...), append(losses, lost...)
		return ordered
	}
	for _, host := range slices.SortedFunc(maps.Keys(byHost), model.Host.Compare) {
		ordered := order(list{host: host}, byHost[host])
		switch host.Kind() {
		case model.HostExact:
			t.Exact = append(t.Exact, model.HostRoutes{Host: host, Routes: ordered})
		case model.HostWildcard:
			t.Wildcard = append(t.Wildcard, model.HostRoutes{Host: host, Routes: ordered})
		case model.HostAny:
			t.Any = ordered
		}
	}
	t.Default = order(list{host: model.AnyHost, defaults: true, before: t.Any}, defaults)
	return t, append(ds, priorityCrossings(t)...), losses
}

// list is a place for routes that are tried one after the other: a host of an entry, or its default backends.
//
// Whether a route is reached is decided in its list alone, but for default backends: whatever names are in other lists,
// there is one more that no rule has, and one more label in a wildcard's place.
type list struct {
	entry string
	host  model.Host
	// defaults says that it is the default backends, before are then the routes that every request tries before them.
	defaults bool
	before   []model.Route
}

// order puts the routes into the order in which they are tried, drops the losers of conflicts, and finds who gets no
// request.
func (l list) order(rs []ranked) ([]model.Route, []diag.D, []loss) {
	if len(rs) == 0 {
		return nil, nil, nil
	}
	weigh(rs)
	// The claims come sorted by age, so a stable sort leaves equal ones in that order.
	slices.SortStableFunc(rs, func(a, b ranked) int {
		return cmp.Or(
			cmp.Compare(b.route.Weight, a.route.Weight), a.route.Path.Compare(b.route.Path),
			cmp.Compare(standIn(a.claim), standIn(b.claim)),
		)
	})
	var ds []diag.D
	var out []model.Route
	found := l.losses()
	type place struct {
		first  *ranked
		stands int
	}
	winners := map[model.PathMatch]place{}
	for i := range rs {
		r := &rs[i]
		winner, taken := winners[r.route.Path]
		if taken {
			found.conflict(r, winner.first)
			won := &out[winner.stands]
			places := r.claim.Origins[:len(r.claim.Backends)]
			won.Losers = append(won.Losers, places...)
			won.LostBy = append(won.LostBy, slices.Repeat([]model.ConflictRule{lostBy(*r, *winner.first)}, len(places))...)
			continue
		}
		winners[r.route.Path] = place{r, len(out)}
		found.next(r)
		out = append(out, r.route)
		out = append(out, otherSpellings(r.route)...)
		ds = append(ds, sharedPath(l.host, r.route)...)
	}
	return out, ds, found.all
}

// weigh gives the routes of a host Traefik's weights, where one of them has a priority.
func weigh(rs []ranked) {
	if !slices.ContainsFunc(rs, func(r ranked) bool { return r.claim.Priority > 0 }) {
		return
	}
	for i := range rs {
		rs[i].route.Weight = rs[i].claim.RuleLength
		if rs[i].claim.Priority > 0 {
			rs[i].route.Weight = rs[i].claim.Priority
		}
	}
}

// otherSpellings closes what some backend reads as a restricted path and the route's own match does not take: tried right
// behind the route, it keeps a broader one, which may be open, from serving it.
func otherSpellings(r model.Route) []model.Route {
	if _, forwards := r.Action.(*model.Forward); !forwards || len(r.Restricted) == 0 || r.Path == model.Prefix("/") {
		return nil
	}
	at := r.Restricted[0]
	return []model.Route{{
		Path: r.Path, Object: r.Object, Priority: r.Priority, Weight: r.Weight, RuleLength: r.RuleLength,
		Action:  &model.Closed{Reason: "another spelling of a path to which access is restricted", Code: diag.CodeOtherSpelling, Origin: at},
		Origins: model.Origins{r.Origins[0], at},
	}}
}

// lostBy is the rule by which a claim lost its host and path to another.
func lostBy(loser, winner ranked) model.ConflictRule {
	a, b := winner.claim, loser.claim
	switch {
	case winner.route.Weight != loser.route.Weight:
		return model.LostByWeight
	case a.StandIn != b.StandIn:
		return model.LostByStandIn
	case compareObjects(a.Object, b.Object) == 0:
		return model.LostByPlace
	case !a.Object.Created.Equal(b.Object.Created):
		return model.LostByAge
	default:
		return model.LostByName
	}
}

func standIn(c model.Claim) int {
	if c.StandIn {
		return 1
	}
	return 0
}

// priorityCrossings finds routes of a broader host whose priority would, in Traefik 1.7, have put them before a
// narrower host's route that can match the same request.
func priorityCrossings(t model.Table) []diag.D {
	var ds []diag.D
	for _, broad := range append(slices.Clone(t.Wildcard), model.HostRoutes{Host: model.AnyHost, Routes: t.Any}) {
		for _, r := range broad.Routes {
			if r.Priority <= 0 {
				continue
			}
			if host, other, ok := firstCrossed(t, broad.Host, r); ok {
				ds = append(ds, diag.New(diag.CodePriorityCrosses, r.Origins[0],
					fmt.Sprintf("priority %d does not put %s %s before the rules of %s", r.Priority, broad.Host, r.Path, host),
					"requests for "+host.String()+" try that host's rules first",
					"name the host in this rule, or use another path").With(other.Origins[0]))
			}
		}
	}
	return ds
}

func firstCrossed(t model.Table, broad model.Host, r model.Route) (model.Host, model.Route, bool) {
	narrower := t.Exact
	if broad == model.AnyHost {
		narrower = append(slices.Clone(t.Exact), t.Wildcard...)
	}
	for _, n := range narrower {
		if !broad.Covers(n.Host) {
			continue
		}
		for _, other := range n.Routes {
			if traefikWeight(other) < r.Priority && overlap(other.Path, r.Path) {
				return n.Host, other, true
			}
		}
	}
	return model.Host{}, model.Route{}, false
}

// traefikWeight is what Traefik 1.7 would have ordered a rule by.
func traefikWeight(r model.Route) int {
	if r.Priority > 0 {
		return r.Priority
	}
	return r.RuleLength
}

// overlap says whether some path matches both.
func overlap(a, b model.PathMatch) bool {
	if a.Kind == model.PathExact {
		return b.Matches(a.Value)
	}
	if b.Kind == model.PathExact {
		return a.Matches(b.Value)
	}
	return a.Matches(b.Value) || b.Matches(a.Value)
}
