package match

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/dataplane/config"
)

// A Sender is who sent a request.
type Sender struct {
	// Peer is the connection's other end, Client the client as trusted proxies tell it. An IPv4 address that a proxy told
	// in the form of IPv6 is one of IPv6, as for Envoy.
	Peer, Client netip.Addr
}

// Admits tells whether a policy admits a request.
func Admits(a *config.Access, r Request, s Sender) bool {
	sent := slices.ContainsFunc(a.Principals, func(p config.Principal) bool {
		return p.Any || p.Peer.Contains(s.Peer) || p.Client.Contains(s.Client)
	})
	return sent && permits(a.Permissions, r)
}

// permits tells whether one of the rules applies to a request.
func permits(rules []config.Permission, r Request) bool {
	return slices.ContainsFunc(rules, func(p config.Permission) bool { return applies(p, r) })
}

func applies(p config.Permission, r Request) bool {
	does := false
	switch {
	case p.Any:
		does = true
	case p.Header != nil:
		does = matchesHeader(p.Header, r)
	case p.Path != nil:
		path, _, _ := strings.Cut(r.Path, "?")
		does = String(*p.Path, path)
	case p.All != nil:
		does = !slices.ContainsFunc(p.All, func(p config.Permission) bool { return !applies(p, r) })
	case p.Some != nil:
		does = permits(p.Some, r)
	}
	return does != p.Not
}

// Header tells whether a header of a request matches.
func Header(m *config.HeaderMatch, r Request) bool { return matchesHeader(m, r) }
