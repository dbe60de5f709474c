package match

import (
	"net/http"
	"regexp"
	"testing"

	"github.com/postern-gateway/postern/dataplane/config"
)

// to makes a route whose action names it.
func to(name string, m config.RouteMatch) config.Route {
	return config.Route{Match: m, Action: &config.Forward{Clusters: []config.WeightedCluster{{Name: name, Weight: 1}}}}
}

func prefix(p string) config.RouteMatch { return config.RouteMatch{Kind: config.PathPrefix, Path: p} }

func oneRoute(name string) []config.Route { return []config.Route{to(name, prefix("/"))} }

func cluster(r *config.Route) string {
	if r == nil {
		return "none"
	}
	return r.Action.(*config.Forward).Clusters[0].Name
}

func TestVirtualHost(t *testing.T) {
	table := NewTable(config.RouteConfiguration{IgnorePort: true, VirtualHosts: []config.VirtualHost{
		{Name: "exact", Domains: []string{"a.test"}, Routes: oneRoute("exact")},
		{Name: "short", Domains: []string{"*.test"}, Routes: oneRoute("short")},
		{Name: "long", Domains: []string{"*.a.test"}, Routes: oneRoute("long")},
		{Name: "six", Domains: []string{"[::1]"}, Routes: oneRoute("six")},
		{Name: "rest", Domains: []string{"*"}, Routes: oneRoute("rest")},
	}})
	for authority, want := range map[string]string{
		"a.test": "exact", "A.Test": "exact", "a.test:8080": "exact", "a.test:x": "exact", "a.test:": "exact",
		"b.test": "short", "x.b.test": "short", "x.a.test": "long", "y.x.a.test:1": "long", ".a.test": "short",
		".test": "rest", "test": "rest", "a.test.": "rest", "": "rest", "[::1]": "six", "[::1]:80": "six", "[::2]:80": "rest",
	} {
		if got := cluster(table.Route(Request{Authority: authority, Path: "/"})); got != want {
			t.Errorf("%q: %s, want %s", authority, got, want)
		}
	}
	strict := NewTable(config.RouteConfiguration{VirtualHosts: []config.VirtualHost{
		{Domains: []string{"a.test"}, Routes: oneRoute("exact")},
	}})
	if got := cluster(strict.Route(Request{Authority: "a.test:80", Path: "/"})); got != "none" {
		t.Errorf("with the port compared: %s, want none", got)
	}
}

func TestRoute(t *testing.T) {
	whole := func(re string) *regexp.Regexp { return regexp.MustCompile(`\A(?:` + re + `)\z`) }
	header := func(name string, m config.StringMatch, invert bool) config.RouteMatch {
		out := prefix("/h/")
		out.Headers = []config.HeaderMatch{{Name: name, Value: &m, Invert: invert}}
		return out
	}
	present := prefix("/present")
	present.Headers = []config.HeaderMatch{{Name: "x-a", Present: true}}
	table := NewTable(config.RouteConfiguration{VirtualHosts: []config.VirtualHost{{Domains: []string{"*"}, Routes: []config.Route{
		to("exact", config.RouteMatch{Kind: config.PathExact, Path: "/exact"}),
		to("separated", config.RouteMatch{Kind: config.PathSeparatedPrefix, Path: "/sep"}),
		to("directory", prefix("/k8s/")),
		to("regex", config.RouteMatch{Kind: config.PathRegex, Regexp: whole("/re/[0-9]+|/re")}),
		to("label", header(":authority", config.StringMatch{Kind: config.SafeRegex, Regexp: whole(`[^.]*(?:\.[^.]*){2}`)}, false)),
		to("insecure", header("x-forwarded-proto", config.StringMatch{Kind: config.Exact, Text: "https", IgnoreCase: true}, true)),
		to("read", header(":method", config.StringMatch{Kind: config.SafeRegex, Regexp: whole("GET|HEAD")}, false)),
		to("joined", header("x-list", config.StringMatch{Kind: config.Contains, Text: "a,b"}, false)),
		to("absent", header("x-list", config.StringMatch{Kind: config.Suffix, Text: "z"}, true)),
		to("present", present),
	}}}})
	https := http.Header{"X-Forwarded-Proto": {"HTTPS"}}
	for _, tc := range []struct {
		authority, method, path string
		header                  http.Header
		want                    string
	}{
		{"h", "GET", "/exact", nil, "exact"},
		{"h", "GET", "/exact?q=/", nil, "exact"},
		{"h", "GET", "/exact/", nil, "none"},
		{"h", "GET", "/Exact", nil, "none"},
		{"h", "GET", "/sep", nil, "separated"},
		{"h", "GET", "/sep?x", nil, "separated"},
		{"h", "GET", "/sep/x", nil, "separated"},
		{"h", "GET", "/sepx", nil, "none"},
		{"h", "GET", "/sep../x", nil, "none"},
		{"h", "GET", "/k8s/", nil, "directory"},
		{"h", "GET", "/k8s", nil, "none"},
		{"h", "GET", "/re/12", nil, "regex"},
		{"h", "GET", "/re/12x", nil, "none"},
		{"h", "GET", "/x/re", nil, "none"},
		{"a.b.c", "GET", "/h/", nil, "label"},
		{"a.b.c.d", "GET", "/h/", nil, "read"},
		{"h", "GET", "/h/", http.Header{"X-Forwarded-Proto": {"http"}}, "insecure"},
		{"h", "GET", "/h/", http.Header{"X-Forwarded-Proto": {""}}, "insecure"},
		{"h", "GET", "/h/", nil, "read"}, // a missing header matches no value, inverted or not
		{"h", "GET", "/h/", https, "read"},
		{"h", "GETX", "/h/", https, "none"},
		{"h", "GETX", "/h/", http.Header{"X-Forwarded-Proto": {"https"}, "X-List": {"y"}}, "absent"},
		{"h", "POST", "/h/", http.Header{"X-Forwarded-Proto": {"https"}, "X-List": {"a", "b"}}, "joined"},
		{"h", "POST", "/h/", http.Header{"X-Forwarded-Proto": {"https"}, "X-List": {"z"}}, "none"},
		{"h", "GET", "/present", nil, "none"},
		{"h", "GET", "/present", http.Header{"X-A": {""}}, "present"},
	} {
		got := cluster(table.Route(Request{Method: tc.method, Authority: tc.authority, Path: tc.path, Header: tc.header}))
		if got != tc.want {
			t.Errorf("%s %s%s %v: %s, want %s", tc.method, tc.authority, tc.path, tc.header, got, tc.want)
		}
	}
}

// Measured on Envoy 1.40: strip_trailing_host_dot takes one dot, before a port too.
func TestTrimHostDot(t *testing.T) {
	for in, want := range map[string]string{
		"h.test": "h.test", "h.test.": "h.test", "h.test.:80": "h.test:80", "h.test..": "h.test.", "": "", "[::1]:80": "[::1]:80",
	} {
		if got := TrimHostDot(in); got != want {
			t.Errorf("TrimHostDot(%q) = %q, want %q", in, got, want)
		}
	}
}
