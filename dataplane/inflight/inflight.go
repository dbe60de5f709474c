// Package inflight bounds how many requests of a route are answered at once, for both data planes: the Go data plane asks it in
// its own process, and an Envoy by a stream of ext_proc for each request, which lasts as long as the request does.
//
// It fails closed: a request that cannot be counted is answered 503.
package inflight

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strings"
	"sync"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/postern-gateway/postern/dataplane/config"
)

const (
	// Max is how many requests are counted at once, whatever their routes: each is a stream of its own for an Envoy. One more
	// is answered 503.
	Max = 1 << 16
	// EndingWait is how long a request beyond a limit waits for one that ends. A client has the end of an answer a moment
	// before this package knows of it, and may ask again by then.
	EndingWait = 250 * time.Millisecond
)

// A Request is what limits look at.
type Request struct {
	// Client is the client's address; Authority the host with its port or without.
	Client, Authority string
	// Header is the first value of a header, by its name in lower case; empty where there is none.
	Header func(name string) string
}

// A Limiter counts. It implements ext_proc's server.
type Limiter struct {
	extprocv3.UnimplementedExternalProcessorServer
	// ended is closed by End.
	ended chan struct{}
	once  sync.Once

	mu sync.Mutex
	// total is how many requests are in or wait, at most Max; guarded by mu.
	total int
	// counts hold the keys of requests that are in or wait, and no others; guarded by mu.
	counts map[key]*count
}

// A key is one value by which a route counts, hashed: a client chooses how long headers are.
type key [sha256.Size]byte

type count struct {
	// in are the requests that are answered, waiting those that wait for one of them to end; guarded by Limiter.mu.
	in, waiting uint32
	// left is closed and replaced when a request goes, nil while nobody waits; guarded by Limiter.mu.
	left chan struct{}
}

// New makes a Limiter that has counted nothing.
func New() *Limiter { return &Limiter{ended: make(chan struct{}), counts: map[key]*count{}} }

// Enter counts a request in, where every limit admits it: done is to be called, once, when it has been answered. Otherwise done
// is nil and status the answer.
func (l *Limiter) Enter(ctx context.Context, limits *config.InFlight, r Request) (done func(), status int) {
	keys := make([]key, len(limits.Limits))
	for i, limit := range limits.Limits {
		keys[i] = keyOf(limits.Name, limit, r)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= Max {
		return nil, http.StatusServiceUnavailable
	}
	l.total++
	wait := time.NewTimer(EndingWait)
	defer wait.Stop()
	for {
		full, most := l.full(limits, keys)
		if full < 0 {
			l.change(keys, func(c *count) { c.in++ })
			return func() { l.leave(keys) }, 0
		}
		c := l.counts[keys[full]]
		// As many as a limit admits may be ending at once; nobody waits for more.
		if c.waiting >= most || !l.waitFor(ctx, c, wait.C) {
			l.total--
			return nil, http.StatusTooManyRequests
		}
	}
}

// full is the first limit that admits no more, with how many it admits; -1 where all do. l.mu is held.
func (l *Limiter) full(limits *config.InFlight, keys []key) (int, uint32) {
	for i, limit := range limits.Limits {
		if c := l.counts[keys[i]]; c != nil && c.in >= limit.Most {
			return i, limit.Most
		}
	}
	return -1, 0
}

// waitFor waits until a request of a count goes; false where none does in time. l.mu is held, but while it waits.
func (l *Limiter) waitFor(ctx context.Context, c *count, late <-chan time.Time) bool {
	if c.left == nil {
		c.left = make(chan struct{})
	}
	left := c.left
	c.waiting++
	l.mu.Unlock()
	gone := false
	select {
	case <-left:
		gone = true
	case <-late:
	case <-ctx.Done():
	case <-l.ended:
	}
	l.mu.Lock()
	c.waiting--
	return gone
}

// leave counts a request out.
func (l *Limiter) leave(keys []key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	l.change(keys, func(c *count) {
		c.in--
		if c.left != nil {
			close(c.left)
			c.left = nil
		}
	})
}

// change changes the counts of keys, and forgets those at 0. Who waits for one that is forgotten looks it up anew. l.mu is held.
func (l *Limiter) change(keys []key, by func(*count)) {
	for _, k := range keys {
		c := l.counts[k]
		if c == nil {
			c = &count{}
			l.counts[k] = c
		}
		if by(c); c.in == 0 {
			delete(l.counts, k)
		}
	}
}

// End has every stream end well: Envoy then goes on with the request by itself. It may be called more than once.
func (l *Limiter) End() { l.once.Do(func() { close(l.ended) }) }

func keyOf(name string, limit config.InFlightLimit, r Request) key {
	var by, value string
	switch {
	case limit.Client:
		by, value = "client", r.Client
	case limit.Host:
		by, value = "host", host(r.Authority)
	default:
		by, value = "header:"+limit.Header, r.Header(limit.Header)
	}
	// No name and no key has a blank.
	return sha256.Sum256([]byte(name + " " + by + " " + value))
}

// host is an authority without its port, in lower case.
func host(authority string) string {
	if colon := strings.LastIndexByte(authority, ':'); colon > strings.LastIndexByte(authority, ']') {
		authority = authority[:colon]
	}
	return strings.ToLower(authority)
}
