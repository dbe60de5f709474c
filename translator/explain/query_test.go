package explain_test

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
)

func TestQueryAndBack(t *testing.T) {
	leaf := string(newSigner(t, &signerTemplate, nil).pem)
	for name, r := range map[string]explain.Request{
		"plain":      {URL: "http://a.test/"},
		"a fragment": {URL: "http://a.test/x", Fragment: true},
		"all of it": {
			Method: "POST", URL: "https://a.test/x%2fy?a=b&c=d", Header: http.Header{"A": {"b", "c: d"}, "X_y": {""}},
			From: netip.MustParseAddr("2001:db8::1"), SNI: explain.NoSNI, TLSVersion: model.TLS12, ClientCertificate: []byte(leaf), HTTP2: true, User: "alice",
		},
	} {
		want := r
		if r.Method == "" {
			want.Method, want.From, want.Header = "GET", netip.MustParseAddr("127.0.0.1"), http.Header{}
		}
		sent, err := url.ParseQuery(r.Query().Encode())
		if err != nil {
			t.Fatal(err)
		}
		got, err := explain.ParseQuery(sent)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
	}
}

// TestQueryOfAForm: a form sends every field, the empty ones too, and headers as lines.
func TestQueryOfAForm(t *testing.T) {
	q := url.Values{"url": {"http://a.test/"}, "header": {"A: b\r\n\r\nC: d\r\n"}}
	for _, empty := range []string{"method", "from", "sni", "tls", "http2", "cert", "follow"} {
		q.Set(empty, "")
	}
	r, err := explain.ParseQuery(q)
	if err != nil || !reflect.DeepEqual(r.Header, http.Header{"A": {"b"}, "C": {"d"}}) || r.Method != "GET" {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestQueryLeavesKeysOut: a file of a client's certificate often holds its key.
func TestQueryLeavesKeysOut(t *testing.T) {
	leaf := string(newSigner(t, &signerTemplate, nil).pem)
	const key = "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n"
	r, err := explain.ParseQuery(url.Values{"url": {"https://a.test/"}, "cert": {key + leaf}})
	if err != nil || string(r.ClientCertificate) != leaf {
		t.Errorf("%s, %v; want the certificate alone", r.ClientCertificate, err)
	}
}

func TestQueryMistakes(t *testing.T) {
	for query, want := range map[string]string{
		"":                                 "url is missing: name one, as http://HOST/PATH",
		"url=a.test/x":                     `url "a.test/x": write http://HOST/PATH or https://HOST/PATH; did you mean http://a.test/x?`,
		"url=htps://a.test/":               "did you mean https://a.test/?",
		"url=HTTP://a.test/":               "did you mean http://a.test/?",
		"url=ftp://a.test/":                "write http://HOST/PATH",
		"url=http:/node/x":                 "did you mean http://node/x?",
		"url=https:///node/x":              "write a host",
		"url=ws://a.test/x":                "a WebSocket is http://a.test/x with the headers Connection: Upgrade and Upgrade: websocket",
		"url=WSS://a.test/x":               "a WebSocket is https://a.test/x with",
		"url=/x":                           `url "/x": write http://HOST/PATH or https://HOST/PATH`,
		"url=http://u@a.test/":             "without user name",
		"url=http://a/&url=http://b/":      "url is given 2 times",
		"url=http://a/&metod=GET":          "metod is no part of a request; did you mean method?",
		"url=http://a/&zzzzzz=":            "zzzzzz is no part of a request: there are url, method",
		"url=http://a/&from=a":             "from a: it is not an IP address",
		"url=http://a/&header=a":           `header "a": write 'Name: value'`,
		"url=http://a/&header=host: b":     "name the host in the URL",
		"url=http://a/&header=a b: c":      `"a b" is no name of a header`,
		"url=http://a/&header=a: b%00":     "header a: its value has a character that no header may have",
		"url=http://a/&tls=1.1":            "tls 1.1: write 1.2 or 1.3",
		"url=http://a/&http2=yes":          "http2 yes: write true or false",
		"url=http://a/&cert=x":             "cert holds no certificate in PEM",
		"url=http://a/&header=A: b%0AC%0A": `header "C": write 'Name: value'`,
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		_, err = explain.ParseQuery(q)
		var m *explain.Mistake
		if !errors.As(err, &m) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", query, err, want)
		}
	}
	if follow, err := explain.Follows(url.Values{"follow": {"true"}}); !follow || err != nil {
		t.Errorf("follow=true: %v, %v", follow, err)
	}
	if _, err := explain.Follows(url.Values{"follow": {"1"}}); err == nil {
		t.Error("follow=1: no error")
	}
}

// TestWhatBrowsersSend: a URL that is copied out of a browser, or written as people write one, is not what is sent. The
// answer is to what is asked, but for the fragment, and a note has the other.
func TestWhatBrowsersSend(t *testing.T) {
	for _, tt := range []struct{ url, asked, note string }{
		{"http://a.test/only/#/login", "GET http://a.test/only/", "a client does not send # and what follows it, so that it is left out here"},
		{"http://a.test#", "GET http://a.test", "a client does not send # and what follows it, so that it is left out here"},
		{"http://bücher.example/x", "GET http://bücher.example/x", "a browser sends this URL as http://xn--bcher-kva.example/x: ask that for what it gets"},
		{"https://a.test:8443/größe?q=ü'", "GET https://a.test:8443/größe?q=ü'", "a browser sends this URL as https://a.test:8443/gr%C3%B6%C3%9Fe?q=%C3%BC': ask that for what it gets"},
		{"http://A.test/a b{}", "GET http://A.test/a b{}", "a browser sends this URL as http://A.test/a%20b%7B%7D: ask that for what it gets"},
		{"http://a.test/only/%2e?q={}|^", "GET http://a.test/only/%2e?q={}|^", ""},
	} {
		r, err := explain.ParseQuery(url.Values{"url": {tt.url}})
		if err != nil {
			t.Fatal(err)
		}
		story, err := explain.Explain(gateway(t), nil, r)
		if err != nil {
			t.Fatal(err)
		}
		note := ""
		for _, n := range story.Notes {
			if strings.HasPrefix(n, "a browser sends") || strings.HasPrefix(n, "a client does not send") {
				note += n
			}
		}
		if story.Request != tt.asked || note != tt.note {
			t.Errorf("%s: asked is %s, noted is %q, want %s, %q", tt.url, story.Request, note, tt.asked, tt.note)
		}
	}
	// Whoever asks by a Request has every byte asked.
	story, err := explain.Explain(gateway(t), nil, explain.Request{URL: "http://a.test/only/#x"})
	if err != nil || story.Decision.Status != http.StatusBadRequest {
		t.Errorf("%+v, %v", story.Decision, err)
	}
}

// TestSlipsAreNoted: a method in small letters is another one, and a port beyond 65535 none.
func TestSlipsAreNoted(t *testing.T) {
	for _, tt := range []struct {
		r    explain.Request
		note string
	}{
		{explain.Request{Method: "get", URL: "http://a.test/only"}, "methods are case-sensitive, and get is none that is usual; did you mean GET?"},
		{explain.Request{Method: "Post", URL: "http://a.test/only", HTTP2: true}, "methods are case-sensitive, and Post is none that is usual; did you mean POST?"},
		{explain.Request{URL: "http://a.test:99999/only"}, "99999 is no port that a client could connect to: they are up to 65535"},
		{explain.Request{Method: "brew", URL: "http://a.test/only"}, ""},
	} {
		story, err := explain.Explain(gateway(t), nil, tt.r)
		if got := strings.Join(story.Notes, "; "); err != nil || tt.note != "" && !strings.Contains(got, tt.note) ||
			strings.Contains(got, "port 80") || tt.note == "" && strings.Contains(got, "methods") {
			t.Errorf("%+v: %q, %v; want %q", tt.r, got, err, tt.note)
		}
	}
}
