package dialect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// WholeWeight is all of a path's requests, in the unit of Weights.
const WholeWeight = 100_000

// Weights are the Services' parts of the requests of a path that several backends share.
type Weights struct {
	// Of are the parts of Services by name, in thousandths of a percent. Services that are not there share what is left.
	Of map[string]int64
	// Unread says why the parts of some Services are not known, or with the key "" those of all.
	Unread map[string]string
	Origin diag.Origin
}

// weigh gives the backends of each claim their weights, once they are gathered. A path whose weights are not known is
// closed: an even share might be fifty times what a backend was meant to get. Weights that do not make the whole keep
// their proportion.
func (b *builder) weigh() {
	w := b.shape.Weights
	if w == nil {
		return
	}
	for i := range b.out.Claims {
		b.out.Claims[i] = b.weighed(b.out.Claims[i], *w)
	}
}

func (b *builder) weighed(c model.Claim, w Weights) model.Claim {
	if c.Closed != nil || len(c.Backends) == 1 {
		return c
	}
	place := c.Host.String() + " " + c.Path.String()
	for _, backend := range c.Backends {
		for _, name := range []string{"", backend.Service} {
			if why, unread := w.Unread[name]; unread {
				c.Closed = &model.Closed{Reason: "the weight of " + backend.Service + " is not known: " + why, Code: diag.CodeBadValue, Origin: w.Origin}
				return c
			}
		}
	}
	s := sumWeights(c.Backends, w)
	if problem := s.problem(); problem != "" {
		b.say(diag.New(diag.CodeBadValue, w.Origin, fmt.Sprintf("the weights of %s %s", place, problem),
			"each Service gets its part of their sum", "make them 100%, or leave one Service out, which gets the rest"))
	}
	out := c
	out.Backends, out.Origins = nil, nil
	var divisor int64
	for i, backend := range c.Backends {
		// A Service with 0 % gets no request, and so is not looked up either.
		if weight := s.of(backend, w); weight > 0 {
			out.Backends, out.Origins = append(out.Backends, backend), append(out.Origins, c.Origins[i])
			divisor = commonDivisor(divisor, weight)
		}
	}
	if len(out.Backends) == 0 {
		c.Closed = &model.Closed{Reason: "no Service of " + place + " has a weight above 0", Code: diag.CodeBadValue, Origin: w.Origin}
		return c
	}
	for i := range out.Backends {
		out.Backends[i].Weight = uint32(s.of(out.Backends[i], w) / divisor)
	}
	out.Origins = append(out.Origins, c.Origins[len(c.Backends):]...)
	out.Policies.Weighted = true
	return out
}

// weightSum is what a path's weights come to.
type weightSum struct {
	sum int64
	// omitted counts the backends that have no weight of their own.
	omitted int64
}

// sumWeights counts a backend that is named twice once.
func sumWeights(backends []model.BackendRef, w Weights) weightSum {
	var s weightSum
	for i, b := range backends {
		if slices.ContainsFunc(backends[:i], func(o model.BackendRef) bool { return o.Service == b.Service && o.Port == b.Port }) {
			continue
		}
		if weight, given := w.Of[b.Service]; given {
			s.sum += weight
		} else {
			s.omitted++
		}
	}
	return s
}

func (s weightSum) problem() string {
	switch {
	case s.sum > WholeWeight:
		return "make " + percent(s.sum)
	case s.sum < WholeWeight && s.omitted == 0:
		return "make only " + percent(s.sum)
	default:
		return ""
	}
}

// of is a backend's weight. All are multiplied by the number of those that share what is left, so that it divides.
func (s weightSum) of(b model.BackendRef, w Weights) int64 {
	if weight, given := w.Of[b.Service]; given {
		return weight * max(s.omitted, 1)
	}
	return max(WholeWeight-s.sum, 0)
}

// percent writes thousandths of a percent.
func percent(n int64) string {
	text := strings.TrimRight(strings.TrimRight(fmt.Sprintf("%d.%03d", n/1000, n%1000), "0"), ".")
	return text + "%"
}

func commonDivisor(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
