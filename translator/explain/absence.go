package explain

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// Unserved is an Ingress that asks for the request's host and is not served.
type Unserved struct {
	diag.Origin
	// Host is as the Ingress writes it, * for every host.
	Host string `json:"host"`
	// Reason says why it is not served.
	Reason string `json:"reason"`
}

// unservedMax bounds the Ingresses that a story tells of which are not served.
const unservedMax = 5

// tellAbsence says what may be missing where no route of the request's host matches: Ingresses that are not served, an
// entry that has the host, a host that is spelt alike.
func (n *narrator) tellAbsence() {
	if !n.unmatched {
		return
	}
	host := n.askedHost()
	n.tellUnserved(host)
	known := slices.ContainsFunc(n.story.Unserved, func(u Unserved) bool { return u.Host != anyHost })
	for i := range n.gateway.Tables {
		t := &n.gateway.Tables[i]
		if !n.hasHost(t) {
			continue
		}
		known = true
		if t != n.table {
			n.noteOnEntry(t, host)
		}
	}
	if !known {
		n.noteOnNearest(host)
	}
	if !slices.ContainsFunc(n.gateway.Tables, hasRoutes) {
		n.noteOnNothing()
	}
}

func hasRoutes(t model.Table) bool {
	return len(t.Exact)+len(t.Wildcard)+len(t.Any)+len(t.Default) > 0
}

// hasHost says whether an entry has routes of the request's host, by its name or the wildcard above it.
func (n *narrator) hasHost(t *model.Table) bool {
	host := n.askedHost()
	return named(t.Exact, host) || named(t.Wildcard, parentWildcard(host))
}

func (n *narrator) askedHost() string { return strings.TrimSuffix(hostName(n.target.authority), ".") }

// tellUnserved tells of Ingresses that ask for the host, before those that ask for a wildcard above it, and, where nothing
// matches at all, before those that ask for every host.
func (n *narrator) tellUnserved(host string) {
	wildcard, matched := parentWildcard(host), n.story.matched()
	var found [3][]Unserved
	all := 0
	for _, u := range n.gateway.Unserved {
		rank := -1
		for _, asked := range u.Hosts {
			switch {
			case strings.EqualFold(asked, host):
				rank = 0
			case wildcard != "" && strings.EqualFold(asked, wildcard) && rank != 0:
				rank = 1
			case asked == "" && !matched && rank < 0:
				rank = 2
			default:
				continue
			}
		}
		if rank < 0 {
			continue
		}
		if all++; len(found[rank]) < unservedMax {
			found[rank] = append(found[rank], Unserved{Origin: u.Origin, Host: [...]string{host, wildcard, anyHost}[rank], Reason: u.Reason})
		}
	}
	told := slices.Concat(found[0], found[1], found[2])
	n.story.Unserved = told[:min(len(told), unservedMax)]
	for _, u := range n.story.Unserved {
		n.note("%s asks for %s and is not served: %s", located(u.Origin), everyHost(u.Host), u.Reason)
	}
	if more := all - len(n.story.Unserved); more > 0 {
		n.note("%d more of those that ask for it are not served", more)
	}
}

// matched says whether a route was found.
func (s *Story) matched() bool {
	return slices.ContainsFunc(s.Candidates, func(c Candidate) bool { return c.Outcome == Matched })
}

func everyHost(host string) string {
	if host == anyHost {
		return "every host"
	}
	return host
}

// noteOnEntry says that another entry has a route for the request.
func (n *narrator) noteOnEntry(t *model.Table, host string) {
	there := narrator{
		gateway: n.gateway, request: n.request, table: t, group: settingsOf(*t, host), headers: n.headers,
		target: target{tls: t.Entry.TLS, authority: n.target.authority, path: n.target.path},
	}
	route, of := there.choose()
	if route == nil || of == anyHost || of == defaultBackend {
		return
	}
	because := ""
	if len(route.Origins) > 0 {
		because = ", by " + located(route.Origins[0])
	}
	n.note("%s is on the entry %s, where %s is answered%s", host, t.Entry.Name, n.urlAt(t.Entry), because)
}

// urlAt is the request's URL as it is asked at another entry.
func (n *narrator) urlAt(e model.Entry) string {
	scheme, usual, port := "http", uint16(httpPort), e.PublicPort
	if e.TLS {
		scheme, usual, port = "https", httpsPort, n.gateway.Edge.HTTPSPublicPort
	}
	host, asked := cutPort(n.target.authority)
	if own := n.table; own != nil && asked == ":"+strconv.Itoa(int(own.Entry.Address.Port())) {
		port = e.Address.Port() // Whoever asks the port of an address gets another.
	}
	if port != usual {
		host += ":" + strconv.Itoa(int(port))
	}
	return scheme + "://" + host + n.target.path
}

// noteOnNearest names the host of a rule that is spelt almost as the request's.
func (n *narrator) noteOnNearest(host string) {
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return
	}
	var names []string
	for _, t := range n.gateway.Tables {
		for _, h := range slices.Concat(t.Exact, t.Wildcard) {
			// What is much longer or shorter is not near; there may be thousands.
			if name := h.Host.Name(); max(len(name)-len(host), len(host)-len(name)) <= max(1, len(name)/4) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	if near, ok := diag.Nearest(host, slices.Compact(names)); ok {
		n.note("no rule names %s; did you mean %s?", host, near)
	}
}

// noteOnNothing says that there is nothing that any request could come to.
func (n *narrator) noteOnNothing() {
	switch count := len(n.gateway.Unserved); {
	case count == 0:
		n.note("no request is served at all: there is no Ingress that has a rule or a default backend which could be")
	case len(n.story.Unserved) == 0:
		first := n.gateway.Unserved[0]
		n.note("no request is served at all; of the Ingresses that class or labels leave out (%d) the first is %s: %s", count, first.Origin.Object(), first.Reason)
	default:
		n.note("no request is served at all")
	}
}
