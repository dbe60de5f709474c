package explain

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/model"
)

// SessionCookie is the Set-Cookie of an answer from an endpoint to a client that a backend keeps at one, empty where the
// client's own cookie names that endpoint.
func SessionCookie(a model.Affinity, request http.Header, endpoint string) string {
	if keptAt(a, request) == endpoint {
		return ""
	}
	parts := []string{fmt.Sprintf("%s=%q", a.Cookie, SessionValue(endpoint)), "Path=/"}
	if a.Secure {
		parts = append(parts, "Secure")
	}
	if a.SameSite != "" {
		parts = append(parts, "SameSite="+string(a.SameSite))
	}
	return strings.Join(append(parts, "HttpOnly"), "; ")
}

// newline is the byte with which the message in a cookie's value begins: its first field, a string.
const newline = "\n"

// SessionValue is the value of the cookie that keeps a client at an endpoint: base64 of a message with its address.
func SessionValue(endpoint string) string {
	return base64.StdEncoding.EncodeToString(append([]byte{newline[0], byte(len(endpoint))}, endpoint...))
}

// keptAt is the endpoint that the request's cookie names, empty for none.
func keptAt(a model.Affinity, request http.Header) string {
	for _, pair := range strings.Split(strings.Join(request.Values("Cookie"), ";"), ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if name != a.Cookie {
			continue
		}
		if quoted, ok := strings.CutPrefix(value, `"`); ok {
			value = strings.TrimSuffix(quoted, `"`)
		}
		message, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return ""
		}
		text := string(message)
		if address, ok := strings.CutPrefix(text, newline); ok && len(address) > 0 && int(address[0]) == len(address)-1 {
			return address[1:]
		}
		return text
	}
	return ""
}

// keep says at which endpoint a client is kept.
func (n *narrator) keep(d Decision, t model.Target) Decision {
	if t.Affinity == nil || len(d.Endpoints) == 0 {
		return d
	}
	d.Affinity = t.Affinity
	if at := keptAt(*t.Affinity, n.request.Header); slices.Contains(d.Endpoints, at) {
		d.Endpoints = []string{at}
		n.note("the cookie %s keeps the client at %s, while that can be connected to", t.Affinity.Cookie, at)
		return d
	}
	n.note("the answer sets the cookie %s, by which the client's next requests go to the same endpoint of %s", t.Affinity.Cookie, t.Backend)
	return d
}

// noteOnBackend says what one request cannot tell of how a backend is balanced and protected.
func (n *narrator) noteOnBackend(b model.Backend) {
	if b.LeastRequest {
		n.note("of two endpoints of %s that are drawn, the one with fewer requests in flight gets the request", b.Name)
	}
	if b.Breaker != nil {
		n.note("an endpoint of %s is left alone for %d seconds where %s; with none left, requests answer 503", b.Name, model.BreakerSeconds, breakerText(*b.Breaker))
	}
}

// noteOnBody says what becomes of a request by its body.
func (n *narrator) noteOnBody(b model.Buffering) {
	if limit := b.MaxRequest; limit != nil {
		n.note("the body is held until it is whole; one of more than %d bytes is answered 413", limit.Value)
	}
}

func breakerText(b model.Breaker) string {
	failures := []string{model.StatusesText(b.Failures)}
	if b.Connections {
		failures = append(failures, "no answer")
	}
	return fmt.Sprintf("%d%% is %s", b.Percent, strings.Join(failures, ", "))
}

func affinityWords(a model.Affinity) string {
	text := "kept by " + a.Cookie
	if a.Secure {
		text += " secure"
	}
	if a.SameSite != "" {
		text += " same-site " + string(a.SameSite)
	}
	return text
}

func bufferingWords(b model.Buffering) []string {
	var out []string
	if b.MaxRequest != nil {
		out = append(out, fmt.Sprintf("body up to %d", b.MaxRequest.Value))
	}
	if b.Retries != nil {
		out = append(out, fmt.Sprintf("tries %d", b.Retries.Value+1))
	}
	return out
}
