package dataplane_test

import (
	"strings"
	"testing"
)

// scripted are values of Location and Set-Cookie that a backend behind the stripped prefix /k8s answers with, and what
// the client gets. The client asked for the host K8s.Test:8080, the backend saw other.test. The Go data plane's reading
// of prefix-v2 and the Lua source on Envoy must both pass.
var scripted = []struct{ header, from, to string }{
	{"location", "/", "/k8s/"},
	{"location", "/x?y#z", "/k8s/x?y#z"},
	{"location", "//evil.test/x", "//evil.test/x"},
	{"location", "/k8s", "/k8s"},
	{"location", "/k8s/", "/k8s/"},
	{"location", "/k8s/x", "/k8s/x"},
	{"location", "/k8s?x", "/k8s?x"},
	{"location", "/k8s#x", "/k8s#x"},
	{"location", "/k8sx", "/k8s/k8sx"},
	{"location", "/K8S/x", "/k8s/K8S/x"},
	{"location", "/?next=/a", "/k8s/?next=/a"},
	{"location", "/x//y/../z", "/k8s/x//y/../z"},
	{"location", "x/y", "x/y"},
	{"location", "../x", "../x"},
	{"location", "?q", "?q"},
	{"location", "#f", "#f"},
	{"location", "http://k8s.test/x", "http://k8s.test/k8s/x"},
	{"location", "https://K8S.TEST/x", "https://K8S.TEST/k8s/x"},
	{"location", "HTTPS://k8s.test:8443/x?y", "HTTPS://k8s.test:8443/k8s/x?y"},
	{"location", "http://k8s.test", "http://k8s.test/k8s/"},
	{"location", "http://k8s.test?q", "http://k8s.test/k8s/?q"},
	{"location", "http://k8s.test#f", "http://k8s.test/k8s/#f"},
	{"location", "http://k8s.test/k8s/x", "http://k8s.test/k8s/x"},
	{"location", "http://k8s.test:80/k8s?x", "http://k8s.test:80/k8s?x"},
	{"location", "http://k8s.test:/x", "http://k8s.test:/k8s/x"},
	{"location", "http://k8s.test:x/x", "http://k8s.test:x/x"},
	{"location", "http://k8s.test./x", "http://k8s.test./x"},
	{"location", "http://u@k8s.test/x", "http://u@k8s.test/x"},
	{"location", "http://other.test/x", "http://other.test/x"},
	{"location", "http://sub.k8s.test/x", "http://sub.k8s.test/x"},
	{"location", "ftp://k8s.test/x", "ftp://k8s.test/x"},
	{"location", "http:/x", "http:/x"},
	{"location", "http:x", "http:x"},
	{"location", "http2://k8s.test/x", "http2://k8s.test/x"},
	{"location", "javascript:alert(1)", "javascript:alert(1)"},
	{"cookie", "a=b", "a=b"},
	{"cookie", "a=b; Path=/", "a=b; Path=/k8s"},
	{"cookie", "a=b; path=/x", "a=b; path=/k8s/x"},
	{"cookie", "a=b; PATH=/x/; Secure", "a=b; PATH=/k8s/x/; Secure"},
	{"cookie", "a=b;Path=/;HttpOnly", "a=b;Path=/k8s;HttpOnly"},
	{"cookie", "a=b; Path = /x ; Secure", "a=b; Path = /k8s/x ; Secure"},
	{"cookie", "a=b; Path=/ ; Secure", "a=b; Path=/k8s ; Secure"},
	{"cookie", "a=b; Path=/k8s", "a=b; Path=/k8s"},
	{"cookie", "a=b; Path=/k8s/x", "a=b; Path=/k8s/x"},
	{"cookie", "a=b; Path=/k8sx", "a=b; Path=/k8s/k8sx"},
	{"cookie", "a=b; Path=", "a=b; Path="},
	{"cookie", "a=b; Path", "a=b; Path"},
	{"cookie", "a=b; Path=x", "a=b; Path=x"},
	{"cookie", `a=b; Path="/x"`, `a=b; Path="/x"`},
	{"cookie", "a=b; Path=/x; Path=/", "a=b; Path=/k8s/x; Path=/k8s"},
	{"cookie", "a=Path=/; XPath=/y; Path=/z", "a=Path=/; XPath=/y; Path=/k8s/z"},
	{"cookie", "Path=/x", "Path=/x"},
	{"cookie", "a=b; Domain=x; Max-Age=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Path=/; SameSite=Lax",
		"a=b; Domain=x; Max-Age=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Path=/k8s; SameSite=Lax"},
	{"cookie", "__Host-a=b; Path=/; Secure", "__Host-a=b; Path=/; Secure"},
	{"cookie", "__host-a=b; Path=/; Secure", "__host-a=b; Path=/; Secure"},
	{"cookie", "__Secure-a=b; Path=/; Secure", "__Secure-a=b; Path=/k8s; Secure"},
	{"cookie", "__Hosta=b; Path=/", "__Hosta=b; Path=/k8s"},
}

func TestPrefixScript(t *testing.T) {
	configure := func(t *testing.T, c *controlPlane, p *plane) {
		b := backend(t)
		c.set(clusterOf("echo"), assignment("echo", b.Listener.Addr()), listener(t, "http", p.http),
			routes("http", host("k8s.test",
				underPrefix(forward(prefix("/k8s/"), "echo", rewriteTo("/"), hostTo("other.test")), "/k8s"),
				forward(prefix("/"), "echo"))))
	}
	onEach(t, configure, func(t *testing.T, c *controlPlane, p *plane) {
		names := map[string]string{"location": "Location", "cookie": "Set-Cookie"}
		ask := func(path, lines string) answer {
			return parse(t, raw(t, p.http, render("GET "+path+"|Host: K8s.Test:8080|"+lines)), "GET")
		}
		for _, row := range scripted {
			sent := "X-Reply-" + row.header + ": " + row.from
			if got := ask("/k8s/a", sent).header.Get(names[row.header]); got != row.to {
				t.Errorf("%s %q: %q, want %q", row.header, row.from, got, row.to)
			}
			if got := ask("/a", sent).header.Get(names[row.header]); got != row.from {
				t.Errorf("%s %q on a route without the script: %q", row.header, row.from, got)
			}
		}
		several := ask("/k8s/a", "X-Reply-Cookie: a=1; Path=/|X-Reply-Cookie: b=2|X-Reply-Cookie: c=3; Path=/c|X-Reply-Location: /l")
		if got := strings.Join(several.header["Set-Cookie"], "|"); got != "a=1; Path=/k8s|b=2|c=3; Path=/k8s/c" {
			t.Errorf("several cookies: %q", got)
		}
		if got := several.header["Location"]; len(got) != 1 || got[0] != "/k8s/l" {
			t.Errorf("beside them Location is %q", got)
		}
	})
}
