package proxy

import (
	"cmp"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/postern-gateway/postern/dataplane/config"
)

// copyBufferBytes is the size of the buffers by which bodies are copied.
const copyBufferBytes = 32 * 1024

type bufferPool struct{ pool sync.Pool }

var copyBuffers = &bufferPool{sync.Pool{New: func() any { b := make([]byte, copyBufferBytes); return &b }}}

func (p *bufferPool) Get() []byte  { return *p.pool.Get().(*[]byte) }
func (p *bufferPool) Put(b []byte) { p.pool.Put(&b) }

// forward sends the request to its cluster and copies the answer back as it comes.
func (x *exchange) forward(f *config.Forward) {
	x.passedOn = true
	cluster := draw(f.Clusters)
	x.cluster = cluster.Name
	up := x.snapshot.upstreams[cluster.Name]
	if up == nil {
		x.proxy.unknownCluster(cluster.Name)
		x.replyByRoute(http.StatusServiceUnavailable, x.values(0))
		return
	}
	up.pool.acquire()
	defer up.pool.release()
	sent := x.values(0)
	sent.Path = f.Rewrite(x.route.Match, x.path)
	if cluster.HostRewrite != "" {
		sent.Authority = cluster.HostRewrite
	}
	ctx, idle, stop := x.watchIdle()
	defer stop()
	body := &watchedBody{idle: idle}
	kept := newSession(cmp.Or(cluster.Session, x.route.Filters.Session), x.r.Header)
	send := &sender{upstream: up, body: body, retries: f.Retries, session: kept}
	defer send.end()
	proxy := httputil.ReverseProxy{
		FlushInterval: -1,
		BufferPool:    copyBuffers,
		ErrorLog:      slog.NewLogLogger(x.proxy.options.Log.Handler(), slog.LevelDebug),
		Transport:     send,
		Rewrite: func(r *httputil.ProxyRequest) {
			keepHeaders(r)
			r.Out.URL, r.Out.Host = target(up.scheme(), sent.Path), sent.Authority
			if x.r.ProtoMajor == 1 || !up.config.HTTP2 {
				r.Out.Trailer = nil // Envoy's HTTP/1 has none
			}
			if r.Out.Body != nil {
				body.ReadCloser = r.Out.Body
				r.Out.Body, r.Out.GetBody = body, body.again
			}
		},
		ModifyResponse: func(response *http.Response) error {
			up.failures.clear()
			response.Body = idle.watched(response.Body)
			if response.StatusCode == http.StatusSwitchingProtocols {
				x.w.Header().Del("Connection") // that of a chunked request; the answer has its own
			}
			sent.Status = response.StatusCode
			x.changeAnswer(response, sent)
			kept.answer(response.Header)
			if x.route.Filters.Scripts.Base != nil {
				rewriteBase(x.route.Filters.Scripts.Base, response)
			}
			if page := x.errors.of(response.StatusCode); page != nil {
				x.swapPage(*page, response)
			}
			if _, typed := response.Header["Content-Type"]; !typed {
				x.w.Header()["Content-Type"] = nil // or net/http would guess one
			}
			if body.ReadCloser != nil && !body.ended.Load() {
				x.overlap(response.Header)
			}
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, r *http.Request, err error) {
			x.failed(send, sent, err)
		},
	}
	proxy.ServeHTTP(x.w, x.r.WithContext(ctx))
}

// changeAnswer changes a backend's answer as the route says.
func (x *exchange) changeAnswer(response *http.Response, v config.Values) {
	if x.upgrade == webSocket && response.StatusCode < http.StatusBadRequest && response.StatusCode != http.StatusSwitchingProtocols {
		x.turnDown(response, v)
	} else {
		x.respond(response.Header, v)
	}
}

// turnDown makes the answer of a backend that has not changed to a WebSocket, though it reports no error, one of the
// gateway's own, as Envoy 1.40 does: the backend's headers are beside those of the route, and the body is the status.
func (x *exchange) turnDown(response *http.Response, v config.Values) {
	own := response.Header
	response.Header = http.Header{}
	x.changeResponse(response.Header, v)
	for name, values := range own {
		response.Header[name] = append(response.Header[name], values...)
	}
	x.putUnderPrefix(response.Header)
	body := x.manager.LocalReply.Render(v)
	response.Body.Close()
	response.Body, response.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	response.Trailer = nil
	response.Header.Set("Content-Type", "text/plain")
	response.Header.Set("Content-Length", strconv.Itoa(len(body)))
}

// draw chooses one of a route's clusters, each as often as its weight says.
func draw(clusters []config.WeightedCluster) config.WeightedCluster {
	if len(clusters) == 1 {
		return clusters[0]
	}
	var total uint64
	for _, c := range clusters {
		total += uint64(c.Weight)
	}
	at := rand.Uint64N(total)
	for _, c := range clusters {
		if at < uint64(c.Weight) {
			return c
		}
		at -= uint64(c.Weight)
	}
	panic("proxy: weights without a sum")
}

// overlap lets the rest of the request flow while the answer does, as through Envoy. The connection ends with the
// answer: net/http cannot reuse one whose request it finds unfinished after such an answer.
func (x *exchange) overlap(h http.Header) {
	if x.r.ProtoMajor == 1 { // HTTP/2 always can
		http.NewResponseController(x.w).EnableFullDuplex()
		h.Set("Connection", "close")
	}
}

// failed answers a request that the cluster did not.
func (x *exchange) failed(s *sender, sent config.Values, err error) {
	up, body := s.upstream, s.body
	switch {
	case body.idle.expired.Load() && body.ReadCloser != nil && !body.ended.Load():
		x.reply(http.StatusRequestTimeout)
		return
	case body.idle.expired.Load():
		x.reply(http.StatusGatewayTimeout)
		return
	case x.r.Context().Err() != nil: // the client has gone
	case body.broken.Load():
		x.reply(http.StatusBadRequest)
		return
	default:
		up.failures.report(err)
	}
	clear(x.w.Header())
	status := http.StatusServiceUnavailable
	connect, endpoint := (*connectError)(nil), (*endpointError)(nil)
	if x.upgrade == webSocket && up.config.HTTP2 && errors.As(err, &endpoint) && !errors.As(err, &connect) {
		// Over HTTP/2 a WebSocket needs an extended CONNECT (RFC 8441), which net/http does not send. Envoy answers so
		// where the endpoint does not take it.
		status = http.StatusBadGateway
	}
	sent.Status = status
	x.respond(x.w.Header(), sent)
	s.session.answer(x.w.Header())
	x.reply(status)
}

// keepHeaders has the backend get the headers that the early mutation made: ReverseProxy takes off what a client may
// have forged, but here that is done already, and what a proxy may be asked passes through Envoy.
func keepHeaders(r *httputil.ProxyRequest) {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Proxy-Authorization", "Proxy-Authenticate"} {
		if values, ok := r.In.Header[name]; ok {
			r.Out.Header[name] = values
		}
	}
}

// target is a URL whose request line is path to the byte. The endpoint is filled in later.
func target(scheme, path string) *url.URL {
	bare, query, asked := strings.Cut(path, "?")
	u := &url.URL{Scheme: scheme, Opaque: bare, RawQuery: query, ForceQuery: asked && query == ""}
	if strings.HasPrefix(bare, "//") { // Opaque would become a whole URL
		u.Opaque, u.RawPath = "", bare
		u.Path, _ = url.PathUnescape(bare)
	}
	return u
}

// A sender is the transport of one request: it tries an endpoint of the cluster, and others where that fails before it has
// taken anything.
type sender struct {
	upstream *upstream
	body     *watchedBody
	retries  int
	session  *session
	ends     []func()
}

// end tells that nothing more comes of the request.
func (s *sender) end() {
	for _, end := range s.ends {
		end()
	}
}

// endpoint is the one to try: the client's own at first, where it has one.
func (s *sender) endpoint(try int) (netip.AddrPort, error) {
	if try == 0 {
		if e, ok := s.upstream.named(s.session.endpoint); ok {
			return e, nil
		}
	}
	return s.upstream.next()
}

func (s *sender) RoundTrip(r *http.Request) (*http.Response, error) {
	var failure error
	for try := 0; try <= s.retries; try++ {
		endpoint, err := s.endpoint(try)
		if err != nil {
			return nil, cmp.Or(failure, err)
		}
		s.session.used = endpoint.String()
		s.ends = append(s.ends, s.upstream.health.begin(endpoint))
		out := r.WithContext(r.Context()) // a shallow copy: a RoundTripper leaves its request as it is
		address := *r.URL
		address.Host = endpoint.String()
		out.URL = &address
		response, err := s.upstream.pool.transport.RoundTrip(out)
		if err == nil {
			s.upstream.health.answered(endpoint, response.StatusCode)
			return response, nil
		}
		if r.Context().Err() == nil && !s.body.broken.Load() {
			s.upstream.health.answered(endpoint, 0)
		}
		failure = &endpointError{endpoint.String(), err}
		var connect *connectError
		if !errors.As(err, &connect) || s.body.read.Load() {
			return nil, failure
		}
	}
	return nil, failure
}

// watchedBody is a request's body that knows whether any of it was taken, and whether all. It stays open for a second
// try: the server closes it when the request ends.
type watchedBody struct {
	io.ReadCloser
	idle                *idleWatch
	read, ended, broken atomic.Bool
}

var errConsumed = errors.New("the request's body has been read and cannot be sent again")

// Read takes of the body. After its end it asks the server no more: the transport reads once beyond it, when the server
// may have closed the body already for the sake of the answer, and would take that for a failure.
func (b *watchedBody) Read(p []byte) (int, error) {
	if b.ended.Load() {
		return 0, io.EOF
	}
	b.read.Store(true)
	n, err := b.ReadCloser.Read(p)
	b.idle.moved(n)
	switch {
	case errors.Is(err, io.EOF):
		b.ended.Store(true)
	case err != nil:
		b.broken.Store(true)
	}
	return n, err
}

// Close leaves the body open.
func (b *watchedBody) Close() error { return nil }

// again lets the transport send a request anew on another connection of which nothing was taken by the first.
func (b *watchedBody) again() (io.ReadCloser, error) {
	if b.read.Load() {
		return nil, errConsumed
	}
	return b, nil
}
