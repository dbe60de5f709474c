package diff

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/model"
)

// hostClass is the hosts of an entry that are asked for alike: one exact host that either side names, all names under a
// wildcard of either side that neither names, or all that nobody names.
type hostClass struct {
	scheme string
	kind   model.HostKind
	// name is the exact host or the wildcard, empty for HostAny.
	name string
	// asked is a host of the class.
	asked string
}

// String is the class as reports name it.
func (c hostClass) String() string {
	if c.kind == model.HostAny {
		return "*"
	}
	return c.name
}

// wildcard is the wildcard whose routes a host of the class tries, empty for none.
func (c hostClass) wildcard() string {
	switch c.kind {
	case model.HostExact:
		label, rest, ok := strings.Cut(c.name, ".")
		if !ok || label == "" || label[0] == '[' {
			return ""
		}
		return "*." + rest
	case model.HostWildcard:
		return c.name
	default:
		return ""
	}
}

func (c hostClass) hasServerName() bool {
	_, err := netip.ParseAddr(strings.Trim(c.asked, "[]"))
	return err != nil
}

// classes are all classes of hosts of an entry: no host is in two, and every host is in one. Where the names of certificates
// are wanted too, they are hosts that are named.
func (c *comparison) classes(scheme string, certificates bool) []hostClass {
	exact, wildcards := map[string]bool{}, map[string]bool{}
	for _, s := range []*side{c.a, c.b} {
		t := s.tables[scheme]
		for name := range t.exact {
			exact[name] = true
		}
		for name := range t.wildcard {
			wildcards[name] = true
		}
		if !certificates {
			continue
		}
		for name := range s.certificates {
			if strings.HasPrefix(name, "*.") {
				wildcards[name] = true
			} else {
				exact[name] = true
			}
		}
	}
	var out []hostClass
	for _, name := range slices.Sorted(maps.Keys(exact)) {
		out = append(out, hostClass{scheme: scheme, kind: model.HostExact, name: name, asked: name})
	}
	for _, name := range slices.Sorted(maps.Keys(wildcards)) {
		out = append(out, hostClass{scheme: scheme, kind: model.HostWildcard, name: name, asked: fresh(name[1:], exact)})
	}
	other := hostClass{scheme: scheme, kind: model.HostAny}
	for i := 0; ; i++ {
		other.asked = fmt.Sprintf("any.host%s.invalid", number(i))
		if !exact[other.asked] && !wildcards[other.wildcardOf()] {
			return append(out, other)
		}
	}
}

func (c hostClass) wildcardOf() string {
	return hostClass{kind: model.HostExact, name: c.asked}.wildcard()
}

// fresh is a name that nobody has, before a suffix.
func fresh(suffix string, taken map[string]bool) string {
	for i := 0; ; i++ {
		if name := "any" + number(i) + suffix; !taken[name] {
			return name
		}
	}
}

func number(i int) string {
	if i == 0 {
		return ""
	}
	return fmt.Sprint(i)
}

// classOf is the class of a host, as routes see it.
func (c *comparison) classOf(scheme, host string) hostClass {
	out := hostClass{scheme: scheme, kind: model.HostExact, name: host, asked: host}
	for _, s := range []*side{c.a, c.b} {
		if _, named := s.tables[scheme].exact[host]; named {
			return out
		}
	}
	wildcard := out.wildcard()
	for _, s := range []*side{c.a, c.b} {
		if _, named := s.tables[scheme].wildcard[wildcard]; named {
			return hostClass{scheme: scheme, kind: model.HostWildcard, name: wildcard, asked: host}
		}
	}
	return hostClass{scheme: scheme, kind: model.HostAny, asked: host}
}
