package proxy

import (
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/postern-gateway/postern/dataplane/config"
)

var (
	first  = netip.MustParseAddrPort("10.0.0.1:80")
	second = netip.MustParseAddrPort("10.0.0.2:80")
	both   = []netip.AddrPort{first, second}
)

// TestEjection follows two endpoints through the periods of a driven clock, as Envoy 1.40 was seen to go through them.
func TestEjection(t *testing.T) {
	now := time.Unix(0, 0)
	h := newHealth(&config.Outliers{
		Period: 10 * time.Second, Percent: 51, Errors: []config.StatusRange{{From: 500, To: 600}}, Connections: true,
	}, func() time.Time { return now })
	at := func(seconds int, want ...netip.AddrPort) {
		t.Helper()
		now = time.Unix(int64(seconds), 0)
		if got := h.usable(both); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("after %d s: %v may be asked, want %v", seconds, got, want)
		}
	}
	answers := func(e netip.AddrPort, statuses ...int) {
		for _, s := range statuses {
			h.answered(e, s)
		}
	}
	answers(first, 500, 200) // a half is less than 51 %
	answers(second, 500, 0, 404)
	at(9, first, second) // the period is not over
	at(10, first)
	answers(first, 503)
	at(19, first)
	at(20, second) // the second is back; all that the first answered was a failure
	at(30, first, second)
	answers(first, 500)
	answers(second, 500)
	at(40)
	at(1000, first, second) // nobody asked for long
	answers(first, 500)
	h.keep([]netip.AddrPort{second})
	at(1011, first, second) // one that went and came back is a new one
}

// TestLocalFailuresApart: where only answers count, an endpoint that gives none is neither good nor bad.
func TestLocalFailuresApart(t *testing.T) {
	now := time.Unix(0, 0)
	h := newHealth(&config.Outliers{Period: time.Second, Percent: 100, Errors: []config.StatusRange{{From: 404, To: 405}}}, func() time.Time { return now })
	h.answered(first, 0)
	h.answered(second, 0)
	h.answered(second, 404)
	now = now.Add(time.Second)
	if got := h.usable(both); len(got) != 1 || got[0] != first {
		t.Errorf("%v may be asked", got)
	}
}

func TestLeastRequest(t *testing.T) {
	h := newHealth(nil, time.Now)
	end := h.begin(first)
	for range 200 {
		if e := h.lighter(both); e == second {
			end()
			if h.states[first].active != 0 {
				t.Error("a request that ended is in flight")
			}
			return
		}
	}
	t.Error("the endpoint without a request was never chosen")
}

// TestSessionValue: the values were Envoy 1.40's.
func TestSessionValue(t *testing.T) {
	const envoys = "ChAxMjcuMC4wLjc3OjE5MTAx"
	if got := sessionValue("127.0.0.77:19101"); got != envoys {
		t.Errorf("value %s", got)
	}
	for cookie, want := range map[string]string{
		`s="` + envoys + `"`:            "127.0.0.77:19101",
		"a=b; s=" + envoys:              "127.0.0.77:19101",
		"s=MTI3LjAuMC43NzoxOTEwMg==":    "127.0.0.77:19102", // an address by itself
		"s=" + envoys + "; s=zzz":       "127.0.0.77:19101",
		"s=zzz; s=" + envoys:            "",
		"S=" + envoys:                   "",
		"s=%%%":                         "",
		"s":                             "",
		`s="`:                           "",
		"s=CP///////////wE=":            "",
		"s=ChA=":                        "\n\x10",
		"t=" + envoys + ";s" + "=" + "": "",
	} {
		if got := newSession(&config.Session{Cookie: "s"}, http.Header{"Cookie": {cookie}}).endpoint; got != want {
			t.Errorf("%s: endpoint %q, want %q", cookie, got, want)
		}
	}
}
