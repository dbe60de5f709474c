package dialect

import (
	"strings"
	"testing"
)

func TestParsePattern(t *testing.T) {
	for text, want := range map[string]string{
		`^https?://(\[[\w:.]+\]|[\w._-]+)(?::\d+)?(.*)$`: "",
		`(?i)[a-z]{2,5}\.html$`:                          "",
		`\_\-\/`:                                         "",
		`(a`:                                             "no regular expression",
		`a(?=b)`:                                         "no regular expression",
		`a**`:                                            "no regular expression",
		`x{1001}`:                                        "no regular expression",
		`/é`:                                             "a character that no URL has",
		"a\nb":                                           "a character that no URL has",
		`\pL`:                                            `it holds \p`,
		`\x{e9}`:                                         `it holds \p`,
		`.{400}`:                                         "too large",
		`[acegikmoqsuwy]{60}`:                            "too large",
	} {
		_, err := ParsePattern(text)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestLeavesSlash(t *testing.T) {
	tests := []struct {
		pattern, with string
		want          bool
	}{
		{`^/a/(.*)`, "/b/$1", true},
		{`^/a/(.*)`, "$1", false},
		{`^/a(/.*)?$`, "$1", false}, // nothing is left of /a
		{`^/a(/.*)?$`, "$1/b", false},
		{`^(/a/.*)$`, "$1", true},
		{`^(/a/.*)$`, "$0", true},
		{`^((/a)/.*)$`, "$2", true},
		{`(.*)/b(.*)`, "$1/c$2", true}, // before b is what begins with a slash, or nothing
		{`(.*)/b(.*)`, "$2", false},
		{`^(/a)?/b`, "$1/c", true},
		{`^(/a)?/b`, "${1}c", false},
		{`^(?:(/a)|(b))/c`, "$1/d", true},
		{`^(?:(/a)|(b))/c`, "$2/d", true},
		{`^(?:(/a)|(b))/c`, "$1", false},
		{`^(/[^/]+){2}`, "$1", false}, // the second, not the first
		{`api/`, "v2/", true},         // never matches the first slash
		{`[a-z]+`, "x", true},
		{`[^a]`, "x", false},
		{`.`, "x", false},
		{`x*`, "y", false},
		{`x*`, "/", true},
		{`(?i)API`, "x", true},
		{`a|b`, "x", true},
		{`a|/`, "x", false},
		{`\b`, "x", false},
		{`$`, "x", false},
	}
	for _, tt := range tests {
		p, err := ParsePattern(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		with, err := p.ParseSubstitution(tt.with, SentPath)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.LeavesSlash(with); got != tt.want {
			t.Errorf("%s to %s leaves a slash: %v, want %v", tt.pattern, tt.with, got, tt.want)
		}
	}
}

func TestParseSubstitution(t *testing.T) {
	p, err := ParsePattern(`(?P<first>a)(b)`)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"/$1/${2}": "/<1>/<2>", "$first": "<1>", "${first}x": "<1>x", "$0": "<0>", "$$1": "$1", `a\b c`: "a%5Cb%20c", "/é": "/%C3%A9",
		"$3": "!", "$1x": "!", "$": "!", "${1": "!", "${}": "!", "$-": "!", "$10": "!", "$-1": "!",
	} {
		with, err := p.ParseSubstitution(text, SentURL)
		got := ""
		for _, part := range with {
			if got += part.Text; part.Text == "" {
				got += "<" + string(rune('0'+part.Group)) + ">"
			}
		}
		if err != nil {
			got = "!"
		}
		if got != want {
			t.Errorf("%s: %s (%v), want %s", text, got, err, want)
		}
	}
}
