package explain

import (
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
		group{HostTable{Host: "*", Why: "rules without a host", Routes: len(t.Any)}, t.Any},
		group{HostTable{Host: "default backend", Why: "when no rule matches", Routes: len(t.Default)}, t.Default},
	)
}

// choose tries the routes in order and remembers how each fared; the route is nil where none matches.
func (n *narrator) choose() *model.Route {
	path, _, _ := strings.Cut(n.target.path, "?")
	var chosen *model.Route
	for _, g := range groups(*n.table, hostName(n.target.authority)) {
		n.story.Hosts = append(n.story.Hosts, g.HostTable)
		for i := range g.routes {
			r := &g.routes[i]
			f, _ := r.Action.(*model.Forward)
			ok, why := matchPath(r.Path, f, path)
			if !ok && n.redirectsOnly(*r, path) {
				ok, why = true, "the path begins with "+r.Path.Value
			}
			c := Candidate{Host: g.Host, Path: r.Path.String(), Outcome: Lost, Reason: why}
			if len(r.Origins) > 0 {
				c.Origin = r.Origins[0]
			}
			switch {
			case ok && chosen == nil:
				chosen, c.Outcome = r, Matched
			case ok:
				c.Outcome, c.Reason = Later, "would match too, but comes later"
			case chosen != nil:
				continue
			}
			n.story.Candidates = append(n.story.Candidates, c)
		}
	}
	return chosen
}

// redirectsOnly is true for a path that a route would not serve but, by its whole match, sends to HTTPS.
func (n *narrator) redirectsOnly(r model.Route, path string) bool {
	if r.HTTPSRedirect == nil || n.table.Entry.TLS || n.countsAsHTTPS() {
		return false
	}
	ok, _ := matchPath(r.Path, nil, path)
	return ok
}

// chooseCertificate finds the certificate for a name: its own, that of the wildcard above it, the default one. An IP
// address is no server name (RFC 6066, 3), so it gets the default one.
func chooseCertificate(g model.Gateway, host string) (*model.Certificate, string) {
	find := func(name string) *model.Certificate {
		for i := range g.Certificates {
			if name != "" && g.Certificates[i].Host.Name() == name {
				return &g.Certificates[i]
			}
		}
		return nil
	}
	sni := host
	if isAddress(host) {
		sni = ""
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
		return nil, "there is no certificate for " + host + " and no default one"
	case sni == "":
		return g.Default, "the default one: an IP address is no server name"
	default:
		return g.Default, "the default one: none is for " + sni
	}
}
