package live

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/translator/model"
)

// probeHeader carries the number of a probe to the backend, which notes under it what it saw.
const probeHeader = "Probe"

// farm is the test backends of one case: a server for each endpoint.
type farm struct {
	test  *casetest.Case
	group *errgroup.Group

	mu sync.Mutex
	// servers and seen are guarded by mu.
	servers map[endpoint]*server
	seen    []*note
}

// note is what a backend saw of a request, with the number of its probe where it bore one.
type note struct {
	probe string
	casetest.Seen
}

// endpoint is an endpoint of an assignment, by the address that the manifests give it.
type endpoint struct{ assignment, address string }

func newFarm(c *casetest.Case, group *errgroup.Group) *farm {
	return &farm{test: c, group: group, servers: map[endpoint]*server{}}
}

// address is where the backend of an endpoint is; it is started if it does not run yet.
func (f *farm) address(of endpoint) (netip.AddrPort, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s, ok := f.servers[of]; ok {
		return s.address, nil
	}
	s, err := f.start(of)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("start the test backend of %s at %s: %w", of.assignment, of.address, err)
	}
	f.servers[of] = s
	return s.address, nil
}

// take gives what the backend saw of a probe last, nil where it did not reach any, and forgets all before.
func (f *farm) take(probe string) *casetest.Seen {
	f.mu.Lock()
	defer f.mu.Unlock()
	var last *casetest.Seen
	for _, n := range f.seen {
		if n.probe == probe {
			last = &n.Seen
		}
	}
	f.seen = nil
	return last
}

// takeAll gives all that backends saw since the last call.
func (f *farm) takeAll() []casetest.Seen {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []casetest.Seen
	for _, n := range f.seen {
		all = append(all, n.Seen)
	}
	f.seen = nil
	return all
}

func (f *farm) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.servers {
		s.close()
	}
}

// server takes connections and hands them, by their first byte, to one of two HTTP servers.
type server struct {
	address netip.AddrPort
	backend casetest.Backend
	lis     net.Listener
	http    *http.Server
	plain   handover
	secure  handover

	mu sync.Mutex
	// open are the accepted connections, guarded by mu; nil once the server is closed.
	open map[net.Conn]struct{}
}

// sniffMax bounds how long a connection may stay without a byte.
const sniffMax = 30 * time.Second

// nobody is where no server listens: tcpmux (RFC 1078) has died out. A port that was free a moment ago would not do, as the
// next server may be given it.
var nobody = netip.MustParseAddrPort("127.0.0.1:1")

func (f *farm) start(of endpoint) (*server, error) {
	if backend := f.test.Backend(of.assignment); backend.Mode == casetest.ModeDown {
		return &server{address: nobody, backend: backend}, nil
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{
		address: netip.MustParseAddrPort(lis.Addr().String()), lis: lis, backend: f.test.Backend(of.assignment),
		plain: newHandover(lis.Addr()), secure: newHandover(lis.Addr()), open: map[net.Conn]struct{}{},
	}
	pair := s.backend.Pair()
	certificate, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	if err != nil {
		return nil, errors.Join(err, lis.Close())
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.http = &http.Server{
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.serve(of, w, r) }),
		Protocols: &protocols, ReadHeaderTimeout: sniffMax, ErrorLog: log.New(io.Discard, "", 0),
	}
	secure := tls.NewListener(s.secure, serverTLS(s.backend, certificate))
	f.group.Go(func() error { return closed(s.http.Serve(s.plain)) })
	f.group.Go(func() error { return closed(s.http.Serve(secure)) })
	f.group.Go(func() error { return s.accept(f.group) })
	return s, nil
}

func serverTLS(b casetest.Backend, certificate tls.Certificate) *tls.Config {
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	if b.MaxTLS == model.TLS12 {
		config.MaxVersion = tls.VersionTLS12
	}
	if b.DemandsClient {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, casetest.ClientCAs()
	}
	return config
}

// closed is the error of a server but for that which says that it was closed.
func closed(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (s *server) accept(group *errgroup.Group) error {
	for {
		conn, err := s.lis.Accept()
		if err != nil {
			return closed(err)
		}
		if !s.hold(conn) {
			_ = conn.Close()
			continue
		}
		group.Go(func() error {
			s.sort(conn)
			return nil
		})
	}
}

// tlsHandshake is the first byte of a TLS connection (RFC 8446, 5.1: ContentType handshake).
const tlsHandshake = 22

func (s *server) sort(conn net.Conn) {
	_ = conn.SetReadDeadline(time.Now().Add(sniffMax))
	r := bufio.NewReader(conn)
	first, err := r.Peek(1)
	_ = conn.SetReadDeadline(time.Time{})
	peeked := &peekedConn{Conn: conn, r: r, done: func() { s.release(conn) }}
	overTLS := err == nil && first[0] == tlsHandshake
	if err != nil || overTLS && s.backend.Mode == casetest.ModePlain {
		_ = peeked.Close()
		return
	}
	to := s.plain
	if overTLS {
		to = s.secure
	}
	if !to.give(peeked) {
		_ = peeked.Close()
	}
}

func (s *server) hold(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		return false
	}
	s.open[conn] = struct{}{}
	return true
}

func (s *server) release(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, conn)
}

// close ends all connections too: those that were hijacked for a WebSocket, and those still without a byte.
func (s *server) close() {
	if s.http == nil {
		return
	}
	_ = s.lis.Close()
	_ = s.http.Close()
	s.mu.Lock()
	open := s.open
	s.open = nil
	s.mu.Unlock()
	for conn := range open {
		_ = conn.Close()
	}
}

// bodySeenMax is how many bytes of a request's body are noted.
const bodySeenMax = 4096

// serve notes what came and answers as the request asks.
func (f *farm) serve(at endpoint, w http.ResponseWriter, r *http.Request) {
	seen := casetest.Seen{
		Backend: at.assignment, Endpoint: at.address, Method: r.Method, Path: r.RequestURI, Header: r.Header.Clone(),
		TLS: r.TLS != nil, HTTP2: r.ProtoMajor == 2,
	}
	seen.Header.Set("Host", r.Host)
	if r.TLS != nil {
		seen.SawTLS(r.TLS)
	}
	n := &note{r.Header.Get(probeHeader), seen}
	f.mu.Lock()
	f.seen = append(f.seen, n)
	f.mu.Unlock()
	// What of a body is not sent whole is none.
	if body, err := io.ReadAll(io.LimitReader(r.Body, bodySeenMax)); err == nil {
		f.mu.Lock()
		n.Body, n.Trailer = string(body), r.Trailer.Clone()
		f.mu.Unlock()
	}
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") && r.Header.Get("Respond") == "" {
		echo(w)
		return
	}
	status, header := casetest.Respond(r.Header)
	for name, values := range header {
		w.Header()[name] = values
	}
	w.WriteHeader(status)
}

// echo switches protocols and sends back what comes.
func echo(w http.ResponseWriter) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"); err != nil {
		return
	}
	_, _ = io.Copy(conn, buffered)
}

// peekedConn is a connection of which the first byte was looked at.
type peekedConn struct {
	net.Conn
	r    *bufio.Reader
	done func()
}

func (c *peekedConn) Read(b []byte) (int, error) { return c.r.Read(b) }

func (c *peekedConn) Close() error {
	c.done()
	return c.Conn.Close()
}

// handover is a listener of connections that were accepted elsewhere.
type handover struct {
	at     net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   *sync.Once
}

func newHandover(at net.Addr) handover {
	return handover{at: at, conns: make(chan net.Conn), closed: make(chan struct{}), once: &sync.Once{}}
}

func (h handover) give(c net.Conn) bool {
	select {
	case h.conns <- c:
		return true
	case <-h.closed:
		return false
	}
}

func (h handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h handover) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

func (h handover) Addr() net.Addr { return h.at }
