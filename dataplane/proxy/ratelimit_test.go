package proxy

import (
	"testing"
	"time"

	"github.com/postern-gateway/postern/dataplane/config"
)

// take asks for one key of each count; an empty one is not counted.
func take(l *limiter, now time.Time, keys ...string) bool {
	var out []*string
	for i := range keys {
		if keys[i] == "" {
			out = append(out, nil)
			continue
		}
		out = append(out, &keys[i])
	}
	return l.admit(out, now)
}

func TestBucketsFillEvenly(t *testing.T) {
	l := newLimiter(&config.RateLimit{KeysMax: 10, Counts: []config.RateCount{{Bucket: config.TokenBucket{Max: 2, PerFill: 10, Fill: time.Second}}}})
	now := time.Unix(0, 0)
	for i, step := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {0, true}, {0, false}, {99 * time.Millisecond, false}, {time.Millisecond, true}, {0, false}, {-time.Hour, false}, {2 * time.Hour, true}, {0, true}, {0, false}} {
		now = now.Add(step.after)
		if got := take(l, now, "a"); got != step.want {
			t.Errorf("step %d: admitted %v, want %v", i, got, step.want)
		}
	}
}

func TestTheKeyUnseenForLongestIsForgotten(t *testing.T) {
	l := newLimiter(&config.RateLimit{KeysMax: 2, Counts: []config.RateCount{{Bucket: config.TokenBucket{Max: 1, PerFill: 1, Fill: time.Hour}}}})
	now := time.Unix(0, 0)
	for i, step := range []struct {
		key  string
		want bool
	}{{"a", true}, {"b", true}, {"a", false}, {"c", true}, {"a", false}, {"b", true}, {"c", true}} {
		if got := take(l, now, step.key); got != step.want {
			t.Errorf("step %d: admitted %v, want %v", i, got, step.want)
		}
	}
	if n := len(l.counts[0].byKey); n != 2 || l.counts[0].order.Len() != 2 {
		t.Errorf("%d keys are kept, want 2", n)
	}
}

func TestWhatNothingCountsIsRefused(t *testing.T) {
	bucket := config.TokenBucket{Max: 1, PerFill: 1, Fill: time.Hour}
	l := newLimiter(&config.RateLimit{KeysMax: 2, Counts: []config.RateCount{{Bucket: bucket}, {Bucket: bucket}}})
	now := time.Unix(0, 0)
	if take(l, now, "", "") {
		t.Error("a request that no rate counts is admitted")
	}
	if !take(l, now, "", "a") || take(l, now, "a", "a") || take(l, now, "a", "") {
		t.Error("want a request that all its rates admit, then one refused by the second, which has taken from the first")
	}
}
