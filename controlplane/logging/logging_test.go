package logging

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/grpclog"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/postern-gateway/postern/controlplane/casetest/transcript"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bridge logs what the libraries say to the returned output until the test ends.
func bridge(t *testing.T, c Config) *transcript.Text {
	t.Helper()
	out := &transcript.Text{}
	log, err := c.New(out)
	if err != nil {
		t.Fatal(err)
	}
	Bridge(log)
	t.Cleanup(unbridge)
	return out
}

func unbridge() {
	klog.ClearLogger()
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
}

// warnings is an API server that answers with a warning, which client-go logs, and with a Secret.
func warnings(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Warning", `299 - "policy/v1beta1 is going away"`)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"tls"},"data":{"tls.key":"Y2FuYXJ5LWtleQ=="}}`)
	}))
	t.Cleanup(server.Close)
	client, err := kubernetes.NewForConfig(&rest.Config{
		Host: server.URL, BearerToken: "canary-token", ContentConfig: rest.ContentConfig{ContentType: "application/json"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return client
}

func getSecret(t *testing.T, client *kubernetes.Clientset) {
	t.Helper()
	if _, err := client.CoreV1().Secrets("shop").Get(t.Context(), "tls", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestLibrariesLogInOneForm(t *testing.T) {
	out := bridge(t, Config{Level: "info", Format: FormatJSON})
	client := warnings(t)
	getSecret(t, client)
	getSecret(t, client)
	grpclog.Component("test").Warningf("a %s warning", "grpc")
	grpclog.Component("test").Info("nothing of interest")
	klog.ErrorS(io.ErrUnexpectedEOF, "reflector stopped", "kind", "Ingress")
	want := []map[string]string{
		{"level": "WARN", "from": "client-go", "msg": "the API server warns: policy/v1beta1 is going away"},
		{"level": "WARN", "from": "grpc", "msg": "a grpc warning"},
		{"level": "ERROR", "from": "client-go", "msg": "reflector stopped", "err": "unexpected EOF", "kind": "Ingress"},
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), out)
	}
	for i, line := range lines {
		got := map[string]any{}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		for key, value := range want[i] {
			if text, _ := got[key].(string); !strings.Contains(text, value) {
				t.Errorf("line %d: %s is %q, want %q in it", i, key, text, value)
			}
		}
	}
}

// TestNoSecretAtDebug shows that the lowest level that a flag gives is above what has client-go log bodies; the second half
// shows that a lower one would not be.
func TestNoSecretAtDebug(t *testing.T) {
	client := warnings(t)
	out := bridge(t, Config{Level: "debug", Format: FormatText})
	getSecret(t, client)
	if got := out.String(); !strings.Contains(got, "going away") || strings.Contains(got, "Y2FuYXJ5LWtleQ") || strings.Contains(got, "canary") {
		t.Errorf("log at debug:\n%s", got)
	}
	low := &transcript.Text{}
	Bridge(slog.New(slog.NewTextHandler(low, &slog.HandlerOptions{Level: slog.Level(-8)})))
	getSecret(t, client)
	if !strings.Contains(low.String(), "Y2FuYXJ5LWtleQ") {
		t.Errorf("client-go logs no body at level 8 any more; the bound of levels guards nothing:\n%s", low)
	}
}

func TestFlags(t *testing.T) {
	for _, c := range []struct{ level, format, err string }{
		{"info", "text", ""},
		{"debug", "json", ""},
		{"trace", "text", "--log-level trace: write debug, info, warn or error"},
		{"info", "xml", "--log-format xml: write text or json"},
	} {
		_, err := Config{Level: c.level, Format: c.format}.New(io.Discard)
		if got := message(err); got != c.err {
			t.Errorf("%s %s: %q, want %q", c.level, c.format, got, c.err)
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestDurations: both forms say the unit.
func TestDurations(t *testing.T) {
	for _, format := range []string{FormatText, FormatJSON} {
		var out strings.Builder
		log, err := Config{Level: "info", Format: format}.New(&out)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("drained", "after", 1500*time.Millisecond)
		if !strings.Contains(out.String(), "1.5s") {
			t.Errorf("%s: %s", format, out.String())
		}
	}
}
