package config

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/matcher/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Outliers has endpoints ejected by the percentage of their failures: at the end of each period, those of which at least
// Percent of what they answered in it was a failure, until the end of the next. With all of them ejected, none is asked.
type Outliers struct {
	Period  time.Duration
	Percent uint64 // 1 to 100
	// Errors are the statuses that are failures.
	Errors []StatusRange
	// Connections has an endpoint that gives no answer fail too; else that does not count at all.
	Connections bool
}

// StatusRange is the statuses from From up to and without To.
type StatusRange struct{ From, To int64 }

// Fails tells whether a status is a failure.
func (o *Outliers) Fails(status int) bool {
	for _, r := range o.Errors {
		if int64(status) >= r.From && int64(status) < r.To {
			return true
		}
	}
	return false
}

// hundred is all of something, in percent.
const hundred = 100

// decodeOutliers reads Envoy's outlier detection where the percentage of failures is all that counts.
func decodeOutliers(c *clusterv3.Cluster, errors *matcherv3.MatchPredicate, at string) (*Outliers, error) {
	o := c.GetOutlierDetection()
	if o == nil {
		switch {
		case errors != nil:
			return nil, only(at, "outlier_detection", "set beside an error_matcher")
		case c.GetCommonLbConfig().GetHealthyPanicThreshold() != nil:
			return nil, only(at, "outlier_detection", "set beside common_lb_config.healthy_panic_threshold")
		}
		return nil, nil
	}
	if panics := c.GetCommonLbConfig().GetHealthyPanicThreshold(); panics == nil || panics.GetValue() != 0 {
		return nil, only(at, "common_lb_config.healthy_panic_threshold", 0)
	}
	at = join(at, "outlier_detection")
	out := &Outliers{
		Period: o.GetInterval().AsDuration(), Percent: uint64(o.GetFailurePercentageThreshold().GetValue()),
		Connections: !o.GetSplitExternalLocalOriginErrors(),
	}
	if out.Period < time.Second || o.GetBaseEjectionTime().AsDuration() != out.Period || o.GetMaxEjectionTime().AsDuration() != out.Period {
		return nil, only(at, "interval", "a second or more, and equal to base_ejection_time and max_ejection_time")
	}
	if out.Percent < 1 || out.Percent > hundred {
		return nil, only(at, "failure_percentage_threshold", "1 to 100")
	}
	fixed := []struct {
		name  string
		value *wrapperspb.UInt32Value
		want  uint32
	}{
		{"max_ejection_percent", o.GetMaxEjectionPercent(), hundred},
		{"enforcing_failure_percentage", o.GetEnforcingFailurePercentage(), hundred},
		{"failure_percentage_minimum_hosts", o.GetFailurePercentageMinimumHosts(), 1},
		{"failure_percentage_request_volume", o.GetFailurePercentageRequestVolume(), 1},
		{"enforcing_consecutive_5xx", o.GetEnforcingConsecutive_5Xx(), 0},
		{"enforcing_success_rate", o.GetEnforcingSuccessRate(), 0},
		{"enforcing_consecutive_gateway_failure", o.GetEnforcingConsecutiveGatewayFailure(), 0},
	}
	if !out.Connections {
		fixed = append(fixed, []struct {
			name  string
			value *wrapperspb.UInt32Value
			want  uint32
		}{
			{"enforcing_consecutive_local_origin_failure", o.GetEnforcingConsecutiveLocalOriginFailure(), 0},
			{"enforcing_local_origin_success_rate", o.GetEnforcingLocalOriginSuccessRate(), 0},
		}...)
	}
	for _, f := range fixed {
		if f.value == nil || f.value.GetValue() != f.want {
			return nil, only(at, f.name, f.want)
		}
	}
	var err error
	out.Errors, err = decodeStatuses(errors, "typed_extension_protocol_options.outlier_detection.error_matcher")
	return out, err
}

// decodeStatuses reads ranges of :status, or one of them.
func decodeStatuses(m *matcherv3.MatchPredicate, at string) ([]StatusRange, error) {
	rules := []*matcherv3.MatchPredicate{m}
	if set := m.GetOrMatch(); set != nil {
		rules = set.GetRules()
	}
	var out []StatusRange
	for _, rule := range rules {
		headers := rule.GetHttpResponseHeadersMatch().GetHeaders()
		if len(headers) != 1 || headers[0].GetName() != ":status" || headers[0].GetInvertMatch() {
			return nil, only(at, "http_response_headers_match", "one range of :status")
		}
		match, ok := headers[0].GetHeaderMatchSpecifier().(*routev3.HeaderMatcher_RangeMatch)
		if !ok {
			return nil, only(at, "http_response_headers_match", "one range of :status")
		}
		out = append(out, StatusRange{From: match.RangeMatch.GetStart(), To: match.RangeMatch.GetEnd()})
	}
	return out, nil
}
