package model

import (
	"net/netip"

	"github.com/postern-gateway/postern/translator/diag"
)

// Access limits who may use a route, and by which names. A request that one of its limits refuses is answered 403, before
// any redirect of the route.
type Access struct {
	// Sources, where not nil, are the addresses that are admitted.
	Sources *Sources
	// Hosts, where not nil, are the names that are admitted.
	Hosts *AllowedHosts
}

// Sources are addresses that may use a route.
type Sources struct {
	// Ranges are sorted and masked, and there is one at least.
	Ranges []netip.Prefix
	// Forwarded compares the client's address as trusted proxies tell it (Edge.TrustedProxies), else the peer's.
	Forwarded bool
	Origin    diag.Origin
}

// AllowedHosts are names by which a route may be asked for.
type AllowedHosts struct {
	// Names are sorted, in lower case, with a port where requests must name it; there is one at least.
	Names []string
	// Headers are read for the name in place of the request's host: the first that is not empty counts. They are in lower
	// case, and such as only trusted proxies may send.
	Headers []string
	Origin  diag.Origin
}
