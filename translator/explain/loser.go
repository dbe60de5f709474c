package explain

import (
	"fmt"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// Loser is a claim to the host and path of the route, which the route beat.
type Loser struct {
	diag.Origin
	// Rule is the rule by which it lost, Reason says it in words.
	Rule   model.ConflictRule `json:"rule,omitempty"`
	Reason string             `json:"reason"`
}

// losersOf are the losers of a route.
func losersOf(r model.Route) []Loser {
	var out []Loser
	for i, at := range r.Losers {
		l := Loser{Origin: at, Reason: "it asks for the same host and path"}
		if i < len(r.LostBy) {
			l.Rule = r.LostBy[i]
			l.Reason += ", and " + lostBy(l.Rule)
		}
		out = append(out, l)
	}
	return out
}

func lostBy(rule model.ConflictRule) string {
	switch rule {
	case model.LostByWeight:
		return "has the lower priority"
	case model.LostByStandIn:
		return "stands in for a path that cannot be matched"
	case model.LostByAge:
		return "its object is younger"
	case model.LostByName:
		return "neither object is older, and its name comes later"
	case model.LostByPlace:
		return "comes later in the same object"
	default:
		panic("explain: unknown rule " + string(rule))
	}
}

// standing is a route with the place of its table among those that a request tries.
type standing struct {
	table int
	host  string
	route *model.Route
}

// comesLater says by what rule a route that would match too is tried after the one that did (docs/design/precedence.md).
func comesLater(first, later standing) string {
	const begins = "would match too, but "
	a, b := first.route, later.route
	closed, _ := b.Action.(*model.Closed)
	switch {
	case closed != nil && closed.Code == diag.CodeOtherSpelling && a.Path == b.Path:
		return begins + "it is for other spellings of that path"
	case later.table != first.table && later.host == defaultBackend:
		return begins + "default backends come after all rules"
	case later.table != first.table && later.host == anyHost:
		return begins + "rules without a host come after those of " + first.host
	case later.table != first.table:
		return begins + "rules of " + later.host + " come after those of " + first.host
	case a.Weight != b.Weight:
		return fmt.Sprintf(begins+"its weight is lower: %d to %d", b.Weight, a.Weight)
	case a.Path.Kind == model.PathExact && b.Path.Kind != model.PathExact:
		return begins + "an exact path comes first"
	case len(a.Path.Value) != len(b.Path.Value):
		return begins + "the longer path comes first"
	default:
		return begins + "comes later"
	}
}
