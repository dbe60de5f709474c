package proxy

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/dataplane/config"
)

// clients are lists of X-Forwarded-For, the peer being 10.0.0.9 at their end, and whom Envoy 1.40 took for the client; each
// was asked of it.
var clients = []struct{ list, want string }{
	{"10.0.0.9", "10.0.0.9"},
	{"192.0.2.1,10.0.0.9", "192.0.2.1"},
	{"192.0.2.1, 10.0.0.8,10.0.0.9", "192.0.2.1"},
	{"192.0.2.1 ,\t10.0.0.8,10.0.0.9", "192.0.2.1"},
	{"10.0.0.7, 10.0.0.8,10.0.0.9", "10.0.0.7"},
	{"garbage, 192.0.2.1,10.0.0.9", "192.0.2.1"},
	{",192.0.2.1,10.0.0.9", "192.0.2.1"},
	{"192.0.2.1, garbage,10.0.0.9", "100::"},
	{"192.0.2.1,,10.0.0.9", "100::"},
	{"192.0.2.1:99,10.0.0.9", "100::"},
	{"[2001:db8::1],10.0.0.9", "100::"},
	{"010.1.1.1,10.0.0.9", "100::"},
	{"10.1,10.0.0.9", "100::"},
	{"2001:0DB8::0001,10.0.0.9", "2001:db8::1"},
	{"fd00::1,10.0.0.9", "fd00::1"},
	{"192.0.2.1,fd00::1,10.0.0.9", "192.0.2.1"},
	{"::ffff:192.0.2.1,10.0.0.9", "::ffff:192.0.2.1"},
	{"192.0.2.1,::ffff:10.0.0.8,10.0.0.9", "::ffff:10.0.0.8"},
	{"1:2:3:4:5:6:7::8,10.0.0.9", "100::"},
	{"192.0.2.1" + strings.Repeat(",10.0.0.8", 18) + ",10.0.0.9", "192.0.2.1"},
	{"192.0.2.1" + strings.Repeat(",10.0.0.8", 19) + ",10.0.0.9", "100::"},
	{strings.Repeat("192.0.2.9,", 19) + "10.0.0.9", "192.0.2.9"},
	{strings.Repeat("192.0.2.9,", 20) + "10.0.0.9", "100::"},
}

func TestClient(t *testing.T) {
	d := &config.ClientDetection{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("fd00::/64")}, Otherwise: "x-unknown"}
	for _, row := range clients {
		h := http.Header{"X-Forwarded-For": {row.list}, "X-Unknown": {"100::"}}
		if got := client(d, h).String(); got != row.want {
			t.Errorf("%q: the client is %s, want %s", row.list, got, row.want)
		}
	}
}
