package explain

import (
	"net/http"
	"slices"

	"github.com/postern-gateway/postern/translator/model"
)

// changeRequest changes the headers of a request as its route asks.
func changeRequest(h http.Header, changes []model.HeaderChange) {
	for _, c := range changes {
		if c.Value == "" {
			h.Del(c.Name)
		} else {
			h.Set(c.Name, c.Value)
		}
	}
}

// responseOf are the headers of an answer that comes of forwarding, the backend's or the gateway's own in its place. One
// without a value is taken off.
func responseOf(r model.Route) http.Header {
	out := strictTransport(r)
	for _, c := range r.ResponseHeaders {
		out[c.Name] = nil
		if c.Value != "" {
			out[c.Name] = []string{c.Value}
		}
	}
	return out
}

// strictTransport is the one header that is on every answer.
func strictTransport(r model.Route) http.Header {
	out := http.Header{}
	if r.HSTS != nil {
		out.Set("Strict-Transport-Security", r.HSTS.String())
	}
	return out
}

// ChangeRefusal adds to the headers of an auth server's refusal what the gateway says. What the server says itself stands,
// and nothing of it is taken off (Envoy 1.40: ext_authz writes its headers after those of the route).
func (d Decision) ChangeRefusal(h http.Header) {
	for name, values := range d.Response {
		if _, said := h[name]; !said && len(values) > 0 {
			h[name] = values
		}
	}
}

// ChangeResponse changes the headers of a backend's answer as the gateway does: before anything else reads them.
func (d Decision) ChangeResponse(status int, h http.Header) {
	if d.turnedDown(status) {
		for name, values := range d.Response {
			if len(values) > 0 {
				h[name] = slices.Concat(values, h[name])
			}
		}
		h.Set("Content-Type", "text/plain")
		return
	}
	for name, values := range d.Response {
		if len(values) == 0 {
			h.Del(name)
		} else {
			h[name] = values
		}
	}
}

// turnedDown tells whether a status refuses a WebSocket without an error. Envoy 1.40 makes an answer of its own of that, the
// status for a body, and adds the backend's headers to those of the route.
func (d Decision) turnedDown(status int) bool {
	return upgrade(d.Headers) == webSocket && status < http.StatusBadRequest && status != http.StatusSwitchingProtocols
}
