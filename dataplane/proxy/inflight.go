package proxy

import (
	"net/http"
	"net/textproto"

	"github.com/postern-gateway/postern/dataplane/inflight"
)

// InFlight counts the requests that are being answered: the same for this proxy's own and for an Envoy's.
func (p *Proxy) InFlight() *inflight.Limiter { return p.bounds }

// enter counts the request in, until done is called. Where the route answers too many at once already, the request is answered
// and done is nil.
func (x *exchange) enter() (done func()) {
	limits := x.route.Filters.InFlight
	if limits == nil {
		return func() {}
	}
	done, status := x.proxy.bounds.Enter(x.r.Context(), limits, inflight.Request{
		Client: x.sender().Client.String(), Authority: x.authority,
		Header: func(name string) string { return firstValue(x.r.Header, name) },
	})
	if done == nil {
		x.replyByRoute(status, x.values(0))
	}
	return done
}

// firstValue is the first value of a header by its name in lower case.
func firstValue(h http.Header, name string) string {
	values := h[textproto.CanonicalMIMEHeaderKey(name)]
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
