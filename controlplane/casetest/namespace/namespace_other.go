//go:build !linux

package namespace

import (
	"os"
	"testing"
)

const elsewhere = "only Linux has network namespaces"

// Test skips the test: see namespace_linux.go.
func Test(t *testing.T, _ Network) bool {
	t.Helper()
	need(t, elsewhere)
	return false
}

// Main runs the tests as things are, and those that call Need are skipped: see namespace_linux.go.
func Main(_ Network, run func() int) int {
	_ = os.Setenv(faultVariable, elsewhere)
	return run()
}
