package traffic

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestFailuresAreFound: one failed request among good ones, and a kind of which too few were made, are faults.
func TestFailuresAreFound(t *testing.T) {
	b := Listen(t, "b")
	c := Dial(b.Address().String(), nil)
	defer c.Close()
	good := func() error {
		a, err := c.Get("a.test", "/x")
		if err == nil && (a.Status != http.StatusOK || a.Body != "b /x HTTP/1.1 a.test\n") {
			err = errors.New(a.Body)
		}
		return err
	}
	n := 0
	load := Start(Client{Kind: "good", Ask: good}, Client{Kind: "bad", Restless: true, Ask: func() error {
		if n++; n == 3 {
			return errors.New("dropped")
		}
		return nil
	}})
	if err := load.Rounds(10); err != nil {
		t.Fatal(err)
	}
	report := load.Stop()
	if report.Asked["good"] < 10 || b.Requests() != report.Asked["good"] {
		t.Errorf("%s; %d requests at the backend", report, b.Requests())
	}
	faults := strings.Join(report.Faults(10), "\n")
	if report.Failed["bad"] != 1 || !strings.Contains(faults, "requests failed: bad") || !strings.Contains(faults, "bad, request 3: dropped") {
		t.Errorf("the failed request is not told:\n%s", faults)
	}
	if strings.Contains(faults, "good") {
		t.Errorf("good requests are told as faults:\n%s", faults)
	}
	if faults := strings.Join(report.Faults(1_000_000), "\n"); !strings.Contains(faults, "want at least 1000000: good") {
		t.Errorf("too few requests are not told:\n%s", faults)
	}
}

// TestLostWebSocketsAreFound: the echo is an error once the connection is gone, and where there is no WebSocket at all.
func TestLostWebSocketsAreFound(t *testing.T) {
	b := Listen(t, "b")
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", b.Address().String())
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	w, err := OpenWebSocket(dial(), "a.test", "/")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for range 3 {
		if err := w.Echo(); err != nil {
			t.Error(err)
		}
	}
	b.mu.Lock()
	for conn := range b.open {
		_ = conn.Close()
	}
	b.mu.Unlock()
	if err := w.Echo(); err == nil {
		t.Error("a lost WebSocket echoes")
	}
	plain := &http.Server{Handler: http.NotFoundHandler()}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- plain.Serve(lis) }()
	defer func() { _ = plain.Close(); <-served }()
	conn, err := net.Dial("tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenWebSocket(conn, "a.test", "/"); err == nil {
		t.Error("what answers 404 counts as a WebSocket")
	}
}

// TestBackendsLeave: one that leaves closes connections with its answers, ends what it holds, and is gone.
func TestBackendsLeave(t *testing.T) {
	b := Listen(t, "b")
	c := Dial(b.Address().String(), nil)
	defer c.Close()
	held := make(chan string, 1)
	go func() {
		other := Dial(b.Address().String(), nil)
		defer other.Close()
		a, err := other.Get("a.test", HoldPath)
		if err != nil {
			a.Body = err.Error()
		}
		held <- a.Body
	}()
	for b.Held() == 0 {
		if _, err := c.Get("a.test", "/"); err != nil {
			t.Fatal(err)
		}
	}
	b.Leave()
	for range 2 {
		if _, err := c.Get("a.test", "/"); err != nil {
			t.Error(err)
		}
	}
	if a, err := c.Get("a.test", "/"); err != nil || !a.Close {
		t.Errorf("a backend that leaves answers %+v, %v", a, err)
	}
	if n := c.Dials(); n < 3 {
		t.Errorf("%d connections, want one for each answer of a backend that leaves", n)
	}
	b.Release()
	if err := b.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if text := <-held; text != Begun+Ended {
		t.Errorf("the held answer is %q", text)
	}
	if _, err := c.Get("a.test", "/"); err == nil {
		t.Error("a backend that is gone answers")
	}
}

// TestEndsAreFound: a kept connection that the other side ends is told, though the next request opens another.
func TestEndsAreFound(t *testing.T) {
	b := Listen(t, "b")
	c := Dial(b.Address().String(), nil)
	defer c.Close()
	ask := func() {
		t.Helper()
		if _, err := c.Get("a.test", "/"); err != nil {
			t.Error(err)
		}
	}
	ask()
	if ends := c.Ends(); len(ends) > 0 {
		t.Errorf("it has ended %q", ends)
	}
	b.server.SetKeepAlivesEnabled(false) // This closes what is idle.
	for deadline := time.Now().Add(waitMax); len(c.Ends()) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the end is not told")
		}
		ask()
	}
}
