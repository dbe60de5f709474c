package incluster

import (
	"syscall"
	"testing"
)

// mountMemory has an empty folder in the place of another, until the test ends. In the tests' own namespace of mounts nobody
// else sees it.
func mountMemory(t *testing.T, at string) {
	t.Helper()
	mounted(t, at, syscall.Mount("tmpfs", at, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, ""))
}

// mountFile has a file in the place of another, likewise.
func mountFile(t *testing.T, file, at string) {
	t.Helper()
	mounted(t, at, syscall.Mount(file, at, "", syscall.MS_BIND, ""))
}

func mounted(t *testing.T, at string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("mount %s: %v", at, err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(at, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", at, err)
		}
	})
}
