package client

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// TestThrough: a server at a tunnel's end is asked with the tunnel's credential or that of --server-auth, and what goes wrong is
// told of the server, not of the loopback address.
func TestThrough(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch user {
		case "nobody":
			w.WriteHeader(http.StatusUnauthorized)
			return
		case "gone":
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, "%q", user+" "+password)
	}))
	defer server.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	begin := func(s *httptest.Server) netip.AddrPort { return netip.MustParseAddrPort(s.Listener.Addr().String()) }
	whole, broken := func() error { return nil }, func() error { return errors.New("nobody listens in the pod") }
	const origin = "Secret a/b"
	for _, tt := range []struct {
		flags string
		to    Tunnel
		want  string // or the error, where that begins with the server's name
	}{
		{"", Tunnel{Begin: begin(server), Broken: whole}, " "},
		{"", Tunnel{Begin: begin(server), Login: &Login{Origin: origin, User: "bob", Password: canary}}, "bob " + canary},
		{"--server-auth " + file(t, "eve:x"), Tunnel{Begin: begin(server), Login: &Login{Origin: origin, User: "bob", Password: canary}}, "eve x"},
		{"", Tunnel{Begin: begin(server), Login: &Login{Origin: origin, User: "nobody", Password: canary}}, "pod a/p does not take the credential of Secret a/b"},
		{"--server-auth " + file(t, "nobody:"+canary), Tunnel{Begin: begin(server)}, "pod a/p does not take the credential of --server-auth"},
		{"", Tunnel{Begin: begin(server), Login: &Login{User: "gone"}, Broken: whole}, "pod a/p: EOF"},
		{"", Tunnel{Begin: begin(server), Login: &Login{User: "gone"}, Broken: broken}, "pod a/p: nobody listens in the pod"},
		{"", Tunnel{Begin: begin(secure)}, "pod a/p speaks TLS, which --live does not"},
	} {
		tt.to.Server = "pod a/p"
		c, err := parse(t, strings.Fields(tt.flags)...).Through(tt.to)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		err = c.Get(t.Context(), "x", nil, &got)
		if err != nil {
			got = err.Error()
			if strings.Contains(got, canary) {
				t.Errorf("%q shows the password", got)
			}
		}
		if got != tt.want && (err == nil || !strings.HasPrefix(got, tt.want)) {
			t.Errorf("%q, %v: %q; want %q", tt.flags, tt.to.Login, got, tt.want)
		}
	}
	secret := Login{Origin: origin, User: "bob", Password: canary}
	if got := fmt.Sprintf("%v %+v %#v %s", secret, &secret, secret, &secret); strings.Contains(got, canary) {
		t.Error(got)
	}
}

func TestCheckTunnel(t *testing.T) {
	for args, want := range map[string]string{
		"":                     "",
		"--server-auth x":      "",
		"--server-ca x":        "--server-ca is for --server",
		"--server http://node": "--server and --live are given",
	} {
		if err := parse(t, strings.Fields(args)...).CheckTunnel(); err == nil != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}
