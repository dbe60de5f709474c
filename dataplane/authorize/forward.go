package authorize

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
)

const (
	// forwardTimeout is how long the server may take (middlewares/auth of Traefik 1.7).
	forwardTimeout = 30 * time.Second
	// answerBytesMax bounds the body of its answer.
	answerBytesMax = 64 * 1024
)

var errLong = errors.New("the answer is longer than 64 KiB")

// hopHeaders belong to a connection, and go neither to the server nor from it (RFC 9110, 7.6.1).
var hopHeaders = []string{
	"Connection", "Expect", "Http2-Settings", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer",
	"Trailers", "Transfer-Encoding", "Upgrade", "Content-Length",
}

// forward asks a server: always by GET, of a fixed URL. 2xx admits; whatever else is the client's answer. Redirects are
// not followed.
func (c *Checker) forward(ctx context.Context, r request) *authv3.CheckResponse {
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	transport, release, err := c.sources.Transport(ctx, r.Cluster)
	if err != nil {
		return c.failed("reach "+r.Cluster, err)
	}
	defer release()
	target := *r.URL
	ask := (&http.Request{Method: http.MethodGet, URL: &target, Host: r.URL.Host, Header: askedWith(r), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
	got, err := transport.RoundTrip(ask)
	if err != nil {
		return c.failed("ask "+r.Cluster, err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(io.LimitReader(got.Body, answerBytesMax+1))
	if err == nil && len(body) > answerBytesMax {
		err = errLong
	}
	if err != nil {
		return c.failed("read the answer of "+r.Cluster, err)
	}
	if got.StatusCode >= 200 && got.StatusCode < 300 {
		return admitted(r, got.Header)
	}
	got.Request = &http.Request{URL: r.URL} // A Location is relative to what was asked.
	return c.denied(r, got, body)
}

// askedWith are the headers that the server is asked with: the request's, and what it is to know of the request.
func askedWith(r request) http.Header {
	h := r.header.Clone()
	for _, name := range hopHeaders {
		delete(h, name)
	}
	for name := range h {
		if strings.HasPrefix(name, "X-Envoy-") {
			delete(h, name)
		}
	}
	hops := strings.Split(strings.Join(h["X-Forwarded-For"], ","), ",")
	peer := strings.TrimSpace(hops[len(hops)-1]) // The data plane has written it there.
	if !r.Trust {
		for name := range h {
			if strings.HasPrefix(name, "X-Forwarded-") || name == "Forwarded" {
				delete(h, name)
			}
		}
		h.Set("X-Forwarded-For", peer)
		h.Set("X-Real-Ip", peer)
	}
	for _, said := range [][2]string{
		{"X-Forwarded-Method", r.method}, {"X-Forwarded-Proto", r.Scheme}, {"X-Forwarded-Host", r.authority},
		{"X-Forwarded-Uri", r.BackendPath(r.path)},
	} {
		if h.Get(said[0]) == "" {
			h.Set(said[0], said[1])
		}
	}
	if h.Get("User-Agent") == "" {
		h["User-Agent"] = []string{""} // Or net/http would name itself.
	}
	return h
}

// admitted copies headers of the answer to the request.
func admitted(r request, from http.Header) *authv3.CheckResponse {
	var set []*corev3.HeaderValueOption
	var remove []string
	for _, name := range r.ResponseHeaders {
		if values := from.Values(name); len(values) > 0 {
			set = append(set, header(name, strings.Join(values, ", ")))
		} else {
			remove = append(remove, name)
		}
	}
	if r.Header != "" && !slices.Contains(r.ResponseHeaders, r.Header) {
		remove = append(remove, r.Header)
	}
	return admit(set, remove)
}

// denied hands the server's answer to the client.
func (c *Checker) denied(r request, got *http.Response, body []byte) *authv3.CheckResponse {
	h := got.Header.Clone()
	for _, name := range hopHeaders {
		delete(h, name)
	}
	switch location, err := got.Location(); {
	case err == nil:
		h.Set("Location", location.String())
	case !errors.Is(err, http.ErrNoLocation):
		return c.failed("read the answer of "+r.Cluster, errors.New("its Location is no URL"))
	}
	if len(body) > 0 && h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/octet-stream")
	}
	var headers []*corev3.HeaderValueOption
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for i, value := range h[name] {
			option := header(strings.ToLower(name), value)
			if i > 0 {
				option.AppendAction = corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD
			}
			headers = append(headers, option)
		}
	}
	return answer(got.StatusCode, headers, string(body))
}
