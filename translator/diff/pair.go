package diff

import (
	"fmt"
	"slices"

	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
)

// pair is what both sides have for the requests of one class, so that asking costs no more than what the class has.
type pair struct {
	a, b model.Gateway
	// aUnderB is a with the settings of b, bUnderA b with those of a; both are used where the settings differ, so that what
	// these do is not taken for what routes do.
	aUnderB, bUnderA model.Gateway
	settingsDiffer   bool
}

// pair takes what is needed for a change's requests.
func (c *comparison) pair(ch change) pair {
	ta, tb := c.a.tables[ch.class.scheme], c.b.tables[ch.class.scheme]
	out := pair{a: c.a.part(ch.class, ch.la, ch.path), b: c.b.part(ch.class, ch.lb, ch.path)}
	if out.settingsDiffer = len(c.settingsOf(ch.class.scheme)) > 0; out.settingsDiffer {
		out.aUnderB, out.bUnderA = under(out.a, c.b.gateway.Edge, tb.model.Entry), under(out.b, c.a.gateway.Edge, ta.model.Entry)
	}
	return out
}

// under is a part with the settings of another gateway.
func under(g model.Gateway, edge model.Edge, entry model.Entry) model.Gateway {
	g.Edge = edge
	g.Tables = slices.Clone(g.Tables)
	g.Tables[0].Entry = entry
	return g
}

// routesMax is up to how many routes a part has all of its hosts'; with more, it has those that the path comes to.
const routesMax = 100

// part is a gateway for one class of hosts, and for one path at least.
func (s *side) part(c hostClass, levels []level, path string) model.Gateway {
	whole := 0
	for _, l := range levels {
		whole += len(l.views)
	}
	pick := func(l level) []model.Route {
		var out []model.Route
		if whole <= routesMax {
			for _, v := range l.views {
				out = append(out, *v.route)
			}
			return out
		}
		for _, i := range l.taking(path) {
			out = append(out, *l.views[i].route)
		}
		return out
	}
	from := s.tables[c.scheme].model
	t := model.Table{Entry: from.Entry, Any: pick(levels[2]), Default: pick(levels[3])}
	if routes := pick(levels[0]); len(routes) > 0 {
		t.Exact = []model.HostRoutes{{Host: hostNamed(c.name), Routes: routes}}
	}
	if routes := pick(levels[1]); len(routes) > 0 {
		t.Wildcard = []model.HostRoutes{{Host: hostNamed(c.wildcard()), Routes: routes}}
	}
	return s.with(t, c)
}

func hostNamed(name string) model.Host {
	h, err := model.ParseHost(name)
	if err != nil {
		panic(fmt.Sprintf("diff: %q was a host", name))
	}
	return h
}

// with is a gateway of one table, and of what a class of hosts needs beside.
func (s *side) with(t model.Table, c hostClass) model.Gateway {
	g := s.gateway
	out := model.Gateway{Edge: g.Edge, Bundles: g.Bundles, ClientCertificates: g.ClientCertificates, Default: g.Default}
	names := []string{c.name, c.wildcard()}
	for _, name := range names {
		if group, there := s.tables[c.scheme].groups[name]; there && name != "" {
			group.Hosts = []model.Host{hostNamed(name)}
			t.Groups = append(t.Groups, group)
			if ca, there := s.clientCAs[group.ClientCA]; there {
				out.ClientCAs = append(out.ClientCAs, ca)
			}
		}
		if certificate, there := s.certificates[name]; there && name != "" {
			out.Certificates = append(out.Certificates, certificate)
		}
	}
	out.Tables = []model.Table{t}
	s.addNeeded(&out, t)
	return out
}

// addNeeded adds what routes name.
func (s *side) addNeeded(out *model.Gateway, t model.Table) {
	backends, users := map[string]bool{}, map[string]bool{}
	for _, h := range slices.Concat(t.Exact, t.Wildcard, []model.HostRoutes{{Routes: t.Any}, {Routes: t.Default}}) {
		for _, r := range h.Routes {
			if a := r.Auth; a != nil && a.Forward != nil {
				backends[a.Forward.Backend] = true
			} else if a != nil && !users[a.UsersName()] {
				users[a.UsersName()] = true
				out.Users = append(out.Users, s.reader.users[a.UsersName()])
			}
			for _, p := range r.ErrorPages {
				backends[p.Backend] = true
			}
			if f, forwards := r.Action.(*model.Forward); forwards {
				for _, target := range f.Targets {
					backends[target.Backend] = true
				}
			}
		}
	}
	assigned := map[string]bool{}
	for name := range backends {
		b, there := s.reader.backends[name]
		if !there {
			continue
		}
		out.Backends = append(out.Backends, b)
		if !assigned[b.Assignment] {
			assigned[b.Assignment] = true
			out.Assignments = append(out.Assignments, s.reader.assignments[b.Assignment])
		}
	}
}

// search tries the variations of a request, those that depart least from the plainest one first.
func (p pair) search(o options, tries int, differs func(pair, explain.Request) bool) (explain.Request, bool) {
	for departures := range len(o.choices) + 1 {
		if r, found := p.try(o, 0, departures, o.base, &tries, differs); found {
			return r, true
		}
	}
	return explain.Request{}, false
}

// try varies a request by a number of the choices from one on.
func (p pair) try(o options, from, departures int, r explain.Request, tries *int, differs func(pair, explain.Request) bool) (explain.Request, bool) {
	if departures == 0 {
		if *tries--; *tries < 0 {
			return explain.Request{}, false
		}
		return r, differs(p, r)
	}
	for i := from; i <= len(o.choices)-departures && *tries >= 0; i++ {
		for _, vary := range o.choices[i] {
			if found, ok := p.try(o, i+1, departures-1, vary(r), tries, differs); ok {
				return found, true
			}
		}
	}
	return explain.Request{}, false
}

// behave asks both; ok says that the request can be asked about.
func behave(a, b model.Gateway, r explain.Request) (x, y Behaviour, ok bool) {
	x, errA := Behave(a, r)
	y, errB := Behave(b, r)
	return x, y, errA == nil && errB == nil
}

// differInAnswer says whether a request that gets through either handshake is answered otherwise, because of the routes.
func differInAnswer(p pair, r explain.Request) bool {
	differs := func(a, b model.Gateway) bool {
		x, y, ok := behave(a, b, r)
		return ok && x.shaken && y.shaken && x.answer != y.answer
	}
	return differs(p.a, p.b) && (!p.settingsDiffer || differs(p.aUnderB, p.b) || differs(p.a, p.bUnderA))
}

// differInBackend says whether a request goes to other backends, rather than being answered before.
func differInBackend(p pair, r explain.Request) bool {
	x, y, ok := behave(p.a, p.b, r)
	return ok && x.to != "" && y.to != "" && x.to != y.to && differInAnswer(p, r)
}

// oneForwards says whether a request goes to a backend by one of the two.
func oneForwards(p pair, r explain.Request) bool {
	x, y, ok := behave(p.a, p.b, r)
	return ok && x.to != y.to && differInAnswer(p, r)
}

// differInConnection says whether the handshake is another, or comes to another end.
func differInConnection(p pair, r explain.Request) bool {
	x, y, ok := behave(p.a, p.b, r)
	return ok && (x.connection != y.connection || x.shaken != y.shaken)
}
