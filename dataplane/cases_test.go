package dataplane_test

import (
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/live"
)

// TestCases is the second judge: it asks the probes of every case in translator/testdata.
func TestCases(t *testing.T) { casetest.Run(t, "../translator/testdata", live.Go) }
