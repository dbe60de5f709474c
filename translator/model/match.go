package model

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
)

// HostKind says how a host is matched.
type HostKind int

const (
	// HostExact matches one name.
	HostExact HostKind = iota
	// HostWildcard matches exactly one label in place of the star.
	HostWildcard
	// HostAny matches every name.
	HostAny
)

// Host is a host of a rule, in lower case, without port or trailing dot.
type Host struct {
	kind HostKind
	name string // the name; of a wildcard, with its leading "*."
}

// AnyHost is the host of rules that name none.
var AnyHost = Host{kind: HostAny}

// maxHostLength is the limit of a DNS name in its textual form (RFC 1035).
const maxHostLength = 253

// ParseHost reads a host as Ingress rules give it: empty, a DNS name, or *. and a DNS name. It also takes an IP
// literal, for which Traefik 1.7's rules were used. The error says which form is expected.
func ParseHost(s string) (Host, error) {
	if s == "" || s == "*" {
		return AnyHost, nil
	}
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	if len(name) > maxHostLength {
		return Host{}, fmt.Errorf("a host has at most %d characters, this has %d", maxHostLength, len(name))
	}
	bare := name
	if inside, ok := strings.CutPrefix(name, "["); ok && strings.HasSuffix(inside, "]") {
		bare = strings.TrimSuffix(inside, "]")
	}
	// A zone may hold any bytes at all, and is no part of a URL's host.
	if addr, err := netip.ParseAddr(bare); err == nil && addr.Zone() == "" {
		if addr.Is6() {
			return Host{kind: HostExact, name: "[" + addr.String() + "]"}, nil
		}
		return Host{kind: HostExact, name: addr.String()}, nil
	}
	kind, rest := HostExact, name
	if after, ok := strings.CutPrefix(name, "*."); ok {
		kind, rest = HostWildcard, after
	}
	for _, label := range strings.Split(rest, ".") {
		if !validLabel(label) {
			return Host{}, fmt.Errorf("%q is not a DNS name or *. and a DNS name, without port", s)
		}
	}
	return Host{kind: kind, name: name}, nil
}

// validLabel admits what Kubernetes admits, and the underscore that some old names carry.
func validLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for _, c := range label {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// Kind says how the host is matched.
func (h Host) Kind() HostKind { return h.kind }

// Name is the name, of a wildcard with its star; empty for AnyHost.
func (h Host) Name() string { return h.name }

// IsAddress says whether the host is an IP literal.
func (h Host) IsAddress() bool {
	_, err := netip.ParseAddr(strings.Trim(h.name, "[]"))
	return err == nil
}

// Suffix is, for a wildcard, what follows the star: ".example.com".
func (h Host) Suffix() string { return strings.TrimPrefix(h.name, "*") }

// String is the host as reports write it: * for AnyHost.
func (h Host) String() string {
	if h.kind == HostAny {
		return "*"
	}
	return h.name
}

// MarshalText writes the host as ParseHost reads it; the zero Host is empty.
func (h Host) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (h *Host) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*h = Host{}
		return nil
	}
	var err error
	*h, err = ParseHost(string(text))
	return err
}

// Compare orders hosts: exact, wildcard, any; each by name.
func (h Host) Compare(o Host) int {
	return cmp.Or(cmp.Compare(h.kind, o.kind), cmp.Compare(h.name, o.name))
}

// HasServerName says whether a client names the host in its TLS handshake, as it names neither an IP address nor no host
// at all (RFC 6066, 3).
func (h Host) HasServerName() bool {
	if h.kind != HostExact {
		return h.kind == HostWildcard
	}
	_, err := netip.ParseAddr(strings.Trim(h.name, "[]"))
	return err != nil
}

// Covers says whether a request for the exact host o would try h's routes.
func (h Host) Covers(o Host) bool {
	switch h.kind {
	case HostAny:
		return true
	case HostExact:
		return h == o
	default:
		label, ok := strings.CutSuffix(o.name, h.Suffix())
		return ok && o.kind == HostExact && label != "" && !strings.Contains(label, ".") && label[0] != '['
	}
}

// PathKind says how a path is matched.
type PathKind int

const (
	// PathExact matches the whole path.
	PathExact PathKind = iota
	// PathPrefix matches by path elements: /foo matches /foo and /foo/bar, not /foobar.
	PathPrefix
	// PathStringPrefix is Traefik 1.7's PathPrefix: /foo matches /foobar too. Only by a setting.
	PathStringPrefix
)

// String names the kind as reports do.
func (k PathKind) String() string { return [...]string{"exact", "prefix", "string prefix"}[k] }

// PathMatch is the path of a rule.
type PathMatch struct {
	Kind PathKind
	// Value begins with /. That of a PathPrefix has no / at its end but for / itself. It is in one spelling: unreserved and
	// reserved characters plain, all others as %XX in upper case. Requests match in any spelling.
	Value string
}

// String is the match as reports write it: = /a for exact, /a/* for prefix, /a* for string prefix.
func (p PathMatch) String() string {
	switch p.Kind {
	case PathExact:
		return "= " + p.Value
	case PathStringPrefix:
		return p.Value + "*"
	default:
		return strings.TrimSuffix(p.Value, "/") + "/*"
	}
}

// Matches says whether a normalised path, without query, is matched.
func (p PathMatch) Matches(path string) bool {
	rest, ok := strings.CutPrefix(path, p.Value)
	switch {
	case !ok:
		return false
	case p.Kind == PathExact:
		return rest == ""
	case p.Kind == PathStringPrefix:
		return true
	default:
		return rest == "" || p.Value == "/" || rest[0] == '/'
	}
}

// Prefix makes a PathPrefix of s, which may end with /.
func Prefix(s string) PathMatch {
	trimmed := strings.TrimRight(s, "/")
	if trimmed == "" {
		trimmed = "/"
	}
	return PathMatch{Kind: PathPrefix, Value: trimmed}
}

// Compare orders the paths of a host as they are tried: exact before either kind of prefix, longer first.
func (p PathMatch) Compare(o PathMatch) int {
	return cmp.Or(
		cmp.Compare(min(p.Kind, PathPrefix), min(o.Kind, PathPrefix)),
		cmp.Compare(len(o.Value), len(p.Value)),
		cmp.Compare(p.Value, o.Value),
		cmp.Compare(p.Kind, o.Kind),
	)
}
