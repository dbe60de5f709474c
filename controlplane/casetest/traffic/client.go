package traffic

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Answer is what came of a request.
type Answer struct {
	Status      int
	Proto, Body string
	Header      http.Header
	// Close is whether it asks for the connection to be closed.
	Close bool
	// Certificate is the one that the server showed, nil over plain HTTP.
	Certificate *x509.Certificate
}

// Connection is an HTTP client that keeps one connection to an address, whatever the host. It follows no redirect.
type Connection struct {
	address string
	secure  bool
	http2   bool
	client  http.Client
	dials   atomic.Int64

	mu   sync.Mutex
	ends []string // how connections have ended, guarded by mu
}

// Dial prepares a connection. settings are those of TLS, nil for plain HTTP; HTTP/2 is spoken where they offer h2 first.
func Dial(address string, settings *tls.Config) *Connection {
	h2 := settings != nil && len(settings.NextProtos) > 0 && settings.NextProtos[0] == "h2"
	c := &Connection{address: address, secure: settings != nil, http2: h2}
	var protocols http.Protocols
	protocols.SetHTTP2(h2)
	protocols.SetHTTP1(!h2)
	transport := &http.Transport{
		MaxConnsPerHost: 1, TLSClientConfig: settings, Protocols: &protocols, DisableCompression: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			c.dials.Add(1)
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &watchedConn{Conn: conn, began: time.Now(), of: c}, nil
		},
	}
	c.client = http.Client{
		Transport: transport, Timeout: waitMax,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// Dials is how often it has connected.
func (c *Connection) Dials() int64 { return c.dials.Load() }

// Ends says of each connection that the other side has ended how long it lived and which error came first. net/http tries
// a request again on a new connection where the old one was closed before an answer, so an end need not be a failed
// request. Over HTTP/1 the client's own closing does not count: net/http closes where an answer asks for it (see
// Answer.Close), and where its goroutine that writes is 50 ms late to say so, as on a machine that is busy. Over HTTP/2 it
// closes because it was told to.
func (c *Connection) Ends() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.ends)
}

// watchedConn notes its end.
type watchedConn struct {
	net.Conn
	began time.Time
	of    *Connection
	once  sync.Once
}

func (w *watchedConn) ended(what string, err error) {
	if err == nil {
		return
	}
	w.once.Do(func() {
		w.of.mu.Lock()
		defer w.of.mu.Unlock()
		w.of.ends = append(w.of.ends, fmt.Sprintf("after %s: %s: %v", time.Since(w.began).Round(time.Millisecond), what, err))
	})
}

// Read implements net.Conn.
func (w *watchedConn) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.ended("read", err)
	return n, err
}

// Write implements net.Conn.
func (w *watchedConn) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.ended("write", err)
	return n, err
}

// Close implements net.Conn.
func (w *watchedConn) Close() error {
	if w.of.http2 {
		w.ended("close", errClosedByClient)
	}
	return w.Conn.Close()
}

var errClosedByClient = errors.New("closed by the client itself")

// Close ends the connection.
func (c *Connection) Close() { c.client.CloseIdleConnections() }

// Get asks for a path of a host.
func (c *Connection) Get(host, path string) (Answer, error) {
	return c.Do(http.MethodGet, host, path, nil)
}

// Do sends a request; the body may be nil.
func (c *Connection) Do(method, host, path string, body []byte) (Answer, error) {
	url := "http://" + c.address + path
	if c.secure {
		url = "https://" + host + path
	}
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	r.Host = host
	response, err := c.client.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return Answer{}, fmt.Errorf("after %d bytes of a body: %w", len(text), err)
	}
	a := Answer{Status: response.StatusCode, Proto: response.Proto, Body: string(text), Header: response.Header, Close: response.Close}
	if response.TLS != nil {
		a.Certificate = response.TLS.PeerCertificates[0]
	}
	return a, nil
}
