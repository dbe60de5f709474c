package explain

import (
	"strings"

	"github.com/postern-gateway/postern/translator/model"
)

// A speller finds a rule's path in a request's path as some backend would: parameters dropped, escapes decoded once,
// repeated slashes one. It walks all readings at once, since a backend may drop parameters before it decodes or after.
type speller struct {
	path string
	// keep has %2f and %5c be slashes too; otherwise no path has them any more.
	keep bool
}

// spells says whether the path, or where the rule is a prefix the path or what it is below, is one that m means.
func (s speller) spells(m model.PathMatch) bool {
	rest := strings.TrimPrefix(m.Value, "/")
	folder := rest != "" && strings.HasSuffix(rest, "/")
	at := map[int]bool{0: true}
	for element := range strings.SplitSeq(strings.TrimSuffix(rest, "/"), "/") {
		at = s.over(s.slashes(at), element)
	}
	if folder {
		at = s.slashes(at)
	}
	for i := range at {
		for _, end := range s.parameters(i) {
			if end == len(s.path) || m.Kind == model.PathStringPrefix || m.Kind == model.PathPrefix && s.slash(end) > 0 {
				return true
			}
		}
	}
	return false
}

// slashes are the places behind one slash or more, each maybe behind parameters.
func (s speller) slashes(from map[int]bool) map[int]bool {
	out := map[int]bool{}
	for len(from) > 0 {
		next := map[int]bool{}
		for i := range from {
			for _, end := range s.parameters(i) {
				if n := s.slash(end); n > 0 && !out[end+n] {
					out[end+n], next[end+n] = true, true
				}
			}
		}
		from = next
	}
	return out
}

// over are the places behind an element.
func (s speller) over(from map[int]bool, element string) map[int]bool {
	out := map[int]bool{}
	for i := range from {
		rest, ok := element, true
		for ok && rest != "" {
			var want, got byte
			var n, m int
			want, n = decoded(rest)
			if ok = i < len(s.path); ok {
				got, m = decoded(s.path[i:])
				ok = want == got
			}
			rest, i = rest[n:], i+m
		}
		if ok {
			out[i] = true
		}
	}
	return out
}

// parameters are the places where parameters that begin at i may end: i itself where none do.
func (s speller) parameters(i int) []int {
	out := []int{i}
	if i == len(s.path) {
		return out
	}
	if c, n := decoded(s.path[i:]); c == ';' {
		for i += n; i <= len(s.path); i++ {
			out = append(out, i)
			if i < len(s.path) && s.path[i] == '/' {
				break
			}
		}
	}
	return out
}

// slash is the length of the slash at i, 0 for none.
func (s speller) slash(i int) int {
	if i == len(s.path) {
		return 0
	}
	if s.path[i] == '/' {
		return 1
	}
	if c, n := decoded(s.path[i:]); s.keep && n == 3 && (c == '/' || c == '\\') {
		return n
	}
	return 0
}

// decoded is the character that text begins with and the length of its spelling.
func decoded(text string) (byte, int) {
	if len(text) >= 3 && text[0] == '%' {
		if c, ok := unhex(text[1], text[2]); ok {
			return c, 3
		}
	}
	return text[0], 1
}

// climbs says whether a normalised path still has a dot segment: with parameters, or between escaped slashes.
func climbs(path string) bool {
	plain := strings.NewReplacer("%2f", "/", "%2F", "/", "%5c", "/", "%5C", "/", "%3b", ";", "%3B", ";").Replace(path)
	for element := range strings.SplitSeq(plain, "/") {
		if name, _, _ := strings.Cut(element, ";"); name == "." || name == ".." {
			return true
		}
	}
	return false
}
