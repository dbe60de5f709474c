package envoy

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/postern-gateway/postern/translator/model"
)

// everySpelling matches what some backend reads as the path of a rule, or as below it: with parameters (/admin;x, as
// Java's servers drop them), with reserved characters escaped, and where escaped slashes are kept, with those. Case is
// kept, and nothing is decoded twice. The regex's program stays within Envoy's limit for the longest path that a rule
// may have.
func everySpelling(p model.PathMatch, slashes model.EscapedSlashes) *routev3.RouteMatch {
	if p.Value == "/" && p.Kind != model.PathExact {
		return prefixPath("/")
	}
	slash := "/"
	if slashes == model.SlashesKeep {
		slash = anySlash
	}
	// The visible characters but for the slash.
	const parameters = "(?:" + semicolon + "[!-.0-~]*)?"
	next := "(?:" + parameters + slash + ")+"
	var pattern strings.Builder
	rest, open := strings.CutSuffix(p.Value, "/")
	for element := range strings.SplitSeq(strings.TrimPrefix(rest, "/"), "/") {
		pattern.WriteString(next + spelled(element))
	}
	if open && rest != "" {
		pattern.WriteString(next)
	}
	switch p.Kind {
	case model.PathExact:
		pattern.WriteString(parameters)
	case model.PathPrefix:
		pattern.WriteString(parameters + "(?:" + slash + ".*)?")
	case model.PathStringPrefix:
		pattern.WriteString(".*")
	}
	return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_SafeRegex{SafeRegex: regex(pattern.String()).GetSafeRegex()}}
}

// spelled matches an element of a rule's path. Normalisation has decoded the escapes of unreserved characters; each of
// the others may stand as it is or escaped.
func spelled(element string) string {
	var out strings.Builder
	for len(element) > 0 {
		c, n := element[0], 1
		if c == '%' && len(element) >= len("%XX") {
			if decoded, err := hex.DecodeString(element[1:3]); err == nil {
				c, n = decoded[0], 3
			}
		}
		element = element[n:]
		switch plain := regexp.QuoteMeta(string(rune(c))); {
		case unreserved(c):
			out.WriteString(plain)
		case c <= ' ' || c >= 0x7f, c == '%' && n > 1: // a bare % would begin another escape
			out.WriteString(escaped(c))
		default:
			out.WriteString("(?:" + plain + "|" + escaped(c) + ")")
		}
	}
	return out.String()
}

// unreserved are the characters whose escapes mean the same as they do (RFC 3986, 2.3).
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// escaped matches %XX of a byte, in either case.
func escaped(c byte) string {
	out := "%"
	for _, digit := range fmt.Sprintf("%02x", c) {
		if digit >= 'a' {
			out += "[" + string(digit) + strings.ToUpper(string(digit)) + "]"
		} else {
			out += string(digit)
		}
	}
	return out
}
