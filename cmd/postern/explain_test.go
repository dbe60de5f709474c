package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/files"
	"github.com/postern-gateway/postern/controlplane/inspect/client"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/explain"
)

// liveServer answers /explain as a live server does: by the parser and the engine that the command has too.
func liveServer(t *testing.T) *httptest.Server {
	t.Helper()
	in := input{paths: []string{example}}
	state, err := files.Read(in.paths, files.Options{})
	if err != nil {
		t.Fatal(err)
	}
	in.register(command())
	settings, err := in.options.Settings()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := options.EnsureCertificate(&settings); err != nil {
		t.Fatal(err)
	}
	result := translator.Translate(state.World(), settings)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /postern/explain", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		request, err := explain.ParseQuery(r.URL.Query())
		follow, _ := explain.Follows(r.URL.Query())
		request.At = time.Now()
		var answer any
		switch {
		case err != nil:
		case follow:
			answer, err = explain.Follow(result.Gateway, result.Diagnostics, request)
		default:
			answer, err = explain.Explain(result.Gateway, result.Diagnostics, request)
		}
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			answer = client.Refusal{Error: err.Error()}
		}
		if err := encoder.Encode(answer); err != nil {
			t.Error(err)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// TestExplainOfServer: a live server's answer is that of its files, as text and as JSON, followed or not.
func TestExplainOfServer(t *testing.T) {
	server := liveServer(t).URL + "/postern"
	for _, args := range [][]string{
		{"http://node/k8s/app"}, {"https://node/k8s", "-X", "POST", "-H", "Cookie: a=b", "--from", "10.0.0.9", "--http2", "--sni", "-"},
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
	server := liveServer(t).URL
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
		{[]string{"htp://a.test/x", "--server", server}, "did you mean http://a.test/x?"},
		{[]string{url, "-f", example, "--from", "x"}, "--from x: it is not an IP address"},
		{[]string{url, "-f", example, "--client-cert", credential}, "--client-cert holds no certificate in PEM"},
	} {
		if _, _, err := run(t, "", append([]string{"explain"}, tt.args...)...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.args, err, tt.want)
		}
	}
}
