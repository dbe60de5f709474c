package limits

import (
	"math"
	"testing"
	"testing/fstest"
)

func TestConnections(t *testing.T) {
	for files, want := range map[uint64]int{1024: 512, 20000: 10000, 1 << 20: 50000, math.MaxUint64: 50000} {
		if got := connections(files); got != want {
			t.Errorf("%d files: %d connections, want %d", files, got, want)
		}
	}
	if got := Connections(); got <= 0 || got > ConnectionsMax {
		t.Errorf("here %d connections", got)
	}
}

func TestMemory(t *testing.T) {
	const v2, v1 = "sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"
	for _, tt := range []struct {
		file, text string
		want       uint64
	}{
		{"none", "", 2 << 30}, {v2, "max\n", 2 << 30}, {v2, "536870912\n", 402653184}, {v2, "0\n", 2 << 30},
		{v1, "1073741824\n", 805306368}, {v1, "9223372036854771712\n", 2 << 30},
	} {
		if got := Memory(fstest.MapFS{tt.file: {Data: []byte(tt.text)}}); got != tt.want {
			t.Errorf("%s %q: %d bytes, want %d", tt.file, tt.text, got, tt.want)
		}
	}
}
