package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	localratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// A RateLimit bounds how often a route is asked: Envoy's local_ratelimit with a descriptor for each count. A request is
// counted by every count whose key it has, and refused where one has no token for it, or none counts it.
type RateLimit struct {
	// Counts are sorted by how fast their buckets fill, the slowest first: the order in which Envoy takes tokens.
	Counts []RateCount
	// KeysMax is how many keys each count keeps.
	KeysMax int
}

// A RateCount is a bucket for each value of a key.
type RateCount struct {
	Key    RateKey
	Bucket TokenBucket
}

// A RateKey is by what requests are counted; without any field set, all count together.
type RateKey struct {
	// Client counts by the client's address.
	Client bool
	// Header counts by the first value of a header, lower case, or of :authority, where there is one.
	Header string
	// Absent counts together all requests that do not match.
	Absent *HeaderMatch
}

// A TokenBucket is full at first, and gets tokens evenly.
type TokenBucket struct {
	Max     uint32
	PerFill uint32
	Fill    time.Duration
}

// perNanosecond is how fast the bucket fills.
func (b TokenBucket) perNanosecond() float64 { return float64(b.PerFill) / float64(b.Fill) }

// fillMin is the shortest interval that Envoy accepts.
const fillMin = 50 * time.Millisecond

// keysDefault is Envoy's default of max_dynamic_descriptors.
const keysDefault = 20

func decodeRateLimitFilter(_ *ConnectionManager, body *anypb.Any, at string) error {
	filter := &localratelimitv3.LocalRateLimit{}
	at, err := unpack(body, filter, at)
	if err == nil && (filter.GetTokenBucket() != nil || filter.GetFilterEnabled() != nil || len(filter.GetDescriptors()) > 0) {
		err = only(at, "token_bucket", "the limits of routes")
	}
	return err
}

func decodeRateLimit(out *Filters, body *anypb.Any, at string) error {
	limit := &localratelimitv3.LocalRateLimit{}
	at, err := unpack(body, limit, at)
	if err != nil {
		return err
	}
	always := limit.GetAlwaysConsumeDefaultTokenBucket()
	switch {
	case limit.GetTokenBucket() == nil || limit.GetTokenBucket().GetMaxTokens() != 0:
		return only(at, "token_bucket.max_tokens", 0)
	case always == nil || always.GetValue():
		return only(at, "always_consume_default_token_bucket", false)
	case !whole(limit.GetFilterEnabled()):
		return only(at, "filter_enabled", "100 of 100")
	case !whole(limit.GetFilterEnforced()):
		return only(at, "filter_enforced", "100 of 100")
	case len(limit.GetDescriptors()) == 0 || len(limit.GetDescriptors()) != len(limit.GetRateLimits()):
		return only(at, "descriptors", "one for each of rate_limits, in their order,")
	}
	decoded := &RateLimit{KeysMax: keysDefault}
	if keys := limit.GetMaxDynamicDescriptors(); keys != nil {
		decoded.KeysMax = int(max(keys.GetValue(), 1))
	}
	seen := map[string]bool{}
	for i, d := range limit.GetDescriptors() {
		at := index(at, "descriptors", i)
		key, name, err := decodeKey(limit.GetRateLimits()[i].GetActions(), d.GetEntries(), at)
		if err != nil {
			return err
		}
		if seen[name] {
			return only(at, "entries", "entries that no other descriptor has")
		}
		seen[name] = true
		bucket, err := decodeBucket(d.GetTokenBucket(), join(at, "token_bucket"))
		if err != nil {
			return err
		}
		decoded.Counts = append(decoded.Counts, RateCount{key, bucket})
	}
	slices.SortStableFunc(decoded.Counts, func(a, b RateCount) int {
		switch x, y := a.Bucket.perNanosecond(), b.Bucket.perNanosecond(); {
		case x < y:
			return -1
		case x > y:
			return 1
		default:
			return 0
		}
	})
	out.RateLimit = decoded
	return nil
}

// whole says whether a fraction is all.
func whole(f *corev3.RuntimeFractionalPercent) bool {
	return f.GetDefaultValue().GetNumerator() == 100 && f.GetDefaultValue().GetDenominator() == typev3.FractionalPercent_HUNDRED
}

// decodeKey reads the actions that make a request's descriptor and the descriptor that they are for: constants, and one
// value of the request at most, which the descriptor leaves open. The name tells descriptors apart.
func decodeKey(actions []*routev3.RateLimit_Action, entries []*ratelimitv3.RateLimitDescriptor_Entry, at string) (RateKey, string, error) {
	var out RateKey
	var name strings.Builder
	mismatch := only(at, "entries", "those that the rate_limits of the same place make")
	if len(actions) != len(entries) || len(entries) == 0 {
		return out, "", mismatch
	}
	for i, a := range actions {
		var key, value string
		open := out == RateKey{}
		switch made := a.GetActionSpecifier().(type) {
		case *routev3.RateLimit_Action_GenericKey_:
			key, value, open = made.GenericKey.GetDescriptorKey(), made.GenericKey.GetDescriptorValue(), true
			if value == "" {
				return out, "", mismatch
			}
		case *routev3.RateLimit_Action_RemoteAddress_:
			key, out.Client = "remote_address", true
		case *routev3.RateLimit_Action_RequestHeaders_:
			key, out.Header = made.RequestHeaders.GetDescriptorKey(), strings.ToLower(made.RequestHeaders.GetHeaderName())
		case *routev3.RateLimit_Action_HeaderValueMatch_:
			m := made.HeaderValueMatch
			if m.GetExpectMatch() == nil || m.GetExpectMatch().GetValue() || len(m.GetHeaders()) != 1 || m.GetDescriptorValue() == "" {
				return out, "", only(at, "header_value_match", "one header that is not expected to match")
			}
			match, err := decodeHeaderMatch(m.GetHeaders()[0], join(at, "header_value_match.headers[0]"))
			if err != nil {
				return out, "", err
			}
			key, value, out.Absent = m.GetDescriptorKey(), m.GetDescriptorValue(), &match
		default:
			return out, "", only(at, "actions", "generic_key, remote_address, request_headers and header_value_match")
		}
		if !open {
			return out, "", only(at, "actions", "one value of the request")
		}
		if key == "" || entries[i].GetKey() != key || entries[i].GetValue() != value {
			return out, "", mismatch
		}
		fmt.Fprintf(&name, "%q=%q,", key, value)
	}
	return out, name.String(), nil
}

func decodeBucket(b *typev3.TokenBucket, at string) (TokenBucket, error) {
	out := TokenBucket{Max: b.GetMaxTokens(), PerFill: 1, Fill: b.GetFillInterval().AsDuration()}
	if n := b.GetTokensPerFill(); n != nil {
		out.PerFill = n.GetValue()
	}
	if out.Fill < fillMin || out.Fill%time.Millisecond != 0 || out.PerFill == 0 || out.Max == 0 {
		return TokenBucket{}, fmt.Errorf("%s: the Go data plane supports only tokens, and a fill_interval of whole milliseconds, 50 at least", at)
	}
	return out, nil
}
