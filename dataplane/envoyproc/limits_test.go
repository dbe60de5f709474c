package envoyproc_test

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serveOne has Envoy serve a.test by one backend.
func (h *harness) serveOne() {
	h.t.Helper()
	one := backend(h.t, "shop/one/80", backendServer(h.t, "one"), false)
	h.startAndWait(h.publish(nil, h.listeners(false), one, h.tables(map[string]string{"a.test": "shop/one/80"})))
}

// closed waits for the other end to close the connection without a word. The error says that it does not: nothing came
// for a while, or a byte did.
func (c *connection) closed() error {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(closedWaitMax)); err != nil {
		c.t.Fatal(err)
	}
	switch _, err := c.r.ReadByte(); {
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return nil
	case err == nil:
		return errors.New("a byte came")
	default:
		return err
	}
}

// closedWaitMax is how long a connection that stays open is given to be closed.
const closedWaitMax = 300 * time.Millisecond

// TestEnvoyHasNothingToWarnOf: as of 1.40 it warns at its start where no limit on connections is set.
func TestEnvoyHasNothingToWarnOf(t *testing.T) {
	h := newHarness(t)
	h.serveOne()
	h.dial().eventually("a.test", "200 one")
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.warnings {
		t.Errorf("Envoy warns: %s", w)
	}
}

// overflows is how many connections the listeners have refused.
func (h *harness) overflows() (n uint64) {
	for name, value := range h.stats() {
		if strings.HasSuffix(name, ".downstream_global_cx_overflow") {
			n += value
		}
	}
	return n
}

// TestConnectionsAreLimited: beyond the limit a connection is closed, and the admin interface still answers.
func TestConnectionsAreLimited(t *testing.T) {
	h := newHarness(t)
	h.config.ConnectionsMax = 2
	h.serveOne()
	first, second := h.dial(), h.dial()
	first.eventually("a.test", "200 one")
	second.eventually("a.test", "200 one")
	if err := h.dial().closed(); err != nil {
		t.Errorf("a third connection: %v, want it closed", err)
	}
	// Envoy counts after it has closed.
	for begin := time.Now(); h.overflows() == 0; {
		if time.Since(begin) > testWaitMax {
			t.Fatalf("no listener counts an overflow: %v", h.stats())
		}
	}
	if err := second.conn.Close(); err != nil {
		t.Fatal(err)
	}
	// Envoy gives the place back when it has seen the end of the connection.
	for begin := time.Now(); ; {
		third := h.dial()
		if third.closed() != nil {
			third.eventually("a.test", "200 one")
			return
		}
		if time.Since(begin) > testWaitMax {
			t.Fatal("the place of a closed connection is not given back")
		}
	}
}

// TestFullHeapRefusesRequests: where memory runs out, a request is 503 and Envoy goes on.
func TestFullHeapRefusesRequests(t *testing.T) {
	h := newHarness(t)
	h.config.HeapMax = 1 << 20
	h.serveOne()
	h.dial().eventually("a.test", "503")
	if h.stats()["overload.envoy.overload_actions.stop_accepting_requests.active"] != 1 {
		t.Error("the 503 is for another reason")
	}
}
