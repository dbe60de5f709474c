package envoy

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/matcher/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/postern-gateway/postern/translator/model"
)

// breaker has Envoy eject endpoints by the percentage of their failures, of which a single answer may be all, and answer
// 503 where none is left: without the threshold of panic, it would ask them all again. Its other reasons to eject an
// endpoint, some of which hold by default, are switched off.
func breaker(c *clusterv3.Cluster, options *httpv3.HttpProtocolOptions, b model.Breaker) {
	period := durationpb.New(model.BreakerSeconds * time.Second)
	never, always, one := wrapperspb.UInt32(0), wrapperspb.UInt32(100), wrapperspb.UInt32(1)
	c.CommonLbConfig = &clusterv3.Cluster_CommonLbConfig{HealthyPanicThreshold: &typev3.Percent{}}
	c.OutlierDetection = &clusterv3.OutlierDetection{
		Interval: period, BaseEjectionTime: period, MaxEjectionTime: period, MaxEjectionPercent: always,
		EnforcingConsecutive_5Xx: never, EnforcingSuccessRate: never, EnforcingConsecutiveGatewayFailure: never,
		EnforcingFailurePercentage: always, FailurePercentageThreshold: wrapperspb.UInt32(b.Percent),
		FailurePercentageMinimumHosts: one, FailurePercentageRequestVolume: one,
	}
	if !b.Connections {
		c.OutlierDetection.SplitExternalLocalOriginErrors = true
		c.OutlierDetection.EnforcingConsecutiveLocalOriginFailure = never
		c.OutlierDetection.EnforcingLocalOriginSuccessRate = never
	}
	options.OutlierDetection = &httpv3.HttpProtocolOptions_OutlierDetection{ErrorMatcher: statuses(b.Failures)}
}

// statuses matches answers of the given statuses.
func statuses(ranges []model.StatusRange) *matcherv3.MatchPredicate {
	var rules []*matcherv3.MatchPredicate
	for _, r := range ranges {
		rules = append(rules, &matcherv3.MatchPredicate{Rule: &matcherv3.MatchPredicate_HttpResponseHeadersMatch{
			HttpResponseHeadersMatch: &matcherv3.HttpHeadersMatch{Headers: []*routev3.HeaderMatcher{{
				Name: ":status",
				HeaderMatchSpecifier: &routev3.HeaderMatcher_RangeMatch{
					RangeMatch: &typev3.Int64Range{Start: int64(r.From), End: int64(r.To) + 1},
				},
			}}},
		}})
	}
	if len(rules) == 1 {
		return rules[0]
	}
	return &matcherv3.MatchPredicate{Rule: &matcherv3.MatchPredicate_OrMatch{OrMatch: &matcherv3.MatchPredicate_MatchSet{Rules: rules}}}
}
