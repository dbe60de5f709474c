package config

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	inputsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// anyBytes is RE2's regex for any name at all, also one that is no UTF-8. Go's regexp has no \C.
const anyBytes = `\C+`

// A ChainMatcher is the tree by which a connection finds its filter chain (Listener.filter_chain_matcher).
type ChainMatcher struct {
	exact  map[string]chainTarget // by SNI
	names  []nameMatch
	ranges []rangeMatch
	rest   *chainTarget // nil is no chain
}

// A chainTarget is where a branch leads: to a chain by its name, or to a further tree.
type chainTarget struct {
	chain string
	next  *ChainMatcher
}

type nameMatch struct {
	name *regexp.Regexp // nil is any name
	to   chainTarget
}

type rangeMatch struct {
	ranges []netip.Prefix
	to     chainTarget
}

// Choose is the name of the chain for a connection: sni is empty where the client sends none, or without TLS. It is
// compared in lower case, as Envoy does.
func (m *ChainMatcher) Choose(sni string, peer netip.Addr) (string, bool) {
	return m.choose(strings.ToLower(sni), peer)
}

func (m *ChainMatcher) choose(sni string, peer netip.Addr) (string, bool) {
	if to, ok := m.exact[sni]; ok && sni != "" {
		return to.follow(sni, peer)
	}
	for _, n := range m.names {
		if sni != "" && (n.name == nil || n.name.MatchString(sni)) {
			return n.to.follow(sni, peer)
		}
	}
	var widest *chainTarget
	bits := -1
	for i, r := range m.ranges {
		for _, p := range r.ranges {
			if p.Contains(peer) && p.Bits() > bits {
				widest, bits = &m.ranges[i].to, p.Bits()
			}
		}
	}
	if widest != nil {
		return widest.follow(sni, peer)
	}
	if m.rest == nil {
		return "", false
	}
	return m.rest.follow(sni, peer)
}

func (t chainTarget) follow(sni string, peer netip.Addr) (string, bool) {
	if t.next != nil {
		return t.next.choose(sni, peer)
	}
	return t.chain, true
}

// decodeMatcher reads a tree of SNI regexes and of ranges of the direct peer.
func decodeMatcher(m *xdsmatcherv3.Matcher, at string) (*ChainMatcher, error) {
	out := &ChainMatcher{}
	for i, f := range m.GetMatcherList().GetMatchers() {
		n, err := decodeNameMatch(f, index(join(at, "matcher_list"), "matchers", i))
		if err != nil {
			return nil, err
		}
		out.names = append(out.names, n)
	}
	if tree := m.GetMatcherTree(); tree != nil {
		var err error
		at := join(at, "matcher_tree")
		if tree.GetExactMatchMap() != nil {
			out.exact, err = decodeExact(tree, at)
		} else {
			out.ranges, err = decodeRanges(tree, at)
		}
		if err != nil {
			return nil, err
		}
	}
	if m.GetOnNoMatch() != nil {
		rest, err := decodeTarget(m.GetOnNoMatch(), join(at, "on_no_match"))
		if err != nil {
			return nil, err
		}
		out.rest = &rest
	}
	return out, nil
}

func decodeNameMatch(f *xdsmatcherv3.Matcher_MatcherList_FieldMatcher, at string) (nameMatch, error) {
	single := f.GetPredicate().GetSinglePredicate()
	if _, err := unpack(single.GetInput().GetTypedConfig(), &inputsv3.ServerNameInput{}, join(at, "predicate.single_predicate.input")); err != nil {
		return nameMatch{}, err
	}
	to, err := decodeTarget(f.GetOnMatch(), join(at, "on_match"))
	out := nameMatch{to: to}
	pattern := single.GetValueMatch().GetSafeRegex().GetRegex()
	if err != nil || pattern == anyBytes {
		return out, err
	}
	if out.name, err = regexp.Compile(`\A(?:` + pattern + `)\z`); err != nil || pattern == "" {
		return nameMatch{}, fmt.Errorf("%s: %q is not a regex", join(at, "predicate.single_predicate.value_match.safe_regex"), pattern)
	}
	return out, nil
}

// decodeExact reads a map by SNI.
func decodeExact(tree *xdsmatcherv3.Matcher_MatcherTree, at string) (map[string]chainTarget, error) {
	if _, err := unpack(tree.GetInput().GetTypedConfig(), &inputsv3.ServerNameInput{}, join(at, "input")); err != nil {
		return nil, err
	}
	out := map[string]chainTarget{}
	targets := tree.GetExactMatchMap().GetMap()
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		to, err := decodeTarget(targets[name], fmt.Sprintf("%s[%q]", join(at, "exact_match_map.map"), name))
		if err != nil {
			return nil, err
		}
		out[name] = to
	}
	return out, nil
}

func decodeRanges(tree *xdsmatcherv3.Matcher_MatcherTree, at string) ([]rangeMatch, error) {
	if _, err := unpack(tree.GetInput().GetTypedConfig(), &inputsv3.DirectSourceIPInput{}, join(at, "input")); err != nil {
		return nil, err
	}
	trie := &xdsmatcherv3.IPMatcher{}
	at, err := unpack(tree.GetCustomMatch().GetTypedConfig(), trie, join(at, "custom_match"))
	if err != nil {
		return nil, err
	}
	var out []rangeMatch
	for i, r := range trie.GetRangeMatchers() {
		at := index(at, "range_matchers", i)
		to, err := decodeTarget(r.GetOnMatch(), join(at, "on_match"))
		if err != nil {
			return nil, err
		}
		match := rangeMatch{to: to}
		for j, c := range r.GetRanges() {
			prefix, err := decodeRange(c, index(at, "ranges", j))
			if err != nil {
				return nil, err
			}
			match.ranges = append(match.ranges, prefix)
		}
		out = append(out, match)
	}
	return out, nil
}

func decodeRange(c *xdscorev3.CidrRange, at string) (netip.Prefix, error) {
	ip, err := netip.ParseAddr(c.GetAddressPrefix())
	prefix := netip.PrefixFrom(ip, int(c.GetPrefixLen().GetValue())).Masked()
	if err != nil || !prefix.IsValid() {
		return netip.Prefix{}, fmt.Errorf("%s: %q/%d is not a range of addresses", at, c.GetAddressPrefix(), c.GetPrefixLen().GetValue())
	}
	return prefix, nil
}

// decodeTarget reads what a branch leads to. A chain that the listener does not have closes the connection, as in Envoy.
func decodeTarget(m *xdsmatcherv3.Matcher_OnMatch, at string) (chainTarget, error) {
	if next := m.GetMatcher(); next != nil {
		tree, err := decodeMatcher(next, join(at, "matcher"))
		return chainTarget{next: tree}, err
	}
	name := &wrapperspb.StringValue{}
	if _, err := unpack(m.GetAction().GetTypedConfig(), name, join(at, "action")); err != nil {
		return chainTarget{}, err
	}
	return chainTarget{chain: name.GetValue()}, nil
}
