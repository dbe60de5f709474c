package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-gateway/postern/dataplane/config"
)

const (
	// errorPageTimeout is how long a page may take: that of error-pages-v2.
	errorPageTimeout = 5 * time.Second
	// errorPageBytesMax bounds a page, which is held before it is sent, as it is by Envoy's script.
	errorPageBytesMax = 16 << 20
)

var errLongPage = errors.New("the error page is too long")

// What of a request does not go along when a page is asked for, and what of the page's headers is its connection's.
var (
	pageUnsent = []string{
		"Connection", "Content-Length", "Expect", "Host", "Http2-Settings", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range",
		"If-Unmodified-Since", "Keep-Alive", "Proxy-Connection", "Range", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	}
	pageUnkept = []string{
		"Connection", "Content-Length", "Keep-Alive", "Proxy-Connection", "Strict-Transport-Security", "Trailer", "Transfer-Encoding", "Upgrade",
	}
)

// errorPages are the scripts error-pages-v2 and error-body-v1 in Go. They see a request once it has a route.
type errorPages struct {
	pages []config.ErrorPage
	// request are the headers that go along.
	request http.Header
}

// watchErrors keeps what error pages are asked for with, where the route has any.
func (x *exchange) watchErrors() {
	if pages := x.route.Filters.ErrorPages; len(pages) > 0 {
		x.errors = errorPages{pages: pages, request: without(x.r.Header, pageUnsent)}
	}
}

// without are headers but for some of them and those that are between Envoy and its neighbours.
func without(h http.Header, names []string) http.Header {
	out := h.Clone()
	for name := range out {
		if slices.Contains(names, name) || strings.HasPrefix(name, "X-Envoy-") {
			delete(out, name)
		}
	}
	return out
}

// of is the page for a status, nil where there is none.
func (e errorPages) of(status int) *config.ErrorPage {
	if status < http.StatusOK || status == http.StatusNoContent || status == http.StatusNotModified {
		return nil
	}
	i := slices.IndexFunc(e.pages, func(p config.ErrorPage) bool { return p.From <= status && status <= p.To })
	if i < 0 {
		return nil
	}
	return &e.pages[i]
}

// replacePage puts a page into the place of an answer's headers, and returns its body. Where there is no page the body is
// the status.
func (x *exchange) replacePage(p config.ErrorPage, status int, h http.Header) []byte {
	page, body, err := x.fetchPage(p, status)
	if err != nil {
		if up := x.snapshot.upstreams[p.Cluster]; up != nil && x.r.Context().Err() == nil {
			up.failures.report(err)
		}
		page, body = http.Header{"Content-Type": {"text/plain"}}, []byte(strconv.Itoa(status)+"\n")
	}
	for name := range h {
		if name != "Strict-Transport-Security" {
			delete(h, name)
		}
	}
	for name, values := range page {
		h[name] = values
	}
	if _, typed := h["Content-Type"]; !typed {
		x.w.Header()["Content-Type"] = nil // or net/http would guess one
	}
	return body
}

// fetchPage asks for a page, whatever its own status.
func (x *exchange) fetchPage(p config.ErrorPage, status int) (http.Header, []byte, error) {
	up := x.snapshot.upstreams[p.Cluster]
	if up == nil {
		x.proxy.unknownCluster(p.Cluster)
		return nil, nil, errNoCluster
	}
	up.pool.acquire()
	defer up.pool.release()
	ctx, cancel := context.WithTimeout(x.r.Context(), errorPageTimeout)
	defer cancel()
	request := (&http.Request{
		Method: http.MethodGet, URL: target(up.scheme(), strings.ReplaceAll(p.Path, "{status}", strconv.Itoa(status))), Host: p.Host,
		Header: x.errors.request.Clone(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	// As Envoy's own client says of itself.
	request.Header.Set("X-Envoy-Internal", "true")
	request.Header.Set("X-Envoy-Expected-Rq-Timeout-Ms", strconv.FormatInt(errorPageTimeout.Milliseconds(), 10))
	if _, named := request.Header["User-Agent"]; !named {
		request.Header["User-Agent"] = []string{""} // or net/http would name itself
	}
	send := &sender{upstream: up, body: new(watchedBody), session: new(session)}
	defer send.end()
	response, err := send.RoundTrip(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, errorPageBytesMax+1))
	if err == nil && len(body) > errorPageBytesMax {
		err = errLongPage
	}
	if err != nil {
		return nil, nil, err
	}
	up.failures.clear()
	return without(response.Header, pageUnkept), body, nil
}

// replyPage sends a page in place of the gateway's own answer.
func (x *exchange) replyPage(p config.ErrorPage, status int) {
	h := x.w.Header()
	closes := h["Connection"]
	body := x.replacePage(p, status, h)
	if closes != nil {
		h["Connection"] = closes
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(status)
	x.w.Write(body) // an error is a client that has gone
}

// swapPage puts a page into the place of a backend's answer.
func (x *exchange) swapPage(p config.ErrorPage, response *http.Response) {
	body := x.replacePage(p, response.StatusCode, response.Header)
	response.Body.Close()
	response.Trailer = nil
	if x.r.Method == http.MethodHead {
		body = nil
	} else {
		response.Header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
}
