package traefik

import (
	"fmt"
	"testing"
)

func TestRatesAreExact(t *testing.T) {
	for _, row := range []struct{ period, average, want string }{
		{"3s", "6", "3s 6"},
		{"3", "6", "3s 6"},
		{"50ms", "1", "50ms 1"},
		{"49ms", "1", "98ms 2"},
		{"1ms", "7", "50ms 350"},
		{"1.5ms", "10", "51ms 340"},
		{"3us", "1", "51ms 17000"},
		{"100.0005s", "1", "3m20.001s 2"},
		{"8760h", "1", "8760h0m0s 1"},
		{"8760h0m0.001s", "1", ""},
		{"8759h0m0.000000001s", "1", ""},
		{"1ns", "100", ""},
		{"0s", "1", ""},
		{"1s", "4294967296", ""},
	} {
		text := fmt.Sprintf("{extractorfunc: client.ip, rateset: {a: {period: %s, average: %s, burst: 1}}}", row.period, row.average)
		limit, err := parseRateLimit(text)
		got := ""
		if err == nil {
			got = fmt.Sprint(limit.Rates[0].Period, limit.Rates[0].Average)
		}
		if got != row.want {
			t.Errorf("%s of %s: %q (%v), want %q", row.average, row.period, got, err, row.want)
		}
	}
}
