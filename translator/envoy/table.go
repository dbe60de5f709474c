package envoy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/postern-gateway/postern/translator/model"
)

// tableBuilder renders an entry's table as the connections of one TLS group may see it.
type tableBuilder struct {
	table model.Table
	edge  model.Edge
	group model.TLSGroup
	// groupOf finds the group of a host that has TLS settings.
	groupOf map[model.Host]model.TLSGroup
	// rest are the routes that back every host.
	rest []model.Route
	out  *routev3.RouteConfiguration
}

// routeConfiguration renders one entry's table for the connections of a group. A request for a host of another group is
// misdirected there: the client came by the name of one host and asks for another, as clients of HTTP/2 do that share a
// connection between hosts, or as one does that means to walk around a client certificate.
func routeConfiguration(name string, t model.Table, edge model.Edge, group model.TLSGroup) *routev3.RouteConfiguration {
	b := tableBuilder{
		table: t, edge: edge, group: group, groupOf: groupsByHost(t), rest: slices.Concat(t.Any, t.Default),
		out: &routev3.RouteConfiguration{
			Name:                     name,
			IgnorePortInHostMatching: true,
			RequestHeadersToRemove:   []string{"x-envoy-external-address", "x-envoy-expected-rq-timeout-ms", "x-envoy-attempt-count", unknownClientHeader},
		},
	}
	for _, h := range t.Exact {
		b.exact(h)
	}
	for _, h := range t.Wildcard {
		b.wildcard(h)
	}
	b.others()
	return b.out
}

// groupsByHost finds the group of each host that has TLS settings.
func groupsByHost(t model.Table) map[model.Host]model.TLSGroup {
	out := map[model.Host]model.TLSGroup{}
	for _, g := range t.Groups {
		for _, host := range g.Hosts {
			out[host] = g
		}
	}
	return out
}

// own says whether a host is of the group that is rendered.
func (b *tableBuilder) own(h model.Host) bool { return b.groupOf[h].Name == b.group.Name }

func (b *tableBuilder) host() *hostBuilder {
	return &hostBuilder{edge: b.edge, entry: b.table.Entry}
}

func (b *tableBuilder) add(domain string, h *hostBuilder) {
	b.out.VirtualHosts = append(b.out.VirtualHosts, &routev3.VirtualHost{Name: domain, Domains: []string{domain}, Routes: h.routes})
}

// exact adds an exact host. Envoy chooses one virtual host and never looks at another, so each ends with the routes of
// every broader host.
func (b *tableBuilder) exact(h model.HostRoutes) {
	host := b.host()
	host.oneHost = true
	if !b.own(h.Host) {
		// In the group of a wildcard, an exact host needs a place only where the wildcard's would take it.
		if b.group.Name == "" || slices.ContainsFunc(b.group.Hosts, func(w model.Host) bool { return w.Covers(h.Host) }) {
			host.misdirected(prefixPath("/"), nil, h.Routes[0].Origins)
			b.add(h.Host.Name(), host)
		}
		return
	}
	host.add(h.Routes, nil)
	for _, w := range b.table.Wildcard {
		switch {
		case !w.Host.Covers(h.Host):
		case b.groupOf[w.Host].Name == "" || b.own(w.Host):
			host.add(w.Routes, nil)
		default:
			// The wildcard asks of connections what these have not shown.
			for _, r := range w.Routes {
				host.misdirected(host.match(r), nil, r.Origins)
			}
		}
	}
	host.add(b.rest, nil)
	b.add(h.Host.Name(), host)
}

func (b *tableBuilder) wildcard(h model.HostRoutes) {
	host := b.host()
	one := []*routev3.HeaderMatcher{oneLabel(h.Host)}
	switch {
	case b.own(h.Host) && b.group.Name == "":
		host.add(h.Routes, one)
	case b.own(h.Host):
		more := oneLabel(h.Host)
		more.InvertMatch = true
		host.misdirected(prefixPath("/"), []*routev3.HeaderMatcher{more}, h.Routes[0].Origins)
		host.add(h.Routes, nil)
	case b.group.Name == "":
		host.misdirected(prefixPath("/"), one, h.Routes[0].Origins)
	default:
		return
	}
	host.add(b.rest, nil)
	b.add(h.Host.Name(), host)
}

// others adds the hosts that no rule names.
func (b *tableBuilder) others() {
	host := b.host()
	if b.group.Name != "" {
		host.misdirected(prefixPath("/"), nil, b.group.Origins)
	} else if host.add(b.rest, nil); len(host.routes) == 0 {
		return
	}
	b.add("*", host)
}

// oneLabel admits exactly one label in place of a wildcard's star. Envoy's *.x takes any number of them; that the
// suffix fits is already sure, so counting dots is enough, and keeps the regex small whatever the host's length.
func oneLabel(h model.Host) *routev3.HeaderMatcher {
	return headerMatch(":authority", regex(fmt.Sprintf(`[^.]*(?:\.[^.]*){%d}`, strings.Count(h.Name(), "."))))
}

// misdirected answers 421, upon which a client may ask again on a connection of its own (RFC 9110, 15.5.20).
func (b *hostBuilder) misdirected(match *routev3.RouteMatch, under []*routev3.HeaderMatcher, origins model.Origins) {
	match.Headers = under
	b.routes = append(b.routes, &routev3.Route{
		Match: match, Action: directResponse(http.StatusMisdirectedRequest), Metadata: originMetadata(origins),
	})
}
