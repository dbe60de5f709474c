package model

import (
	"time"

	"github.com/postern-gateway/postern/translator/diag"
)

// RateLimit bounds how often a route is asked, by each key for itself: a bucket of tokens for each key and rate. A request
// takes a token of every rate, and is answered 429 where one has none. Each data plane counts for itself.
type RateLimit struct {
	By RateKey
	// Rates all hold. They are sorted by period, and there is one at least.
	Rates  []Rate
	Origin diag.Origin
}

// RateKey is by what requests are counted, also those in flight: RateByClient, RateByHost or a RateByHeader.
type RateKey interface{ rateKey() }

// RateByClient counts by the client's address as trusted proxies tell it (Edge.TrustedProxies), else by the peer's.
type RateByClient struct{}

// RateByHost counts by the host that is asked for.
type RateByHost struct{}

// RateByHeader counts by the first value of a header. Requests without it, or with an empty one, count together.
type RateByHeader struct {
	// Name is in lower case.
	Name string
}

func (RateByClient) rateKey() {}
func (RateByHost) rateKey()   {}
func (RateByHeader) rateKey() {}

// Rate is a bucket that holds Burst tokens, is full at first, and gets Average more in each Period, evenly.
type Rate struct {
	// Period is a whole number of milliseconds, and 50 at least.
	Period         time.Duration
	Average, Burst uint32
}
