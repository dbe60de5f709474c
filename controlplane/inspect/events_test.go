package inspect

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// testWait bounds every wait of these tests.
const testWait = 20 * time.Second

// TestEvents: a stream tells what is served when it begins, and each change; it ends with the server.
func TestEvents(t *testing.T) {
	i := newInspector()
	first := publicationOf(t, shopText(t))
	i.Published(first)
	l, err := Flags{Address: "127.0.0.1:0"}.Open(i.config.Log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	served := make(chan error, 1)
	go func() { served <- i.Serve(ctx, l) }()
	asking, cancel := context.WithTimeout(t.Context(), testWait)
	defer cancel()
	r, err := http.NewRequestWithContext(asking, http.MethodGet, l.URL+"events", nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if kind := answer.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("Content-Type: %s", kind)
	}
	lines := bufio.NewScanner(answer.Body)
	next := func() pulse {
		t.Helper()
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				var p pulse
				if err := json.Unmarshal([]byte(data), &p); err != nil {
					t.Fatal(err)
				}
				return p
			}
		}
		t.Fatalf("the stream has ended: %v", lines.Err())
		return pulse{}
	}
	if p := next(); p.Revision != 7 || p.Errors == 0 {
		t.Errorf("at first: %+v", p)
	}
	second := first
	second.Revision = 8
	i.Published(second)
	if p := next(); p.Revision != 8 {
		t.Errorf("after a change: %+v", p)
	}
	end()
	for lines.Scan() {
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the stream breaks off: %v", err)
	}
	select {
	case err := <-served:
		if err != nil {
			t.Error(err)
		}
	case <-asking.Done():
		t.Error("the server does not end")
	}
}
