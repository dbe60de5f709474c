package model

import (
	"fmt"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
)

// Rewrite is how a path changes on its way to the backend, beside what a Strip takes off: *AddPrefix, *ReplacePrefix or
// *ReplaceRegex. (Traefik 1.7: request-modifier, rewrite-target.)
type Rewrite interface{ rewrite() }

func (*AddPrefix) rewrite()     {}
func (*ReplacePrefix) rewrite() {}
func (*ReplaceRegex) rewrite()  {}

// AddPrefix puts a prefix before the path, that of a Strip taken off before.
type AddPrefix struct {
	// Prefix begins with / and has no / at its end and no dot segment.
	Prefix string
	// Origin is the annotation.
	Origin diag.Origin
}

// ReplacePrefix puts something in the place of what the route's match took of the path. It stands beside no Strip.
type ReplacePrefix struct {
	// With begins with / and has no / at its end and no dot segment; empty just takes the match off.
	With string
	// Origin is the annotation.
	Origin diag.Origin
}

// ReplaceRegex replaces whatever matches in the path. It stands beside no Strip. A path with two dots in a row is not
// served by it: what is taken from between may make a climb of them.
type ReplaceRegex struct {
	// Pattern is RE2's, ASCII, and within Envoy's limit.
	Pattern string
	With    Substitution
	// Origin is the annotation.
	Origin diag.Origin
}

// Substitution is what replaces a match: texts and groups, in order.
type Substitution []SubstitutionPart

// SubstitutionPart is a text, or the group of a match by its number where Text is empty.
type SubstitutionPart struct {
	Text  string
	Group int
}

// String writes groups as ${1}.
func (s Substitution) String() string {
	var b strings.Builder
	for _, part := range s {
		if part.Text == "" {
			fmt.Fprintf(&b, "${%d}", part.Group)
		} else {
			b.WriteString(strings.ReplaceAll(part.Text, "$", "$$"))
		}
	}
	return b.String()
}
