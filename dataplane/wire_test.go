package dataplane_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func newReader(text string) *bufio.Reader { return bufio.NewReader(strings.NewReader(text)) }

const toHTTPS = `https://%CEL(re.extract(request.host, '^(.*?)(:[0-9]+)?$', '\\1'))%%REQ(:PATH)%`

func wireRoutes() *routev3.RouteConfiguration {
	get := headerRegex(":method", "GET|HEAD")
	regex := func(r string) *matcherv3.RegexMatcher { return &matcherv3.RegexMatcher{Regex: r} }
	found := routev3.RedirectAction_FOUND
	changed := forward(prefix("/headers"), "echo", rewriteTo("/to"), hostTo("other.test"))
	changed.RequestHeadersToAdd = []*corev3.HeaderValueOption{
		set("x-seen", "%REQ(:PATH)% of %REQ(:AUTHORITY)%, 100%%", overwrite), set("x-twice", "b", corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD),
	}
	changed.RequestHeadersToRemove = []string{"x-secret"}
	changed.ResponseHeadersToAdd = []*corev3.HeaderValueOption{set("x-answer", "%REQ(:PATH)%", overwrite)}
	failing := func(cluster string) *routev3.Route {
		r := underPrefix(forward(prefix("/"+cluster), cluster, rewriteTo("/to"), hostTo("other.test")), "/k8s")
		r.ResponseHeadersToAdd = []*corev3.HeaderValueOption{
			set("x-answer", "%REQ(:PATH)% of %REQ(:AUTHORITY)%", overwrite), set("location", "/here", overwrite),
		}
		return r
	}
	return routes("http",
		host("strip.test",
			redirect(when(exact("/k8s"), get), &routev3.RedirectAction{
				PathRewriteSpecifier: &routev3.RedirectAction_PathRedirect{PathRedirect: "/k8s/"}, ResponseCode: found,
			}),
			underPrefix(forward(exact("/k8s"), "echo", rewriteTo("/")), "/k8s"),
			underPrefix(forward(prefix("/k8s/"), "echo", rewriteTo("/")), "/k8s"),
			forward(&routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_SafeRegex{SafeRegex: regex(`/rr[^./].*`)}}, "echo", func(a *routev3.RouteAction) {
				a.RegexRewrite = &matcherv3.RegexMatchAndSubstitute{Pattern: regex("^/rr"), Substitution: "/"}
			}),
			forward(prefix("/all"), "echo", func(a *routev3.RouteAction) {
				a.RegexRewrite = &matcherv3.RegexMatchAndSubstitute{Pattern: regex(`^/all/(.*)$`), Substitution: `/one$1\1`}
			}),
			direct(prefix("/tls443"), 301, set("location", toHTTPS, overwrite)),
			redirect(prefix("/tls8443"), &routev3.RedirectAction{
				SchemeRewriteSpecifier: &routev3.RedirectAction_HttpsRedirect{HttpsRedirect: true}, PortRedirect: 8443,
				ResponseCode: routev3.RedirectAction_PERMANENT_REDIRECT,
			}),
			redirect(prefix("/tls"), &routev3.RedirectAction{
				SchemeRewriteSpecifier: &routev3.RedirectAction_HttpsRedirect{HttpsRedirect: true},
			}),
			direct(prefix("/closed"), 503),
			changed, failing("dead"), failing("empty"), failing("missing"),
			forward(&routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: "/sep"}}, "echo"),
			direct(when(prefix("/invert"), &routev3.HeaderMatcher{
				Name: "x-a", InvertMatch: true,
				HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
					MatchPattern: &matcherv3.StringMatcher_Exact{Exact: "YES"}, IgnoreCase: true,
				}},
			}), 201),
			direct(prefix("/invert"), 202),
		),
		host("*.wild.test",
			direct(when(prefix("/"), headerRegex(":authority", `[^.]*(?:\.[^.]*){2}`)), 204),
			direct(prefix("/"), 205),
		),
		host("*", forward(prefix("/"), "echo")),
	)
}

// wire are requests as bytes and what must come of them. None names a header of HTTP/1.1 hop-by-hop semantics twice.
var wire = []struct {
	request string // request line without the version, then header lines, joined by |
	status  int
	want    string // parts, joined by |: "K: V" of the answer's headers, or a line that the backend saw; "!" before it, not
}{
	{"GET /|Host: h.test", 200, "GET / HTTP/1.1|host: h.test|X-Forwarded-For: 127.0.0.1|X-Real-Ip: 127.0.0.1|X-Forwarded-Proto: http|X-Forwarded-Host: h.test|X-Forwarded-Port: 8080"},
	{"GET /|Host: H.Test.:80", 200, "host: H.Test:80|X-Forwarded-Host: H.Test:80"},
	{"GET /|Host: h.test|X-Forwarded-For: 9.9.9.9|X-Forwarded-Proto: https|X-Real-Ip: 9.9.9.9|Forwarded: for=9|X-Envoy-Original-Path: /x|X-Forwarded-Foo: 1",
		200, "X-Forwarded-For: 127.0.0.1|X-Forwarded-Proto: http|X-Real-Ip: 127.0.0.1|!Forwarded: for=9|!X-Envoy-Original-Path: /x|!X-Forwarded-Foo: 1"},
	{"GET /|Host: h.test|Connection: x-real-ip, x-foo|X-Foo: 1|X-Bar: 2", 200, "X-Real-Ip: 127.0.0.1|!X-Foo: 1|X-Bar: 2"},
	{"GET /|Host: h.test|Connection: x-forwarded-for", 400, "400"},
	{"GET /|Host: h.test|Connection: X-Forwarded-Proto", 400, "400"},
	{"GET /|Host: h.test|Connection: host", 400, "400"},
	{"GET /|Host: h.test|A_b: 1", 400, "400|Content-Type: text/plain|Content-Length: 4"},
	{"GET /|Host: h.test|TE: gzip|Proxy-Connection: x|Keep-Alive: 1|Proxy-Authorization: p", 200, "!Te: gzip|!Proxy-Connection: x|!Keep-Alive: 1|Proxy-Authorization: p"},
	{"GET /|Host: h.test|X-Request-Id: mine|X-Empty:", 200, "!X-Request-Id: mine|X-Empty: "},
	{"GET /|Host: h.test|Upgrade: foo|Connection: upgrade", 403, "403"},
	{"GET /|Host: h.test|Upgrade: h2c|Connection: Upgrade, HTTP2-Settings|HTTP2-Settings: AAMAAABk", 200, "!Upgrade: h2c"},
	{"GET /a%20b;c+d?|Host: h.test", 200, "GET /a%20b;c+d? HTTP/1.1"},
	{"GET /%c3%a9/%7Ea?x=%zz&y;//|Host: h.test", 200, "GET /%c3%a9/~a?x=%zz&y;// HTTP/1.1"},
	{"GET //a/./b/../c|Host: h.test", 200, "GET /a/c HTTP/1.1"},
	{"GET //|Host: h.test", 200, "GET // HTTP/1.1"},
	{"GET /a%2fb?q|Host: h.test", 307, "Location: /a/b?q|307"},
	{"GET /%00|Host: h.test", 400, "400"},
	{"GET /a#b|Host: h.test", 400, "400"},
	{"GET http://url.test:81/a//b|Host: h.test", 200, "GET /a/b HTTP/1.1|host: url.test:81"},
	{"GET http://url.test|Host: h.test", 200, "GET / HTTP/1.1"},
	{"GET http://url.test?q|Host: h.test", 404, "404"},
	{"GET https://url.test/|Host: h.test", 403, "403"},
	{"GET ftp://url.test/|Host: h.test", 400, "400"},
	{"OPTIONS *|Host: h.test", 404, "404"},
	{"CONNECT h.test:80|Host: h.test:80", 404, "404"},
	{"TRACE /|Host: h.test", 200, "TRACE / HTTP/1.1"},
	{"GET /k8s?a=b|Host: Strip.test:8080", 302, "Location: http://Strip.test:8080/k8s/?a=b|302|Content-Type: text/plain"},
	{"HEAD /k8s|Host: strip.test", 302, "Location: http://strip.test/k8s/"},
	{"POST /k8s?a|Host: strip.test|Content-Length: 0", 200, "POST /?a HTTP/1.1|X-Forwarded-Prefix: /k8s"},
	{"GET /k8s/|Host: strip.test|X-Forwarded-Prefix: /evil", 200, "GET / HTTP/1.1|X-Forwarded-Prefix: /k8s|!X-Forwarded-Prefix: /evil"},
	{"GET /k8s/x%20y?q|Host: strip.test.", 200, "GET /x%20y?q HTTP/1.1|host: strip.test"},
	{"GET /k8s../x|Host: strip.test", 404, "404"},
	{"GET /k8s/..;/x|Host: strip.test", 404, "404"},
	{"GET /rrx/y?z|Host: strip.test", 200, "GET /x/y?z HTTP/1.1"},
	{"GET /all/x?z|Host: strip.test", 200, "GET /one$1x?z HTTP/1.1"},
	{"GET /tls443/a%20b?q=1|Host: Strip.test:8080", 301, "Location: https://Strip.test/tls443/a%20b?q=1|301"},
	{"GET /tls443|Host: strip.test", 301, "Location: https://strip.test/tls443"},
	{"GET /tls8443/x?y|Host: strip.test:80", 308, "Location: https://strip.test:8443/tls8443/x?y"},
	{"GET /tls/x|Host: strip.test:80", 301, "Location: https://strip.test/tls/x"},
	{"GET /tls/x|Host: strip.test:81", 301, "Location: https://strip.test:81/tls/x"},
	{"GET /closed|Host: strip.test", 503, "503|Content-Type: text/plain|Content-Length: 4"},
	{"GET /headers/a?b|Host: Strip.test|X-Twice: a|X-Secret: s", 200, "GET /to/a?b HTTP/1.1|host: other.test|X-Seen: /headers/a?b of Strip.test, 100%|X-Twice: a|X-Twice: b|!X-Secret: s|X-Answer: /to/a?b|X-Forwarded-Host: Strip.test"},
	{"GET /dead/x|Host: strip.test", 503, "503|X-Answer: /to/x of other.test|Location: /k8s/here"},
	{"GET /empty/x|Host: strip.test", 503, "503|X-Answer: /to/x of other.test|Location: /k8s/here"},
	{"GET /missing/x|Host: strip.test", 503, "503|X-Answer: /missing/x of strip.test|Location: /k8s/here"},
	{"GET /sep/x|Host: strip.test", 200, "GET /sep/x HTTP/1.1"},
	{"GET /sepx|Host: strip.test", 404, "404"},
	{"GET /invert|Host: strip.test|X-A: yes", 202, ""},
	{"GET /invert|Host: strip.test|X-A: no", 201, ""},
	{"GET /invert|Host: strip.test", 202, ""},
	{"GET /|Host: a.WILD.test:1", 204, ""},
	{"GET /|Host: a.b.wild.test", 205, ""},
	{"GET /|Host: wild.test", 200, "host: wild.test"},
	{"POST /x|Host: h.test|Content-Length: 3|Expect: 100-continue", 200, "POST /x HTTP/1.1|!Expect: 100-continue"},
	{"GET /|Host: h.test|Cookie: a=b|Cookie: c=d|X-Two: 1|X-Two: 2", 200, "X-Two: 1|X-Two: 2"},
}

// request renders a row's request; the body is what its Content-Length promises.
func render(row string) string {
	lines := strings.Split(row, "|")
	text := lines[0] + " HTTP/1.1\r\n" + strings.Join(lines[1:], "\r\n") + "\r\n"
	if !strings.Contains(row, "|Connection: ") {
		text += "Connection: close\r\n"
	} else {
		text = strings.Replace(text, "\r\nConnection: ", "\r\nConnection: close, ", 1)
	}
	text += "\r\n"
	if strings.Contains(row, "Content-Length: 3") {
		text += "abc"
	}
	return text
}

func TestWire(t *testing.T) {
	configure := func(t *testing.T, c *controlPlane, p *plane) {
		b := backend(t)
		c.set(clusterOf("echo"), assignment("echo", b.Listener.Addr()), clusterOf("empty"), assignment("empty"),
			clusterOf("dead"), assignment("dead", closedPort(t)), wireRoutes(), listener(t, "http", p.http))
	}
	onEach(t, configure, func(t *testing.T, c *controlPlane, p *plane) {
		for _, row := range wire {
			text := raw(t, p.http, render(row.request))
			text = strings.TrimPrefix(text, "HTTP/1.1 100 Continue\r\n\r\n")
			checkAnswer(t, row.request, parse(t, text, strings.Fields(row.request)[0]), row.status, row.want)
		}
		old := parse(t, raw(t, p.http, "GET / HTTP/1.0\r\nHost: h.test\r\n\r\n"), "GET")
		checkAnswer(t, "HTTP/1.0", old, 426, "426")
		many := "GET / HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n" + strings.Repeat("X-A: 1\r\n", 101) + "\r\n"
		checkAnswer(t, "101 headers", parse(t, raw(t, p.http, many), "GET"), 431, "431")
	})
}

func checkAnswer(t *testing.T, request string, a answer, status int, want string) {
	t.Helper()
	if a.status != status {
		t.Errorf("%s: status %d, want %d; body %q", request, a.status, status, a.body)
		return
	}
	seen := "\n" + strings.ReplaceAll(a.body, "\r\n", "\n") + "\n"
	for part := range strings.SplitSeq(want, "|") {
		wanted := !strings.HasPrefix(part, "!")
		part = strings.TrimPrefix(part, "!")
		name, value, isHeader := strings.Cut(part, ": ")
		got := strings.Contains(strings.ToLower(seen), strings.ToLower("\n"+part+"\n")) ||
			isHeader && http.Header(a.header).Get(name) == value
		if got != wanted {
			t.Errorf("%s: %q is %v, want %v; answer %v, body\n%s", request, part, got, wanted, a.header, a.body)
		}
	}
}

// trusted is the chain of --trusted-proxies: what such a peer says is believed, and our own word is added to it.
func TestTrustedPeer(t *testing.T) {
	configure := func(t *testing.T, c *controlPlane, p *plane) {
		b := backend(t)
		loopback := &xdscorev3.CidrRange{AddressPrefix: "127.0.0.0", PrefixLen: wrapperspb.UInt32(8)}
		c.set(clusterOf("echo"), assignment("echo", b.Listener.Addr()), wireRoutes(), listener(t, "http", p.http, loopback))
	}
	onEach(t, configure, func(t *testing.T, c *controlPlane, p *plane) {
		for _, row := range []struct {
			request string
			status  int
			want    string
		}{
			{"GET /|Host: h.test", 200, "X-Forwarded-For: 127.0.0.1|X-Forwarded-Proto: http|X-Real-Ip: 127.0.0.1|X-Forwarded-Host: h.test"},
			{"GET /|Host: h.test|X-Forwarded-For: 9.9.9.9|X-Forwarded-For: 8.8.8.8, 7.7.7.7|X-Forwarded-Proto: https|X-Real-Ip: 1.1.1.1|X-Forwarded-Host: a|X-Forwarded-Port: 1|X-Request-Id: mine|X-Envoy-Foo: 1",
				200, "X-Forwarded-For: 9.9.9.9,8.8.8.8, 7.7.7.7,127.0.0.1|X-Forwarded-Proto: https|X-Real-Ip: 1.1.1.1|X-Forwarded-Host: a|X-Forwarded-Port: 1|X-Request-Id: mine|!X-Envoy-Foo: 1"},
			{"GET /k8s|Host: strip.test|X-Forwarded-Proto: https", 302, "Location: https://strip.test/k8s/"},
			{"GET /k8s|Host: strip.test|X-Forwarded-Proto: HTTPS", 302, "Location: https://strip.test/k8s/"},
			{"GET /k8s|Host: strip.test|X-Forwarded-Proto: wss", 302, "Location: http://strip.test/k8s/"},
			{"GET /k8s|Host: strip.test|X-Forwarded-Proto: http|X-Forwarded-Proto: https", 302, "Location: http://strip.test/k8s/"},
			{"GET /k8s|Host: strip.test|X-Forwarded-Proto:", 404, "404"},
			{"GET /tls/x|Host: strip.test:443|X-Forwarded-Proto: https", 301, "Location: https://strip.test:443/tls/x"},
		} {
			text := raw(t, p.http, render(row.request))
			checkAnswer(t, row.request, parse(t, text, "GET"), row.status, row.want)
		}
	})
}
