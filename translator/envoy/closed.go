package envoy

import (
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
		pattern.WriteString(next + spell(element).regex())
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
	return regexPath(pattern.String())
}
