package corpus

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/postern-gateway/postern/controlplane/casetest"
)

const (
	// answerMax bounds the wait for an answer. A request that gets none in that time is one that the data plane waits
	// for the rest of.
	answerMax = 3 * time.Second
	// sentinelHost is a host of its own, with a backend of its own: a request to it tells whether a connection is in step.
	sentinelHost    = "sentinel.test"
	sentinelBackend = "ns/sentinel/80"
)

// sentinel is the next request on a connection.
func (r request) sentinel() string {
	return "GET /?" + r.mark + " HTTP/1.1\r\nHost: " + sentinelHost + "\r\nConnection: close\r\n\r\n"
}

// An outcome is what became of a request.
type outcome struct {
	// status is that of the answers, or how the connection or stream ended without one.
	status string
	seen   []casetest.Seen
	// late is what backends saw of an earlier request.
	late []casetest.Seen
	// fault is what no data plane may do, empty for nothing: the connection is out of step, a backend saw more requests
	// than were sent.
	fault string
}

// send sends a request on a connection of its own. The error is a fault of the harness.
func send(w casetest.Wire, r request) (outcome, error) {
	entry := "http"
	if r.https {
		entry = "https"
	}
	conn, err := w.Dial(entry, r.from)
	if err != nil {
		return outcome{}, err
	}
	defer conn.Close()
	w.TakeSeen()
	var out outcome
	if r.http2 {
		out.status = exchangeHTTP2(conn, r)
	} else {
		out.status = exchangeHTTP1(conn, r)
	}
	kept := 0
	for _, s := range w.TakeSeen() {
		switch {
		case r.late(s.Path):
			out.late = append(out.late, s)
		case s.Backend == sentinelBackend:
			kept++
		default:
			out.seen = append(out.seen, s)
		}
	}
	status, ended := strings.CutSuffix(out.status, inStep)
	out.status = status
	switch {
	case len(out.seen) > r.answers:
		out.fault = fmt.Sprintf("backends saw %d requests, not %d at most", len(out.seen), r.answers)
	case strings.HasSuffix(out.status, outOfStep):
		out.fault = "the connection goes on and is out of step"
	case ended != (kept == 1):
		out.fault = fmt.Sprintf("the next request on the connection reached its backend %d times", kept)
	}
	return out, nil
}

// inStep and outOfStep end the status of a connection that went on.
const (
	inStep    = " and on"
	outOfStep = " and out of step"
)

// exchangeHTTP1 sends the bytes, reads the answers, and where the connection goes on asks once more.
func exchangeHTTP1(conn net.Conn, r request) string {
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.WriteString(conn, r.bytes) // A data plane may refuse before it has read everything.
	}()
	defer func() {
		_ = conn.Close() // or the rest might never be taken
		<-sent
	}()
	reader := bufio.NewReader(conn)
	method, _, _ := strings.Cut(r.bytes, " ")
	var all []string
	for range r.answers {
		status, goesOn := readAnswer(conn, reader, method)
		all = append(all, status)
		if !goesOn {
			return strings.Join(all, " ")
		}
	}
	<-sent
	if _, err := io.WriteString(conn, r.sentinel()); err != nil {
		return strings.Join(all, " ")
	}
	switch status, _ := readAnswer(conn, reader, http.MethodGet); status {
	case "200":
		return strings.Join(all, " ") + inStep
	case ended:
		return strings.Join(all, " ")
	default:
		return strings.Join(all, " ") + outOfStep
	}
}

const (
	// ended is a connection that was closed without an answer, waiting one on which nothing came.
	ended   = "closed"
	waiting = "waiting"
)

// readAnswer reads one answer and says whether the connection goes on. Interim answers are left out.
func readAnswer(conn net.Conn, reader *bufio.Reader, method string) (string, bool) {
	if err := conn.SetReadDeadline(time.Now().Add(answerMax)); err != nil {
		return ended, false
	}
	for {
		first, err := reader.Peek(1)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return waiting, false
		}
		if err != nil {
			return ended, false
		}
		if first[0] != 'H' {
			return "no HTTP", false
		}
		resp, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			return "no HTTP", false
		}
		if resp.StatusCode < http.StatusOK && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return strconv.Itoa(resp.StatusCode), err == nil && !resp.Close && resp.StatusCode != http.StatusSwitchingProtocols
	}
}
