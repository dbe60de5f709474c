package explain

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// addressesMax is how many addresses X-Forwarded-For may have, the peer's own included, for Envoy 1.40 to read any.
const addressesMax = 20

// client is the client's address as trusted proxies tell it; where they do not tell it legibly it is not valid, and the
// reason is told.
func (n *narrator) client() (netip.Addr, string) {
	proxies := n.gateway.Edge.TrustedProxies
	if !trusts(proxies, n.request.From) {
		return n.request.From, ""
	}
	hops := strings.Split(strings.Join(n.headers.Values("X-Forwarded-For"), ","), ",")
	if len(hops) > addressesMax {
		return netip.Addr{}, "X-Forwarded-For has too many addresses"
	}
	slices.Reverse(hops)
	for i, hop := range hops {
		hop = strings.Trim(hop, " \t")
		addr, err := netip.ParseAddr(hop)
		if err != nil || addr.Zone() != "" {
			return netip.Addr{}, "X-Forwarded-For has no address where the client's would be"
		}
		if !trusts(proxies, addr) || i == len(hops)-1 {
			return addr, ""
		}
	}
	return netip.Addr{}, ""
}

// nobody is the address by which a client goes whose own cannot be read.
var nobody = netip.MustParseAddr("100::")

// refusesAccess answers a request that the route does not admit.
func (n *narrator) refusesAccess(r model.Route) bool {
	if r.Access == nil {
		return false
	}
	if s := r.Access.Sources; s != nil && !n.admitsSource(*s) {
		return true
	}
	return r.Access.Hosts != nil && !n.admitsHost(*r.Access.Hosts)
}

// refusesClient answers whom the whole gateway does not admit, whatever the route and where there is none.
func (n *narrator) refusesClient() bool {
	ranges := n.gateway.Edge.AllowedClients
	addr, unread := n.client()
	if unread != "" {
		addr = nobody
	}
	if len(ranges) == 0 || slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return false
	}
	n.routed, n.routedBy, n.filtered = true, n.headers, true
	n.addOrigins(model.Origins{{Kind: "flag", Name: "--allowed-clients"}})
	n.story.Decision = Decision{Status: http.StatusForbidden, Reason: "--allowed-clients refuses it: " + cmp.Or(unread, addr.String()+" is in none of its ranges")}
	return true
}

func (n *narrator) admitsSource(s model.Sources) bool {
	addr, unread := n.request.From, ""
	if s.Forwarded {
		addr, unread = n.client()
	}
	if unread != "" {
		addr = nobody
	}
	if slices.ContainsFunc(s.Ranges, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		n.note("%s admits %s", s.Origin.Annotation, addr)
		return true
	}
	n.answering = PolicySources
	n.refuse(s.Origin, cmp.Or(unread, addr.String()+" is in none of its ranges"))
	return false
}

func (n *narrator) admitsHost(h model.AllowedHosts) bool {
	name := n.target.authority
	for _, header := range h.Headers {
		if said := strings.Join(n.headers.Values(header), ","); said != "" {
			name = said
			break
		}
	}
	if slices.Contains(h.Names, strings.ToLower(name)) {
		return true
	}
	n.answering = PolicyHosts
	n.refuse(h.Origin, name+" is none of its hosts")
	return false
}

func (n *narrator) refuse(by diag.Origin, why string) {
	n.addOrigins(model.Origins{by})
	n.story.Decision = Decision{Status: http.StatusForbidden, Reason: by.Annotation + " refuses it: " + why}
}

// accessWords are the limits of a route as the printed model has them.
func accessWords(a *model.Access) []string {
	if a == nil {
		return nil
	}
	var out []string
	if s := a.Sources; s != nil {
		who := "peer"
		if s.Forwarded {
			who = "client"
		}
		out = append(out, who+" in "+rangeList(s.Ranges))
	}
	if h := a.Hosts; h != nil {
		out = append(out, strings.Join(append(slices.Clone(h.Headers), "host"), ",")+" in "+strings.Join(h.Names, ","))
	}
	return out
}

func rangeList(ranges []netip.Prefix) string {
	var out []string
	for _, p := range ranges {
		out = append(out, p.String())
	}
	return strings.Join(out, ",")
}
