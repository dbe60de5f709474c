package resolve

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// refusedRange is addresses that no name outside of the cluster may have.
type refusedRange struct {
	netip.Prefix
	// why ends the sentence "ADDRESS is".
	why string
}

// metadata is what clouds answer their machines on, tokens included.
const metadata = "a cloud's metadata service"

// refusedRanges hold whatever the cluster. The first that has the address gives the reason.
var refusedRanges = []refusedRange{
	{netip.MustParsePrefix("169.254.169.254/32"), metadata},                          // most of them
	{netip.MustParsePrefix("100.100.100.200/32"), metadata},                          // Alibaba
	{netip.MustParsePrefix("168.63.129.16/32"), metadata},                            // Azure: the wire server
	{netip.MustParsePrefix("192.0.0.192/32"), metadata},                              // Oracle
	{netip.MustParsePrefix("fd00:c1::a9fe:a9fe/128"), metadata},                      // Oracle
	{netip.MustParsePrefix("fd00:ec2::/32"), metadata},                               // AWS; DNS and time are beside it
	{netip.MustParsePrefix("fd20:ce::254/128"), metadata},                            // Google
	{netip.MustParsePrefix("fd00:42::42/128"), metadata},                             // Scaleway
	{netip.MustParsePrefix("fe80::a9fe:a9fe/128"), metadata},                         // OpenStack
	{netip.MustParsePrefix("0.0.0.0/8"), "this host and network (RFC 1122)"},         // 0.0.0.0 connects to loopback
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},                               // RFC 1122
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},                          // RFC 3927
	{netip.MustParsePrefix("192.0.0.0/24"), "for protocols, not hosts (RFC 6890)"},   // NAT64 discovery and others
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},                              // RFC 5771
	{netip.MustParsePrefix("255.255.255.255/32"), "broadcast"},                       // RFC 919
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved (RFC 1112)"},                    // never public; some clouds use it inside
	{netip.MustParsePrefix("::/128"), "unspecified"},                                 // RFC 4291
	{netip.MustParsePrefix("::1/128"), "loopback"},                                   // RFC 4291
	{netip.MustParsePrefix("fe80::/10"), "link-local"},                               // RFC 4291
	{netip.MustParsePrefix("fec0::/10"), "site-local (RFC 3879)"},                    // never public
	{netip.MustParsePrefix("ff00::/8"), "multicast"},                                 // RFC 4291
	{netip.MustParsePrefix("64:ff9b:1::/48"), "a local NAT64's, whatever is behind"}, // RFC 8215
	{netip.MustParsePrefix("2001::/32"), "a Teredo tunnel's, whatever is behind"},    // RFC 4380
}

// embeddings are the IPv6 ranges whose addresses stand for the IPv4 address that begins at a byte of theirs.
var embeddings = []struct {
	netip.Prefix
	at   int
	name string
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12, "NAT64"},              // RFC 6052
	{netip.MustParsePrefix("2002::/16"), 2, "6to4"},                   // RFC 3056
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12, "IPv4-translated"}, // RFC 2765
	{netip.MustParsePrefix("::/96"), 12, "IPv4-compatible"},           // RFC 4291, deprecated
}

// embedded is the IPv4 address that an IPv6 address stands for, and by what rule.
func embedded(addr netip.Addr) (netip.Addr, string, bool) {
	if !addr.Is6() {
		return netip.Addr{}, "", false
	}
	bytes := addr.As16()
	for _, e := range embeddings {
		if e.Contains(addr) {
			return netip.AddrFrom4([4]byte(bytes[e.at : e.at+4])), e.name, true
		}
	}
	return netip.Addr{}, "", false
}

// addressGuard says which addresses no name outside of the cluster may have: what is inside of it, and the gateway.
type addressGuard struct {
	known  map[netip.Addr]string
	ranges []refusedRange
}

// fault ends the sentence "ADDRESS is", empty where the address is free to be connected to.
func (g addressGuard) fault(addr netip.Addr) string {
	if !addr.IsValid() {
		return "none"
	}
	addr = plainAddress(addr)
	if why := g.plainFault(addr); why != "" {
		return why
	}
	if inner, rule, ok := embedded(addr); ok {
		if why := g.plainFault(inner); why != "" {
			return fmt.Sprintf("%s for %s, which is %s", rule, inner, why)
		}
	}
	return ""
}

func (g addressGuard) plainFault(addr netip.Addr) string {
	for _, ranges := range [][]refusedRange{refusedRanges, g.ranges} {
		if i := slices.IndexFunc(ranges, func(r refusedRange) bool { return r.Contains(addr) }); i >= 0 {
			return ranges[i].why
		}
	}
	return g.known[addr]
}

// plainAddress is an address without a zone, and an IPv4 address that is written as IPv6 as what it is.
func plainAddress(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// guardOf gathers the addresses of everything that is known to be inside.
func guardOf(in Input) addressGuard {
	g := addressGuard{known: map[netip.Addr]string{}}
	for _, p := range in.Settings.ExternalNames.Deny {
		g.deny(p, "in "+p.String()+" of --deny-cidr")
	}
	for _, addr := range in.Settings.ExternalNames.Own {
		g.know(addr, "the gateway's own")
	}
	for _, e := range in.Settings.Entries {
		g.know(e.Address.Addr(), "the gateway's own")
	}
	for _, b := range in.Settings.Backends {
		g.know(b.Address.Addr(), "that of Service "+b.Service.String())
	}
	for _, s := range in.World.Services {
		of := "that of " + s.Origin("").Object()
		g.parse(of, s.Spec.ClusterIP, s.Spec.LoadBalancerIP)
		g.parse(of, s.Spec.ClusterIPs...)
		g.parse(of, s.Spec.ExternalIPs...)
		for _, ingress := range s.Status.LoadBalancer.Ingress {
			g.parse(of, ingress.IP)
		}
	}
	for _, s := range in.World.EndpointSlices {
		of := "that of " + s.Place.Origin("EndpointSlice", s.Namespace, s.Name, "").Object()
		for _, e := range s.Endpoints {
			g.parse(of, e.Addresses...)
		}
	}
	for _, e := range in.World.Endpoints {
		of := "that of " + e.Place.Origin("Endpoints", e.Namespace, e.Name, "").Object()
		for _, subset := range e.Subsets {
			for _, a := range slices.Concat(subset.Addresses, subset.NotReadyAddresses) {
				g.parse(of, a.IP)
			}
		}
	}
	g.nodes(in)
	return g
}

// nodes knows what a Node is reached at, and the ranges of its pods.
func (g *addressGuard) nodes(in Input) {
	for _, n := range in.World.Nodes {
		of := n.Place.Origin("Node", "", n.Name, "").Object()
		for _, a := range n.Status.Addresses {
			g.parse("that of "+of, a.Address)
		}
		for _, text := range append([]string{n.Spec.PodCIDR}, n.Spec.PodCIDRs...) {
			if p, err := netip.ParsePrefix(text); err == nil {
				g.deny(p, "in the range of pods of "+of)
			}
		}
	}
	// Ranges may overlap, and objects come in any order.
	slices.SortFunc(g.ranges, func(a, b refusedRange) int {
		return cmp.Or(a.Prefix.Compare(b.Prefix), cmp.Compare(a.why, b.why))
	})
}

func (g *addressGuard) deny(p netip.Prefix, why string) {
	if addr := p.Addr(); addr.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(addr.Unmap(), p.Bits()-96)
	}
	g.ranges = append(g.ranges, refusedRange{p.Masked(), why})
}

// parse knows the addresses among the texts; others, such as None for a headless Service, are none.
func (g *addressGuard) parse(of string, texts ...string) {
	for _, text := range texts {
		if addr, err := netip.ParseAddr(text); err == nil {
			g.know(addr, of)
		}
	}
}

// know gives an address that several things have to the one that comes first, whatever their order.
func (g *addressGuard) know(addr netip.Addr, what string) {
	addr = plainAddress(addr)
	if old, ok := g.known[addr]; !ok || what < old {
		g.known[addr] = what
	}
}

// knownNames are the names by which load balancers of Services and Nodes are known, and whose they are.
func knownNames(in Input) map[string]string {
	out := map[string]string{}
	note := func(name, what string) {
		name = canonicalName(name)
		if old, ok := out[name]; name != "" && (!ok || what < old) {
			out[name] = what
		}
	}
	for _, s := range in.World.Services {
		for _, ingress := range s.Status.LoadBalancer.Ingress {
			note(ingress.Hostname, "it is the load balancer of "+s.Origin("").Object())
		}
	}
	for _, n := range in.World.Nodes {
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeHostName || a.Type == corev1.NodeInternalDNS || a.Type == corev1.NodeExternalDNS {
				note(a.Address, "it is "+n.Place.Origin("Node", "", n.Name, "").Object())
			}
		}
	}
	return out
}

// reachable leaves out the addresses of a family that the gateway's machine has no way to. An IPv6 address of its own
// that is not public is a way only where it has no IPv4: a laptop's tunnel must not take half of the requests. Where
// nothing would remain, or nothing is known of the machine, everything does.
func reachable(addresses, own []netip.Addr) []netip.Addr {
	var has4, has6, public6 bool
	for _, a := range own {
		a = plainAddress(a)
		if !a.IsGlobalUnicast() {
			continue
		}
		has4 = has4 || a.Is4()
		has6 = has6 || a.Is6()
		public6 = public6 || a.Is6() && !a.IsPrivate()
	}
	way4, way6 := has4 || !has6, public6 || has6 && !has4
	var out []netip.Addr
	for _, a := range addresses {
		if a.Is4() && way4 || a.Is6() && way6 {
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		return addresses
	}
	return out
}
