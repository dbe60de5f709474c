package proxy

import (
	"encoding/base64"
	"net/http"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/postern-gateway/postern/dataplane/config"
)

// A session is what the client's cookie says of the endpoint that its requests go to. The cookie's value is Envoy's, so
// that a client may come by either data plane: the address of the endpoint, as the first field of a message, in base64.
type session struct {
	config *config.Session // nil where any endpoint may take the request
	// endpoint is the address that the cookie names, empty for none. It is only ever compared with the cluster's own.
	endpoint string
	// used is the endpoint that the request was sent to last, empty for none.
	used string
}

func newSession(c *config.Session, h http.Header) *session {
	s := &session{config: c}
	if c != nil {
		s.endpoint = endpointOf(cookieValue(h, c.Cookie))
	}
	return s
}

// answer sets the cookie anew where another endpoint has the client now.
func (s *session) answer(h http.Header) {
	if s.config != nil && s.used != "" && s.used != s.endpoint {
		h.Add("Set-Cookie", s.config.Cookie+`="`+sessionValue(s.used)+`"`+s.config.Attributes)
	}
}

// cookieValue is the value of the first cookie of a name, without the quotes around it.
func cookieValue(h http.Header, name string) string {
	for _, header := range h["Cookie"] {
		for one := range strings.SplitSeq(header, ";") {
			key, value, _ := strings.Cut(strings.TrimLeft(one, " \t"), "=")
			if key != name {
				continue
			}
			if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
				value = value[1 : len(value)-1]
			}
			return value
		}
	}
	return ""
}

// The field of the cookie's message (Envoy: source/extensions/http/stateful_session/cookie/cookie.proto).
const addressField protowire.Number = 1

func sessionValue(endpoint string) string {
	message := protowire.AppendString(protowire.AppendTag(nil, addressField, protowire.BytesType), endpoint)
	return base64.StdEncoding.EncodeToString(message)
}

// endpointOf is the address in a cookie's value, empty where it has none. What is no message is an address by itself, as
// older versions of Envoy wrote it.
func endpointOf(value string) string {
	message, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return ""
	}
	endpoint := ""
	for rest := message; len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return string(message)
		}
		rest = rest[n:]
		if n = protowire.ConsumeFieldValue(number, kind, rest); n < 0 {
			return string(message)
		}
		if number == addressField && kind == protowire.BytesType {
			text, _ := protowire.ConsumeBytes(rest)
			endpoint = string(text)
		}
		rest = rest[n:]
	}
	return endpoint
}
