package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	bufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/buffer/v3"
	sessionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/stateful_session/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	cookiestatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/stateful_session/cookie/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

const (
	bufferFilter  = "envoy.filters.http.buffer"
	sessionFilter = "envoy.filters.http.stateful_session"
	// requestBytesMax bounds what is held of one request.
	requestBytesMax = 64 << 20
)

// A Session keeps a client at the endpoint that its cookie names, while the cluster has it.
type Session struct {
	Cookie string
	// Attributes follow the cookie's value, each with "; " before it.
	Attributes string
}

// checkUpgradeFilters refuses filters of an upgraded connection that are not those of every request but the one that
// waits for the end of a body.
func checkUpgradeFilters(upgrade, all []*hcmv3.HttpFilter, at string) error {
	want := slices.DeleteFunc(slices.Clone(all), func(f *hcmv3.HttpFilter) bool { return f.GetName() == bufferFilter })
	if len(upgrade) == 0 && len(want) == len(all) {
		return nil // they are the same
	}
	same := func(a, b *hcmv3.HttpFilter) bool { return proto.Equal(a, b) }
	if !slices.EqualFunc(upgrade, want, same) {
		return only(at, "filters", "http_filters without "+bufferFilter)
	}
	return nil
}

// decodeBufferFilter takes any limit: the filter works on the routes that have one of their own.
func decodeBufferFilter(_ *ConnectionManager, body *anypb.Any, at string) error {
	_, err := unpack(body, &bufferv3.Buffer{}, at)
	return err
}

func decodeBuffer(out *Filters, body *anypb.Any, at string) error {
	perRoute := &bufferv3.BufferPerRoute{}
	at, err := unpack(body, perRoute, at)
	if err != nil {
		return err
	}
	n := perRoute.GetBuffer().GetMaxRequestBytes().GetValue()
	if n < 1 || n > requestBytesMax {
		return only(at, "buffer.max_request_bytes", fmt.Sprintf("1 to %d", requestBytesMax))
	}
	out.RequestBytesMax = int(n)
	return nil
}

func decodeSessionFilter(_ *ConnectionManager, body *anypb.Any, at string) error {
	session := &sessionv3.StatefulSession{}
	at, err := unpack(body, session, at)
	if err == nil && session.GetSessionState() != nil {
		err = unsupported(join(at, "session_state"))
	}
	return err
}

func decodeSession(out *Filters, body *anypb.Any, at string) error {
	perRoute := &sessionv3.StatefulSessionPerRoute{}
	at, err := unpack(body, perRoute, at)
	if err != nil {
		return err
	}
	state := &cookiestatev3.CookieBasedSessionState{}
	at, err = unpack(perRoute.GetStatefulSession().GetSessionState().GetTypedConfig(), state, join(at, "stateful_session.session_state.typed_config"))
	if err != nil {
		return err
	}
	cookie := state.GetCookie()
	if cookie.GetPath() != "/" {
		return only(at, "cookie.path", "/")
	}
	if !isToken(cookie.GetName()) {
		return only(at, "cookie.name", "a token")
	}
	session := &Session{Cookie: cookie.GetName(), Attributes: "; Path=/"}
	for _, a := range cookie.GetAttributes() {
		if !isToken(a.GetName()) || a.GetValue() != "" && !isToken(a.GetValue()) {
			return only(at, "cookie.attributes", "tokens")
		}
		session.Attributes += "; " + a.GetName()
		if a.GetValue() != "" {
			session.Attributes += "=" + a.GetValue()
		}
	}
	session.Attributes += "; HttpOnly" // Envoy's own
	out.Session = session
	return nil
}

// isToken is RFC 9110, 5.6.2.
func isToken(s string) bool {
	return s != "" && strings.Trim(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// decodeClusterSession reads what one of several clusters asks of the filters, of which it may be the session's only.
func decodeClusterSession(configs map[string]*anypb.Any, at string) (*Session, error) {
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		if name != sessionFilter {
			return nil, unsupported(fmt.Sprintf("%s[%q]", at, name))
		}
	}
	out, err := decodeRouteFilters(configs, at)
	return out.Session, err
}
