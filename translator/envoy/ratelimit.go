package envoy

import (
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	localratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/postern-gateway/postern/translator/model"
)

const (
	rateLimitFilterName = "envoy.filters.http.local_ratelimit"
	rateLimitStats      = "rate_limit"
	// rateKeysMax is how many keys a bucket is kept for, by route and rate; a key beyond it takes the bucket of the one that
	// was not seen for longest. Envoy's default is 20. A bucket takes some 300 bytes.
	rateKeysMax = 10_000
	// The keys of descriptors: the rate, by its place among the route's, and what requests are counted by.
	rateEntry, clientEntry, hostEntry, headerEntry, absentEntry = "rate", "remote_address", "host", "header", "absent"
)

func rateLimitFilter() *hcmv3.HttpFilter {
	return disabled(rateLimitFilterName, &localratelimitv3.LocalRateLimit{StatPrefix: rateLimitStats})
}

// limitRate counts the requests of a route that go on to a backend. Each rate has a descriptor whose value for the key is
// left open: Envoy makes a bucket for each value that comes. A request that no descriptor counted would take from the
// bucket which is always empty.
func (b *routeBuilder) limitRate(r *routev3.Route) {
	limit := b.route.RateLimit
	if limit == nil || r.GetRoute() == nil {
		return
	}
	out := &localratelimitv3.LocalRateLimit{
		StatPrefix:                      rateLimitStats,
		TokenBucket:                     &typev3.TokenBucket{MaxTokens: 0, FillInterval: durationpb.New(limit.Rates[0].Period)},
		AlwaysConsumeDefaultTokenBucket: wrapperspb.Bool(false),
		FilterEnabled:                   always(),
		FilterEnforced:                  always(),
		MaxDynamicDescriptors:           wrapperspb.UInt32(rateKeysMax),
	}
	for i, rate := range limit.Rates {
		for _, key := range b.rateKeys(limit.By) {
			number := strconv.Itoa(i)
			out.RateLimits = append(out.RateLimits, &routev3.RateLimit{Actions: append([]*routev3.RateLimit_Action{genericKey(rateEntry, number)}, key.action...)})
			out.Descriptors = append(out.Descriptors, &ratelimitv3.LocalRateLimitDescriptor{
				Entries: append([]*ratelimitv3.RateLimitDescriptor_Entry{{Key: rateEntry, Value: number}}, key.entry...),
				TokenBucket: &typev3.TokenBucket{
					MaxTokens: rate.Burst, TokensPerFill: wrapperspb.UInt32(rate.Average), FillInterval: durationpb.New(rate.Period),
				},
			})
		}
	}
	switchOn(r, rateLimitFilterName, out)
}

// counted is how requests of one kind are counted: what makes the descriptor's entry, and the entry. Both are empty where
// all of a route's requests count together.
type counted struct {
	action []*routev3.RateLimit_Action
	entry  []*ratelimitv3.RateLimitDescriptor_Entry
}

func (b *routeBuilder) rateKeys(by model.RateKey) []counted {
	one := func(action *routev3.RateLimit_Action, key, value string) counted {
		return counted{[]*routev3.RateLimit_Action{action}, []*ratelimitv3.RateLimitDescriptor_Entry{{Key: key, Value: value}}}
	}
	switch by := by.(type) {
	case model.RateByHost:
		if b.oneHost {
			// Case and port, by which a client could have buckets of its own, make no other host.
			return []counted{{}}
		}
		return []counted{one(headerKey(":authority", hostEntry), hostEntry, "")}
	case model.RateByHeader:
		return []counted{one(headerKey(by.Name, headerEntry), headerEntry, ""), one(absentKey(by.Name), absentEntry, absentEntry)}
	default:
		remote := &routev3.RateLimit_Action_RemoteAddress_{RemoteAddress: &routev3.RateLimit_Action_RemoteAddress{}}
		return []counted{one(&routev3.RateLimit_Action{ActionSpecifier: remote}, clientEntry, "")}
	}
}

func genericKey(key, value string) *routev3.RateLimit_Action {
	return &routev3.RateLimit_Action{ActionSpecifier: &routev3.RateLimit_Action_GenericKey_{
		GenericKey: &routev3.RateLimit_Action_GenericKey{DescriptorKey: key, DescriptorValue: value},
	}}
}

func headerKey(header, key string) *routev3.RateLimit_Action {
	return &routev3.RateLimit_Action{ActionSpecifier: &routev3.RateLimit_Action_RequestHeaders_{
		RequestHeaders: &routev3.RateLimit_Action_RequestHeaders{HeaderName: header, DescriptorKey: key},
	}}
}

// absentKey counts requests without a header, or with an empty one.
func absentKey(header string) *routev3.RateLimit_Action {
	return &routev3.RateLimit_Action{ActionSpecifier: &routev3.RateLimit_Action_HeaderValueMatch_{
		HeaderValueMatch: &routev3.RateLimit_Action_HeaderValueMatch{
			DescriptorKey: absentEntry, DescriptorValue: absentEntry, ExpectMatch: wrapperspb.Bool(false),
			Headers: []*routev3.HeaderMatcher{headerMatch(header, regex(".+"))},
		},
	}}
}

func always() *corev3.RuntimeFractionalPercent {
	return &corev3.RuntimeFractionalPercent{DefaultValue: &typev3.FractionalPercent{Numerator: 100}}
}
