// Package cases asks the probes of every case of a real Envoy.
package cases

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/corpus"
	"github.com/postern-gateway/postern/controlplane/casetest/limits"
	"github.com/postern-gateway/postern/controlplane/casetest/live"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestEnvoy is the third judge of the cases in translator/testdata.
func TestEnvoy(t *testing.T) {
	live.NeedEnvoy(t)
	casetest.Run(t, "../../translator/testdata", live.Envoy)
}

// TestBootstrap is the fourth judge: the one file of translate -o bootstrap, run by envoy -c, answers as xDS does.
func TestBootstrap(t *testing.T) {
	live.NeedEnvoy(t)
	casetest.Run(t, "../../translator/testdata", live.Bootstrap)
}

// TestCorpus sends every raw request of the corpus to a real Envoy.
func TestCorpus(t *testing.T) {
	live.NeedEnvoy(t)
	corpus.Run(t, "../../controlplane/casetest/corpus/testdata", live.Envoy)
}

// TestRateLimits asks a real Envoy for more than it may give.
func TestRateLimits(t *testing.T) {
	live.NeedEnvoy(t)
	limits.Run(t, live.Envoy)
}

// TestInFlight asks it for more than it may answer at once.
func TestInFlight(t *testing.T) {
	live.NeedEnvoy(t)
	limits.RunInFlight(t, live.Envoy)
}

// TestCorpusLimited sends it where what is closed to everyone is open to some.
func TestCorpusLimited(t *testing.T) {
	live.NeedEnvoy(t)
	corpus.RunLimited(t, "../../controlplane/casetest/corpus/testdata", live.Envoy)
}

// TestWithoutAuthorizer: an Envoy that nobody tells who a user is takes the configuration, and admits nobody: without a
// cluster for it, and with one at which nobody listens.
func TestWithoutAuthorizer(t *testing.T) {
	live.NeedEnvoy(t)
	for _, court := range []casetest.Court{live.Alone, live.Unanswered} {
		for _, c := range casetest.Load(t, "../../translator/testdata/auth") {
			if c.Name != "hashes" && c.Name != "forward" {
				continue
			}
			t.Run(court.Name+"/"+c.Name, func(t *testing.T) {
				results, err := c.Translate()
				if err != nil {
					t.Fatal(err)
				}
				judge := court.Open(t, c)
				if err := judge.Publish(results[0]); err != nil {
					t.Fatal(err)
				}
				for _, p := range c.Steps[0].Probes {
					answer, err := judge.Ask(p)
					if err != nil || answer.Status != 503 || answer.Seen != nil {
						t.Errorf("%s: %d, %v, seen %+v; want 503", p.Line, answer.Status, err, answer.Seen)
					}
				}
			})
		}
	}
}
