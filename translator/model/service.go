package model

import (
	"slices"

	"github.com/postern-gateway/postern/translator/diag"
)

// ServicePolicies are what a Service asks for how it is balanced and protected, on every route to it.
type ServicePolicies struct {
	// Affinity is nil where any endpoint may take any request.
	Affinity *AffinityClaim
	// LeastRequest is where requests go to the endpoint with fewer of them in flight; nil takes endpoints in turn.
	LeastRequest *diag.Origin
	// Breaker is nil where endpoints are asked whatever they answered.
	Breaker   *Breaker
	Buffering Buffering
	// InFlight is nil where any number of requests may be answered at once.
	InFlight *InFlight
}

// AffinityClaim asks that a client be kept at one endpoint by a cookie.
type AffinityClaim struct {
	// Cookie is the cookie's name, empty for that of the path.
	Cookie   string
	Secure   bool
	SameSite SameSite
	Origins  Origins
}

// SameSite is a cookie's attribute of that name, as it is written in Set-Cookie; empty for none.
type SameSite string

// The values of SameSite (RFC 6265bis).
const (
	SameSiteNone   SameSite = "None"
	SameSiteLax    SameSite = "Lax"
	SameSiteStrict SameSite = "Strict"
)

// Affinity keeps a client at one endpoint of a backend while that endpoint is there. The cookie says which, for the whole
// host, and lasts as long as the client's session. It is always HttpOnly.
type Affinity struct {
	// Cookie is the cookie's name, a token of RFC 9110.
	Cookie   string   `json:"cookie"`
	Secure   bool     `json:"secure,omitempty"`
	SameSite SameSite `json:"sameSite,omitempty"`
}

// Breaker leaves an endpoint alone for BreakerSeconds once too much of what it answered within as many seconds was a
// failure. Where all endpoints are left alone, requests answer 503.
type Breaker struct {
	// Percent is the part of an endpoint's answers, 1 to 100, from which on it is left alone.
	Percent uint32
	// Failures are the statuses that count as failures.
	Failures []StatusRange
	// Connections says that an endpoint which gives no answer counts as a failure too.
	Connections bool
	Origin      diag.Origin
}

// BreakerSeconds is the window over which answers are counted, and how long an endpoint is left alone.
const BreakerSeconds = 10

// Buffering is what becomes of the body of a request before a backend sees any of it. The zero value passes it on as it
// comes.
type Buffering struct {
	// MaxRequest has the body held until it is whole; one that is longer is answered 413. Nil for none, in bytes.
	MaxRequest *Word[uint32]
	// Retries is how often a request is sent again that no endpoint has begun to take; nil for once.
	Retries *Word[uint32]
}

// BodyMax bounds Buffering.MaxRequest, since Envoy holds all of it in memory.
const BodyMax = 64 << 20

// Tighter is the stricter of two in each point.
func (b Buffering) Tighter(other Buffering) Buffering {
	return Buffering{MaxRequest: less(b.MaxRequest, other.MaxRequest), Retries: less(b.Retries, other.Retries)}
}

// Origins are the places of what it asks for.
func (b Buffering) Origins() Origins {
	out := appendOrigin(nil, b.MaxRequest)
	if b.Retries != nil && !slices.Contains(out, b.Retries.Origin) {
		out = append(out, b.Retries.Origin)
	}
	return out
}

func less(a, b *Word[uint32]) *Word[uint32] {
	if a == nil || b != nil && b.Value < a.Value {
		return b
	}
	return a
}
