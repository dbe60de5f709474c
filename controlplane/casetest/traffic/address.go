package traffic

import (
	"net"
	"testing"
)

// FreeAddress is a loopback address with a port that nobody listens on. Somebody may take it before it is used.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
