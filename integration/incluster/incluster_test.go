// Package incluster runs the control plane against a real API server.
package incluster

import (
	"os"
	"testing"
	"time"

	"github.com/postern-gateway/postern/integration/cluster"
)

// waitMax is a hang limit, not a measure.
const waitMax = 2 * time.Minute

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }
