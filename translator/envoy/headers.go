package envoy

import (
	"strconv"

	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	earlyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/postern-gateway/postern/translator/model"
)

// The operators that headers of ours are made with.
const (
	directPeer = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"
	authority  = "%REQ(:AUTHORITY)%"
)

// headerMutation settles, before routing, what is believed of the headers that tell of the client.
func headerMutation(entry model.Entry, from peers) *corev3.TypedExtensionConfig {
	scheme := "http"
	if entry.TLS {
		scheme = "https"
	}
	var ms []*mutationv3.HeaderMutation
	set := corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
	forwardedFor := set
	if from == trusted {
		ms = append(ms, removePrefix("x-envoy-"))
		set = corev3.HeaderValueOption_ADD_IF_ABSENT
		forwardedFor = corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD
	} else {
		for _, p := range model.SpoofablePrefixes {
			ms = append(ms, removePrefix(p))
		}
		for _, h := range model.SpoofableHeaders {
			ms = append(ms, &mutationv3.HeaderMutation{Action: &mutationv3.HeaderMutation_Remove{Remove: h}})
		}
	}
	ms = append(ms,
		appendHeader("x-forwarded-for", directPeer, forwardedFor),
		appendHeader("x-real-ip", directPeer, set),
		appendHeader("x-forwarded-proto", scheme, set),
		appendHeader("x-forwarded-host", authority, set),
		appendHeader("x-forwarded-port", strconv.Itoa(int(entry.PublicPort)), set),
	)
	if from == trusted {
		ms = append(ms, appendHeader(unknownClientHeader, unknownClient, set))
	}
	return &corev3.TypedExtensionConfig{
		Name:        earlyHeaderMutationName,
		TypedConfig: typed(&earlyv3.HeaderMutation{Mutations: ms}),
	}
}

func removePrefix(prefix string) *mutationv3.HeaderMutation {
	return &mutationv3.HeaderMutation{Action: &mutationv3.HeaderMutation_RemoveOnMatch_{
		RemoveOnMatch: &mutationv3.HeaderMutation_RemoveOnMatch{KeyMatcher: &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: prefix},
		}},
	}}
}

func appendHeader(name, value string, action corev3.HeaderValueOption_HeaderAppendAction) *mutationv3.HeaderMutation {
	return &mutationv3.HeaderMutation{Action: &mutationv3.HeaderMutation_Append{Append: &corev3.HeaderValueOption{
		Header: &corev3.HeaderValue{Key: name, Value: value}, AppendAction: action,
	}}}
}
