package proxy

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/dataplane/config"
	"github.com/postern-gateway/postern/dataplane/match"
)

// joined are the headers of which Envoy keeps several values as one, comma separated.
var joined = map[string]bool{
	"X-Forwarded-For": true, "X-Forwarded-Proto": true, "X-Forwarded-Host": true, "X-Request-Id": true, "Location": true,
}

// mutate runs an early header mutation over the headers of a request.
func mutate(h http.Header, steps []config.HeaderMutation, v config.Values) {
	for _, step := range steps {
		switch {
		case step.Add != nil:
			add(h, *step.Add, v)
		case step.RemoveOnMatch != nil:
			for name := range h {
				if match.String(*step.RemoveOnMatch, strings.ToLower(name)) {
					delete(h, name)
				}
			}
		default:
			h.Del(step.Remove)
		}
	}
}

// change removes headers, then adds: the order within one of Envoy's header parsers.
func change(h http.Header, remove []string, adds []config.HeaderValue, v config.Values) {
	for _, name := range remove {
		h.Del(name)
	}
	for _, a := range adds {
		add(h, a, v)
	}
}

// add adds one header. A value that comes out empty is left out, as keep_empty_value is off.
func add(h http.Header, a config.HeaderValue, v config.Values) {
	value := a.Value.Render(v)
	if value == "" {
		return
	}
	name := textproto.CanonicalMIMEHeaderKey(a.Name)
	_, exists := h[name]
	switch {
	case a.Append == config.OverwriteIfExistsOrAdd,
		a.Append == config.OverwriteIfExists && exists,
		a.Append == config.AddIfAbsent && !exists:
		h[name] = []string{value}
	case a.Append == config.AppendIfExistsOrAdd && joined[name] && exists:
		h[name] = []string{strings.Join(append(h[name], value), ",")}
	case a.Append == config.AppendIfExistsOrAdd:
		h[name] = append(h[name], value)
	}
}

// count is how many header lines there are.
func count(h http.Header) int {
	n := 0
	for _, values := range h {
		n += len(values)
	}
	return n
}

// underscored tells whether a header's name has an underscore: to a backend that reads headers as CGI variables it
// is another spelling of a header that the proxy has taken off.
func underscored(h http.Header) bool {
	for name := range h {
		if strings.IndexByte(name, '_') >= 0 {
			return true
		}
	}
	return false
}

// unnominable are the headers that a client may not have removed by naming them in Connection: Envoy answers 400.
var unnominable = map[string]bool{"host": true, "x-forwarded-for": true, "x-forwarded-host": true, "x-forwarded-proto": true}

// upgradeKind is what a request asks to upgrade to.
type upgradeKind int

const (
	noUpgrade upgradeKind = iota
	webSocket
	otherUpgrade
)

// namedMax is how many names Connection may have: Envoy takes fewer than ten.
const namedMax = 9

// clean takes off what speaks of the client's own connection: Connection with all that it names, and the like. It
// runs before the header mutations, so that no client can have their work undone. It fails where Envoy refuses.
func clean(h http.Header) (upgradeKind, bool) {
	upgrade, named := noUpgrade, 0
	connection := strings.Join(h["Connection"], ",")
	for token := range strings.SplitSeq(connection, ",") {
		token = strings.ToLower(strings.Trim(token, blank))
		if token != "" {
			named++
		}
		switch {
		case unnominable[token] || strings.HasPrefix(token, ":") || named > namedMax:
			return noUpgrade, false
		case token == "upgrade":
			if upgrade = upgradeOf(h["Upgrade"]); upgrade == noUpgrade {
				delete(h, "Http2-Settings")
			}
		case token != "te" && token != "content-length" && token != "transfer-encoding":
			h.Del(token)
		}
	}
	protocol := h["Upgrade"]
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Upgrade", "Expect"} {
		delete(h, name)
	}
	// Of TE only trailers may pass a proxy; Envoy sanitizes client certificates' details from any peer.
	if slices.ContainsFunc(strings.Split(strings.Join(h["Te"], ","), ","), isTrailers) {
		h["Te"] = []string{"trailers"}
	} else {
		delete(h, "Te")
	}
	delete(h, "X-Forwarded-Client-Cert")
	if upgrade != noUpgrade {
		h["Connection"], h["Upgrade"] = []string{connection}, protocol
	}
	return upgrade, true
}

func isTrailers(token string) bool { return strings.Trim(token, blank) == "trailers" }

// upgradeOf reads Upgrade headers. One to h2c is an offer that a server may leave aside, and is.
func upgradeOf(values []string) upgradeKind {
	value := strings.Join(values, ",")
	switch {
	case strings.EqualFold(value, "websocket"):
		return webSocket
	case len(values) == 0 || strings.EqualFold(value, "h2c"):
		return noUpgrade
	default:
		return otherUpgrade
	}
}

// requestID is a random UUID, as Envoy puts in x-request-id.
func requestID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
