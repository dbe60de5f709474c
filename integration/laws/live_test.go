package laws

import (
	"fmt"
	"net/http"
	"net/netip"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/live"
)

// liveMin is how many broken worlds one run serves by a live Envoy at least.
const liveMin = 100

// TestLiveEnvoyAcceptsMutants: over delta ADS, one world after the other, Envoy refuses nothing and goes on answering
// requests and handshakes.
func TestLiveEnvoyAcceptsMutants(t *testing.T) {
	live.NeedEnvoy(t)
	all := casetest.Load(t, cases)
	perCase := liveMin/len(all) + 1
	for _, c := range all {
		t.Run(c.Name, func(t *testing.T) {
			judge := live.Envoy.Open(t, c)
			for i, result := range mutants(t, c, perCase) {
				if err := judge.Publish(result); err != nil {
					t.Fatalf("seed %d: %v", 1000+i, err)
				}
				for _, table := range result.Gateway.Tables {
					url := table.Entry.Name + "://a.test/"
					p := casetest.Probe{
						Position: fmt.Sprintf("seed %d", 1000+i), Method: http.MethodGet, URL: url, Header: http.Header{},
						From: netip.MustParseAddr("127.0.0.1"),
					}
					if a, err := judge.Ask(p); err != nil || a.Status == 0 {
						t.Errorf("seed %d: GET %s: status %d, %v", 1000+i, url, a.Status, err)
					}
				}
			}
		})
	}
}
