package traefik

import (
	"fmt"
	"math"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/model"
)

var breakers = []dialect.Annotation{{
	Key: "circuit-breaker-expression", Aliases: []string{"traefik.backend.circuitbreaker"}, On: dialect.OnService,
	Type: "an expression of NetworkErrorRatio() and ResponseCodeRatio(a, b, 0, 600)", Support: dialect.Approximated, Family: "services",
	Case: "services/breaker",
	Note: "Each endpoint is judged by itself, every 10 seconds, by what it answered within them, and left alone for the next 10; Traefik judged the " +
		"whole backend ten times a second, and let requests back in by degrees. Requests answer 503 once every endpoint is left alone. " +
		"Ratios are rounded up to whole percents. LatencyAtQuantileMS, <, <=, == and != are not applied, nor is what is joined to them by &&.",
	Doc:     "Leaves endpoints alone that fail too often.",
	Example: "NetworkErrorRatio() > 0.5",
}}

// The statuses that an answer can have.
const (
	statusMin = 100
	statusMax = 600
)

// breakerFunctions are those of oxy's cbreaker, as Traefik 1.7 had it.
var breakerFunctions = functions{"NetworkErrorRatio": 0, "ResponseCodeRatio": 4, "LatencyAtQuantileMS": 1}

func readBreaker(r *dialect.Reader) *model.Breaker {
	text, at, ok := r.Text("circuit-breaker-expression")
	if !ok {
		return nil
	}
	tree, err := parseExpression(text, breakerFunctions)
	if err != nil {
		r.Say(diag.New(diag.CodeBadValue, at, fmt.Sprintf("the expression cannot be read: %s", err), "there is no circuit breaker",
			"write a condition such as NetworkErrorRatio() > 0.5, or several joined by || and &&"))
		return nil
	}
	b := breakerReader{r: r, at: at}
	out, why := b.condition(tree)
	if why != "" {
		r.Say(diag.New(diag.CodeRefusedAnnot, at, why, "there is no circuit breaker",
			"write NetworkErrorRatio() > 0.5, or ResponseCodeRatio(500, 600, 0, 600) > 0.5"))
		return nil
	}
	out.Origin = at
	return &out
}

type breakerReader struct {
	r  *dialect.Reader
	at diag.Origin
}

// condition is the breaker of a condition, or why there can be none.
func (b breakerReader) condition(e expression) (model.Breaker, string) {
	switch e := e.(type) {
	case joined:
		return b.joined(e)
	case comparison:
		return oneRatio(e)
	case call:
		return model.Breaker{}, e.text() + " is compared with nothing"
	}
	return model.Breaker{}, "it is no condition"
}

// joined is the breaker of two conditions. One that cannot be applied is left out where the other suffices; elsewhere,
// leaving it out would open the circuit more often than was asked for.
func (b breakerReader) joined(e joined) (model.Breaker, string) {
	left, whyLeft := b.condition(e.left)
	right, whyRight := b.condition(e.right)
	switch {
	case whyLeft != "" && (whyRight != "" || !e.or):
		return left, whyLeft
	case whyRight != "" && !e.or:
		return right, whyRight
	case whyLeft != "":
		b.leftOut(whyLeft)
		return right, ""
	case whyRight != "":
		b.leftOut(whyRight)
		return left, ""
	}
	// Where all that fails by one condition fails by the other, one of the two says it all.
	narrow, wide := left, right
	if !within(narrow, wide) {
		narrow, wide = wide, narrow
	}
	if within(narrow, wide) {
		equal := within(wide, narrow)
		switch {
		case e.or && wide.Percent <= narrow.Percent:
			return wide, ""
		case e.or && equal:
			return narrow, ""
		case !e.or && narrow.Percent >= wide.Percent:
			return narrow, ""
		case !e.or && equal:
			return wide, ""
		}
	}
	return model.Breaker{}, fmt.Sprintf("an endpoint is left alone by one ratio only, and %s takes two", e.text())
}

func (b breakerReader) leftOut(why string) {
	b.r.Say(diag.New(diag.CodeWithoutEffect, b.at, why, "that part of the expression has no effect, the rest is applied", "remove that part"))
}

// within says whether all that fails by one breaker fails by another.
func within(a, b model.Breaker) bool {
	if a.Connections && !b.Connections {
		return false
	}
	for status := statusMin; status < statusMax; status++ {
		if contains(a.Failures, status) && !contains(b.Failures, status) {
			return false
		}
	}
	return true
}

func contains(ranges []model.StatusRange, status int) bool {
	for _, r := range ranges {
		if r.From <= status && status <= r.To {
			return true
		}
	}
	return false
}

// Traefik answered 502 where an endpoint could not be reached, and 504 where it took too long, and took both for errors
// of the network whoever gave them (oxy, memmetrics).
const (
	badGateway     = 502
	gatewayTimeout = 504
)

// oneRatio is the breaker of a single comparison.
func oneRatio(c comparison) (model.Breaker, string) {
	var out model.Breaker
	switch c.call.name {
	case "NetworkErrorRatio":
		out.Failures = []model.StatusRange{{From: badGateway, To: badGateway}, {From: gatewayTimeout, To: gatewayTimeout}}
		out.Connections = true
	case "ResponseCodeRatio":
		a := c.call.arguments
		for _, n := range a {
			if n != math.Trunc(n) || n > 1e6 {
				return out, c.call.text() + " has a status that is no whole number"
			}
		}
		if a[2] > statusMin || a[3] < statusMax {
			return out, c.call.text() + " compares with a part of the answers; only all of them, 0 to 600, can be compared with"
		}
		one := model.StatusRange{From: max(int(a[0]), statusMin), To: min(int(a[1]), statusMax) - 1}
		if one.From > one.To {
			return out, c.call.text() + " counts no status"
		}
		out.Failures, out.Connections = []model.StatusRange{one}, contains([]model.StatusRange{one}, badGateway)
	default:
		return out, c.call.text() + " cannot be applied: latency is not measured here"
	}
	if c.word != "" || c.operator != ">" && c.operator != ">=" {
		return out, c.text() + " cannot be applied; only > and >= can"
	}
	percent := math.Ceil(c.number*100 - 1e-9)
	if c.operator == ">" && math.Abs(percent-c.number*100) < 1e-9 {
		percent++
	}
	switch {
	case percent < 1:
		return out, c.text() + " always holds"
	case percent > 100:
		return out, c.text() + " never holds"
	}
	out.Percent = uint32(percent)
	return out, ""
}
