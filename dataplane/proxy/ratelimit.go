package proxy

import (
	"container/list"
	"net/textproto"
	"sync"
	"time"

	"github.com/postern-gateway/postern/dataplane/config"
	"github.com/postern-gateway/postern/dataplane/match"
)

// limiters are the buckets of a table's routes, by the configuration that each route has for itself. An update of the
// table begins anew, as in Envoy.
type limiters map[*config.RateLimit]*limiter

func newLimiters(c config.RouteConfiguration) limiters {
	out := limiters{}
	for _, h := range c.VirtualHosts {
		for _, r := range h.Routes {
			if limit := r.Filters.RateLimit; limit != nil {
				out[limit] = newLimiter(limit)
			}
		}
	}
	return out
}

// A limiter counts the requests of one route.
type limiter struct {
	config *config.RateLimit

	mu     sync.Mutex
	counts []keyed // as config.Counts; guarded by mu
}

// keyed are the buckets of one count, the key last seen in front.
type keyed struct {
	byKey map[string]*list.Element
	order *list.List
}

// A bucket holds tokens as of a moment.
type bucket struct {
	key    string
	tokens float64
	at     time.Time
}

func newLimiter(c *config.RateLimit) *limiter {
	l := &limiter{config: c, counts: make([]keyed, len(c.Counts))}
	for i := range l.counts {
		l.counts[i] = keyed{make(map[string]*list.Element), list.New()}
	}
	return l
}

// admit takes a token of each bucket that the request counts against, until one has none. What was taken before is gone,
// as in Envoy.
func (l *limiter) admit(keys []*string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	counted := false
	for i, key := range keys {
		if key == nil {
			continue
		}
		counted = true
		if !l.counts[i].take(*key, l.config.Counts[i].Bucket, l.config.KeysMax, now) {
			return false
		}
	}
	return counted
}

// take takes a token for a key. A key beyond the most takes the place of the one that was not seen for longest.
func (k *keyed) take(key string, c config.TokenBucket, keysMax int, now time.Time) bool {
	element := k.byKey[key]
	if element == nil {
		if k.order.Len() >= keysMax {
			oldest := k.order.Back()
			delete(k.byKey, oldest.Value.(*bucket).key)
			k.order.Remove(oldest)
		}
		element = k.order.PushFront(&bucket{key: key, tokens: float64(c.Max), at: now})
		k.byKey[key] = element
	}
	k.order.MoveToFront(element)
	b := element.Value.(*bucket)
	if passed := now.Sub(b.at); passed > 0 {
		b.tokens = min(float64(c.Max), b.tokens+float64(passed)*float64(c.PerFill)/float64(c.Fill))
		b.at = now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// withinLimits tells whether the route may be asked once more.
func (x *exchange) withinLimits() bool {
	limit := x.route.Filters.RateLimit
	if limit == nil {
		return true
	}
	l := x.snapshot.limiters[x.manager.RouteConfig][limit]
	if l == nil {
		return false
	}
	keys := make([]*string, len(limit.Counts))
	for i, c := range limit.Counts {
		keys[i] = x.rateKey(c.Key)
	}
	return l.admit(keys, time.Now())
}

// rateKey is by what a request counts, nil where it does not.
func (x *exchange) rateKey(k config.RateKey) *string {
	var key string
	switch {
	case k.Client:
		key = x.sender().Client.String()
	case k.Header == ":authority":
		key = x.authority
	case k.Header != "":
		values := x.r.Header[textproto.CanonicalMIMEHeaderKey(k.Header)]
		if len(values) == 0 {
			return nil
		}
		key = values[0]
	case k.Absent != nil && match.Header(k.Absent, x.asked()):
		return nil
	}
	return &key
}
