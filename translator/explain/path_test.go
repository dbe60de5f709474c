package explain

import (
	"os"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/translator/model"
)

// Each answer was asked of Envoy 1.40 with the connection manager's settings of docs/design/xds.md.
func TestNormaliseReadsPathsAsEnvoyDoes(t *testing.T) {
	tests := []struct{ raw, path, query string }{
		{"/", "/", ""},
		{"/a/b?x=1", "/a/b", "?x=1"},
		{"/a?", "/a", "?"},
		{"///a//b//", "/a/b/", ""},
		{"//a", "/a", ""},
		{"//", "//", ""},
		{"///", "//", ""},
		{"/.//", "//", ""},
		{"/a//", "/a/", ""},
		{"/a/../b", "/b", ""},
		{"/a/%2e%2e/b", "/b", ""},
		{"/a/.%2e", "/", ""},
		{"/a/.", "/a/", ""},
		{"/..", "/", ""},
		{"/...", "/...", ""},
		{"/a/..;x/b", "/b", ""},
		{"/a/..;", "/", ""},
		{`/a/x\..;/b`, "/a/x/..;/b", ""},
		{"/a/.;x", "/a/", ""},
		{"/a/%2e%2e;/b", "/a/..;/b", ""},
		{`/a\..;x/b`, "/a/..;x/b", ""},
		{"/a/..%3b/b", "/a/..%3b/b", ""},
		{"/a/x;../b", "/a/x;../b", ""},
		{"/%41%7e%2d%5F", "/A~-_", ""},
		{"/%c3%bc", "/%c3%bc", ""},
		{"/%zz%%41%2", "/%zz%A%2", ""},
		{"/%%362", "/%2562", ""},
		{"/%%36%32", "/%2562", ""},
		{"/%6%32x", "/%2562x", ""},
		{"/%%36g%32", "/%6g2", ""},
		{"/%252f", "/%252f", ""},
		{`/a\b`, "/a/b", ""},
		{"/\"<>`{}|^[]", "/%22%3C%3E%60%7B%7D%7C%5E[]", ""},
		{"/!$&'()*+,;=:@", "/!$&'()*+,;=:@", ""},
		{"/%21%3f%23", "/%21%3f%23", ""},
		{"/a?b/../c//d%2f", "/a", "?b/../c//d%2f"},
	}
	for _, tt := range tests {
		got := normalise(tt.raw, model.SlashesRedirect)
		if got.path != tt.path || got.query != tt.query || got.redirected || got.refused != "" {
			t.Errorf("normalise(%q) = %+v, want %q and %q", tt.raw, got, tt.path, tt.query)
		}
	}
}

// TestNormaliseAsMeasured reads what Envoy made of paths, which the Go data plane is tested with too.
func TestNormaliseAsMeasured(t *testing.T) {
	text, err := os.ReadFile("../../dataplane/match/testdata/paths.txt")
	if err != nil {
		t.Fatal(err)
	}
	asked, slashes := 0, model.SlashesRedirect
	for line := range strings.Lines(string(text)) {
		f := append(strings.Fields(line), "")
		if f[0] == "slashes" {
			if slashes, err = model.ParseEscapedSlashes(f[1]); err != nil {
				t.Fatal(err)
			}
			continue
		}
		// A URL's path begins with a slash, so nothing else can be asked.
		if strings.HasPrefix(line, "#") || !strings.HasPrefix(f[1], "/") {
			continue
		}
		asked++
		verdict, want := "pass", f[2]
		got := normalise(f[1], slashes)
		switch {
		case got.refused != "":
			verdict, got = "reject", reading{}
		case got.redirected:
			verdict = "redirect"
		}
		if verdict != f[0] || got.path+got.query != want {
			t.Errorf("%s: normalise(%q) is %s %s, Envoy: %s %s", slashes, f[1], verdict, got.path+got.query, f[0], want)
		}
	}
	if asked < 100 {
		t.Errorf("%d paths were asked about, want more than 100", asked)
	}
}

func TestNormaliseUnescapesSlashes(t *testing.T) {
	for raw, want := range map[string]string{
		"/a%2fb":          "/a/b",
		"/a%5cb?x=%2f":    "/a/b",
		"/a%2f..%2fb":     "/b",
		"/a/..%5Cb":       "/b",
		"/%2e%2E%2fa":     "/a",
		"/a%2F%2Fb":       "/a/b",
		"/k8s..%2fx":      "/k8s../x",
		"/%5C..":          "/",
		"/%2f":            "//",
		"/%5cevil.test/x": "/evil.test/x",
	} {
		if got := normalise(raw, model.SlashesRedirect); !got.redirected || got.path != want {
			t.Errorf("normalise(%q) = %+v, want a redirect to %q", raw, got, want)
		}
	}
}

func TestNormaliseRefuses(t *testing.T) {
	for _, raw := range []string{"/a#b", "/a b", "/%00", "/\xc3\xbc", "/\x7f", "/a?x y"} {
		if got := normalise(raw, model.SlashesRedirect); got.refused == "" {
			t.Errorf("normalise(%q) = %+v, want it refused", raw, got)
		}
	}
}

func TestMatchPath(t *testing.T) {
	strip := &model.Forward{Strip: &model.Strip{Prefix: "/foo"}}
	tests := []struct {
		match model.PathMatch
		f     *model.Forward
		path  string
		want  bool
	}{
		{model.PathMatch{Kind: model.PathExact, Value: "/foo"}, nil, "/foo", true},
		{model.PathMatch{Kind: model.PathExact, Value: "/foo"}, nil, "/foo/", false},
		{model.Prefix("/foo"), nil, "/foo", true},
		{model.Prefix("/foo"), nil, "/foo/", true},
		{model.Prefix("/foo"), nil, "/foo/bar", true},
		{model.Prefix("/foo"), nil, "/foobar", false},
		{model.Prefix("/foo"), nil, "/foo..", false},
		{model.Prefix("/foo"), nil, "/Foo", false},
		{model.Prefix("/"), nil, "/anything", true},
		{model.Prefix("/"), nil, "//", true},
		{model.PathMatch{Kind: model.PathStringPrefix, Value: "/foo"}, nil, "/foobar", true},
		{model.PathMatch{Kind: model.PathStringPrefix, Value: "/foo"}, nil, "/fo", false},
		{model.PathMatch{Kind: model.PathStringPrefix, Value: "/foo"}, strip, "/foobar", true},
		{model.PathMatch{Kind: model.PathStringPrefix, Value: "/foo"}, strip, "/foo../x", false},
	}
	for _, tt := range tests {
		if got, why := takes(model.Route{Path: tt.match, Action: tt.f}, tt.path); got != tt.want || why == "" {
			t.Errorf("matchPath(%s, %q) = %v (%s), want %v", tt.match, tt.path, got, why, tt.want)
		}
	}
}

func TestStripped(t *testing.T) {
	for path, want := range map[string]string{
		"/k8s": "/", "/k8s/": "/", "/k8s/x?y=1": "/x?y=1", "/k8s?y=1": "/?y=1", "/k8sfoo": "/foo",
	} {
		if got := stripped(path, "/k8s"); got != want {
			t.Errorf("stripped(%q) = %q, want %q", path, got, want)
		}
	}
}
