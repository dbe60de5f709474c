package envoy

import (
	"net/netip"
	"regexp"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	inputsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/postern-gateway/postern/translator/model"
)

// peers says of which peers a filter chain takes the connections; the chain's name begins with it.
type peers string

const (
	trusted   peers = "trusted"
	untrusted peers = "untrusted"
	// nobody names no chain: a connection that is given a chain which does not exist is closed before its handshake.
	nobody peers = "no host name"
)

const (
	// hostName is what an SNI may be made of. Envoy keeps every name for good that SDS does not answer, and one that
	// is no UTF-8 cannot be asked for at all.
	hostName = `[a-zA-Z0-9._-]+`
	// label is what may stand in place of a wildcard's star.
	label = `[a-zA-Z0-9_-]+`
	// anyName is any SNI at all; \C is any byte, also one that is no UTF-8.
	anyName = `\C+`
)

// chainMatcher chooses a connection's filter chain, by its peer and over TLS by its SNI too.
func chainMatcher(t model.Table, edge model.Edge) *xdsmatcherv3.Matcher {
	return byPeer(edge.TrustedProxies, func(from peers) *xdsmatcherv3.Matcher {
		own := toChain(chainName(from, model.TLSGroup{}))
		if !t.Entry.TLS {
			return &xdsmatcherv3.Matcher{OnNoMatch: own}
		}
		return byName(t, from, own)
	})
}

// byPeer takes the trusted tree for direct peers in the ranges, which win over the rest by being narrower.
func byPeer(proxies []netip.Prefix, tree func(peers) *xdsmatcherv3.Matcher) *xdsmatcherv3.Matcher {
	if len(proxies) == 0 {
		return tree(untrusted)
	}
	var ranges []*xdscorev3.CidrRange
	for _, p := range proxies {
		ranges = append(ranges, &xdscorev3.CidrRange{
			AddressPrefix: p.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(p.Bits())),
		})
	}
	return &xdsmatcherv3.Matcher{
		MatcherType: &xdsmatcherv3.Matcher_MatcherTree_{MatcherTree: &xdsmatcherv3.Matcher_MatcherTree{
			Input: &xdscorev3.TypedExtensionConfig{Name: "direct peer", TypedConfig: typed(&inputsv3.DirectSourceIPInput{})},
			TreeType: &xdsmatcherv3.Matcher_MatcherTree_CustomMatch{CustomMatch: &xdscorev3.TypedExtensionConfig{
				Name: "envoy.matching.custom_matchers.trie_matcher",
				TypedConfig: typed(&xdsmatcherv3.IPMatcher{RangeMatchers: []*xdsmatcherv3.IPMatcher_IPRangeMatcher{{
					Ranges: ranges, OnMatch: further(tree(trusted)),
				}}}),
			}},
		}},
		OnNoMatch: further(tree(untrusted)),
	}
}

// byName chooses by SNI, which Envoy compares in lower case: the exact hosts with settings of their own, and those that
// stand apart from a wildcard with some; the wildcards with settings; of the rest none for a name that is no host name.
func byName(t model.Table, from peers, own *xdsmatcherv3.Matcher_OnMatch) *xdsmatcherv3.Matcher {
	exact := map[string]*xdsmatcherv3.Matcher_OnMatch{}
	for _, host := range t.Apart {
		exact[host.Name()] = own
	}
	var list []*xdsmatcherv3.Matcher_MatcherList_FieldMatcher
	for _, g := range t.Groups {
		to := toChain(chainName(from, g))
		for _, host := range g.Hosts {
			if host.Kind() == model.HostExact {
				exact[host.Name()] = to
			} else {
				list = append(list, bySNI(label+regexp.QuoteMeta(host.Suffix()), to))
			}
		}
	}
	list = append(list, bySNI(hostName, own), bySNI(anyName, toChain(string(nobody))))
	rest := &xdsmatcherv3.Matcher{
		MatcherType: &xdsmatcherv3.Matcher_MatcherList_{MatcherList: &xdsmatcherv3.Matcher_MatcherList{Matchers: list}},
		OnNoMatch:   own, // No SNI at all.
	}
	if len(exact) == 0 {
		return rest
	}
	return &xdsmatcherv3.Matcher{
		MatcherType: &xdsmatcherv3.Matcher_MatcherTree_{MatcherTree: &xdsmatcherv3.Matcher_MatcherTree{
			Input:    serverName(),
			TreeType: &xdsmatcherv3.Matcher_MatcherTree_ExactMatchMap{ExactMatchMap: &xdsmatcherv3.Matcher_MatcherTree_MatchMap{Map: exact}},
		}},
		OnNoMatch: further(rest),
	}
}

func serverName() *xdscorev3.TypedExtensionConfig {
	return &xdscorev3.TypedExtensionConfig{Name: "sni", TypedConfig: typed(&inputsv3.ServerNameInput{})}
}

func further(m *xdsmatcherv3.Matcher) *xdsmatcherv3.Matcher_OnMatch {
	return &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Matcher{Matcher: m}}
}

func toChain(name string) *xdsmatcherv3.Matcher_OnMatch {
	return &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Action{
		Action: &xdscorev3.TypedExtensionConfig{Name: "chain", TypedConfig: typed(wrapperspb.String(name))},
	}}
}

func bySNI(pattern string, to *xdsmatcherv3.Matcher_OnMatch) *xdsmatcherv3.Matcher_MatcherList_FieldMatcher {
	single := &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate{
		Input: serverName(),
		Matcher: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{ValueMatch: &xdsmatcherv3.StringMatcher{
			MatchPattern: &xdsmatcherv3.StringMatcher_SafeRegex{SafeRegex: &xdsmatcherv3.RegexMatcher{
				EngineType: &xdsmatcherv3.RegexMatcher_GoogleRe2{GoogleRe2: &xdsmatcherv3.RegexMatcher_GoogleRE2{}},
				Regex:      pattern,
			}},
		}},
	}
	return &xdsmatcherv3.Matcher_MatcherList_FieldMatcher{
		OnMatch: to,
		Predicate: &xdsmatcherv3.Matcher_MatcherList_Predicate{
			MatchType: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_{SinglePredicate: single},
		},
	}
}
