//go:build !linux

package incluster

import "testing"

// Elsewhere than on Linux cluster.Start skips the tests that mount.
func mountMemory(t *testing.T, _ string) { t.Fatal("only Linux has namespaces of mounts") }

func mountFile(t *testing.T, _, _ string) { t.Fatal("only Linux has namespaces of mounts") }
