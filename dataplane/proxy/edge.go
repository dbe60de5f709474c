package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-gateway/postern/dataplane/config"
)

const (
	// acceptDelayMin and acceptDelayMax bound the wait after a failed accept, such as for want of file descriptors.
	acceptDelayMin = 5 * time.Millisecond
	acceptDelayMax = time.Second
)

// An edge is a listening socket with the servers behind it. The socket and its connections outlive every update of
// the listener: what a request depends on is read anew at each request, and what only a server can hold (timeouts,
// sizes) holds for the connections that come after the update. A connection stays on the filter chain that it was given,
// by that chain's name, for it has shown what that chain asked for and nothing else.
type edge struct {
	proxy    *Proxy
	listener net.Listener
	config   atomic.Pointer[config.Listener]
	accepted sync.WaitGroup // the accept loop and every server's own

	mu      sync.Mutex
	closed  bool                     // guarded by mu
	servers map[serverSettings]*feed // guarded by mu
	retired []*feed                  // servers that get no new connections; guarded by mu
}

// serverSettings are what net/http fixes when a server starts.
type serverSettings struct {
	tls                   bool
	idleTimeout           time.Duration
	requestHeadersTimeout time.Duration
	maxHeadersBytes       int
	maxConcurrentStreams  int
	windows               config.Windows
}

func settingsOf(c *config.FilterChain) serverSettings {
	return serverSettings{
		tls:                   c.TLS != nil,
		idleTimeout:           c.HTTP.IdleTimeout,
		requestHeadersTimeout: c.HTTP.RequestHeadersTimeout,
		maxHeadersBytes:       c.HTTP.MaxHeadersBytes,
		maxConcurrentStreams:  c.HTTP.MaxConcurrentStreams,
		windows:               c.HTTP.Windows,
	}
}

// openEdge listens and begins to serve.
func (p *Proxy) openEdge(c *config.Listener) (*edge, error) {
	network := "tcp4"
	if c.Address.Addr().Is6() {
		network = "tcp6"
		if c.IPv4Compat {
			network = "tcp"
		}
	}
	listener, err := p.options.Listen(network, c.Address.String())
	if err != nil {
		return nil, fmt.Errorf("listener %q: %w", c.Name, err)
	}
	e := &edge{proxy: p, listener: listener, servers: make(map[serverSettings]*feed)}
	e.config.Store(c)
	e.accepted.Go(e.accept)
	return e, nil
}

// at tells whether a listener is at the edge's address.
func (e *edge) at(l *config.Listener) bool {
	own := e.config.Load()
	return own.Address == l.Address && own.IPv4Compat == l.IPv4Compat
}

// update puts a new configuration of the same address in force.
func (e *edge) update(c *config.Listener) {
	e.config.Store(c)
	e.mu.Lock()
	defer e.mu.Unlock()
	for settings, server := range e.servers {
		if !slices.ContainsFunc(c.Chains, func(c config.FilterChain) bool { return settingsOf(&c) == settings }) {
			server.Close()
			delete(e.servers, settings)
			e.retired = append(e.retired, server)
		}
	}
	e.retired = slices.DeleteFunc(e.retired, func(f *feed) bool { return f.connections.Load() == 0 })
}

// accept hands each connection to the server for it, until the socket is closed.
func (e *edge) accept() {
	delay := acceptDelayMin
	for {
		conn, err := e.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			e.proxy.options.Log.Error("accept failed", "address", e.listener.Addr().String(), "reason", err)
			time.Sleep(delay) // only where the machine is out of descriptors; bounded
			delay = min(2*delay, acceptDelayMax)
			continue
		}
		delay = acceptDelayMin
		if conn = e.proxy.hold(conn); conn != nil {
			e.hand(conn)
		}
	}
}

// handTriesMax bounds how often a connection is handed over anew because an update closed the server that it was for.
const handTriesMax = 3

// hand gives a connection to the server of its filter chain, and closes one that has none. Over TLS the chain is chosen
// in the handshake, by the SNI; what is settled before is the same for all chains (config.DecodeListener).
func (e *edge) hand(conn net.Conn) {
	client := &clientConn{Conn: conn}
	for range handTriesMax {
		l := e.config.Load()
		chain := &l.Chains[0]
		if chain.TLS == nil {
			chain = choose(l, "", peerOf(conn.RemoteAddr().String()))
			client.chain.Store(chain)
		}
		if chain != nil && e.server(settingsOf(chain)).give(client) {
			return
		}
	}
	conn.Close()
}

// A clientConn is a client's connection and the filter chain that it was given.
type clientConn struct {
	net.Conn
	chain atomic.Pointer[config.FilterChain] // nil until it is chosen
}

// CloseWrite lets net/http end a connection without a reset, which might overtake its last answer.
func (c *clientConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

type clientConnKey struct{}

// withConn is the context of a connection's requests.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	return context.WithValue(ctx, clientConnKey{}, conn)
}

// server is the server for connections of these settings, started where there is none.
func (e *edge) server(settings serverSettings) *feed {
	e.mu.Lock()
	defer e.mu.Unlock()
	if f := e.servers[settings]; f != nil {
		return f
	}
	f := &feed{address: e.listener.Addr(), conns: make(chan net.Conn), closed: make(chan struct{})}
	if e.closed {
		f.Close()
		return f
	}
	f.server = e.newServer(settings, f)
	e.servers[settings] = f
	e.accepted.Go(func() {
		if settings.tls {
			f.server.ServeTLS(f, "", "")
		} else {
			f.server.Serve(f)
		}
	})
	return f
}

func (e *edge) newServer(settings serverSettings, f *feed) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(settings.tls)
	protocols.SetUnencryptedHTTP2(!settings.tls) // codec_type AUTO takes HTTP/2 with prior knowledge in the clear
	server := &http.Server{
		Handler:                      http.HandlerFunc(e.serve),
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            settings.requestHeadersTimeout,
		IdleTimeout:                  settings.idleTimeout,
		MaxHeaderBytes:               settings.maxHeadersBytes,
		ErrorLog:                     slog.NewLogLogger(e.proxy.options.Log.Handler(), slog.LevelDebug),
		BaseContext:                  func(net.Listener) context.Context { return e.proxy.requests },
		ConnContext:                  withConn,
		ConnState:                    f.track,
		Protocols:                    protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          settings.maxConcurrentStreams,
			MaxReceiveBufferPerStream:     settings.windows.Stream,
			MaxReceiveBufferPerConnection: settings.windows.Connection,
		},
	}
	if settings.tls {
		server.TLSConfig = &tls.Config{GetConfigForClient: e.tlsConfig}
	}
	return server
}

// tlsConfig gives a connection its filter chain and is that chain's TLS side.
func (e *edge) tlsConfig(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	chain := choose(e.config.Load(), hello.ServerName, peerOf(hello.Conn.RemoteAddr().String()))
	if chain == nil || chain.TLS == nil {
		return nil, errNoChain
	}
	hello.Conn.(*clientConn).chain.Store(chain)
	config := &tls.Config{
		MinVersion:             max(chain.TLS.MinVersion, tls.VersionTLS12),
		MaxVersion:             chain.TLS.MaxVersion,
		NextProtos:             chain.TLS.ALPN,
		SessionTicketsDisabled: true,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			name := hello.ServerName
			if name == "" {
				name = chain.TLS.DefaultSecret
			}
			return e.proxy.secrets.get(hello.Context(), name)
		},
	}
	if ca := chain.TLS.ClientCA; ca != "" {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, e.proxy.clientCAs(ca)
		if config.ClientCAs == nil { // crypto/tls would take the system's
			return nil, errNoClientCA
		}
	}
	return config, nil
}

var (
	errNoChain    = errors.New("no filter chain for this connection")
	errNoClientCA = errors.New("the CA of this connection's client was taken back")
)

// clientCAs is the bundle of a secret, nil where it is not there.
func (p *Proxy) clientCAs(secret string) *x509.CertPool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if trust := p.trust[secret]; trust != nil {
		return trust.Load()
	}
	return nil
}

// serve answers one request under the configuration of this moment.
func (e *edge) serve(w http.ResponseWriter, r *http.Request) {
	e.proxy.inFlight.Add(1)
	defer e.proxy.inFlight.Done()
	given := r.Context().Value(clientConnKey{}).(*clientConn).chain.Load()
	chain := current(e.config.Load(), given)
	x := &exchange{
		proxy: e.proxy, snapshot: e.proxy.snapshot.Load(),
		peer: peerOf(r.RemoteAddr).String(), w: w, r: r,
	}
	if chain == nil {
		// An update took the chain away or has it ask for more. A new connection will show what is asked now.
		x.manager = &given.HTTP
		w.Header().Set("Connection", "close")
		x.reply(http.StatusMisdirectedRequest)
		return
	}
	x.manager = &chain.HTTP
	if e.proxy.draining.Load() && r.Header.Get("Upgrade") == "" {
		w.Header().Set("Connection", "close") // over HTTP/2, net/http makes it a GOAWAY
	}
	x.serve()
}

// current is a connection's chain as it is now; nil where it is gone or asks for something else in the handshake.
func current(l *config.Listener, given *config.FilterChain) *config.FilterChain {
	i := slices.IndexFunc(l.Chains, func(c config.FilterChain) bool { return c.Name == given.Name })
	if i < 0 || &l.Chains[i] != given && !reflect.DeepEqual(l.Chains[i].TLS, given.TLS) {
		return nil
	}
	return &l.Chains[i]
}

// close stops listening, then waits for the requests of every server, as long as ctx allows.
func (e *edge) close(ctx context.Context) {
	e.listener.Close()
	e.mu.Lock()
	e.closed = true
	all := slices.Clone(e.retired)
	for _, f := range e.servers {
		all = append(all, f)
	}
	e.mu.Unlock()
	var draining sync.WaitGroup
	for _, f := range all {
		draining.Go(func() {
			if f.server.Shutdown(ctx) != nil {
				f.server.Close()
			}
		})
	}
	draining.Wait()
	e.accepted.Wait()
}

// choose is the filter chain for a connection; nil where there is none.
func choose(c *config.Listener, sni string, peer netip.Addr) *config.FilterChain {
	if c.Matcher == nil {
		return &c.Chains[0]
	}
	name, ok := c.Matcher.Choose(sni, peer)
	i := slices.IndexFunc(c.Chains, func(chain config.FilterChain) bool { return chain.Name == name })
	if !ok || i < 0 {
		return nil
	}
	return &c.Chains[i]
}

// peerOf reads the address of a connection's other end.
func peerOf(address string) netip.Addr {
	peer, _ := netip.ParseAddrPort(address)
	return peer.Addr().Unmap().WithZone("")
}

// A feed is a server with the net.Listener by which it is handed connections.
type feed struct {
	address     net.Addr
	server      *http.Server
	conns       chan net.Conn
	closed      chan struct{}
	once        sync.Once
	connections atomic.Int64
}

// give hands over a connection; false where the server takes no more.
func (f *feed) give(conn net.Conn) bool {
	select {
	case f.conns <- conn:
		return true
	case <-f.closed:
		return false
	}
}

// track counts the connections that are open, upgraded ones left out: those end with the proxy.
func (f *feed) track(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		f.connections.Add(1)
	case http.StateHijacked, http.StateClosed:
		f.connections.Add(-1)
	}
}

// Accept, Close and Addr make a feed a net.Listener.
func (f *feed) Accept() (net.Conn, error) {
	select {
	case conn := <-f.conns:
		return conn, nil
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept; connections already handed over are not touched.
func (f *feed) Close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}

// Addr is the address of the socket.
func (f *feed) Addr() net.Addr { return f.address }
