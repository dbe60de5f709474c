package diag

import "testing"

func TestNearest(t *testing.T) {
	for _, c := range []struct {
		word, want string
		found      bool
	}{
		{"PathPrefixStripp", "PathPrefixStrip", true},
		{"pathprefix", "PathPrefix", true},
		{"ture", "true", true},
		{"flase", "false", true},
		{"banana", "", false},
		{"true", "", false},
	} {
		got, found := Nearest(c.word, []string{"Path", "PathPrefix", "PathPrefixStrip", "true", "false"})
		if found != c.found || found && got != c.want {
			t.Errorf("Nearest(%q) is %q, %v; want %q, %v", c.word, got, found, c.want, c.found)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "abd", 1}, {"kitten", "sitting", 3}} {
		if got := Distance(c.a, c.b); got != c.want {
			t.Errorf("Distance(%q, %q) is %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
