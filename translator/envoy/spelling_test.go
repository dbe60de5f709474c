package envoy

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestSpell(t *testing.T) {
	for path, want := range map[string]string{
		"/a-b/C.d_~1": "",
		"/a%20b":      "",
		"/a+b":        `/a(?:\+|%2[Bb])b`,
		"/%C3%A9":     "/%[Cc]3%[Aa]9",
		"/100%25":     "/100%(?:25)?",
		"/%25zz":      "/%(?:25)?zz",
		"/%25a":       "/%(?:25)?a",
		"/%25az":      "/%(?:25)?az",
		"/%25aaz":     "",
	} {
		if got := spell(path); got.pattern != want || got.path != path {
			t.Errorf("spell(%q) is %+v, want %q", path, got, want)
		}
	}
}

// TestEveryByteMatchesHoweverItIsSpelt: plain where it may stand so, and as %XX in either case; and as nothing else.
func TestEveryByteMatchesHoweverItIsSpelt(t *testing.T) {
	for c := 1; c < 256; c++ {
		plain, escaped := string([]byte{byte(c)}), fmt.Sprintf("%%%02X", c)
		ofModel, others := escaped, []string{escaped, strings.ToLower(escaped)}
		switch {
		case c == '/' || c == '\\':
			continue // Their escapes never come to be matched.
		case strings.Contains("-._~", plain) || regexp.MustCompile("^[a-zA-Z0-9]$").MatchString(plain):
			ofModel, others = plain, []string{plain}
		case strings.Contains("!$&'()*+,;=:@[]", plain):
			ofModel, others = plain, append(others, plain)
		}
		pattern := regexp.MustCompile("^(?:" + spell("/"+ofModel+"x").regex() + ")$")
		for _, other := range others {
			if !pattern.MatchString("/" + other + "x") {
				t.Errorf("%s does not match %q", pattern, other)
			}
		}
		if pattern.MatchString("/%25" + escaped[1:] + "x") {
			t.Errorf("%s matches what is escaped twice", pattern)
		}
	}
}
