package explain

import (
	"fmt"

	"github.com/postern-gateway/postern/translator/model"
)

// noteOnInFlight says how many requests may be answered at once. One request is always within the limits.
func (n *narrator) noteOnInFlight(all model.InFlightLimits) {
	for _, limit := range all.Limits {
		n.addOrigins(limit.Origins)
		n.note("%s answers 429 while %d requests are answered, %s; every data plane counts for itself, and this is the answer within the limit",
			limit.Origins[0].Annotation, limit.Most, n.countedBy(limit.By))
	}
}

// inFlightWords are a route's limits as the printed model has them.
func inFlightWords(all model.InFlightLimits) []string {
	var out []string
	for _, limit := range all.Limits {
		out = append(out, fmt.Sprintf("in flight %d by %s", limit.Most, keyWord(limit.By)))
	}
	return out
}
