package dataplane_test

import (
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest/limits"
	"github.com/postern-gateway/postern/controlplane/casetest/live"
)

// TestRateLimits asks the Go data plane for more than it may give.
func TestRateLimits(t *testing.T) { limits.Run(t, live.Go) }

// TestInFlight asks it for more than it may answer at once.
func TestInFlight(t *testing.T) { limits.RunInFlight(t, live.Go) }
