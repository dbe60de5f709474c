// Package proxy stands between a client and the API server: it counts what passes, and fails as it is told.
package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// Faults are what happens to requests, each as a part of those that it can happen to.
type Faults struct {
	// Gone has a list or watch that names a version answered 410: that version is no longer kept.
	Gone float64
	// TooMany has a request answered 429, to be tried again after a second.
	TooMany float64
	// Reset has the connection of a request end without an answer.
	Reset float64
	// Cut has a watch's connection end, and Expire has it end with a 410; both after up to CutAfter.
	Cut, Expire float64
	CutAfter    time.Duration
	// Slow has a list wait for up to SlowBy, and a watch that begins with one.
	Slow   float64
	SlowBy time.Duration
}

// Count is what there was of one kind of request.
type Count struct {
	Requests int
	// Bytes are of the answers' bodies.
	Bytes int64
	// Statuses are how many answers had which HTTP status.
	Statuses map[int]int
}

// Proxy is a running one.
type Proxy struct {
	url     string
	reverse *httputil.ReverseProxy

	mu sync.Mutex
	// faults, draw, counts and done are guarded by mu.
	faults Faults
	draw   *rand.Rand
	counts map[string]*Count
	done   map[string]int
}

// Start starts one before the API server of a configuration, which draws its faults from a seed, and ends it with the test.
// There are none before SetFaults.
func Start(t testing.TB, to *rest.Config, seed uint64) *Proxy {
	t.Helper()
	target, err := url.Parse(to.Host)
	if err != nil {
		t.Fatal(err)
	}
	tlsConfig, err := rest.TLSConfigFor(to)
	if err != nil {
		t.Fatal(err)
	}
	// HTTP/1.1 both ways: a request has its connection to itself, which can end alone. Compressed bytes would count as fewer.
	transport := &http.Transport{TLSClientConfig: tlsConfig, DisableCompression: true}
	p := &Proxy{draw: rand.New(rand.NewPCG(seed, 0)), counts: map[string]*Count{}, done: map[string]int{}}
	p.reverse = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Del("Accept-Encoding")
		},
		ModifyResponse: func(r *http.Response) error {
			if begin, ok := r.Request.Context().Value(endingKey{}).(func(*http.Response)); ok {
				begin(r)
			}
			return nil
		},
		FlushInterval: -1, Transport: transport, ErrorLog: log.New(io.Discard, "", 0),
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.url = "http://" + lis.Addr().String()
	server := &http.Server{Handler: p, ReadHeaderTimeout: headerMax, ErrorLog: log.New(io.Discard, "", 0)}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(lis) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
		transport.CloseIdleConnections()
	})
	return p
}

// headerMax is how long a client may take for the header of a request.
const headerMax = time.Minute

// Config leads through the proxy, as whoever a configuration is for. The way to it is plain HTTP.
func (p *Proxy) Config(as *rest.Config) *rest.Config {
	config := rest.CopyConfig(as)
	config.Host, config.TLSClientConfig = p.url, rest.TLSClientConfig{}
	return config
}

// SetFaults has requests from now on fail so; those that are under way go on as they began.
func (p *Proxy) SetFaults(f Faults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = f
}

// Counts are what has passed, by "list secrets", "watch ingresses" and so on.
func (p *Proxy) Counts() map[string]Count {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[string]Count, len(p.counts))
	for name, c := range p.counts {
		out[name] = Count{Requests: c.Requests, Bytes: c.Bytes, Statuses: maps.Clone(c.Statuses)}
	}
	return out
}

// Done is how often each fault has happened, by its name.
func (p *Proxy) Done() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.done)
}

// call is a request in the API server's own words.
type call struct {
	verb, resource string
	// versioned says that it names the version that it starts from, lists that all objects are in its answer.
	versioned, lists bool
}

// callOf reads a request: /api/v1/namespaces/NS/RESOURCE/NAME or /apis/GROUP/VERSION/….
func callOf(r *http.Request) call {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		parts = parts[3:]
	default:
		return call{verb: strings.ToLower(r.Method), resource: r.URL.Path}
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	query := r.URL.Query()
	version := query.Get("resourceVersion")
	c := call{verb: strings.ToLower(r.Method), resource: parts[0], versioned: version != "" && version != "0"}
	if r.Method == http.MethodGet && len(parts) == 1 {
		c.verb = "list"
		if watch := query.Get("watch"); watch == "true" || watch == "1" {
			c.verb = "watch"
		}
	}
	c.lists = c.verb == "list" || query.Get("sendInitialEvents") == "true"
	return c
}

// fate is what becomes of one request.
type fate struct {
	status int
	reset  bool
	wait   time.Duration
	// cut is when a watch ends, 0 for never; expire says that it ends with 410.
	cut    time.Duration
	expire bool
}

func (p *Proxy) fateOf(c call) fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.faults
	happens := func(part float64, what string) bool {
		if p.draw.Float64() >= part {
			return false
		}
		p.done[what]++
		return true
	}
	upTo := func(d time.Duration) time.Duration { return time.Duration(p.draw.Float64() * float64(d)) }
	var out fate
	switch {
	case happens(f.TooMany, "429"):
		out.status = http.StatusTooManyRequests
	case happens(f.Reset, "reset"):
		out.reset = true
	case c.versioned && happens(f.Gone, "410"):
		out.status = http.StatusGone
	case c.lists && happens(f.Slow, "slow"):
		out.wait = upTo(f.SlowBy)
	case c.verb == "watch" && happens(f.Cut, "cut"):
		out.cut = max(1, upTo(f.CutAfter))
	case c.verb == "watch" && happens(f.Expire, "expire"):
		out.cut, out.expire = max(1, upTo(f.CutAfter)), true
	}
	return out
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := callOf(r)
	fate := p.fateOf(c)
	counted := &counter{ResponseWriter: w, proxy: p, call: c}
	p.count(c, func(n *Count) { n.Requests++ })
	switch {
	case fate.reset:
		panic(http.ErrAbortHandler)
	case fate.status != 0:
		refuse(counted, fate.status)
		return
	case fate.wait > 0:
		select {
		case <-time.After(fate.wait):
		case <-r.Context().Done():
			return
		}
	}
	if fate.cut > 0 {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		timer := time.AfterFunc(hangMax, cancel)
		defer timer.Stop()
		r = r.WithContext(context.WithValue(ctx, endingKey{}, func(answer *http.Response) {
			answer.Body = &ending{ReadCloser: answer.Body, fate: fate, contentType: answer.Header.Get("Content-Type")}
			timer.Reset(fate.cut)
		}))
	}
	p.reverse.ServeHTTP(counted, r)
}

// hangMax bounds a watch that is to end early and is not even answered.
const hangMax = time.Minute

// endingKey is the key of what has the answer of a watch end early, in the context of its request.
type endingKey struct{}

// ending is the body of a watch that ends early: when its request is cancelled.
type ending struct {
	io.ReadCloser
	fate        fate
	contentType string
	last        io.Reader
}

// Read implements io.Reader. By its error the reverse proxy ends the connection.
func (e *ending) Read(b []byte) (int, error) {
	if e.last != nil {
		return e.last.Read(b)
	}
	n, err := e.ReadCloser.Read(b)
	if err == nil || n > 0 || !e.fate.expire {
		return n, err
	}
	event, encodeErr := expired(e.contentType)
	if encodeErr != nil {
		return 0, encodeErr
	}
	e.last = bytes.NewReader(event)
	return e.last.Read(b)
}

// expired is the event by which a watch ends with 410, in the form that its answer has.
func expired(contentType string) ([]byte, error) {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, err
	}
	info, ok := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), mediaType)
	if !ok || info.StreamSerializer == nil {
		return nil, fmt.Errorf("a watch of type %s", contentType)
	}
	status := statusOf(http.StatusGone)
	version := schema.GroupVersion{Version: "v1"}
	object, err := runtime.Encode(scheme.Codecs.EncoderForVersion(info.Serializer, version), &status)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := streaming.NewEncoder(info.StreamSerializer.NewFrameWriter(&out), scheme.Codecs.EncoderForVersion(info.StreamSerializer.Serializer, version))
	err = encoder.Encode(&metav1.WatchEvent{Type: string(watch.Error), Object: runtime.RawExtension{Raw: object}})
	return out.Bytes(), err
}

func (p *Proxy) count(c call, change func(*Count)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := c.verb + " " + c.resource
	if p.counts[name] == nil {
		p.counts[name] = &Count{Statuses: map[int]int{}}
	}
	change(p.counts[name])
}

func statusOf(code int) metav1.Status {
	s := metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: int32(code),
		Reason: metav1.StatusReasonExpired, Message: "too old resource version: drawn by the proxy",
	}
	if code == http.StatusTooManyRequests {
		s.Reason, s.Message = metav1.StatusReasonTooManyRequests, "drawn by the proxy, please try again later"
	}
	return s
}

func refuse(w http.ResponseWriter, code int) {
	w.Header().Set("Content-Type", "application/json")
	if code == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(statusOf(code))
}

// counter counts an answer.
type counter struct {
	http.ResponseWriter
	proxy *Proxy
	call  call
}

func (c *counter) WriteHeader(status int) {
	c.proxy.count(c.call, func(n *Count) { n.Statuses[status]++ })
	c.ResponseWriter.WriteHeader(status)
}

func (c *counter) Write(b []byte) (int, error) {
	c.proxy.count(c.call, func(n *Count) { n.Bytes += int64(len(b)) })
	return c.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController, which flushes.
func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }
