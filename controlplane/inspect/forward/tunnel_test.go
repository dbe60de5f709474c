package forward

import (
	"errors"
	"testing"
)

// TestFaults: why the other end has gone is told, also where it is known only after a copy has failed of it.
func TestFaults(t *testing.T) {
	type logged struct{ words, err string }
	copied := logged{"Error copying from local connection to remote stream", "reset"}
	refused := logged{"An error occurred forwarding", "connection refused"}
	later := logged{"Error reading from error stream", "EOF"}
	for _, tt := range []struct {
		logged []logged
		want   string
	}{
		{nil, ""}, {[]logged{copied}, "reset"}, {[]logged{refused, copied}, "connection refused"},
		{[]logged{copied, refused, later}, "connection refused"}, {[]logged{refused, later}, "connection refused"},
		{[]logged{{"lost connection", ""}, copied}, "lost connection"},
	} {
		var f faults
		for _, l := range tt.logged {
			var err error
			if l.err != "" {
				err = errors.New(l.err)
			}
			f.Error(err, l.words)
		}
		got := ""
		if err := f.first(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%v: %q, want %q", tt.logged, got, tt.want)
		}
	}
}
