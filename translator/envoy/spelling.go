package envoy

import (
	"fmt"
	"regexp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
)

// Envoy decodes the escapes of unreserved characters before it matches a path, and no others: /a+b and /a%2Bb stay two
// paths, and so do /%C3%A9 and /%c3%a9. To a backend they are one. A path that has more than one such spelling is
// therefore matched by a regex of all of them, or a client could walk around its route.

// spelt is a path, or the beginning of one, in every spelling that requests may have.
type spelt struct {
	path string
	// pattern is the regex, empty where the path is its one spelling.
	pattern string
}

// regex is a regex in any case.
func (s spelt) regex() string {
	if s.pattern == "" {
		return regexp.QuoteMeta(s.path)
	}
	return s.pattern
}

// spell finds the spellings of a path of the model.
func spell(path string) spelt {
	var b strings.Builder
	several := false
	for i := 0; i < len(path); i++ {
		one := path[i : i+1]
		if one == "%" {
			one = path[i : i+len("%XX")]
		}
		pattern := spellings(one)
		if one == stray && mayBeStray(path[i+len(stray):]) {
			pattern = "%(?:25)?"
		}
		several = several || pattern != regexp.QuoteMeta(one)
		b.WriteString(pattern)
		i += len(one) - 1
	}
	if !several {
		return spelt{path: path}
	}
	return spelt{path: path, pattern: b.String()}
}

// stray is an escaped %, of which clients forget to escape the % where no escape begins with it.
const stray = "%25"

// mayBeStray says whether a % in front of the rest of a path can be one that begins no escape. At the end of what is only
// a beginning it may begin one.
func mayBeStray(rest string) bool {
	for i := range min(len("XX"), len(rest)) {
		if !strings.ContainsRune("0123456789ABCDEFabcdef", rune(rest[i])) {
			return true
		}
	}
	return len(rest) < len("XX")
}

// spellings is a regex for one character of a path, plain or escaped.
func spellings(one string) string {
	if len(one) > 1 {
		return escapeInAnyCase(one)
	}
	if c := one[0]; c == '/' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("-._~", c) >= 0 {
		return regexp.QuoteMeta(one)
	}
	return "(?:" + regexp.QuoteMeta(one) + "|" + escapeInAnyCase(fmt.Sprintf("%%%02X", one[0])) + ")"
}

// escapeInAnyCase is a regex for an escape whose letters may be of either case.
func escapeInAnyCase(escape string) string {
	var b strings.Builder
	for _, c := range escape {
		if c >= 'A' && c <= 'F' {
			fmt.Fprintf(&b, "[%c%c]", c, c+'a'-'A')
			continue
		}
		b.WriteRune(c)
	}
	return b.String()
}

// exactPath matches a whole path.
func exactPath(p string) *routev3.RouteMatch {
	s := spell(p)
	if s.pattern == "" {
		return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: p}}
	}
	return regexPath(s.pattern)
}

// separatedPrefix matches a path and what is below it.
func separatedPrefix(p string) *routev3.RouteMatch {
	s := spell(p)
	if s.pattern == "" {
		return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: p}}
	}
	return regexPath(s.pattern + "(?:/.*)?")
}

// prefixPath matches whatever begins so.
func prefixPath(p string) *routev3.RouteMatch {
	s := spell(p)
	if s.pattern == "" {
		return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: p}}
	}
	return regexPath(s.pattern + ".*")
}

// replacePrefix puts something in the place of the prefix that prefixPath matched.
func replacePrefix(p, with string) rewrite {
	s := spell(p)
	if s.pattern == "" {
		return prefixRewrite(with)
	}
	return regexRewrite("^"+s.pattern, with)
}

func regexPath(pattern string) *routev3.RouteMatch {
	return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_SafeRegex{SafeRegex: regex(pattern).GetSafeRegex()}}
}
