package traffic

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
)

const (
	// addressTries bounds the search for a free address.
	addressTries = 8
	// entryPort is the port of every listener; their addresses differ.
	entryPort = 18080
	// addressFirst and addressLast bound the loopback addresses of listeners, as the last three bytes: 127.64.0.0 on.
	addressFirst = 64 << 16
	addressLast  = 127 << 16
)

// FreeAddress is a loopback address for a listener. Beyond 127.0.0.1 and below the ports that the system hands out, nothing
// takes it before it is used; where a system has 127.0.0.1 only, something might.
func FreeAddress() (netip.AddrPort, error) {
	for range addressTries {
		// Drawn, so that processes which test at the same time do not meet.
		n := addressFirst + rand.Uint32N(addressLast-addressFirst)
		address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(n >> 16), byte(n >> 8), byte(n)}), entryPort)
		lis, err := net.Listen("tcp", address.String())
		if err != nil {
			continue
		}
		return address, lis.Close()
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.MustParseAddrPort(lis.Addr().String()), lis.Close()
}

// Entries are the addresses of a gateway's two entries: two ports of one host, as a redirect from one to the other needs.
func Entries(t testing.TB) (http, https string) {
	t.Helper()
	address, err := FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address.String(), netip.AddrPortFrom(address.Addr(), address.Port()+1).String()
}

// Address is a FreeAddress as text.
func Address(t testing.TB) string {
	t.Helper()
	address, err := FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address.String()
}
