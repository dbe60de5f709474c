package envoy

import (
	"net/netip"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	inputsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/postern-gateway/postern/translator/model"
)

// peers says of which peers a filter chain takes the connections; it is the chain's name.
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
	// anyName is any SNI at all; \C is any byte, also one that is no UTF-8.
	anyName = `\C+`
)

// chainMatcher chooses a connection's filter chain: none for an SNI that is no host name, else by whether the peer is
// trusted.
func chainMatcher(entry model.Entry, edge model.Edge) *xdsmatcherv3.Matcher {
	byPeer := byPeer(edge.TrustedProxies)
	if !entry.TLS {
		return byPeer
	}
	further := &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Matcher{Matcher: byPeer}}
	return &xdsmatcherv3.Matcher{
		MatcherType: &xdsmatcherv3.Matcher_MatcherList_{MatcherList: &xdsmatcherv3.Matcher_MatcherList{
			Matchers: []*xdsmatcherv3.Matcher_MatcherList_FieldMatcher{bySNI(hostName, further), bySNI(anyName, toChain(nobody))},
		}},
		OnNoMatch: further,
	}
}

// byPeer takes the trusted chain for direct peers in the ranges, which win over the rest by being narrower.
func byPeer(proxies []netip.Prefix) *xdsmatcherv3.Matcher {
	m := &xdsmatcherv3.Matcher{OnNoMatch: toChain(untrusted)}
	if len(proxies) == 0 {
		return m
	}
	var ranges []*xdscorev3.CidrRange
	for _, p := range proxies {
		ranges = append(ranges, &xdscorev3.CidrRange{
			AddressPrefix: p.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(p.Bits())),
		})
	}
	m.MatcherType = &xdsmatcherv3.Matcher_MatcherTree_{MatcherTree: &xdsmatcherv3.Matcher_MatcherTree{
		Input: &xdscorev3.TypedExtensionConfig{Name: "direct peer", TypedConfig: typed(&inputsv3.DirectSourceIPInput{})},
		TreeType: &xdsmatcherv3.Matcher_MatcherTree_CustomMatch{CustomMatch: &xdscorev3.TypedExtensionConfig{
			Name: "envoy.matching.custom_matchers.trie_matcher",
			TypedConfig: typed(&xdsmatcherv3.IPMatcher{RangeMatchers: []*xdsmatcherv3.IPMatcher_IPRangeMatcher{{
				Ranges: ranges, OnMatch: toChain(trusted),
			}}}),
		}},
	}}
	return m
}

func toChain(name peers) *xdsmatcherv3.Matcher_OnMatch {
	return &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Action{
		Action: &xdscorev3.TypedExtensionConfig{Name: "chain", TypedConfig: typed(wrapperspb.String(string(name)))},
	}}
}

func bySNI(pattern string, to *xdsmatcherv3.Matcher_OnMatch) *xdsmatcherv3.Matcher_MatcherList_FieldMatcher {
	single := &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate{
		Input: &xdscorev3.TypedExtensionConfig{Name: "sni", TypedConfig: typed(&inputsv3.ServerNameInput{})},
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
