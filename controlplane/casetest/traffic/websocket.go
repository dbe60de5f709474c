package traffic

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// WebSocket is one connection that has switched protocols, to a Backend that echoes.
type WebSocket struct {
	mu   sync.Mutex // one echo at a time
	conn net.Conn
	r    *bufio.Reader
	n    int
}

// OpenWebSocket switches a connection, and makes sure that it lives. It takes the connection over.
func OpenWebSocket(conn net.Conn, host, path string) (*WebSocket, error) {
	w := &WebSocket{conn: conn, r: bufio.NewReader(conn)}
	if err := w.open(host, path); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return w, nil
}

func (w *WebSocket) open(host, path string) error {
	if err := w.conn.SetDeadline(time.Now().Add(waitMax)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w.conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", path, host); err != nil {
		return err
	}
	response, err := http.ReadResponse(w.r, nil)
	if err != nil {
		return fmt.Errorf("open a WebSocket to %s: %w", host, err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("open a WebSocket to %s: status %d", host, response.StatusCode)
	}
	return w.Echo()
}

// Echo sends words that it has not sent before, and wants them back.
func (w *WebSocket) Echo() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	words := fmt.Sprintf("echo %d", w.n)
	if err := w.conn.SetDeadline(time.Now().Add(waitMax)); err != nil {
		return err
	}
	if _, err := io.WriteString(w.conn, words); err != nil {
		return fmt.Errorf("a WebSocket is lost: %w", err)
	}
	back := make([]byte, len(words))
	if n, err := io.ReadFull(w.r, back); err != nil {
		return fmt.Errorf("a WebSocket is lost: %q comes back, %w", back[:n], err)
	}
	if string(back) != words {
		return fmt.Errorf("over a WebSocket comes %q back, want %q", back, words)
	}
	return nil
}

// Close ends the connection.
func (w *WebSocket) Close() error { return w.conn.Close() }
