package laws

import (
	"fmt"
	"net/http"
	"net/netip"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/explain"
)

// liveMin is how many broken worlds one run serves by a live Envoy at least.
const liveMin = 100

// TestLiveEnvoyAcceptsMutants: over delta ADS, one world after the other, Envoy refuses nothing and goes on answering
// requests and handshakes.
func TestLiveEnvoyAcceptsMutants(t *testing.T) {
	live.NeedEnvoy(t)
	acceptsMutants(t, live.Envoy)
}

// TestGoAcceptsMutants: neither does the Go data plane, which refuses whatever it does not support.
func TestGoAcceptsMutants(t *testing.T) { acceptsMutants(t, live.Go) }

func acceptsMutants(t *testing.T, court casetest.Court) {
	all := casetest.Load(t, cases)
	perCase := liveMin/len(all) + 1
	for _, c := range all {
		t.Run(c.Name, func(t *testing.T) {
			judge := court.Open(t, c)
			for i, result := range mutants(t, c, perCase) {
				if err := judge.Publish(result); err != nil {
					t.Fatalf("seed %d: %v", firstMutant+i, err)
				}
				askEntries(t, judge, result, firstMutant+i)
			}
		})
	}
}

// askEntries sends a request, with a handshake where there is one, to every open entry. It is answered, unless the host
// asks for a client certificate.
func askEntries(t *testing.T, judge casetest.Judge, result translator.Result, seed int) {
	t.Helper()
	for _, table := range result.Gateway.Tables {
		p := casetest.Probe{
			Position: fmt.Sprintf("seed %d", seed), Method: http.MethodGet, URL: table.Entry.Name + "://a.test/", Header: http.Header{},
			From: netip.MustParseAddr("127.0.0.1"),
		}
		story, err := explain.Explain(result.Gateway, nil, explain.Request{URL: p.URL})
		if err != nil {
			t.Fatal(err)
		}
		guarded := story.Connection != nil && story.Connection.ClientCA != ""
		if a, err := judge.Ask(p); err != nil || (a.Status == 0) != guarded {
			t.Errorf("seed %d: GET %s: status %d, %v", seed, p.URL, a.Status, err)
		}
	}
}
