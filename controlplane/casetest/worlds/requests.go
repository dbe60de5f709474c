package worlds

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/controlplane/casetest"
)

var methods = []string{"BREW", "GET", "GET", "GET", "GET", "GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PURGE", "WS"}

// probe draws a request without headers.
func (w World) probe(d drawer) casetest.Probe {
	p := casetest.NewProbe(pick(d, methods), "")
	if d.oneIn(4) {
		p.From = netip.MustParseAddr(trustedPeer)
	}
	host, path := w.target(d)
	host, path = nearHost(d, host), nearPath(d, path)
	p.URL = pick(d, []string{"http", "http", "https"}) + "://" + host + path
	// The test client cannot write a path that begins with two slashes over HTTP/2.
	p.HTTP2 = !p.WebSocket && d.oneIn(5) && !strings.HasPrefix(path, "//")
	return p
}

// target is host and path of one of the world's rules, or any of either.
func (w World) target(d drawer) (host, path string) {
	ing := pick(d, w.Ingresses)
	if d.oneIn(4) || len(ing.Spec.Rules) == 0 {
		return pick(d, append([]string{"a.test", "x.a.test"}, w.hosts...)), pick(d, append([]string{"/", "/a/b"}, w.paths...))
	}
	rule := pick(d, ing.Spec.Rules)
	if rule.HTTP == nil {
		return rule.Host, "/"
	}
	return rule.Host, pick(d, rule.HTTP.Paths).Path
}

// nearHost is a host that a rule's takes, or one near it.
func nearHost(d drawer, host string) string {
	host = strings.TrimSuffix(host, ":80")
	switch {
	case host == "" || host == "*":
		host = pick(d, []string{"nobody.invalid", "a.test", "q.test"})
	case host == "::1":
		host = "[::1]"
	case strings.HasPrefix(host, "*."):
		host = pick(d, []string{"q", "Q", "www", "x.y", "a"}) + host[1:]
	}
	if d.oneIn(12) && !strings.HasPrefix(host, "[") {
		host = "one-more." + host
	}
	if d.oneIn(8) {
		host = strings.ToUpper(host)
	}
	if d.oneIn(12) && !strings.HasSuffix(host, ".") && !strings.HasSuffix(host, "]") {
		host += "."
	}
	if d.oneIn(5) {
		host += pick(d, []string{":80", ":443", ":8080", ":1"})
	}
	return host
}

// nearPath is a path that a rule's takes, or one near it.
func nearPath(d drawer, path string) string {
	path = strings.NewReplacer(" ", "%20", "é", "%C3%A9", "#", "%23", "?", "%3F").Replace(path)
	// A path of Traefik's language stands for others.
	path = strings.NewReplacer("{id:[0-9]+}", "7", "{x}", "x").Replace(path)
	if alternatives := strings.Split(path, ","); d.oneIn(2) {
		path = pick(d, alternatives)
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	for range d.IntN(3) {
		path = pick(d, changes)(d, path)
	}
	if d.oneIn(4) {
		path += pick(d, []string{"?", "?q=1", "?q=/../a&r=%2e%2F//", "?a?b", "?/a;b"})
	}
	return path
}

// changes make another path of a path.
var changes = []func(d drawer, path string) string{
	func(d drawer, path string) string { return path + pick(d, suffixes) },
	func(d drawer, path string) string { return path + pick(d, suffixes) },
	func(d drawer, path string) string {
		return pick(d, []string{"/x/..", "/.", "/", "/x/%2e%2e", "/../..", "/b"}) + path
	},
	func(_ drawer, path string) string { return "/" + strings.Trim(path, "/") },
	func(_ drawer, path string) string { return strings.ToUpper(path) },
	func(_ drawer, path string) string { return strings.ReplaceAll(path, "/", "//") },
	func(d drawer, path string) string {
		return "/" + strings.Replace(path[1:], "/", pick(d, []string{"%2F", "%2f", `\`, "%5C", "//"}), 1+d.IntN(2))
	},
	escapeOne, unescapeOne, insert,
}

var suffixes = []string{
	"/", "/x", "x", "/b", "/b/c", "//", "/..", "/../", "/.", "/./b", "/..;/b", ";x=1", "/;x/b", "..", ".", "/%2e%2e/b", "/%2e", "%2F", "%2fb", "%20", "%", "%zz", "%25", "%252e",
	`\b`, "/a/b/c/d", "+b", ";b", "/%00", "|b", "^", "`", "{x}", "*", "/index.html", "%e9", "%7E", "%41",
}

// escapeOne writes one character, but for the first slash, as %XX.
func escapeOne(d drawer, path string) string {
	if len(path) < 2 {
		return path
	}
	i := 1 + d.IntN(len(path)-1)
	form := pick(d, []string{"%%%02X", "%%%02x"})
	return path[:i] + fmt.Sprintf(form, path[i]) + path[i+1:]
}

// unescapeOne changes the spelling of escapes.
func unescapeOne(d drawer, path string) string {
	if d.oneIn(2) {
		return strings.ToLower(path)
	}
	return strings.NewReplacer("%C3", "%c3", "%A9", "%a9", "%20", "+", "%3B", ";", "%61", "a").Replace(path)
}

// insert puts something into the middle.
func insert(d drawer, path string) string {
	i := 1 + d.IntN(len(path))
	return path[:min(i, len(path))] + pick(d, []string{"/", "//", "/./", "/x/../", "%2e", "x", ";", "%2F", "%5c"}) + path[min(i, len(path)):]
}

// told are headers by which a client, or a proxy before us, says who the client is.
var told = []struct {
	name   string
	values []string
}{
	{"X-Forwarded-For", []string{"203.0.113.7", "203.0.113.7, 10.0.0.1", "unknown"}},
	{"X-Forwarded-Proto", []string{"https", "http", "HTTPS", "wss", ""}},
	{"X-Forwarded-Host", []string{"evil.test", "a.test"}},
	{"X-Forwarded-Port", []string{"443", "x"}},
	{"X-Forwarded-Prefix", []string{"/evil"}},
	{"X-Real-Ip", []string{"203.0.113.9"}},
	{"Forwarded", []string{"for=203.0.113.7;proto=https"}},
	{"X-Envoy-Attempts", []string{"1"}},
	{"X-Original-Url", []string{"/admin"}},
}

func forwardedHeaders(d drawer, _ World, p *casetest.Probe) {
	for _, h := range told {
		if d.oneIn(5) {
			p.Header.Add(h.name, pick(d, h.values))
		}
	}
}

// responses are what the test backend is asked to answer.
func responses(d drawer, _ World, p *casetest.Probe) {
	if d.oneIn(3) {
		p.Header.Set("Respond", pick(d, []string{"302", "301", "201", "404", "500", "204"}))
		p.Header.Set("Respond-Location", pick(d, []string{
			"/", "/x", "/k8s/x", "/a", "/a/b?q", "//evil.test/x", "x", "../x", "http://a.test/x", "https://A.TEST:8443", "http://other.test/x", "?q", "",
			"/k8s", "/k8s/../x", "//a.test/x", "http://[::1]/x", "http://[::1]:80", "http://a.test:x/y", "http://a.test./x", "http://a.test?x", "https://a.test#x/y",
			"HTTP://a.test/x", "http:/x", "http:///x", "http://a.test@evil.test/x", "http://node/a/b/c", "/a%20b/x", "/%C3%A9", "/100%25/x", "/#", `/\x`, "ftp://a.test/x",
		}))
	}
	if d.oneIn(4) {
		p.Header["Respond-Set-Cookie"] = some(d, []string{
			"a=b; Path=/", "c=d", "e=f; path=/x; HttpOnly", "__Host-g=h; Path=/; Secure", "i=j; Path=/k8s/x", "k=l; Path=x", "m=n;Path= /", "o=p; Path",
			"q=r; PATH=/;Path=/x", `s=t; Path="/"`, "u=v; Path=/k8s", "Path=/", "w=/; Path=/a; Max-Age=1", "x=y; Path=//", "=z; path=/", "__host-a=b; path=/x; Secure", "; Path=/",
		}, 1+d.IntN(3))
	}
}

// headers are others that a gateway may pass or not.
func headers(d drawer, _ World, p *casetest.Probe) {
	if p.WebSocket || !d.oneIn(3) {
		return
	}
	one := pick(d, []http.Header{
		{"Accept": {"text/html"}}, {"Cookie": {"a=b; c=d"}}, {"X_under": {"1"}}, {"Connection": {"close, X-Gone"}, "X-Gone": {"1"}},
		{"Te": {"trailers"}}, {"X-Many": {"a", "b"}}, {"X-Empty": {""}}, {"Proxy": {"http://evil.test"}}, {"X-Http-Method-Override": {"DELETE"}},
		{"Expect": {"100-continue"}}, {"Te": {"trailers, gzip"}}, {"Te": {"gzip , trailers"}}, {"Te": {"Trailers"}}, {"Te": {"gzip"}}, {"Te": {"xtrailers"}}, {"Te": {"trailers;q=0.5"}}, {"Connection": {"Upgrade"}, "Upgrade": {"h2c"}},
		{"Connection": {"Upgrade"}, "Upgrade": {"other"}}, {"Upgrade": {"websocket"}}, {"Connection": {"x-forwarded-for"}}, {"Connection": {"X-Real-Ip, Cookie"}, "Cookie": {"a=b"}},
		{"Connection": {"te"}, "Te": {"trailers"}}, {"Proxy-Connection": {"keep-alive"}}, {"X-Latin": {"caf\xe9"}}, {"X-Quote": {`"a, b", c`}}, {"Cookie": {"a=b", "c=d"}},
		{"X-Forwarded-Client-Cert": {"By=x"}}, {"X-Envoy-Internal": {"true"}}, {"X-Request-Id": {"mine"}}, {"Via": {"1.1 x"}}, {"Content-Type": {"a/b"}}, {"Range": {"bytes=0-1"}},
		{"User-Agent": {"probe"}}, {"Authorization": {"Basic YTpi"}}, {"X-Percent": {"%REQ(:PATH)%"}}, {"Keep-Alive": {"timeout=5"}},
	})
	for name, values := range one {
		switch {
		case name == "Cookie" && len(values) > 1 && !p.HTTP2:
			// Only HTTP/2 may send several.
		case p.HTTP2 && (slices.Contains([]string{"Connection", "Keep-Alive", "Proxy-Connection", "Upgrade"}, name) || name == "Te" && values[0] != "trailers"):
			// A connection's own headers do not exist in HTTP/2.
		default:
			p.Header[name] = values
		}
	}
}
