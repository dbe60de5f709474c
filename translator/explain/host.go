package explain

import (
	"cmp"
	"strings"

	"github.com/postern-gateway/postern/translator/model"
)

// withoutHostDot takes off one dot behind the host (Envoy: strip_trailing_host_dot), before the port where there is one.
func withoutHostDot(authority string) string {
	host, port := cutPort(authority)
	return strings.TrimSuffix(host, ".") + port
}

// cutPort splits an authority into the host and, with its colon, the port.
func cutPort(authority string) (host, port string) {
	i := strings.LastIndexByte(authority, ':')
	if i < 0 || i < strings.LastIndexByte(authority, ']') {
		return authority, ""
	}
	return authority[:i], authority[i:]
}

// wellFormed says whether an authority, its trailing dot taken off, is a name or an address, with a port or without.
func wellFormed(authority string) bool {
	host, port := cutPort(authority)
	if port != "" && (len(port) < 2 || len(port) > 6 || strings.Trim(port[1:], "0123456789") != "") {
		return false
	}
	if inside, ok := strings.CutPrefix(host, "["); ok {
		inside, ok = strings.CutSuffix(inside, "]")
		return ok && inside != "" && strings.Trim(inside, "0123456789abcdefABCDEF:.") == ""
	}
	return host != "" && !strings.HasSuffix(host, ".") && !strings.ContainsFunc(host, func(r rune) bool {
		return r >= 0x80 || r != '.' && r != '-' && r != '_' && r != '~' && !isAlphanumeric(byte(r))
	})
}

// hostName is an authority as hosts are compared: without port, in lower case.
func hostName(authority string) string {
	host, _ := cutPort(authority)
	return strings.ToLower(host)
}

// parentWildcard is the wildcard that takes a host by one label, empty for hosts that have none: *.b.c for a.b.c.
func parentWildcard(host string) string {
	label, rest, ok := strings.Cut(host, ".")
	if !ok || label == "" || rest == "" || label[0] == '[' {
		return ""
	}
	return "*." + rest
}

// group is the routes of one host of the model.
type group struct {
	HostTable
	routes []model.Route
}

// The names of the tables without a host.
const (
	anyHost        = "*"
	defaultBackend = "default backend"
)

// groups are the tables that a host's request tries, in order: exact, wildcard, any, default backends.
func groups(t model.Table, host string) []group {
	own := func(from []model.HostRoutes, name, why, otherwise string) group {
		for _, h := range from {
			if h.Host.Name() == name {
				return group{HostTable{Host: name, Why: why, Routes: len(h.Routes)}, h.Routes}
			}
		}
		return group{HostTable: HostTable{Host: name, Why: otherwise}}
	}
	out := []group{own(t.Exact, host, "the request's host", "no rule names it")}
	if wildcard := parentWildcard(host); wildcard != "" {
		out = append(out, own(t.Wildcard, wildcard, "one label in place of the star", "no rule names it"))
	}
	return append(out,
		group{HostTable{Host: anyHost, Why: "rules without a host", Routes: len(t.Any)}, t.Any},
		group{HostTable{Host: defaultBackend, Why: "when no rule matches", Routes: len(t.Default)}, t.Default},
	)
}

// choose tries the routes in order and remembers how each fared; the route is nil where none matches. The second result
// is the host that it is of.
func (n *narrator) choose() (*model.Route, string) {
	path, _, _ := strings.Cut(n.target.path, "?")
	var chosen standing
	for place, g := range groups(*n.table, hostName(n.target.authority)) {
		n.story.Hosts = append(n.story.Hosts, g.HostTable)
		for i := range g.routes {
			r := &g.routes[i]
			ok, why := n.matches(*r, path)
			if !ok && n.closedTo(g.Host) && r.Path.Matches(path) {
				ok, why = true, "the path begins with "+r.Path.Value
			}
			c := Candidate{Host: g.Host, Path: r.Path.String(), Outcome: Lost, Reason: why}
			if len(r.Origins) > 0 {
				c.Origin = r.Origins[0]
			}
			switch {
			case ok && chosen.route == nil:
				chosen, c.Outcome = standing{place, g.Host, r}, Matched
			case ok:
				c.Outcome, c.Reason = Later, comesLater(chosen, standing{place, g.Host, r})
			case chosen.route != nil:
				continue
			}
			n.story.Candidates = append(n.story.Candidates, c)
		}
	}
	return chosen.route, chosen.host
}

// matches says whether a route takes a path, and why or why not.
func (n *narrator) matches(r model.Route, path string) (bool, string) {
	ok, why := takes(r, path)
	switch _, closed := r.Action.(*model.Closed); {
	case ok:
	case n.redirectsOnly(r, path):
		return true, "the path begins with " + r.Path.Value
	case closed && (speller{path, n.gateway.Edge.EscapedSlashes == model.SlashesKeep}).spells(r.Path):
		return true, "some backends read the path as one that is " + r.Path.String()
	}
	return ok, why
}

// redirectsOnly is true for a path that a route would not serve but, by its whole match, redirects.
func (n *narrator) redirectsOnly(r model.Route, path string) bool {
	toHTTPS := r.HTTPSRedirect != nil && !n.table.Entry.TLS && !n.countsAsHTTPS(r.HTTPSRedirect)
	ok, _ := matchPath(r.Path, path)
	return ok && (toHTTPS || n.otherHost(r))
}

// chooseCertificate finds the certificate for a name: its own, that of the wildcard above it, the default one. An IP
// client that names no host gets the default one.
func chooseCertificate(g model.Gateway, sni string) (*model.Certificate, string) {
	find := func(name string) *model.Certificate {
		for i := range g.Certificates {
			if name != "" && g.Certificates[i].Host.Name() == name {
				return &g.Certificates[i]
			}
		}
		return nil
	}
	if c := find(sni); c != nil {
		return c, "that of " + sni
	}
	if wildcard := parentWildcard(sni); wildcard != "" {
		if c := find(wildcard); c != nil {
			return c, "that of " + wildcard
		}
	}
	switch {
	case g.Default == nil:
		return nil, "there is no certificate for " + cmp.Or(sni, "a client that names no host") + " and no default one"
	case sni == "":
		return g.Default, "the default one: the client names no host"
	default:
		return g.Default, "the default one: none is for " + sni
	}
}
