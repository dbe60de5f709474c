package translator_test

import (
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest"
)

// TestGoldens compares the resolved model, the diagnostics and what an edit resends with each case's golden files.
// UPDATE=1 writes them anew.
func TestGoldens(t *testing.T) { casetest.Goldens(t, "testdata") }

// TestCases asks every probe of the explain engine, the first of three judges.
func TestCases(t *testing.T) { casetest.Run(t, "testdata", casetest.Explain) }
