package health

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hangLimit is how long a test waits for what should come at once.
const hangLimit = 30 * time.Second

func TestAnswers(t *testing.T) {
	synced := false
	h := Handler(Checks{
		Live:  []Check{{Name: "loop", Probe: func() error { return nil }}},
		Ready: []Check{Until("caches", "not every kind is listed yet", func() bool { return synced }), {Name: "snapshot", Probe: func() error { return nil }}},
	})
	const notReady = "[+]ping ok\n[-]caches failed: not every kind is listed yet\n[+]snapshot ok\nreadyz check failed\n"
	for _, c := range []struct {
		path   string
		synced bool
		status int
		body   string
	}{
		{"/healthz", false, 200, "ok"},
		{"/livez?verbose", false, 200, "[+]ping ok\n[+]loop ok\nlivez check passed\n"},
		{"/readyz", false, 500, notReady},
		{"/readyz?verbose", false, 500, notReady},
		{"/readyz?exclude=caches", false, 200, "ok"},
		{"/readyz?exclude=caches&verbose", false, 200, "[+]ping ok\n[+]caches excluded: ok\n[+]snapshot ok\nreadyz check passed\n"},
		{"/readyz/snapshot", false, 200, "ok"},
		{"/readyz/caches", false, 500, "[-]caches failed: not every kind is listed yet\nreadyz/caches check failed\n"},
		{"/readyz", true, 200, "ok"},
		{"/readyz?verbose", true, 200, "[+]ping ok\n[+]caches ok\n[+]snapshot ok\nreadyz check passed\n"},
		{"/readyz/unknown", true, 404, "404 page not found\n"},
		{"/", true, 404, "404 page not found\n"},
	} {
		synced = c.synced
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, c.path, nil))
		if w.Code != c.status || w.Body.String() != c.body {
			t.Errorf("%s: %d %q, want %d %q", c.path, w.Code, w.Body, c.status, c.body)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/readyz", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

// start serves in a goroutine; end ends it and gives its error.
func start(t *testing.T, s Server) (end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(cancel)
	return func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(hangLimit):
			return errors.New("the server does not end")
		}
	}
}

func get(t *testing.T, url, host string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: hangLimit}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestServesUntilTheEnd(t *testing.T) {
	l, err := Listen("health", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	end := start(t, Server{Name: "health", Listener: l, Handler: Handler(Checks{}), Log: slog.New(slog.DiscardHandler)})
	if status, body := get(t, "http://"+l.Addr().String()+"/livez", ""); status != 200 || body != "ok" {
		t.Errorf("%d %q", status, body)
	}
	if _, err := Listen("health", l.Addr().String()); err == nil || err.Error() != "--health "+l.Addr().String()+" cannot be listened on: bind: address already in use" {
		t.Errorf("a second listener: %v", err)
	}
	// A client that says nothing keeps nobody from ending.
	silent, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if err := end(); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("the address is still open after the end")
	}
}

func TestAServerThatFailsSaysSo(t *testing.T) {
	l, err := Listen("metrics", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	err = Server{Name: "metrics", Listener: l, Handler: http.NotFoundHandler(), Log: slog.New(slog.DiscardHandler)}.Serve(t.Context())
	if err == nil || !strings.HasPrefix(err.Error(), "serve --metrics on 127.0.0.1:") {
		t.Error(err)
	}
}

func TestPProfIsForThisMachine(t *testing.T) {
	for _, address := range []string{":6060", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:0", "6060", ""} {
		l, err := ListenLoopback(address)
		if err == nil {
			l.Close()
			t.Errorf("%q is taken", address)
			continue
		}
		if !strings.HasPrefix(err.Error(), "--pprof "+address+": ") {
			t.Errorf("%q: %v", address, err)
		}
	}
	l, err := ListenLoopback("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	end := start(t, PProf(l, slog.New(slog.DiscardHandler)))
	url := "http://" + l.Addr().String() + "/debug/pprof/"
	if status, body := get(t, url+"goroutine?debug=1", ""); status != 200 || !strings.Contains(body, "goroutine profile:") {
		t.Errorf("%d %.100q", status, body)
	}
	if status, _ := get(t, url, "localhost:6060"); status != 200 {
		t.Errorf("as localhost: %d", status)
	}
	if status, _ := get(t, url, "rebound.example"); status != http.StatusForbidden {
		t.Errorf("by a foreign name: %d", status)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}
