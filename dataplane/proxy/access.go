package proxy

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/dataplane/config"
	"github.com/postern-gateway/postern/dataplane/match"
)

// clientsMax is how many addresses X-Forwarded-For may have, that of the peer included, for any to be read (measured on
// Envoy 1.40).
const clientsMax = 20

// sender tells who sent the request. It reads headers as the early mutation made them.
func (x *exchange) sender() match.Sender {
	peer, _ := netip.ParseAddr(x.peer)
	s := match.Sender{Peer: peer, Client: peer}
	if x.manager.Client != nil {
		s.Client = client(x.manager.Client, x.r.Header)
	}
	return s
}

// client is the last address of X-Forwarded-For that is not a trusted proxy's, the first one where all are, and what the
// other header says where something else stands before it, or the list is too long.
func client(d *config.ClientDetection, h http.Header) netip.Addr {
	list := strings.Split(strings.Join(h["X-Forwarded-For"], ","), ",")
	for i := len(list) - 1; i >= 0 && len(list) <= clientsMax; i-- {
		addr, err := netip.ParseAddr(strings.Trim(list[i], blank))
		if err != nil || addr.Zone() != "" {
			break
		}
		if i == 0 || !slices.ContainsFunc(d.Trusted, func(p netip.Prefix) bool { return p.Contains(addr) }) {
			return addr
		}
	}
	otherwise, _ := netip.ParseAddr(h.Get(d.Otherwise))
	return otherwise
}

// admitted tells whether the route admits the request.
func (x *exchange) admitted() bool {
	access := x.route.Filters.Access
	return access == nil || match.Admits(access, x.asked(), x.sender())
}
