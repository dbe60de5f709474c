package explain_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/translator/explain"
)

// TestHeadLimits: the borders are those that were measured on Envoy 1.40 and the Go data plane, each asked at http://a.test/
// with nothing but these headers. Where the two differ it is told, and the answer is that of a request within the limits.
func TestHeadLimits(t *testing.T) {
	lines := func(n int) http.Header {
		h := http.Header{}
		for i := range n {
			h.Set(fmt.Sprintf("X-%d", i), "a")
		}
		return h
	}
	value := func(n int) http.Header { return http.Header{"X": {strings.Repeat("a", n)}} }
	fifty := func(n int) http.Header {
		h := http.Header{}
		for range 50 {
			h.Add("X", strings.Repeat("a", n))
		}
		return h
	}
	cookies := func(n int) http.Header {
		h := http.Header{}
		for range n {
			h.Add("Cookie", "a=b")
		}
		return h
	}
	path := func(n int) string { return "/" + strings.Repeat("a", n-1) }
	for _, tt := range []struct {
		name   string
		http2  bool
		path   string
		header http.Header
		// near are the data planes that refuse it where only one does.
		near    string
		refused bool
	}{
		{"99 lines", false, "/", lines(99), "", false},
		{"100 lines", false, "/", lines(100), "Envoy", false},
		{"101 lines", false, "/", lines(101), "", true},
		{"96 fields", true, "/", lines(96), "", false},
		{"97 fields", true, "/", lines(97), "Envoy", false},
		{"100 fields", true, "/", lines(100), "Envoy", false},
		{"101 fields", true, "/", lines(101), "", true},
		{"97 cookies", true, "/", cookies(97), "Envoy", false},
		{"200 cookies", true, "/", cookies(200), "Envoy", false},
		{"200 lines of cookies", false, "/", cookies(200), "", true},
		{"a value", false, "/", value(61403), "", false},
		{"a longer value", false, "/", value(61404), "Envoy", false},
		{"the longest value", false, "/", value(65513), "Envoy", false},
		{"a value beyond", false, "/", value(65514), "", true},
		{"fifty values", false, "/", fifty(1223), "", false},
		{"fifty longer values", false, "/", fifty(1224), "Envoy", false},
		{"fifty values beyond", false, "/", fifty(1306), "", true},
		{"a path", false, path(61409), nil, "", false},
		{"a longer path", false, path(61410), nil, "Envoy", false},
		{"a path beyond", false, path(65520), nil, "", true},
		{"a value over HTTP/2", true, "/", value(61396), "", false},
		{"a longer value over HTTP/2", true, "/", value(61397), "Envoy", false},
		{"the longest value over HTTP/2", true, "/", value(61556), "Envoy", false},
		{"a value beyond over HTTP/2", true, "/", value(61557), "", true},
		{"a path over HTTP/2", true, path(61398), nil, "", false},
		{"a path beyond over HTTP/2", true, path(61591), nil, "", true},
		{"fifty values over HTTP/2", true, "/", fifty(1198), "", false},
		{"fifty longer values over HTTP/2", true, "/", fifty(1199), "the Go data plane", false},
		{"fifty values beyond over HTTP/2", true, "/", fifty(1227), "", true},
	} {
		story, err := explain.Explain(gateway(t), nil, explain.Request{URL: "http://a.test" + tt.path, Header: tt.header, HTTP2: tt.http2})
		if err != nil {
			t.Fatal(err)
		}
		notes := strings.Join(story.Notes, "; ")
		if got := story.Decision.Status == http.StatusRequestHeaderFieldsTooLarge; got != tt.refused {
			t.Errorf("%s: %d, %s", tt.name, story.Decision.Status, story.Decision.Reason)
		}
		if near := "near to it " + tt.near + " refuses"; strings.Contains(notes, "near to it") != (tt.near != "") || tt.near != "" && !strings.Contains(notes, near) {
			t.Errorf("%s: noted is %q, want %q", tt.name, notes, tt.near)
		}
	}
	story, err := explain.Explain(gateway(t), nil, explain.Request{URL: "http://a.test/only", Header: lines(150)})
	if want := "the request has 150 headers beside Host, and 100 is the limit"; err != nil || story.Decision.Reason != want {
		t.Errorf("%q, %v; want %q", story.Decision.Reason, err, want)
	}
}
