package traffic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// HoldPath is a path, below any prefix, whose answer begins at once and ends with Release.
const HoldPath = "/hold"

// Begun and Ended are the two parts of a held answer.
const Begun, Ended = "begun\n", "ended\n"

// Backend is a server as a pod has it. It answers with its name, the path, protocol and Host that it saw, then the
// request's body; a WebSocket it echoes. It speaks HTTP/1.1 and HTTP/2 without TLS.
type Backend struct {
	Name     string
	lis      net.Listener
	server   *http.Server
	served   chan error
	requests atomic.Int64
	held     atomic.Int64
	leaving  atomic.Bool
	release  chan struct{}
	once     sync.Once
	switched sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]struct{} // those that have switched protocols; guarded by mu
}

// Listen starts a backend at a free port of 127.0.0.1; the test's end ends it.
func Listen(t testing.TB, name string) *Backend {
	t.Helper()
	return ListenAt(t, name, "127.0.0.1:0")
}

// ListenAt is Listen at an address of its own.
func ListenAt(t testing.TB, name, address string) *Backend {
	t.Helper()
	lis, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	b := &Backend{Name: name, lis: lis, served: make(chan error, 1), release: make(chan struct{}), open: map[net.Conn]struct{}{}}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	b.server = &http.Server{Handler: http.HandlerFunc(b.serve), Protocols: &protocols, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { b.served <- b.server.Serve(lis) }()
	t.Cleanup(func() {
		b.Release()
		b.mu.Lock()
		for conn := range b.open {
			_ = conn.Close()
		}
		b.mu.Unlock()
		b.switched.Wait()
		_ = b.server.Close()
		if err := <-b.served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return b
}

// Address is where it listens.
func (b *Backend) Address() netip.AddrPort { return netip.MustParseAddrPort(b.lis.Addr().String()) }

// Requests is how many it has got.
func (b *Backend) Requests() int64 { return b.requests.Load() }

// Held is how many answers it has begun to hold.
func (b *Backend) Held() int64 { return b.held.Load() }

// Leave has every answer from now on ask for its connection to be closed, as that of a server which is about to end.
func (b *Backend) Leave() { b.leaving.Store(true) }

// Shutdown refuses new connections and returns when the requests that it has are answered.
func (b *Backend) Shutdown(ctx context.Context) error { return b.server.Shutdown(ctx) }

// Release ends the answers that are held, and holds no more.
func (b *Backend) Release() { b.once.Do(func() { close(b.release) }) }

func (b *Backend) serve(w http.ResponseWriter, r *http.Request) {
	b.requests.Add(1)
	if r.Header.Get("Upgrade") != "" {
		b.echo(w, r)
		return
	}
	if b.leaving.Load() && r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if strings.HasSuffix(r.URL.Path, HoldPath) {
		b.held.Add(1)
		_, _ = io.WriteString(w, Begun)
		_ = http.NewResponseController(w).Flush()
		<-b.release
		_, _ = io.WriteString(w, Ended)
		return
	}
	fmt.Fprintf(w, "%s %s %s %s\n%s", b.Name, r.RequestURI, r.Proto, r.Host, body)
}

func (b *Backend) echo(w http.ResponseWriter, _ *http.Request) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	b.mu.Lock()
	b.open[conn] = struct{}{}
	b.mu.Unlock()
	b.switched.Add(1)
	defer b.switched.Done()
	defer func() {
		b.mu.Lock()
		delete(b.open, conn)
		b.mu.Unlock()
		_ = conn.Close()
	}()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	_, _ = io.Copy(conn, buffered)
}
