package traefik

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
	"sigs.k8s.io/yaml"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/model"
)

const rateLimit = "rate-limit"

var rateLimits = []dialect.Annotation{
	{
		Key: rateLimit, On: dialect.OnIngress, Type: "YAML", Support: dialect.Approximated, Family: "access", Case: "access/rate-limit",
		Note: "Every data plane counts for itself, as every Traefik did, and each host and entry of the Ingress, and what of a stripped prefix ends with it, has buckets of its own. " +
			"An edit of any route of an entry fills all buckets of that entry. 10,000 keys are kept; beyond it the one unseen for longest is forgotten, and so begins with a full bucket. " +
			"client.ip is the peer, or what --trusted-proxies tell. A refused request counts against the slower rates too. " +
			"There is no Retry-After. A value that does not parse closes the routes, where Traefik 1.7 served them without limit.",
		Doc: "Answers 429 to requests beyond a rate, counted by the client's address (client.ip), the host (request.host) or a header (request.header.NAME; requests without it " +
			"count together): burst at once, and average for each period; all rates hold.",
		Example: "{extractorfunc: client.ip, rateset: {a: {period: 3s, average: 6, burst: 9}}}",
	},
}

// rateLimitForm is what a value looks like.
const rateLimitForm = "extractorfunc: client.ip, request.host or request.header.NAME; rateset: a map of names to period, average and burst"

// rateLimitYAML is Traefik's types.RateLimit as its keys are written.
type rateLimitYAML struct {
	ExtractorFunc string              `json:"extractorfunc"`
	RateSet       map[string]rateYAML `json:"rateset"`
}

type rateYAML struct {
	Period  yamlDuration `json:"period"`
	Average int64        `json:"average"`
	Burst   int64        `json:"burst"`
}

// yamlDuration is a duration as Traefik's flags have it: Go's form, or a whole number of seconds.
type yamlDuration time.Duration

// UnmarshalJSON reads both forms.
func (d *yamlDuration) UnmarshalJSON(text []byte) error {
	word := strings.Trim(string(text), `"`)
	if n, err := strconv.ParseInt(word, 10, 32); err == nil {
		*d = yamlDuration(time.Duration(n) * time.Second)
		return nil
	}
	parsed, err := time.ParseDuration(word)
	*d = yamlDuration(parsed)
	return err
}

// readRateLimit reads how often the routes may be asked. What cannot be read closes them.
func readRateLimit(r *dialect.Reader, shape *dialect.Shape) {
	text, at, ok := r.Value(rateLimit)
	if !ok {
		return
	}
	limit, err := parseRateLimit(text)
	if err != nil {
		r.Close(diag.New(diag.CodeBadValue, at, err.Error(), "its routes answer 503, because it restricts access", "write "+rateLimitForm))
		return
	}
	limit.Origin = at
	shape.Policies.RateLimit = limit
	shape.Policies.Restricted = append(shape.Policies.Restricted, at)
	shape.Annotations = append(shape.Annotations, at)
}

// ratesMax is how many rates a route may have: every request is counted by each.
const ratesMax = 8

func parseRateLimit(text string) (*model.RateLimit, error) {
	var written rateLimitYAML
	if err := yaml.UnmarshalStrict([]byte(text), &written); err != nil {
		return nil, errors.New("it is not a rate limit in YAML" + unknownField(err))
	}
	out := &model.RateLimit{}
	var ok bool
	if out.By, ok = rateKey(written.ExtractorFunc); !ok {
		return nil, fmt.Errorf("extractorfunc is %q, and must be client.ip, request.host or request.header.NAME", written.ExtractorFunc)
	}
	if n := len(written.RateSet); n == 0 || n > ratesMax {
		return nil, fmt.Errorf("rateset has %d rates, and must have 1 to %d", n, ratesMax)
	}
	for _, name := range slices.Sorted(maps.Keys(written.RateSet)) {
		rate, err := exactRate(written.RateSet[name])
		if err != nil {
			return nil, fmt.Errorf("rate %q: %w", name, err)
		}
		out.Rates = append(out.Rates, rate)
	}
	slices.SortFunc(out.Rates, func(a, b model.Rate) int {
		return cmp.Or(cmp.Compare(a.Period, b.Period), cmp.Compare(a.Average, b.Average), cmp.Compare(a.Burst, b.Burst))
	})
	return out, nil
}

// unknownField names the field that a rate limit does not have, where that is what is wrong.
func unknownField(err error) string {
	if _, name, ok := strings.Cut(err.Error(), "unknown field "); ok {
		return ": it has no field " + name
	}
	return ""
}

// rateKey is what an extractor function of oxy's names.
func rateKey(extractor string) (model.RateKey, bool) {
	header, named := strings.CutPrefix(extractor, "request.header.")
	switch {
	case extractor == "client.ip":
		return model.RateByClient{}, true
	case extractor == "request.host", strings.EqualFold(header, "host"):
		return model.RateByHost{}, true
	case named && httpguts.ValidHeaderFieldName(header):
		return model.RateByHeader{Name: strings.ToLower(header)}, true
	}
	return nil, false
}

const (
	// periodMin is the shortest period that Envoy fills a bucket by; of a shorter one several count as one.
	periodMin = 50 * time.Millisecond
	// periodMax bounds a period: a bucket that fills more slowly never does.
	periodMax = 365 * 24 * time.Hour
)

// exactRate is a rate in whole milliseconds: as many periods as that takes, and the tokens of as many.
func exactRate(r rateYAML) (model.Rate, error) {
	period := time.Duration(r.Period)
	switch {
	case period <= 0 || period > periodMax:
		return model.Rate{}, fmt.Errorf("period is %s, and must be above 0 and at most %s", period, periodMax)
	case r.Average <= 0 || r.Average > math.MaxUint32:
		return model.Rate{}, fmt.Errorf("average is %d, and must be from 1 to %d", r.Average, uint32(math.MaxUint32))
	case r.Burst <= 0 || r.Burst > math.MaxUint32:
		return model.Rate{}, fmt.Errorf("burst is %d, and must be from 1 to %d", r.Burst, uint32(math.MaxUint32))
	}
	times := int64(time.Millisecond / gcd(period, time.Millisecond))
	if period < periodMin {
		short := time.Duration(times) * period
		times *= int64((periodMin + short - 1) / short)
	}
	if r.Average*times > math.MaxUint32 || int64(period) > math.MaxInt64/times {
		return model.Rate{}, fmt.Errorf("%d requests in %s cannot be said in whole milliseconds", r.Average, period)
	}
	return model.Rate{Period: time.Duration(times) * period, Average: uint32(r.Average * times), Burst: uint32(r.Burst)}, nil
}

func gcd(a, b time.Duration) time.Duration {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
