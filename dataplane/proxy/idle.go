package proxy

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// partingMax is how long a client may take for the answer that ends an idle exchange.
const partingMax = time.Second

// An idleWatch ends an exchange on which nothing has moved for a while (stream_idle_timeout): no byte of the request's
// body, of the answer or of an upgraded connection.
type idleWatch struct {
	timeout time.Duration
	timer   *time.Timer // nil where there is no timeout
	expired atomic.Bool
}

// watchIdle begins to watch. The context ends with the exchange; stop must be called then.
func (x *exchange) watchIdle() (ctx context.Context, w *idleWatch, stop func()) {
	ctx, cancel := context.WithCancel(x.r.Context())
	w = &idleWatch{timeout: x.manager.StreamIdleTimeout}
	if w.timeout == 0 {
		return ctx, w, cancel
	}
	w.timer = time.AfterFunc(w.timeout, func() {
		w.expired.Store(true)
		// A client that neither sends nor takes anything would hold the handler in a Read or a Write. An upgraded
		// connection has no deadlines of the server's; it ends with the context.
		client := http.NewResponseController(x.w)
		_ = client.SetReadDeadline(time.Now())
		_ = client.SetWriteDeadline(time.Now().Add(partingMax))
		cancel()
	})
	return ctx, w, func() {
		w.timer.Stop()
		cancel()
	}
}

// moved notes that n bytes have.
func (w *idleWatch) moved(n int) {
	if n > 0 && w.timer != nil {
		w.timer.Reset(w.timeout)
	}
}

// A movingBody tells the watch of the bytes of an answer. Where the client takes none, none are read.
type movingBody struct {
	io.ReadCloser
	watch *idleWatch
}

func (b movingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.watch.moved(n)
	return n, err
}

// A movingConn is the body of an answer that has switched protocols: the connection to the endpoint.
type movingConn struct {
	movingBody
	w io.Writer
}

func (c movingConn) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.watch.moved(n)
	return n, err
}

// watched has the watch see the bytes of an answer.
func (w *idleWatch) watched(body io.ReadCloser) io.ReadCloser {
	moving := movingBody{body, w}
	if conn, ok := body.(io.Writer); ok {
		return movingConn{moving, conn}
	}
	return moving
}
