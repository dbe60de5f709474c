package dialect

import "testing"

func TestCleanPath(t *testing.T) {
	for _, c := range []struct {
		path, want string
		matchable  bool
	}{
		{"/", "/", true},
		{"/a/b", "/a/b", true},
		{"/a/b/", "/a/b/", true},
		{"/%61%2D%7e", "/a-~", true},
		{"/a b", "/a%20b", true},
		{"/é", "/%C3%A9", true},
		{"/100%", "/100%", true},
		{"/%zz", "/%zz", true},
		{"/a;b,c", "/a;b,c", true},
		{"a", "/a", false},
		{"/a?b", "/a", false},
		{"/a#b", "/a", false},
		{"//a", "/a", false},
		{"/a/./b", "/a/b", false},
		{"/a/../b", "/b", false},
		{"/%2e%2e/b", "/b", false},
		{"/a%2Fb", "/a/b", false},
		{`/a\b`, "/a/b", false},
	} {
		got, wrong := CleanPath(c.path)
		if got != c.want || (wrong == "") != c.matchable {
			t.Errorf("CleanPath(%q) is %q, %q; want %q, matchable %v", c.path, got, wrong, c.want, c.matchable)
		}
	}
}
