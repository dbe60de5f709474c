// Package cases asks the probes of every case of a real Envoy.
package cases

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/dataplane/envoyproc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestEnvoy is the third judge of the cases in translator/testdata.
func TestEnvoy(t *testing.T) {
	if _, err := envoyproc.Find(""); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	casetest.Run(t, "../../translator/testdata", live.Envoy)
}
