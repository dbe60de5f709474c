package dialect

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/translator/model"
)

// programMax bounds the program of a user's regex, by programSize: Envoy refuses a whole route configuration for a regex
// above its own limit, which envoyproc sets five times as high.
const programMax = 1000

// Pattern is a regex of a user's that Go and RE2, as Envoy runs it, read alike.
type Pattern struct {
	text string
	tree *syntax.Regexp
}

// ParsePattern reads a Go regular expression over URLs or paths, which are ASCII. The error is words for a diagnostic.
func ParsePattern(text string) (Pattern, error) {
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return Pattern{}, fmt.Errorf("it is no regular expression (%s)", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return Pattern{}, errors.New("it holds a character that no URL has: escaped ones are matched as they are escaped")
		}
	}
	// Go and RE2 know other versions of Unicode, and Envoy's RE2 knows bytes only.
	if strings.Contains(text, `\p`) || strings.Contains(text, `\P`) || strings.Contains(text, `\x{`) {
		return Pattern{}, errors.New(`it holds \p, \P or \x{, but URLs are ASCII: write [a-zA-Z] or \xHH`)
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return Pattern{}, fmt.Errorf("it is no regular expression (%w)", err)
	}
	if size := programSize(program); size > programMax {
		return Pattern{}, fmt.Errorf("it is too large: %d where %d is the most", size, programMax)
	}
	return Pattern{text: text, tree: tree}, nil
}

// String is the regex as it was given.
func (p Pattern) String() string { return p.text }

// programSize is above the size of RE2's program. Both compile alike, but RE2 compares bytes: a class takes an
// instruction for each range within a byte and one for each choice between them, and a letter in any case two. The
// summand is what RE2 puts around a program. (Measured on Envoy 1.40, RE2's size is between a third and two thirds.)
func programSize(p *syntax.Prog) int {
	size := 16
	for _, inst := range p.Inst {
		size += 2
		switch inst.Op {
		case syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			size += 2
		case syntax.InstRune:
			for i := 0; i < len(inst.Rune); i += 2 {
				if inst.Rune[i] <= 0xff {
					size += 2
				}
			}
			if syntax.Flags(inst.Arg)&syntax.FoldCase != 0 {
				size += 4
			}
		}
	}
	return size
}

// groupMax is the last group that RE2's substitutions can name.
const groupMax = 9

// ParseSubstitution reads what replaces matches in Go's words: $1, ${1}, $name, ${name}, and $$ for a $. Literal text is
// encoded by the function. The error is words for a diagnostic.
func (p Pattern) ParseSubstitution(text string, encode func(string) string) (model.Substitution, error) {
	var out model.Substitution
	literal := ""
	flush := func() {
		if literal != "" {
			out = append(out, model.SubstitutionPart{Text: encode(literal)})
		}
		literal = ""
	}
	for text != "" {
		before, rest, found := strings.Cut(text, "$")
		literal += before
		if !found {
			break
		}
		if after, ok := strings.CutPrefix(rest, "$"); ok {
			literal, text = literal+"$", after
			continue
		}
		name, after, ok := cutName(rest)
		if !ok {
			return nil, errors.New("it holds a $ that names no group; $$ is a plain one")
		}
		group, err := p.group(name)
		if err != nil {
			return nil, err
		}
		flush()
		out, text = append(out, model.SubstitutionPart{Group: group}), after
	}
	flush()
	return out, nil
}

// cutName takes a group's name off what follows a $, as regexp.Expand does: of letters, digits and underscores as many
// as there are.
func cutName(text string) (name, after string, ok bool) {
	if inside, braced := strings.CutPrefix(text, "{"); braced {
		name, after, ok = strings.Cut(inside, "}")
	} else {
		end := strings.IndexFunc(text, func(r rune) bool { return !isWord(r) })
		if end < 0 {
			end = len(text)
		}
		name, after, ok = text[:end], text[end:], true
	}
	return name, after, ok && name != "" && !strings.ContainsFunc(name, func(r rune) bool { return !isWord(r) })
}

func isWord(r rune) bool {
	return r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

// group finds a group by its number or name.
func (p Pattern) group(name string) (int, error) {
	n, err := strconv.Atoi(name)
	if err != nil {
		n = -1
		for i, of := range p.tree.CapNames() {
			if of == name {
				n = i
			}
		}
	}
	switch {
	case n < 0 || n > p.tree.MaxCap():
		return 0, fmt.Errorf("it names the group %s, which the regex does not have; write ${1}x where a letter follows a number", name)
	case n > groupMax:
		return 0, fmt.Errorf("it names the group %s, but %d is the last that can be named", name, groupMax)
	}
	return n, nil
}

// LeavesSlash says whether a path, which begins with /, surely begins with one still once its matches are replaced.
func (p Pattern) LeavesSlash(with model.Substitution) bool {
	if !mayTakeSlash(p.tree) {
		return true
	}
	leading := map[int]bool{0: true}
	noteLeading(p.tree, leading)
	sure := map[int]bool{}
	for group := range leading {
		sure[group] = group == 0
	}
	noteMandatory(p.tree, sure)
	for _, part := range with {
		switch {
		case part.Text != "":
			return strings.HasPrefix(part.Text, "/")
		case leading[part.Group] && sure[part.Group] && !mayBeEmpty(p.tree, part.Group):
			return true
		case !leading[part.Group]:
			// What it holds is some other part of the path.
			return false
		}
	}
	return false
}

// first is the first part of a regex that takes a character, what takes none left out; nil where there is none.
func first(re *syntax.Regexp) *syntax.Regexp {
	for _, sub := range re.Sub {
		switch sub.Op {
		case syntax.OpBeginText, syntax.OpBeginLine, syntax.OpEmptyMatch, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		default:
			return sub
		}
	}
	return nil
}

// mayTakeSlash says whether a match may begin with the path's first slash, or before it.
func mayTakeSlash(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpLiteral:
		return re.Rune[0] == '/'
	case syntax.OpCharClass:
		for i := 0; i < len(re.Rune); i += 2 {
			if re.Rune[i] <= '/' && '/' <= re.Rune[i+1] {
				return true
			}
		}
		return false
	case syntax.OpConcat:
		next := first(re)
		return next == nil || mayTakeSlash(next)
	case syntax.OpCapture, syntax.OpPlus:
		return mayTakeSlash(re.Sub[0])
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			if mayTakeSlash(sub) {
				return true
			}
		}
		return false
	default:
		return true
	}
}

// noteLeading notes the groups that hold the beginning of a match or nothing.
func noteLeading(re *syntax.Regexp, leading map[int]bool) {
	switch re.Op {
	case syntax.OpCapture:
		leading[re.Cap] = true
		noteLeading(re.Sub[0], leading)
	case syntax.OpConcat:
		if next := first(re); next != nil {
			noteLeading(next, leading)
		}
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			noteLeading(sub, leading)
		}
	case syntax.OpQuest:
		noteLeading(re.Sub[0], leading)
	}
}

// noteMandatory notes the leading groups that take part in every match.
func noteMandatory(re *syntax.Regexp, sure map[int]bool) {
	switch re.Op {
	case syntax.OpCapture:
		sure[re.Cap] = true
		noteMandatory(re.Sub[0], sure)
	case syntax.OpConcat:
		if next := first(re); next != nil {
			noteMandatory(next, sure)
		}
	}
}

// mayBeEmpty says whether a group may hold nothing, where it takes part in the match. Group 0 is the whole match.
func mayBeEmpty(re *syntax.Regexp, group int) bool {
	of := re
	if group > 0 {
		of = capture(re, group)
	}
	return of == nil || empty(of)
}

func capture(re *syntax.Regexp, group int) *syntax.Regexp {
	if re.Op == syntax.OpCapture && re.Cap == group {
		return re
	}
	for _, sub := range re.Sub {
		if found := capture(sub, group); found != nil {
			return found
		}
	}
	return nil
}

// empty says whether a regex may match nothing.
func empty(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpLiteral, syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return false
	case syntax.OpCapture, syntax.OpPlus:
		return empty(re.Sub[0])
	case syntax.OpRepeat:
		return re.Min == 0 || empty(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if !empty(sub) {
				return false
			}
		}
		return true
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			if empty(sub) {
				return true
			}
		}
		return false
	default:
		return true
	}
}
