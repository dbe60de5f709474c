package pods

import (
	"fmt"
	"slices"
	"time"
)

// durations are measured, and told of.
type durations struct{ all []time.Duration }

func (d *durations) add(one time.Duration) { d.all = append(d.all, one) }

// String is the middle and the longest.
func (d *durations) String() string {
	if len(d.all) == 0 {
		return "nothing"
	}
	sorted := slices.Sorted(slices.Values(d.all))
	return fmt.Sprintf("%d ms (at most %d)", sorted[len(sorted)/2].Milliseconds(), sorted[len(sorted)-1].Milliseconds())
}
