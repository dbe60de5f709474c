package client

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// canary is the password of all tests; it must be in no error.
const canary = "s3cr3t-canary"

// parse makes flags of a command line.
func parse(t *testing.T, args ...string) *Flags {
	t.Helper()
	var f Flags
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.Register(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return &f
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// open is the client of a command line, whose connections end with the test.
func open(t *testing.T, args ...string) *Client {
	t.Helper()
	c, err := parse(t, args...).Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.http.CloseIdleConnections)
	return c
}

func TestGet(t *testing.T) {
	var seen *http.Request
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		fmt.Fprint(w, `{"a": 1}`)
	}))
	defer server.Close()
	ca := file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	for _, tt := range []struct{ credential, user, header string }{
		{"", "", ""},
		{"bob:" + canary + ":x\n", "bob", ""},
		{" " + canary + "\r\n", "", "Bearer " + canary},
	} {
		args := []string{"--server", server.URL + "/postern/", "--server-ca", ca}
		if tt.credential != "" {
			args = append(args, "--server-auth", file(t, tt.credential))
		}
		var into struct{ A int }
		err := open(t, args...).Get(t.Context(), "/explain", url.Values{"url": {"http://a/?b&c"}}, &into)
		if err != nil || into.A != 1 {
			t.Fatalf("%+v, %v", into, err)
		}
		user, password, _ := seen.BasicAuth()
		if seen.URL.Path != "/postern/explain" || seen.URL.Query().Get("url") != "http://a/?b&c" || seen.Header.Get("Accept") != "application/json" {
			t.Errorf("%s %v", seen.URL, seen.Header)
		}
		if user != tt.user || user != "" && password != canary+":x" || tt.header != "" && seen.Header.Get("Authorization") != tt.header ||
			tt.credential == "" && seen.Header["Authorization"] != nil {
			t.Errorf("%q: Authorization is %q", tt.credential, seen.Header["Authorization"])
		}
	}
}

func TestBareAddress(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, "%q", r.URL.Path)
	}))
	defer server.Close()
	for suffix, want := range map[string]string{"": "/x", "/": "/x", "/p": "/p/x"} {
		var path string
		if err := open(t, "--server", server.Listener.Addr().String()+suffix).Get(t.Context(), "x", nil, &path); err != nil || path != want {
			t.Errorf("%q: asked for %q, %v; want %q", suffix, path, err, want)
		}
	}
}

func TestFlagMistakes(t *testing.T) {
	secret, empty, lines := file(t, "bob:"+canary), file(t, " \n"), file(t, canary+"\n"+canary)
	nameless, strange := file(t, ":"+canary), file(t, canary+" {}")
	for _, tt := range []struct {
		args string
		want string
	}{
		{"", "--server is missing: write a URL"},
		{"--server node", "--server node: write http:// or https:// before it, or a port"},
		{"--server node/x:1", "write http:// or https://"},
		{"--server ftp://node", "write a URL of http or https"},
		{"--server http://bob:" + canary + "@node:1", "--server-auth FILE"},
		{"--server bob:" + canary + "@node:1/x", "--server-auth FILE"},
		{"--server http://:8079", "write a host"},
		{"--server http://node:port", "it is no URL"},
		{"--server http://node/?a", "without a query"},
		{"--server http://node/?", "without a query"},
		{"--server http://node/#a", "without a query"},
		{"--server http://10.0.0.1:8079 --server-auth " + secret, "over http to 10.0.0.1:8079 everyone on the way would read the credential"},
		{"--server http://localhost.evil.test --server-auth " + secret, "everyone on the way"},
		{"--server https://node --server-auth /nowhere", "--server-auth /nowhere: no such file"},
		{"--server https://node --server-auth " + empty, "it is empty"},
		{"--server https://node --server-auth " + lines, "more than one line"},
		{"--server https://node --server-auth " + nameless, "no name before the colon"},
		{"--server https://node --server-auth " + strange, "neither NAME:PASSWORD nor a token"},
		{"--server https://node --server-ca /nowhere", "--server-ca /nowhere: no such file"},
		{"--server https://node --server-ca " + secret, "no certificate in PEM"},
		{"--server http://node --server-ca " + secret, "for a server of https"},
	} {
		_, err := parse(t, strings.Fields(tt.args)...).Client()
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: %v, want %q", tt.args, err, tt.want)
		}
	}
	for args, want := range map[string]string{
		"":                "",
		"--server-auth x": "--server-auth is for --server",
		"--server-ca x":   "--server-ca is for --server",
		"--server-auth x --server-ca x --server http://node": "",
	} {
		if err := parse(t, strings.Fields(args)...).Check(); err == nil != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
	for _, loopback := range []string{"http://127.0.0.1:8079", "127.9.9.9:1", "http://[::1]:1", "LOCALHOST:1"} {
		if _, err := parse(t, "--server", loopback, "--server-auth", secret).Client(); err != nil {
			t.Errorf("%s: %v", loopback, err)
		}
	}
}

func TestFailures(t *testing.T) {
	answer := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Location", "http://other/")
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	const page, isJSON = "text/html", "application/json"
	long, err := json.Marshal(Refusal{Error: strings.Repeat("é", 400)})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		args    []string
		want    string
	}{
		"a page":           {answer(200, page, "<html>"), nil, "answers text/html in place of JSON: it is no inspection address"},
		"no type":          {answer(200, "", "x"), nil, "answers something in place of JSON"},
		"bad JSON":         {answer(200, isJSON, "{"), nil, "another version of Postern"},
		"other JSON":       {answer(200, isJSON, `{"a": "b"}`), nil, "another version of Postern"},
		"too long":         {answer(200, isJSON, `"`+strings.Repeat("x", 2000)+`"`), nil, "longer than 1000 bytes"},
		"redirect":         {answer(302, page, ""), nil, `by a redirect to "http://other/"`},
		"no credential":    {answer(401, page, ""), nil, "by --server-auth FILE"},
		"wrong credential": {answer(401, page, ""), []string{"--server-auth", file(t, "bob:"+canary)}, "does not take the credential"},
		"forbidden":        {answer(403, page, "<html>"), nil, "does not allow it (403)"},
		"forbidden, why":   {answer(403, isJSON, `{"error": "no such host is served"}`), nil, "answers 403: no such host is served"},
		"earlier version":  {answer(404, page, ""), nil, "has no /explain: it is another server, or a Postern of an earlier version"},
		"not found, why":   {answer(404, isJSON, `{"error": "there is no Ingress a/b"}`), nil, "answers 404: there is no Ingress a/b"},
		"a fault":          {answer(500, page, "<html>"), nil, "answers 500 Internal Server Error"},
		"long words":       {answer(400, isJSON, string(long)), nil, "ééé"},
		"breaks off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			w.Header().Set("Content-Type", isJSON)
			fmt.Fprint(w, "{")
		}, nil, "its answer broke off"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(tt.handler)
			defer server.Close()
			c := open(t, append(tt.args, "--server", server.URL)...)
			c.answerMax = 1000
			var into []string
			err := c.Get(t.Context(), "/explain", nil, &into)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), canary) || len(err.Error()) > 700 {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestNoAnswer(t *testing.T) {
	quiet := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer quiet.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := gone.Addr().String()
	gone.Close()
	ca := file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})))
	port := secure.URL[strings.LastIndex(secure.URL, ":"):]
	for _, tt := range []struct{ server, ca, want string }{
		{nobody, "", "nothing listens there"},
		{quiet.URL, "", "it has not answered in time"},
		{"https" + strings.TrimPrefix(quiet.URL, "http"), "", "it does not speak TLS there: write http://"},
		{"http" + strings.TrimPrefix(secure.URL, "https"), "", "it speaks TLS there: write https://"},
		{secure.URL, "", "--server-ca FILE"},
		{"https://localhost" + port, ca, "its certificate is for other names"},
	} {
		args := []string{"--server", tt.server}
		if tt.ca != "" {
			args = append(args, "--server-ca", tt.ca)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if tt.server == quiet.URL { // The others end by themselves, however slow the machine is.
			ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
		}
		err := open(t, args...).Get(ctx, "/explain", url.Values{"header": {"Authorization: " + canary}}, new(any))
		cancel()
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v, want %q", tt.server, err, tt.want)
		}
	}
}
