package names

import (
	"fmt"
	"net"
	"net/netip"
)

// Asking makes a Resolver that asks the servers given, as ADDRESS or ADDRESS:PORT, or the system's where there are none.
func Asking(servers []string) (*Resolver, error) {
	if len(servers) == 0 {
		return New(Options{}), nil
	}
	parsed, err := ParseServers(servers)
	if err != nil {
		return nil, fmt.Errorf("--dns-server %w", err)
	}
	return New(Options{Servers: func() ([]netip.AddrPort, error) { return parsed, nil }}), nil
}

// OwnAddresses are those of this machine's interfaces: no name outside may lead to them.
func OwnAddresses() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("ask for the addresses of this machine: %w", err)
	}
	var out []netip.Addr
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr())
		}
	}
	return out, nil
}
