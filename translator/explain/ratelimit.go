package explain

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/postern-gateway/postern/translator/model"
)

// noteOnRateLimit says how often the route may be asked. One request is always within the limits.
func (n *narrator) noteOnRateLimit(r model.Route) {
	limit := r.RateLimit
	if limit == nil {
		return
	}
	by, together := "", ""
	switch key := limit.By.(type) {
	case model.RateByClient:
		by = "each client by itself"
		if addr, unread := n.client(); unread == "" {
			together = "; this one counts as " + addr.String()
		} else {
			together = "; this one counts with all whose address cannot be read"
		}
	case model.RateByHost:
		by = "each host by itself"
	case model.RateByHeader:
		by = "each value of " + http.CanonicalHeaderKey(key.Name) + " by itself, and together those without"
	}
	n.addOrigins(model.Origins{limit.Origin})
	n.note("%s answers 429 beyond %s, %s%s; every data plane counts for itself, and this is the answer within the limit",
		limit.Origin.Annotation, strings.Join(rates(limit.Rates), " and "), by, together)
}

func rates(all []model.Rate) []string {
	var out []string
	for _, r := range all {
		out = append(out, fmt.Sprintf("%d at once and %d every %s", r.Burst, r.Average, r.Period))
	}
	return out
}

// rateLimitWords are a route's rate limit as the printed model has it.
func rateLimitWords(limit *model.RateLimit) []string {
	if limit == nil {
		return nil
	}
	by := "client"
	switch key := limit.By.(type) {
	case model.RateByHost:
		by = "host"
	case model.RateByHeader:
		by = key.Name
	}
	words := []string{"limit by " + by}
	for _, r := range limit.Rates {
		words = append(words, fmt.Sprintf("%d/%s burst %d", r.Average, r.Period, r.Burst))
	}
	return words
}
