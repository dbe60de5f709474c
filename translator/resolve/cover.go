package resolve

import (
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/model"
)

// cover is what routes take of all paths, added in the order in which they are tried.
//
// What a match takes is a path by itself, all that begins with some text, or both: = /a is /a, the string prefix /a all
// that begins with /a, and the prefix /a is /a and all that begins with /a/. Of two beginnings one holds the other, or they
// have no path in common. So a route is hidden where a beginning before it holds all of it, or, if it is a prefix, where
// one route takes the path itself and a string prefix takes what is below. It follows that a route takes all of a later one
// or only some narrower part of it, which is what routes are for: nothing is hidden by halves.
//
// Three things are not looked for, and such a route counts as reached: string prefixes that hide another together by every
// character that may follow it, of which there are more than eighty; the spellings of other paths in which a closed route
// is closed too (/a;x), or a string prefix that ends in an escaped % takes more; and, where a string prefix is stripped,
// what goes on with a dot and is only redirected.
type cover struct {
	// single are the first routes that take a path by itself, beginnings those that take all that begins with a text.
	single     map[string]int
	beginnings map[string]beginning
	// lengths are those of the beginnings, each once, sorted.
	lengths []int
}

// beginning is the first route that takes all that begins with a text.
type beginning struct {
	route int
	// exceptDots says that it leaves out what goes on with a dot.
	exceptDots bool
}

func newCover() *cover {
	return &cover{single: map[string]int{}, beginnings: map[string]beginning{}}
}

// add adds a route; i names it in the answers.
func (c *cover) add(i int, r model.Route) {
	value := r.Path.Value
	switch {
	case r.Path.Kind == model.PathExact:
		c.takeSingle(value, i)
	case takesBeginning(r.Path):
		c.takeBeginning(value, beginning{route: i, exceptDots: exceptDots(r)})
	default:
		c.takeSingle(value, i)
		c.takeBeginning(value+"/", beginning{route: i})
	}
}

// takesBeginning says whether a match is nothing but a beginning: a string prefix, or the prefix of everything.
func takesBeginning(p model.PathMatch) bool {
	return p.Kind == model.PathStringPrefix || p == model.Prefix("/")
}

// exceptDots says whether a route leaves what goes on with a dot to others: where only a slash comes in the place of a
// string prefix, the path would begin with a dot segment. Behind a restricted route stands what closes the rest.
func exceptDots(r model.Route) bool {
	f, forwards := r.Action.(*model.Forward)
	if !forwards || len(r.Restricted) > 0 || r.Path.Kind != model.PathStringPrefix || strings.HasSuffix(r.Path.Value, "/") {
		return false
	}
	change, replaces := r.Rewrite.(*model.ReplacePrefix)
	return f.Strip != nil || replaces && change.With == ""
}

func (c *cover) takeSingle(path string, i int) {
	if _, taken := c.single[path]; !taken {
		c.single[path] = i
	}
}

func (c *cover) takeBeginning(text string, b beginning) {
	if _, taken := c.beginnings[text]; taken {
		return
	}
	c.beginnings[text] = b
	if at, known := slices.BinarySearch(c.lengths, len(text)); !known {
		c.lengths = slices.Insert(c.lengths, at, len(text))
	}
}

// hides are the routes that leave nothing of a match: none, the first that takes all of it, or two that do together.
func (c *cover) hides(p model.PathMatch) []int {
	first, hidden := c.holds(p.Value)
	if p.Kind == model.PathExact {
		if i, taken := c.single[p.Value]; taken && (!hidden || i < first) {
			first, hidden = i, true
		}
	}
	if hidden {
		return []int{first}
	}
	if takesBeginning(p) {
		return nil
	}
	itself, taken := c.single[p.Value]
	below, takenToo := c.beginnings[p.Value+"/"]
	if p.Kind == model.PathPrefix && taken && takenToo {
		return []int{itself, below.route}
	}
	return nil
}

// holds finds the first route that takes all that begins with a text.
func (c *cover) holds(text string) (int, bool) {
	first, found := 0, false
	for _, n := range c.lengths {
		if n > len(text) {
			break
		}
		b, ok := c.beginnings[text[:n]]
		if ok && !(b.exceptDots && strings.HasPrefix(text[n:], ".")) && (!found || b.route < first) {
			first, found = b.route, true
		}
	}
	return first, found
}
