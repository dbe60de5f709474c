package up

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/postern-gateway/postern/controlplane/names"
)

// newResolver asks the servers given, or those of the system.
func newResolver(servers []string) (*names.Resolver, error) {
	if len(servers) == 0 {
		return names.New(names.Options{}), nil
	}
	parsed, err := names.ParseServers(servers)
	if err != nil {
		return nil, fmt.Errorf("--dns-server %w", err)
	}
	return names.New(names.Options{Servers: func() ([]netip.AddrPort, error) { return parsed, nil }}), nil
}

// ownAddresses are those of this machine's interfaces. Should they not be told, the last ones count.
func (r *runner) ownAddresses() []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		r.log.Warn("ask for the addresses of this machine", "error", err)
		return r.settings.Resolve.ExternalNames.Own
	}
	var out []netip.Addr
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr())
		}
	}
	return out
}
