package dialect

import (
	"strings"
	"testing"
)

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
		{"/%c3%a9", "/%C3%A9", true},
		{"/100%", "/100%25", true},
		{"/%zz%25", "/%25zz%25", true},
		{"/a;b,c", "/a;b,c", true},
		{"/a%3bb%2Bc|d", "/a;b+c%7Cd", true},
		{"a", "/a", false},
		{"/a?b", "/a", false},
		{"/a#b", "/a", false},
		{"//a", "/a", false},
		{"/a/./b", "/a/b", false},
		{"/a/../b", "/b", false},
		{"/%2e%2e/b", "/b", false},
		{"/a%2Fb", "/a/b", false},
		{`/a\b`, "/a/b", false},
		{"/a%00b", "/a", false},
	} {
		got := CleanPath(c.path)
		if got.Path != c.want || (got.Wrong == "") != c.matchable || got.Cut {
			t.Errorf("CleanPath(%q) is %+v; want %q, matchable %v", c.path, got, c.want, c.matchable)
		}
	}
}

func TestCleanPathCuts(t *testing.T) {
	long, many := "/"+strings.Repeat("a", pathMax-1), "/"+strings.Repeat("+", reservedMax)
	for path, want := range map[string]string{
		long + "a":                          long,
		long[:pathMax-1] + "é":              long[:pathMax-1],
		long[:pathMax-2] + "é":              long[:pathMax-2],
		many + "a+b":                        many + "a",
		many + "/" + strings.Repeat("+", 9): many + "/",
	} {
		if got := CleanPath(path); got.Path != want || got.Wrong == "" || !got.Cut {
			t.Errorf("CleanPath(%q) is %+v, want %q", path, got, want)
		}
	}
	for _, path := range []string{long, many + "/a"} {
		if got := CleanPath(path); got.Path != path || got.Wrong != "" {
			t.Errorf("CleanPath(%q) is %+v", path, got)
		}
	}
}

func TestSentPath(t *testing.T) {
	for path, want := range map[string]string{"/a%3Bb;c": "/a%3Bb;c", "/100%": "/100%25", "/%61é": "/a%C3%A9", "/a%2bb": "/a%2Bb"} {
		if got := SentPath(path); got != want {
			t.Errorf("SentPath(%q) is %q, want %q", path, got, want)
		}
	}
}
