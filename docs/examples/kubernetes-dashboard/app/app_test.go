package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// get asks handler for one path, without a network.
func get(handler http.Handler, path string, header http.Header) *http.Response {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for name, values := range header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTypes(t *testing.T) {
	for _, tc := range []struct {
		handler           http.Handler
		path, contentType string
		status            int
	}{
		{newDashboard(), "/", "text/html; charset=utf-8", 200},
		{newDashboard(), "/style.css", "text/css; charset=utf-8", 200},
		{newDashboard(), "/app.js", "text/javascript; charset=utf-8", 200},
		{newDashboard(), "/assets/logo.svg", "image/svg+xml", 200},
		{newDashboard(), "/index.html", "text/plain; charset=utf-8", 404},
		{newDashboard(), "/k8s/style.css", "text/plain; charset=utf-8", 404},
		{newAbout(), "/", "text/html; charset=utf-8", 200},
		{newAbout(), "/style.css", "text/css; charset=utf-8", 200},
		{newAbout(), "/api/v1/login/status", "text/plain; charset=utf-8", 404},
		{newCatalog(), "/", "text/html; charset=utf-8", 200},
		{newCatalog(), "/chart/redis", "text/html; charset=utf-8", 200},
		{newCatalog(), "/style.css", "text/css; charset=utf-8", 200},
		{newCatalog(), "/app.js", "text/javascript; charset=utf-8", 200},
		{newCatalog(), "/icon.svg", "image/svg+xml", 200},
		{newCatalog(), "/api/charts", "application/json", 200},
		{newCatalog(), "/chart/style.css/x", "text/plain; charset=utf-8", 404},
	} {
		r := get(tc.handler, tc.path, nil)
		if r.StatusCode != tc.status || r.Header.Get("Content-Type") != tc.contentType {
			t.Errorf("%s: got %d %q, want %d %q", tc.path, r.StatusCode, r.Header.Get("Content-Type"), tc.status, tc.contentType)
		}
		if got := r.Header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s: X-Content-Type-Options %q, want nosniff", tc.path, got)
		}
	}
}

// TestAddressesAreRelative: the whole example rests on the page not knowing
// where it is mounted.
func TestAddressesAreRelative(t *testing.T) {
	address := regexp.MustCompile(`(?:src|href)="([^"]*)"|(?:fetch|call)\("([^"]*)"`)
	for _, path := range []string{"/", "/app.js"} {
		found := address.FindAllStringSubmatch(body(t, get(newDashboard(), path, nil)), -1)
		if len(found) == 0 {
			t.Errorf("%s: no address found", path)
		}
		for _, m := range found {
			if a := m[1] + m[2]; strings.HasPrefix(a, "/") || strings.Contains(a, "://") {
				t.Errorf("%s: address %q is not relative", path, a)
			}
		}
	}
}

func login(handler http.Handler, csrf, body string) *http.Response {
	r := httptest.NewRequest(http.MethodPost, "/api/v1/login", strings.NewReader(body))
	r.Header.Set(csrfHeader, csrf)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w.Result()
}

func decode(t *testing.T, r *http.Response, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(body(t, r)), into); err != nil {
		t.Fatal(err)
	}
}

func TestLogin(t *testing.T) {
	handler := newDashboard()
	var csrf struct{ Token string }
	decode(t, get(handler, "/api/v1/csrftoken/login", nil), &csrf)

	good := login(handler, csrf.Token, `{"token":"`+demoToken+`"}`)
	if good.StatusCode != 200 || len(good.Cookies()) != 0 {
		t.Fatalf("login: status %d, cookies %v; want 200 and none", good.StatusCode, good.Cookies())
	}
	var answer struct{ JweToken string }
	decode(t, good, &answer)

	for _, tc := range []struct {
		name           string
		header         http.Header
		cookie, inHead bool
		namespaces     int // status of /api/v1/namespace
	}{
		{"nothing", nil, false, false, 401},
		{"cookie alone", http.Header{"Cookie": {"jweToken=" + answer.JweToken}}, true, false, 401},
		{"header", http.Header{"Jwetoken": {answer.JweToken}}, false, true, 200},
		{"made up", http.Header{"Jwetoken": {"x"}, "Cookie": {"jweToken=x"}}, false, false, 401},
	} {
		var status struct{ TokenPresent, HeaderPresent bool }
		decode(t, get(handler, "/api/v1/login/status", tc.header), &status)
		if status.TokenPresent != tc.cookie || status.HeaderPresent != tc.inHead {
			t.Errorf("%s: status %+v, want cookie %v, header %v", tc.name, status, tc.cookie, tc.inHead)
		}
		if got := get(handler, "/api/v1/namespace", tc.header).StatusCode; got != tc.namespaces {
			t.Errorf("%s: namespaces answered %d, want %d", tc.name, got, tc.namespaces)
		}
	}
}

func TestLoginRefused(t *testing.T) {
	handler := newDashboard()
	var csrf struct{ Token string }
	decode(t, get(handler, "/api/v1/csrftoken/login", nil), &csrf)
	for _, tc := range []struct {
		name, csrf, body string
		status           int
	}{
		{"no csrf token", "", `{"token":"` + demoToken + `"}`, 403},
		{"wrong token", csrf.Token, `{"token":"guess"}`, 401},
		{"no token", csrf.Token, `{}`, 401},
		{"not JSON", csrf.Token, `token=x`, 400},
		{"too long", csrf.Token, `{"token":"` + strings.Repeat("x", loginBodyBytesMax) + `"}`, 400},
	} {
		r := login(handler, tc.csrf, tc.body)
		if text := body(t, r); r.StatusCode != tc.status || strings.Contains(text, "jweToken") {
			t.Errorf("%s: got %d %s, want %d without a jweToken", tc.name, r.StatusCode, text, tc.status)
		}
	}
}

func TestRedirects(t *testing.T) {
	for path, want := range map[string]string{
		"/old":                            "/",
		"https://node.test:8443/absolute": "https://node.test:8443/",
	} {
		r := get(newDashboard(), path, nil)
		if got := r.Header.Get("Location"); r.StatusCode != 302 || got != want {
			t.Errorf("%s: got %d to %q, want 302 to %q", path, r.StatusCode, got, want)
		}
	}
}

func TestCookies(t *testing.T) {
	want := map[string][]string{
		"/":        {"lang=en; Path=/; SameSite=Lax"},
		"/cookies": {"root=1; Path=/", "settings=1; Path=/settings", "nopath=1"},
	}
	for path, cookies := range want {
		got := get(newDashboard(), path, nil).Header.Values("Set-Cookie")
		if strings.Join(got, "|") != strings.Join(cookies, "|") {
			t.Errorf("%s: cookies %q, want %q", path, got, cookies)
		}
	}
}

func TestRequestShowsForwardedHeadersOnly(t *testing.T) {
	r := get(newDashboard(), "https://node.test/api/v1/request?a=b", http.Header{
		"X-Forwarded-Prefix": {"/k8s"}, "Authorization": {"Bearer hidden"},
	})
	var seen struct {
		URI, Host string
		Headers   map[string][]string
	}
	decode(t, r, &seen)
	if seen.URI != "https://node.test/api/v1/request?a=b" || seen.Host != "node.test" {
		t.Errorf("got %+v", seen)
	}
	if len(seen.Headers) != 1 || seen.Headers["X-Forwarded-Prefix"][0] != "/k8s" {
		t.Errorf("headers %v, want X-Forwarded-Prefix alone", seen.Headers)
	}
}

// TestServe goes through real sockets: the certificate is good for its name
// when it is trusted, the sites answer, and the end of ctx ends everything.
func TestServe(t *testing.T) {
	opts := options{
		listen: "127.0.0.1:0", aboutListen: "127.0.0.1:0", catalogListen: "127.0.0.1:0", serverName: defaultServerName,
		certFile: filepath.Join(t.TempDir(), "cert.pem"),
	}
	a, err := listen(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.serve(ctx) }()

	pem, err := os.ReadFile(opts.certFile)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(pem, []byte("PRIVATE")) {
		t.Error("the certificate file holds a key")
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: defaultServerName}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for _, url := range []string{
		"https://" + a.dashboard.Addr().String() + "/api/v1/request",
		"http://" + a.about.Addr().String() + "/",
		"http://" + a.catalog.Addr().String() + "/",
	} {
		r, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		text := body(t, r)
		r.Body.Close()
		if r.StatusCode != 200 {
			t.Errorf("%s: status %d", url, r.StatusCode)
		}
		if r.TLS != nil && !strings.Contains(text, `"serverName":"`+defaultServerName+`"`) {
			t.Errorf("%s: %s lacks the server name", url, text)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("serve: %v", err)
	}
}

func TestPortTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cert := filepath.Join(t.TempDir(), "cert.pem")
	for flagName, opts := range map[string]options{
		"--listen":         {listen: taken.Addr().String(), serverName: "a.test", certFile: cert},
		"--about-listen":   {listen: "127.0.0.1:0", aboutListen: taken.Addr().String(), serverName: "a.test", certFile: cert},
		"--catalog-listen": {listen: "127.0.0.1:0", aboutListen: "127.0.0.1:0", catalogListen: taken.Addr().String(), serverName: "a.test", certFile: cert},
	} {
		err := run(t.Context(), opts, io.Discard)
		want := "another program listens on " + taken.Addr().String() + ": stop it, or choose another address with " + flagName
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", flagName, err, want)
		}
	}
	if _, err := os.Stat(cert); err == nil {
		t.Error("the certificate was written although the port is taken")
	}
}

func TestFlags(t *testing.T) {
	opts, err := parseFlags(nil, io.Discard)
	want := options{listen: "127.0.0.1:9443", aboutListen: "127.0.0.1:9080", catalogListen: "127.0.0.1:9081", serverName: defaultServerName}
	if err != nil || opts != want {
		t.Errorf("defaults: got %+v, %v; want %+v", opts, err, want)
	}
	var said strings.Builder
	if _, err := parseFlags([]string{"extra"}, &said); err == nil || !strings.Contains(said.String(), `"extra"`) {
		t.Errorf("an extra argument: got %v, said %q", err, said.String())
	}
}
