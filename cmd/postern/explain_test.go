package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/controlplane/inspect"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/controlplane/xds"
)

// liveServer is the inspection address, below /postern, of a process that serves manifests by flags. What is asked of it goes
// by asked, which may be nil.
func liveServer(t *testing.T, manifests string, asked func(*http.Request), flags ...string) *httptest.Server {
	t.Helper()
	c := &cobra.Command{}
	var in input
	in.register(c)
	in.paths = []string{manifests}
	if err := c.Flags().Parse(flags); err != nil {
		t.Fatal(err)
	}
	read, err := in.translate(c)
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := controller.Snapshot(nil, read.result)
	if err != nil {
		t.Fatal(err)
	}
	inspector := inspect.New(inspect.Config{Server: xds.New(xds.Options{Log: slog.New(slog.DiscardHandler)}), Options: in.options})
	inspector.Published(controller.Publication{Snapshot: snapshot, World: read.world, Result: read.result})
	server := httptest.NewServer(http.StripPrefix("/postern", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked != nil {
			asked(r)
		}
		inspector.Handler().ServeHTTP(w, r)
	})))
	t.Cleanup(server.Close)
	return server
}

// TestExplainOfServer: a live server's answer is that of its files, as text and as JSON, followed or not. No URL on the way has
// a header of the request that is asked about, or its certificate: others may log it.
func TestExplainOfServer(t *testing.T) {
	pair, err := options.SelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	certificate := filepath.Join(t.TempDir(), "alice.pem")
	if err := os.WriteFile(certificate, pair.Chain, 0o600); err != nil {
		t.Fatal(err)
	}
	server := liveServer(t, example, func(r *http.Request) {
		if u := r.URL.String(); !strings.Contains(u, "node") || strings.Contains(u, "s3cr3t") || strings.Contains(u, "CERTIFICATE") {
			t.Errorf("asked for is %s", u)
		}
	}).URL + "/postern"
	for _, args := range [][]string{
		{"http://node/k8s/app"}, {"https://node/k8s", "-X", "POST", "-H", "Cookie: a=s3cr3t; b=%3D+ü", "-H", "X-A: 1&2", "--from", "10.0.0.9", "--http2", "--sni", "-"},
		{"https://node/k8s", "--client-cert", certificate},
		{"--follow", "http://node/k8s"}, {"-o", "json", "http://node/catalog/"}, {"-o", "json", "--follow", "http://node/k8s"},
	} {
		ofFiles, _, err := run(t, "", append([]string{"explain", "-f", example}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		live, _, err := run(t, "", append([]string{"explain", "--server", server}, args...)...)
		if err != nil || withoutTimes(live) != withoutTimes(ofFiles) {
			t.Errorf("%q: %v\n%s\nfrom files:\n%s", args, err, live, ofFiles)
		}
	}
}

// withoutTimes leaves out when a made-up certificate ends, which each process says of its own.
func withoutTimes(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		if !strings.Contains(line, "certificate") && !strings.Contains(line, " UTC") && !strings.Contains(line, `"not`) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

func TestExplainMistakes(t *testing.T) {
	server := liveServer(t, example, nil).URL
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"request": 1}`))
	}))
	defer elsewhere.Close()
	credential := filepath.Join(t.TempDir(), "credential")
	if err := os.WriteFile(credential, []byte("a:b"), 0o600); err != nil {
		t.Fatal(err)
	}
	const url = "http://node/"
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{url}, "-f PATH is missing: name a file or folder of manifests, or - for standard input; or a cluster, by -A for all its namespaces, or -n NAMESPACE; or a live server, by --server URL"},
		{[]string{url, "-f", example, "--server", server}, "-f and --server are given"},
		{[]string{url, "--server", server, "--ingress-class", "x"}, "--ingress-class is for manifests"},
		{[]string{url, "-f", example, "--server-auth", credential}, "--server-auth is for --server"},
		{[]string{url, "--server-auth", credential}, "--server-auth is for --server"},
		{[]string{url, "--server", "node"}, "--server node: write http://"},
		{[]string{url, "--server", server}, "has no /explain"},
		{[]string{url, "--server", elsewhere.URL}, "its answer is no story"},
		{[]string{"a.test/x", "-f", example}, "did you mean http://a.test/x?"},
		{[]string{"", "-f", example}, "URL is missing: name one, as http://HOST/PATH"},
		{[]string{"htp://a.test/x", "--server", server}, "did you mean http://a.test/x?"},
		{[]string{url, "-f", example, "--from", "x"}, "--from x: it is not an IP address"},
		{[]string{url, "-f", example, "--client-cert", credential}, "--client-cert holds no certificate in PEM"},
	} {
		if _, _, err := run(t, "", append([]string{"explain"}, tt.args...)...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.args, err, tt.want)
		}
	}
}
