package envoyproc_test

import (
	"slices"
	"testing"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	inspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	inputsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// TestNamesThatAreNoHostsCanBeRefusedBeforeTheHandshake pins down how a listener keeps SNIs from SDS that are no host
// names: Envoy never forgets a name that it was not answered, some 4.6 kB each.
func TestNamesThatAreNoHostsCanBeRefusedBeforeTheHandshake(t *testing.T) {
	h := newHarness(t)
	listeners := h.listeners(false)
	https := listeners[1].Message.(*listenerv3.Listener)
	https.ListenerFilters = []*listenerv3.ListenerFilter{{
		Name:       "envoy.filters.listener.tls_inspector",
		ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: packed(t, &inspectorv3.TlsInspector{})},
	}}
	https.FilterChainMatcher = &xdsmatcherv3.Matcher{
		MatcherType: &xdsmatcherv3.Matcher_MatcherList_{MatcherList: &xdsmatcherv3.Matcher_MatcherList{
			Matchers: []*xdsmatcherv3.Matcher_MatcherList_FieldMatcher{
				bySNI(t, `[a-zA-Z0-9._-]+`, "untrusted"),
				bySNI(t, `\C+`, "a chain that does not exist"), // \C is any byte, also one that is no UTF-8.
			},
		}},
		OnNoMatch: toChain(t, "untrusted"), // No SNI at all.
	}
	fallback := newPair(t, "fallback").secret()
	h.startAndWait(h.publish(func(string) proto.Message { return fallback }, listeners, h.tables(nil)))
	for sni, want := range map[string]string{
		"one.test": "fallback", "": "fallback", "ONE_1.test": "fallback",
		"\xff\xfe.test": "", trustName: "", "*": "", "a\x01b": "", "xdstp://x/y": "",
	} {
		if got, err := h.handshake(sni); got != want {
			t.Errorf("SNI %q: got the certificate of %q (%v), want %q", sni, got, err, want)
		}
	}
	sent := h.takeSent()
	slices.Sort(sent)
	h.same(sent, "Listener http", "Listener https", "RouteConfiguration http", "RouteConfiguration https",
		"Secret ONE_1.test", "Secret default", "Secret one.test")
}

func toChain(t testing.TB, name string) *xdsmatcherv3.Matcher_OnMatch {
	return &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Action{
		Action: &xdscorev3.TypedExtensionConfig{Name: "chain", TypedConfig: packed(t, wrapperspb.String(name))},
	}}
}

func bySNI(t testing.TB, regex, chain string) *xdsmatcherv3.Matcher_MatcherList_FieldMatcher {
	single := &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate{
		Input: &xdscorev3.TypedExtensionConfig{Name: "sni", TypedConfig: packed(t, &inputsv3.ServerNameInput{})},
		Matcher: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{ValueMatch: &xdsmatcherv3.StringMatcher{
			MatchPattern: &xdsmatcherv3.StringMatcher_SafeRegex{SafeRegex: &xdsmatcherv3.RegexMatcher{
				EngineType: &xdsmatcherv3.RegexMatcher_GoogleRe2{GoogleRe2: &xdsmatcherv3.RegexMatcher_GoogleRE2{}},
				Regex:      regex,
			}},
		}},
	}
	return &xdsmatcherv3.Matcher_MatcherList_FieldMatcher{
		OnMatch: toChain(t, chain),
		Predicate: &xdsmatcherv3.Matcher_MatcherList_Predicate{
			MatchType: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_{SinglePredicate: single},
		},
	}
}
