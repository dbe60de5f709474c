package diff

import (
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/model"
)

// routes are the routes of one host of one side, in the order in which they are tried, by their structure.
type routes struct {
	views []view
	// key is equal for routes that do the same for every path.
	key string
	// exact, prefixes and strings are the places of routes by the value of their path.
	exact, prefixes, strings map[string][]int
	// closed are the places of routes that may take other spellings of their path.
	closed []int
}

func (rd reader) routes(rs []model.Route) *routes {
	out := &routes{exact: map[string][]int{}, prefixes: map[string][]int{}, strings: map[string][]int{}}
	var key strings.Builder
	for i, r := range rs {
		v := rd.view(r)
		out.views = append(out.views, v)
		key.WriteString(v.path.String() + "\x00" + v.path.Kind.String() + "\x00" + v.key + "\x01")
		switch r.Path.Kind {
		case model.PathExact:
			out.exact[r.Path.Value] = append(out.exact[r.Path.Value], i)
		case model.PathPrefix:
			out.prefixes[r.Path.Value] = append(out.prefixes[r.Path.Value], i)
		default:
			out.strings[r.Path.Value] = append(out.strings[r.Path.Value], i)
		}
		if v.closed {
			out.closed = append(out.closed, i)
		}
	}
	out.key = digest([]byte(key.String()))
	return out
}

// taking are the places of the routes that a path comes to: the last one takes it whatever else the request says, those
// before may.
func (rs *routes) taking(path string) []int {
	found := slices.Clone(rs.exact[path])
	found = append(found, rs.prefixes["/"]...)
	for i := 1; i <= len(path); i++ {
		if i == len(path) || path[i] == '/' {
			if value := path[:i]; value != "/" {
				found = append(found, rs.prefixes[value]...)
			}
		}
		if len(rs.strings) > 0 {
			found = append(found, rs.strings[path[:i]]...)
		}
	}
	if odd(path) {
		found = append(found, rs.closed...)
	}
	slices.Sort(found)
	found = slices.Compact(found)
	for n, i := range found {
		if rs.views[i].certain(path) {
			return found[:n+1]
		}
	}
	return found
}

// odd says whether some backend might read a path as another one.
func odd(path string) bool { return strings.ContainsAny(path, ";%\\") }

// certain says whether a route that a path comes to takes it.
func (v view) certain(path string) bool {
	rest, ok := strings.CutPrefix(path, v.path.Value)
	if v.closed && !v.path.Matches(path) {
		return false
	}
	return !v.unlessDot || !ok || !strings.HasPrefix(rest, ".")
}

// table is the routes of one entry of one side.
type table struct {
	model model.Table
	// hosts are those of exact hosts and of wildcards, by name; any and other are of rules without a host and of default
	// backends.
	hosts      map[string]*routes
	any, other *routes
	exact      map[string][]model.Route
	wildcard   map[string][]model.Route
	groups     map[string]model.TLSGroup
}

func (rd reader) table(t model.Table) *table {
	out := &table{
		model: t, hosts: map[string]*routes{}, any: rd.routes(t.Any), other: rd.routes(t.Default),
		exact: map[string][]model.Route{}, wildcard: map[string][]model.Route{}, groups: map[string]model.TLSGroup{},
	}
	for _, h := range t.Exact {
		out.hosts[h.Host.Name()], out.exact[h.Host.Name()] = rd.routes(h.Routes), h.Routes
	}
	for _, h := range t.Wildcard {
		out.hosts[h.Host.Name()], out.wildcard[h.Host.Name()] = rd.routes(h.Routes), h.Routes
	}
	for _, group := range t.Groups {
		for _, h := range group.Hosts {
			out.groups[h.Name()] = group
		}
	}
	return out
}

// noRoutes are those of a host that no rule names.
var noRoutes = reader{}.routes(nil)

// level is the routes of a host that a request tries, or those behind it.
type level struct {
	*routes
	// misdirected says that they are for connections under other TLS settings, and answer 421.
	misdirected bool
}

// levels are all that a request for a host of a class tries, in order.
func (t *table) levels(c hostClass) []level {
	of := func(name string) *routes {
		if rs, there := t.hosts[name]; there && name != "" {
			return rs
		}
		return noRoutes
	}
	own, wildcard := noRoutes, c.wildcard()
	if c.kind == model.HostExact {
		own = of(c.name)
	}
	return []level{{own, false}, {of(wildcard), t.misdirects(c)}, {t.any, false}, {t.other, false}}
}

// misdirects says whether the routes of the wildcard above a host are for connections that one for the host is not.
func (t *table) misdirects(c hostClass) bool {
	if c.kind != model.HostExact || !t.model.Entry.TLS {
		return false
	}
	if _, named := t.exact[c.name]; !named {
		return false
	}
	above := t.groups[c.wildcard()]
	return above.Name != "" && above.Name != t.group(c).Name
}

// group are the TLS settings of a connection for a host of a class, where the client names it.
func (t *table) group(c hostClass) model.TLSGroup {
	if !c.hasServerName() {
		return model.TLSGroup{}
	}
	if _, named := t.exact[c.name]; named && c.kind == model.HostExact {
		return t.groups[c.name]
	}
	return t.groups[c.wildcard()]
}

// misdirectedView stands for every route that is for other connections.
func misdirectedView(v view) view {
	out := view{parts: map[string]part{}, origins: v.origins, pattern: v.pattern, path: v.path, route: v.route}
	out.set(wordAnswer, "421 without their TLS settings", "misdirected")
	out.key = out.parts[wordAnswer].key
	return out
}

// sequence are the routes that a path comes to, over all levels.
func sequence(levels []level, path string) []view {
	var out []view
	for _, l := range levels {
		for _, i := range l.taking(path) {
			v := l.views[i]
			sure := v.certain(path)
			if l.misdirected {
				v, sure = misdirectedView(v), v.path.Matches(path)
			}
			v.sure = sure
			out = append(out, v)
			if sure {
				return out
			}
		}
	}
	return out
}

// sameSequence says whether every request that comes to either gets the same.
func sameSequence(a, b []view) bool {
	return slices.EqualFunc(a, b, func(x, y view) bool {
		return x.same(y)
	})
}

// same says whether two routes that a path comes to do the same with it. Of closed ones that may take it as another spelling
// of theirs, the path says which they take.
func (v view) same(o view) bool {
	return v.key == o.key && v.sure == o.sure && (v.sure || !v.closed || v.path == o.path)
}
