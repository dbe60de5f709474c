package traffic

import (
	"net"
	"sync"
	"testing"
)

// given are the addresses of this process that FreeAddress gave.
var given sync.Map

// FreeAddress is a loopback address with a port that nobody listens on, another each time: a system may hand out a port
// again as soon as it was closed. Another process may take it before it is used.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // Not before the search is over, or the next port were this one.
		if _, twice := given.LoadOrStore(l.Addr().String(), true); !twice {
			return l.Addr().String()
		}
	}
}
