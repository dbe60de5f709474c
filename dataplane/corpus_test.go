package dataplane_test

import (
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest/corpus"
	"github.com/postern-gateway/postern/controlplane/casetest/live"
)

// TestCorpus sends every raw request of the corpus to the Go data plane.
func TestCorpus(t *testing.T) { corpus.Run(t, "../controlplane/casetest/corpus/testdata", live.Go) }

// TestCorpusLimited sends it where what is closed to everyone is open to some.
func TestCorpusLimited(t *testing.T) {
	corpus.RunLimited(t, "../controlplane/casetest/corpus/testdata", live.Go)
}
