package inspect

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/postern-gateway/postern/controlplane/casetest/transcript"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/controlplane/xds"
)

const (
	testToken    = "a-token-of-more-than-16-bytes"
	testPassword = "correct horse"
)

func newLog() (*slog.Logger, *transcript.Text) {
	text := &transcript.Text{}
	return slog.New(slog.NewTextHandler(text, nil)), text
}

// writeFile writes a file of the test's folder.
func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// userLine is a line of htpasswd.
func userLine(t testing.TB, user, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return user + ":" + string(hash) + "\n"
}

// serve answers by flags until the test ends.
func serve(t testing.TB, i *Inspector, f Flags) *Listener {
	t.Helper()
	if f.Address == "" {
		f.Address = "127.0.0.1:0"
	}
	l, err := f.Open(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- i.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l
}

// ask sends a request with a connection of its own.
func ask(t testing.TB, method, url string, set func(*http.Request)) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if set != nil {
		set(request)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func newInspector() *Inspector { return New(Config{Server: xds.New(xds.Options{})}) }

// TestWhoMayAsk: what a browser sends for a page of another site, and by another name, is refused whatever is asked for.
func TestWhoMayAsk(t *testing.T) {
	l := serve(t, newInspector(), Flags{Hosts: []string{"Inspect.example.com."}})
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	host := func(value string) func(*http.Request) { return func(r *http.Request) { r.Host = value } }
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, tt := range []struct {
		name, method, target string
		set                  func(*http.Request)
		want                 int
	}{
		{"nothing is there", "GET", "/nothing", nil, 404},
		{"HEAD", "HEAD", "/nothing", nil, 404},
		{"localhost", "GET", "/nothing", host("localhost:" + port), 404},
		{"a tunnel's port", "GET", "/nothing", host("localhost:1"), 404},
		{"IPv6", "GET", "/nothing", host("[::1]:" + port), 404},
		{"IPv6 without a port", "GET", "/nothing", host("[::1]"), 404},
		{"a name that was given", "GET", "/nothing", host("inspect.EXAMPLE.com.:80"), 404},
		{"a name that resolves to here", "GET", "/nothing", host("rebound.test:" + port), 403},
		{"a name that begins alike", "GET", "/nothing", host("localhost.evil.test"), 403},
		{"a name of digits", "GET", "/nothing", host("127.0.0.1.evil.test"), 403},
		{"another address", "GET", "/nothing", host("192.0.2.1"), 403},
		{"POST", "POST", "/nothing", nil, 405},
		{"OPTIONS", "OPTIONS", "/nothing", nil, 405},
		{"PUT", "PUT", "/nothing", nil, 405},
		{"gRPC over HTTP/1.1", "POST", csdsStreamPath, set("Content-Type", "application/grpc"), 405},
		{"a long URL", "GET", "/" + strings.Repeat("a", urlBytesMax), nil, 414},
		{"a body", "GET", "/nothing", func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("a")), 1
		}, 400},
		{"our own origin", "GET", "/nothing", set("Origin", "http://"+l.Addr().String()), 404},
		{"our own origin behind TLS", "GET", "/nothing", set("Origin", "https://"+l.Addr().String()), 404},
		{"another origin", "GET", "/nothing", set("Origin", "http://evil.test"), 403},
		{"another port", "GET", "/nothing", set("Origin", "http://127.0.0.1:1"), 403},
		{"a hidden origin", "GET", "/nothing", set("Origin", "null"), 403},
		{"an image of another site", "GET", "/nothing", set("Sec-Fetch-Site", "cross-site"), 403},
		{"of another host of the site", "GET", "/nothing", set("Sec-Fetch-Site", "same-site"), 403},
		{"by ourselves", "GET", "/nothing", set("Sec-Fetch-Site", "same-origin"), 404},
		{"typed", "GET", "/nothing", set("Sec-Fetch-Site", "none"), 404},
		{"a link", "GET", "/nothing", func(r *http.Request) {
			r.Header = http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}
		}, 404},
		{"a frame", "GET", "/nothing", func(r *http.Request) {
			r.Header = http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"iframe"}}
		}, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer, body := ask(t, tt.method, "http://"+l.Addr().String()+tt.target, tt.set)
			if answer.StatusCode != tt.want {
				t.Errorf("%d, want %d: %s", answer.StatusCode, tt.want, body)
			}
			checkProtected(t, answer.Header)
		})
	}
}

// checkProtected: no answer is framed, cached, sniffed or told to others, and none sets a cookie.
func checkProtected(t testing.TB, h http.Header) {
	t.Helper()
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
		"Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin",
	} {
		if !strings.HasPrefix(h.Get(name), want) {
			t.Errorf("%s: %q, want %q", name, h.Get(name), want)
		}
	}
	policy := h.Get("Content-Security-Policy")
	for _, want := range []string{"frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy lacks %s: %s", want, policy)
		}
	}
	if strings.Contains(policy, "unsafe") || h.Get("Set-Cookie") != "" || h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("headers %v", h)
	}
}

// TestOpenRefuses: nothing opens the pages to the network without a credential, and what cannot be used is told at the start.
func TestOpenRefuses(t *testing.T) {
	users := writeFile(t, "users", userLine(t, "alice", testPassword))
	for _, tt := range []struct {
		name  string
		flags Flags
		want  string
	}{
		{"every address", Flags{Address: "0.0.0.0:0"}, "--inspect-users FILE or --inspect-token FILE, or listen on 127.0.0.1:0"},
		{"no host", Flags{Address: ":0"}, "no loopback address"},
		{"a name", Flags{Address: "inspect.test:0"}, "no loopback address"},
		{"no port", Flags{Address: "127.0.0.1"}, "write HOST:PORT"},
		{"a short token", Flags{Address: "127.0.0.1:0", TokenFile: writeFile(t, "token", "short\n")}, "5 bytes, and 16 are the least"},
		{"a token of words", Flags{Address: "127.0.0.1:0", TokenFile: writeFile(t, "token", "correct horse battery staple")}, "a space"},
		{"a large token", Flags{Address: "127.0.0.1:0", TokenFile: writeFile(t, "token", strings.Repeat("a", tokenBytesMax+1))}, "more than"},
		{"no such file", Flags{Address: "127.0.0.1:0", UsersFile: filepath.Join(t.TempDir(), "none")}, "--inspect-users: open"},
		{"no user", Flags{Address: "127.0.0.1:0", UsersFile: writeFile(t, "users", "# nobody\n")}, "no line of a user"},
		{"a plain password", Flags{Address: "127.0.0.1:0", UsersFile: writeFile(t, "users", "alice:"+testPassword+"\n")}, "line 1: its hash is none of"},
		{"a dear hash", Flags{Address: "127.0.0.1:0", UsersFile: writeFile(t, "users", "alice:$2y$20$"+strings.Repeat("a", 53)+"\n")}, "cost of bcrypt"},
		{"no certificate", Flags{Address: "127.0.0.1:0", CertDir: t.TempDir()}, "--inspect-cert-dir: open"},
		{"a host with a port", Flags{Address: "127.0.0.1:0", Hosts: []string{"a.test:80"}}, "write a host without port"},
		{"a host as URL", Flags{Address: "127.0.0.1:0", Hosts: []string{"http://a.test"}}, "write a host without port"},
		{"no address", Flags{UsersFile: users}, "has no effect without --inspect"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := tt.flags.Open(slog.New(slog.DiscardHandler))
			if l != nil {
				l.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), testPassword) {
				t.Errorf("the error shows a password: %v", err)
			}
		})
	}
	log, told := newLog()
	l, err := Flags{Address: "0.0.0.0:0", UsersFile: users}.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if !strings.Contains(told.String(), "travel as they are") {
		t.Errorf("that passwords are not encrypted is not told: %s", told)
	}
	if want := fmt.Sprintf("http://localhost:%d/", l.Addr().(*net.TCPAddr).Port); l.URL != want {
		t.Errorf("people are sent to %s, want %s", l.URL, want)
	}
	if err := l.hosts.check("whatever.test"); err != nil {
		t.Errorf("with a credential, and without --inspect-host: %v", err)
	}
}

// TestCredentials: either credential lets in, and nothing else does.
func TestCredentials(t *testing.T) {
	users := writeFile(t, "users", userLine(t, "alice", testPassword)+"bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
	token := writeFile(t, "token", testToken+"\n")
	l := serve(t, newInspector(), Flags{UsersFile: users, TokenFile: token})
	basic := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, password) }
	}
	header := func(values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header["Authorization"] = values }
	}
	for _, tt := range []struct {
		name string
		set  func(*http.Request)
		want int
	}{
		{"nothing", nil, 401},
		{"a user", basic("alice", testPassword), 404},
		{"a user, again", basic("alice", testPassword), 404},
		{"a user by SHA", basic("bob", "secret"), 404},
		{"another's password", basic("bob", testPassword), 401},
		{"no such user", basic("eve", testPassword), 401},
		{"the token", header("Bearer " + testToken), 404},
		{"the token, spelt otherwise", header("bearer  " + testToken), 404},
		{"a part of the token", header("Bearer " + testToken[:16]), 401},
		{"no token", header("Bearer "), 401},
		{"the token as a password", basic("alice", testToken), 401},
		{"the hash of an empty token", header("Bearer"), 401},
		{"two headers", header("Bearer "+testToken, "Bearer x"), 401},
		{"a large header", header("Basic " + strings.Repeat("a", authorizationBytesMax)), 401},
		{"a long password", basic("alice", strings.Repeat("a", 2000)), 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer, body := ask(t, "GET", "http://"+l.Addr().String()+"/nothing", tt.set)
			if answer.StatusCode != tt.want {
				t.Errorf("%d, want %d: %s", answer.StatusCode, tt.want, body)
			}
			checkProtected(t, answer.Header)
			if challenges := answer.Header.Values("WWW-Authenticate"); (len(challenges) == 2) != (tt.want == 401) {
				t.Errorf("challenges %q", challenges)
			}
		})
	}
}

// TestCredentialsChange: a file's new text counts from the next request on; one that cannot be used lets nobody in, and is told
// once, without a byte of it.
func TestCredentialsChange(t *testing.T) {
	users := writeFile(t, "users", userLine(t, "alice", testPassword))
	log, told := newLog()
	c, err := openCredentials(users, "", log)
	if err != nil {
		t.Fatal(err)
	}
	status := func(user, password string) int {
		r := httptest.NewRequest("GET", "/", nil)
		r.SetBasicAuth(user, password)
		w := httptest.NewRecorder()
		if c.admit(w, r) {
			return http.StatusOK
		}
		return w.Code
	}
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(users, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(alice, bob int) {
		t.Helper()
		if a, b := status("alice", testPassword), status("bob", "other"); a != alice || b != bob {
			t.Errorf("alice %d, bob %d; want %d and %d", a, b, alice, bob)
		}
	}
	expect(200, 401)
	put(userLine(t, "bob", "other"))
	expect(401, 200)
	put("bob:" + testPassword + "\n")
	expect(401, 401)
	if err := os.Remove(users); err != nil {
		t.Fatal(err)
	}
	expect(401, 401)
	put(userLine(t, "alice", testPassword))
	expect(200, 401)
	if text := told.String(); strings.Count(text, "nobody may look") != 2 || strings.Contains(text, testPassword) {
		t.Errorf("the log: %s", text)
	}
}

// TestFailuresAreBounded: who fails too often waits, which costs nobody elsewhere, nor who was let in before, nor a token.
func TestFailuresAreBounded(t *testing.T) {
	c, err := openCredentials(writeFile(t, "users", userLine(t, "alice", testPassword)), writeFile(t, "token", testToken), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c.now = func() time.Time { return now }
	status := func(from, password string) int {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = from
		if password == testToken {
			r.Header.Set("Authorization", "Bearer "+testToken)
		} else {
			r.SetBasicAuth("alice", password)
		}
		w := httptest.NewRecorder()
		if c.admit(w, r) {
			return http.StatusOK
		}
		if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
		return w.Code
	}
	const attacker, victim = "192.0.2.1:1", "192.0.2.2:1"
	for n := range failuresBurst {
		if got := status(attacker, fmt.Sprint("guess", n)); got != 401 {
			t.Fatalf("guess %d: %d", n, got)
		}
	}
	if got := status("192.0.2.1:2", testPassword); got != 429 {
		t.Errorf("a guess too many is answered %d", got)
	}
	if got := status(victim, testPassword); got != 200 {
		t.Errorf("another address: %d", got)
	}
	if got := status(attacker, testPassword); got != 200 {
		t.Errorf("who was let in before, through the same proxy: %d", got)
	}
	if got := status(attacker, testToken); got != 200 {
		t.Errorf("a token: %d", got)
	}
	now = now.Add(failureInterval)
	if got := status(attacker, "guess"); got != 401 {
		t.Errorf("after a while: %d", got)
	}
	if got := status(attacker, "another guess"); got != 429 {
		t.Errorf("and at once again: %d", got)
	}
	for n := range peersMax + 100 {
		status(fmt.Sprintf("[2001:db8:%x:%x::1]:1", n>>8, n&0xff), testPassword+"x"+strings.Repeat("y", 1024))
	}
	if len(c.peers) > peersMax || c.order.Len() > peersMax {
		t.Errorf("%d addresses are remembered", len(c.peers))
	}
}

// TestRequestsAreBounded: beyond the bound there is an answer at once, and streams take no place of requests.
func TestRequestsAreBounded(t *testing.T) {
	held, release := make(chan struct{}), make(chan struct{})
	g := newGuard(hosts{any: true}, nil, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/quick" {
			held <- struct{}{}
			<-release
		}
	}))
	var done sync.WaitGroup
	status := func(path string) int {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Code
	}
	for range streamsMax {
		done.Go(func() { status(eventsPath) })
		<-held
	}
	if got := status(eventsPath); got != 503 {
		t.Errorf("a stream too many: %d", got)
	}
	if got := status("/quick"); got != 200 {
		t.Errorf("beside streams: %d", got)
	}
	for range requestsMax {
		done.Go(func() { status("/slow") })
		<-held
	}
	if got := status("/quick"); got != 503 {
		t.Errorf("a request too many: %d", got)
	}
	close(release)
	done.Wait()
	if got := status("/quick"); got != 200 {
		t.Errorf("afterwards: %d", got)
	}
}

// TestTLS: a renewed certificate is shown from the next handshake on; one that cannot be used leaves the one before.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	put := func() {
		t.Helper()
		c, err := options.SelfSigned()
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string][]byte{"tls.crt": c.Chain, "tls.key": c.Key} {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	put()
	l := serve(t, newInspector(), Flags{CertDir: dir})
	if !strings.HasPrefix(l.URL, "https://127.0.0.1:") {
		t.Errorf("URL %s", l.URL)
	}
	shown := func() string { return handshake(t, l.Addr().String()) }
	first := shown()
	put()
	second := shown()
	if first == second {
		t.Error("a renewed certificate is not shown")
	}
	if err := os.WriteFile(filepath.Join(dir, "tls.key"), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := shown(); got != second {
		t.Error("the certificate before does not stay")
	}
}

// handshake gives the serial number of the certificate that is shown.
func handshake(t testing.TB, address string) string {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.ConnectionState().NegotiatedProtocol; got != "h2" {
		t.Errorf("protocol %q", got)
	}
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}
