// Package namespace runs tests in a Linux network of their own, where any address may be local and every port is free.
package namespace

import (
	"os"
	"testing"
)

// insideVariable is set in the process that is inside; faultVariable says why there is none, where that is so.
const (
	insideVariable = "POSTERN_TEST_NAMESPACE"
	faultVariable  = "POSTERN_TEST_NO_NAMESPACE"
)

// Network is what there is in it besides 127.0.0.0/8.
type Network struct {
	// Local are prefixes, each address of which is the machine's own without being an interface's.
	Local []string
}

// Inside says whether this process is in such a network.
func Inside() bool { return os.Getenv(insideVariable) != "" }

// need skips a test that cannot be run for lack of a network; in CI it fails.
func need(t testing.TB, fault string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(fault)
	}
	t.Skip(fault)
}

// Need skips a test where Main could make no network; in CI it fails.
func Need(t testing.TB) {
	t.Helper()
	if fault := os.Getenv(faultVariable); fault != "" {
		need(t, fault)
	}
	if !Inside() {
		t.Fatal("TestMain does not call namespace.Main")
	}
}
