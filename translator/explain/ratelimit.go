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
	n.addOrigins(model.Origins{limit.Origin})
	n.note("%s answers 429 beyond %s, %s; every data plane counts for itself, and this is the answer within the limit",
		limit.Origin.Annotation, strings.Join(rates(limit.Rates), " and "), n.countedBy(limit.By))
}

// countedBy says by what requests are counted, and as whom this one.
func (n *narrator) countedBy(by model.RateKey) string {
	switch key := by.(type) {
	case model.RateByHost:
		return "each host by itself"
	case model.RateByHeader:
		return "each value of " + http.CanonicalHeaderKey(key.Name) + " by itself, and together those without"
	}
	addr, unread := n.client()
	if unread != "" {
		return "each client by itself; this one counts with all whose address cannot be read"
	}
	return "each client by itself; this one counts as " + addr.String()
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
	words := []string{"limit by " + keyWord(limit.By)}
	for _, r := range limit.Rates {
		words = append(words, fmt.Sprintf("%d/%s burst %d", r.Average, r.Period, r.Burst))
	}
	return words
}

func keyWord(by model.RateKey) string {
	switch key := by.(type) {
	case model.RateByHost:
		return "host"
	case model.RateByHeader:
		return key.Name
	}
	return "client"
}
