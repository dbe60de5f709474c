// Package limits says how much a data plane may take of its machine.
package limits

import (
	"io/fs"
	"strconv"
	"strings"
)

const (
	// ConnectionsMax is Envoy's advice for an edge proxy (configuration/best_practices/edge), whatever the machine.
	ConnectionsMax = 50000
	// filesPerConnection: a client's connection has one to a backend behind it.
	filesPerConnection = 2
	// MemoryMax is Envoy's advice too.
	MemoryMax = 2 << 30
)

// Connections is how many connections of clients a data plane takes at once, over all its listeners: no more than for
// which there are file descriptors, by the hard limit, which both Envoy and Go programs raise theirs to.
func Connections() int { return connections(descriptors()) }

func connections(files uint64) int { return int(min(ConnectionsMax, files/filesPerConnection)) }

// limitFiles have the memory limit of the container that the process is in: cgroup v2, v1.
var limitFiles = []string{"sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"}

// Memory is how many bytes of heap a data plane may take: three quarters of the container's limit, or 2 GiB where there
// is none or it is above that. The rest is for what is no heap, and for the control plane beside it. root is the file
// system from / on.
func Memory(root fs.FS) uint64 {
	limit := uint64(MemoryMax)
	for _, file := range limitFiles {
		text, err := fs.ReadFile(root, file)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
			limit = min(limit, n/4*3)
		}
	}
	return limit
}
