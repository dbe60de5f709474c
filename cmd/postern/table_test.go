package main

import (
	"strings"
	"testing"

	"github.com/postern-gateway/postern/controlplane/inspect"
)

// TestAuthorizersAreNoProxies: in a table a data plane's second stream is told from its proxy.
func TestAuthorizersAreNoProxies(t *testing.T) {
	proxy := inspect.Proxy{Node: "edge", Agent: "envoy"}
	authorizer := inspect.Proxy{Node: "edge-authorizer", Agent: "postern-authorizer", Authorizer: true}
	for _, tt := range []struct {
		of    []inspect.Proxy
		none  bool
		heads int
	}{{nil, true, 0}, {[]inspect.Proxy{authorizer}, true, 1}, {[]inspect.Proxy{proxy, authorizer}, false, 1}} {
		var out strings.Builder
		table := newTable(&out)
		table.proxies(inspect.Proxies{Proxies: tt.of})
		if err := table.end(); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		if strings.Contains(text, "no proxy is connected") != tt.none || strings.Count(text, "NODE") != tt.heads || strings.Count(text, "postern-authorizer (no proxy") != len(tt.of)-strings.Count(text, " envoy ") {
			t.Errorf("of %d:\n%s", len(tt.of), text)
		}
	}
}
