package diff

import (
	"maps"
	"net/url"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
)

// choosePath asks for more of a path where a route looks at more than its class: at a query, by a regular expression, or at
// escaped slashes.
func choosePath(o *options, ch change, routes []model.Route) {
	ends := map[string]bool{}
	for _, r := range routes {
		if r.URLRedirect != nil {
			ends["?q=1"] = true
			for _, text := range samples(r.URLRedirect.Pattern) {
				for _, end := range endings(ch, text) {
					ends[end] = true
				}
			}
		}
		if r.RootRedirect != nil {
			ends["?q=1"] = true
		}
		if change, ok := r.Rewrite.(*model.ReplaceRegex); ok {
			ends["/.."], ends[".."] = true, true
			for _, text := range samples(change.Pattern) {
				for _, end := range endings(ch, text) {
					ends[end] = true
				}
			}
		}
	}
	var out []variation
	for _, end := range slices.Sorted(maps.Keys(ends)) {
		out = append(out, func(r explain.Request) explain.Request {
			r.URL += end
			return r
		})
	}
	o.choose(out...)
}

// endings are what a path may be followed by so that a text stands in it, or in the URL that it makes.
func endings(ch change, text string) []string {
	if u, err := url.Parse(text); err == nil && u.Scheme != "" {
		text = text[min(len(text), strings.Index(text, "://")+3):]
		text = text[strings.IndexAny(text+"/", "/?"):]
	}
	rest, under := strings.CutPrefix(text, ch.path)
	var out []string
	if under {
		out = append(out, rest)
	}
	out = append(out, text)
	if !strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "?") {
		out = append(out, "/"+text, "?"+text)
	}
	return slices.DeleteFunc(out, func(s string) bool {
		return s == "" || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '#' })
	})
}

// samplesMax bounds what is drawn of one pattern.
const samplesMax = 6

// samples are texts that a pattern matches: the shortest ones by each of its branches, and longer ones.
func samples(pattern string) []string {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		panic("diff: pattern " + pattern + " was checked: " + err.Error())
	}
	out := map[string]bool{}
	for variant := range samplesMax {
		s := sampler{variant: variant}
		s.sample(parsed)
		if text := s.String(); text != "" {
			out[text] = true
		}
	}
	return slices.Sorted(maps.Keys(out))
}

// sampler writes one text. The variant chooses branches, and how often what may be repeated is.
type sampler struct {
	strings.Builder
	variant int
}

func (s *sampler) sample(re *syntax.Regexp) {
	switch re.Op {
	case syntax.OpLiteral:
		s.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		s.WriteRune(runeOf(re.Rune, s.variant))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		s.WriteByte("xa/1"[s.variant%4])
	case syntax.OpCapture, syntax.OpConcat:
		for _, sub := range re.Sub {
			s.sample(sub)
		}
	case syntax.OpAlternate:
		s.sample(re.Sub[s.variant%len(re.Sub)])
	case syntax.OpStar, syntax.OpQuest:
		if s.variant%2 == 1 {
			s.sample(re.Sub[0])
		}
	case syntax.OpPlus:
		for range 1 + s.variant/3 {
			s.sample(re.Sub[0])
		}
	case syntax.OpRepeat:
		const repeatsMax = 64
		for range min(max(re.Min, s.variant%2), repeatsMax) {
			s.sample(re.Sub[0])
		}
	}
}

// runeOf is a character of a class, one that a URL may have where there is one.
func runeOf(ranges []rune, variant int) rune {
	const usual = "ax1b/-_Z9.?"
	for i := range len(usual) {
		c := rune(usual[(i+variant)%len(usual)])
		for j := 0; j+1 < len(ranges); j += 2 {
			if ranges[j] <= c && c <= ranges[j+1] {
				return c
			}
		}
	}
	if len(ranges) == 0 {
		return 'x'
	}
	return ranges[0]
}
