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

// buildTable makes one entry's table of the claims that ask for it.
func buildTable(entry model.Entry, claims []ranked) (model.Table, []diag.D) {
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
	for _, host := range slices.SortedFunc(maps.Keys(byHost), model.Host.Compare) {
		ordered, more := orderHost(host, byHost[host])
		ds = append(ds, more...)
		switch host.Kind() {
		case model.HostExact:
			t.Exact = append(t.Exact, model.HostRoutes{Host: host, Routes: ordered})
		case model.HostWildcard:
			t.Wildcard = append(t.Wildcard, model.HostRoutes{Host: host, Routes: ordered})
		case model.HostAny:
			t.Any = ordered
		}
	}
	var more []diag.D
	t.Default, more = orderHost(model.AnyHost, defaults)
	ds = append(ds, more...)
	return t, append(ds, priorityCrossings(t)...)
}

// orderHost puts one host's routes into the order in which they are tried and drops the losers of conflicts.
func orderHost(host model.Host, rs []ranked) ([]model.Route, []diag.D) {
	weighted := slices.ContainsFunc(rs, func(r ranked) bool { return r.claim.Priority > 0 })
	for i := range rs {
		if weighted {
			rs[i].route.Weight = rs[i].claim.RuleLength
			if rs[i].claim.Priority > 0 {
				rs[i].route.Weight = rs[i].claim.Priority
			}
		}
	}
	// The claims come sorted by age, so a stable sort leaves equal ones in that order.
	slices.SortStableFunc(rs, func(a, b ranked) int {
		return cmp.Or(
			cmp.Compare(b.route.Weight, a.route.Weight), a.route.Path.Compare(b.route.Path),
			cmp.Compare(standIn(a.claim), standIn(b.claim)),
		)
	})
	var ds []diag.D
	var out []model.Route
	winner := map[model.PathMatch]int{}
	for _, r := range rs {
		i, taken := winner[r.route.Path]
		if !taken {
			winner[r.route.Path] = len(out)
			out = append(out, r.route)
			out = append(out, otherSpellings(r.route)...)
			ds = append(ds, sharedPath(host, r.route)...)
			continue
		}
		d := conflict(host, r.route, out[i])
		for _, d.Origin = range r.claim.Origins[:len(r.claim.Backends)] {
			out[i].Losers = append(out[i].Losers, d.Origin)
			ds = append(ds, d)
		}
	}
	return out, ds
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

func standIn(c model.Claim) int {
	if c.StandIn {
		return 1
	}
	return 0
}

// conflict tells the loser who won; where the loser would have been closed or restricted, that the winner is not.
func conflict(host model.Host, loser, winner model.Route) diag.D {
	effect := "it gets no request"
	if closed, ok := loser.Action.(*model.Closed); ok {
		effect = fmt.Sprintf("requests are answered by the winner, although here they would be refused (%s)", closed.Reason)
	} else if len(loser.Restricted) > 0 {
		effect = fmt.Sprintf("requests are answered by the winner, to whom %s does not apply", loser.Restricted[0].Annotation)
	}
	return diag.New(diag.CodeConflict, loser.Origins[0],
		fmt.Sprintf("%s %s is taken by %s", host, loser.Path, winner.Origins[0].Object()),
		effect, "choose another host or path, or remove one of the two").With(winner.Origins[0])
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
