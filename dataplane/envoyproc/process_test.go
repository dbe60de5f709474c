package envoyproc

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/postern-gateway/postern/dataplane/failing"
)

// program writes a shell script that stands for Envoy.
func program(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "envoy")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// saysVersion answers --version as Envoy does.
const saysVersion = `[ "$1" = --version ] && { echo; echo "envoy  version: 9e55/1.38.2/Clean/RELEASE/BoringSSL"; exit 0; }` + "\n"

func shortFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "postern")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return folder
}

func TestUnexpectedExitIsAnErrorWithTheLastWords(t *testing.T) {
	var log strings.Builder
	script := saysVersion + `i=0; while [ $i -lt 30 ]; do echo "error|main|line $i" >&2; i=$((i+1)); done; exit 3`
	err := Run(context.Background(), Config{Path: program(t, script), Folder: shortFolder(t), XDSSocket: "/none"},
		slog.New(slog.NewTextHandler(&log, nil)))
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.HasSuffix(err.Error(), "line 29") || strings.Contains(err.Error(), "line 9\n") {
		t.Errorf("the error is %v", err)
	}
	for _, want := range []string{`level=ERROR msg="line 0" component=main`, "1.38.2", "1.40.0"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log.String())
		}
	}
}

func TestEnvironmentIsNotHandedOn(t *testing.T) {
	t.Setenv("SECRET_TOKEN", "abc")
	script := saysVersion + `echo "error|main|token ${SECRET_TOKEN-none}" >&2; exit 1`
	err := Run(context.Background(), Config{Path: program(t, script), Folder: shortFolder(t), XDSSocket: "/none"}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.HasSuffix(err.Error(), "token none") {
		t.Errorf("the error is %v", err)
	}
}

func TestProcessThatDoesNotStopIsKilled(t *testing.T) {
	started := make(chan struct{})
	config := Config{Folder: shortFolder(t), OnUpstreamFailure: func(string, string) { close(started) }}
	p := &process{config: config, log: slog.New(slog.DiscardHandler), stopWait: 10 * time.Millisecond}
	p.stderr = &stderrLog{log: p.log}
	path := program(t, `trap "" TERM; echo '{"upstream_cluster":"c","transport_failure":"r"}'; while :; do :; done`)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.run(ctx, path, nil) }()
	<-started
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestFindOrder(t *testing.T) {
	flag, env, onPath := program(t, ""), program(t, ""), program(t, "")
	cache := t.TempDir()
	inCache := filepath.Join(cache, "envoy-1.40.0/lib/python3.11/site-packages/envoy/_bin/envoy")
	t.Setenv("POSTERN_CACHE", cache)
	t.Setenv("PATH", filepath.Dir(onPath))
	t.Setenv("ENVOY", env)
	check := func(path, want string) {
		t.Helper()
		got, err := Find(path)
		if err != nil || got != want {
			t.Errorf("found %q, %v, want %q", got, err, want)
		}
	}
	refused := func(path, want string) {
		t.Helper()
		got, err := Find(path)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "make envoy") {
			t.Errorf("found %q, %v, want an error with %q", got, err, want)
		}
	}
	check(flag, flag)
	refused("/no/such/envoy", "/no/such/envoy")
	check("", env)
	t.Setenv("ENVOY", "/no/such/envoy")
	refused("", "the variable ENVOY")
	t.Setenv("ENVOY", "")
	check("", onPath)
	if err := os.MkdirAll(filepath.Dir(inCache), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(inCache, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	check("", inCache)
	t.Setenv("POSTERN_CACHE", t.TempDir())
	t.Setenv("PATH", "")
	refused("", "no Envoy on this machine")
}

func TestFoldersAndSocketsAreChecked(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	path := program(t, saysVersion)
	open := shortFolder(t)
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]Config{
		"chmod 700":      {Path: path, Folder: open, XDSSocket: "/none"},
		"shorter folder": {Path: path, Folder: shortFolder(t), XDSSocket: "/" + strings.Repeat("x", 200)},
	} {
		if err := Run(context.Background(), c, log); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestFailuresAreReportedOnceAndBounded(t *testing.T) {
	var got []string
	ledger := failing.New()
	f := &failures{seen: map[[2]string]struct{}{}, ledger: ledger, report: func(cluster, reason string) { got = append(got, cluster+": "+reason) }}
	long := strings.Repeat("x", lineBytesMax)
	text := strings.Join([]string{
		`{"upstream_cluster":"a","response_flags":"UF","transport_failure":"refused"}`,
		`{"upstream_cluster":"a","response_flags":"UF","transport_failure":"refused"}`,
		`{"upstream_cluster":"a","response_flags":"UF,URX","transport_failure":"-"}`,
		`{"upstream_cluster":"-","response_flags":"NR"}`, `no json`, long, long + long, `{"upstream_cluster":"b","transport_failure":"late"}`,
	}, "\n")
	lines(strings.NewReader(text), f.line)
	want := []string{"a: refused", "a: upstream connection failure, upstream retry limit exceeded", "b: late"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if recent := ledger.Recent(); len(recent) != 2 || recent[0].Count != 3 || recent[1].Reason != "late" {
		t.Errorf("every failure counts, and these are known: %v", recent)
	}
	for i := range 2 * failuresMax {
		line, err := json.Marshal(accessLine{UpstreamCluster: "c", TransportFailure: strings.Repeat("y", i%600) + string(rune('a'+i%7))})
		if err != nil {
			t.Fatal(err)
		}
		f.line(line)
	}
	if len(f.seen) > failuresMax {
		t.Errorf("%d failures are remembered", len(f.seen))
	}
}

// TestReasonsAreReadable: what an access log has of a failure is told as people write it.
func TestReasonsAreReadable(t *testing.T) {
	for failure, want := range map[string]string{
		"delayed_connect_error:_Connection_refused":    "connection refused",
		"immediate_connect_error:_Network_unreachable": "network unreachable",
		"TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_X509_verify_cert:_unable_to_get_local_issuer_certificate:TLS_error_end": "TLS error: certificate verify failed: verify cert failed: X509 verify cert: unable to get local issuer certificate",
		"TLS_error:|268436526:SSL_routines:OPENSSL_internal:TLSV1_ALERT_UNKNOWN_CA":                                                                                               "TLS error: tlsv1 alert unknown ca",
		"TLS_error:_Secret_is_not_supplied_by_SDS": "TLS error: Secret is not supplied by SDS",
		"delayed_connect_error:_":                  "",
		"":                                         "",
	} {
		if got := (accessLine{TransportFailure: failure}).reason(); got != want {
			t.Errorf("%s: %q, want %q", failure, got, want)
		}
	}
	if got := (accessLine{TransportFailure: "-", ResponseFlags: "-", Details: "upstream_reset_before_response_started{connection_termination}"}).reason(); got != "upstream reset before response started (connection termination)" {
		t.Errorf("details are told as %q", got)
	}
}

func TestLongLinesAreCut(t *testing.T) {
	var sizes []int
	lines(io.MultiReader(strings.NewReader(strings.Repeat("x", 3*lineBytesMax)), strings.NewReader("\nshort\n")), func(line []byte) { sizes = append(sizes, len(line)) })
	if !slices.Equal(sizes, []int{lineBytesMax, len("short")}) {
		t.Errorf("lines of %d bytes", sizes)
	}
}

func TestBootstrapNamesItsNode(t *testing.T) {
	b := Bootstrap(Config{Folder: "/run/p", XDSSocket: "/run/x"})
	if b.GetNode().GetId() == "" || b.GetNode().GetCluster() == "" {
		t.Error("without node id and cluster Envoy aborts at the first handshake")
	}
	text, err := protojson.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := protojson.Unmarshal(text, &bootstrapv3.Bootstrap{}); err != nil {
		t.Error(err)
	}
	if err := b.ValidateAll(); err != nil {
		t.Error(err)
	}
}
