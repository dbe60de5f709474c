//go:build unix

package limits

import (
	"math"
	"syscall"
)

// descriptors is the hard limit on open files.
func descriptors() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxUint64
	}
	return uint64(limit.Max)
}
