// Package match chooses the route of a request as Envoy does: one virtual host by the host, and of its routes the
// first that matches. It also normalises paths as Envoy does before it matches them.
package match

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/dataplane/config"
)

// A Request is what routes look at.
type Request struct {
	Method string
	// Authority is the host and port as the client sent them, without a trailing dot of the host.
	Authority string
	// Path is the normalised path with its query.
	Path   string
	Header http.Header
}

// A Table is a RouteConfiguration made ready to be searched. It is immutable.
type Table struct {
	config   config.RouteConfiguration
	exact    map[string]*config.VirtualHost
	suffixes []suffix // longest first
	rest     *config.VirtualHost
}

type suffix struct {
	text string // what follows the star
	host *config.VirtualHost
}

// NewTable makes a table of a route configuration, which must not change afterwards.
func NewTable(c config.RouteConfiguration) *Table {
	t := &Table{config: c, exact: make(map[string]*config.VirtualHost)}
	for i := range c.VirtualHosts {
		host := &c.VirtualHosts[i]
		for _, domain := range host.Domains {
			switch text, wildcard := strings.CutPrefix(domain, "*"); {
			case domain == "*":
				t.rest = host
			case wildcard:
				t.suffixes = append(t.suffixes, suffix{text, host})
			default:
				t.exact[domain] = host
			}
		}
	}
	slices.SortFunc(t.suffixes, func(a, b suffix) int {
		return cmp.Or(cmp.Compare(len(b.text), len(a.text)), cmp.Compare(a.text, b.text))
	})
	return t
}

// RequestHeadersToRemove are the headers that every request of the table loses; lower case.
func (t *Table) RequestHeadersToRemove() []string { return t.config.RequestHeadersToRemove }

// Route is the route of a request, or nil where there is none.
func (t *Table) Route(r Request) *config.Route {
	host := t.virtualHost(r.Authority)
	if host == nil {
		return nil
	}
	path, _, _ := strings.Cut(r.Path, "?")
	for i := range host.Routes {
		if route := &host.Routes[i]; matches(route.Match, r, path) {
			return route
		}
	}
	return nil
}

// virtualHost prefers an exact domain, then the longest suffix, then "*" (route_components.proto, VirtualHost.domains).
func (t *Table) virtualHost(authority string) *config.VirtualHost {
	host := strings.ToLower(authority)
	if t.config.IgnorePort {
		host = host[:portStart(host)]
	}
	if h, ok := t.exact[host]; ok {
		return h
	}
	for _, s := range t.suffixes {
		if len(host) > len(s.text) && strings.HasSuffix(host, s.text) { // the star is one character or more
			return s.host
		}
	}
	return t.rest
}

// portStart is where the port of an authority begins, with its colon; the length where there is none. A colon within
// the brackets of an IPv6 address begins no port.
func portStart(authority string) int {
	colon := strings.LastIndexByte(authority, ':')
	if colon < 0 || strings.LastIndexByte(authority, ']') > colon {
		return len(authority)
	}
	return colon
}

// TrimHostDot takes one trailing dot off the host of an authority (strip_trailing_host_dot), with a port or without.
func TrimHostDot(authority string) string {
	at := portStart(authority)
	return strings.TrimSuffix(authority[:at], ".") + authority[at:]
}

// Denies tells whether a policy refuses a request.
func Denies(d config.Denial, r Request) bool { return permits(d.Permissions, r) }

func matches(m config.RouteMatch, r Request, path string) bool {
	switch m.Kind {
	case config.PathExact:
		if path != m.Path {
			return false
		}
	case config.PathPrefix:
		if !strings.HasPrefix(path, m.Path) {
			return false
		}
	case config.PathSeparatedPrefix:
		if rest, ok := strings.CutPrefix(path, m.Path); !ok || rest != "" && rest[0] != '/' {
			return false
		}
	case config.PathRegex:
		if !m.Regexp.MatchString(path) {
			return false
		}
	}
	for i := range m.Headers {
		if !matchesHeader(&m.Headers[i], r) {
			return false
		}
	}
	return true
}

// matchesHeader fails a value match on a header that is missing, inverted or not: measured on Envoy 1.40.
func matchesHeader(m *config.HeaderMatch, r Request) bool {
	value, present := headerValue(r, m.Name)
	present = present || m.MissingEmpty
	if m.Value == nil {
		return (present == m.Present) != m.Invert
	}
	return present && String(*m.Value, value) != m.Invert
}

// headerValue joins the values of a header with commas, and knows the pseudo-headers.
func headerValue(r Request, name string) (string, bool) {
	switch name {
	case ":method":
		return r.Method, true
	case ":authority", "host":
		return r.Authority, true
	case ":path":
		return r.Path, true
	}
	values := r.Header.Values(name)
	return strings.Join(values, ","), len(values) > 0
}

// String tells whether a string matches.
func String(m config.StringMatch, s string) bool {
	if m.Kind == config.SafeRegex {
		return m.Regexp.MatchString(s)
	}
	if m.IgnoreCase {
		s = strings.ToLower(s)
	}
	switch m.Kind {
	case config.Prefix:
		return strings.HasPrefix(s, m.Text)
	case config.Suffix:
		return strings.HasSuffix(s, m.Text)
	case config.Contains:
		return strings.Contains(s, m.Text)
	default:
		return s == m.Text
	}
}
