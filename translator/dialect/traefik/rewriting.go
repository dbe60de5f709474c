package traefik

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/model"
)

var rewriting = []dialect.Annotation{
	{
		Key: "rewrite-target", On: dialect.OnIngress, Type: "a path", Support: dialect.Approximated,
		Note: "The matched path is taken as it is written, where Traefik read it as a regular expression; one slash stays between the target and what follows. " +
			"With a rule-type that strips, the target is put before what is left of the path, where Traefik 1.7 did nothing. " +
			"X-Replaced-Path is the path that the client asked for, in place of a client's own. A request-modifier takes its place.",
		Doc:     "Replaces the matched path of a rule by another, for the backend.",
		Example: "/app", Family: "rewriting", Case: "rewriting/target",
	},
	{
		Key: "request-modifier", On: dialect.OnIngress, Type: "AddPrefix: PATH, ReplacePath: PATH or ReplacePathRegex: REGEX REPLACEMENT",
		Support: dialect.Approximated,
		Note: "All behind the first colon counts, where Traefik 1.7 cut at the second. A regex is matched against the path as it is escaped, is ASCII, and stands beside no rule-type that strips; " +
			"what it makes must begin with a slash; requests with .. within their path are refused beside it (400). " +
			"X-Replaced-Path is the path that the client asked for, in place of a client's own, also where a regex changes nothing.",
		Doc:     "Changes the path that the backend sees.",
		Example: "AddPrefix: /users", Family: "rewriting", Case: "rewriting/modifier",
	},
}

// pathChange is what the annotations ask of the paths of an Ingress.
type pathChange struct {
	// replace is as in dialect.PathClaim.
	replace string
	// rewrite is a *model.ReplacePrefix where rewrite-target asks.
	rewrite model.Rewrite
	// closed is why the paths answer 503.
	closed *model.Closed
	origin diag.Origin
	// target and modifier are the annotations' values.
	target, modifier string
}

// tail is what Traefik 1.7 put behind a path in its rule (provider/kubernetes/kubernetes.go, getRuleForPath).
func (p pathChange) tail(path string) string {
	var out string
	if p.target != "" {
		out = ";ReplacePathRegex: ^" + path + "(.*) " + strings.TrimRight(p.target, "/") + "$1"
	}
	if kind, value, ok := strings.Cut(p.modifier, ":"); ok {
		out += ";" + strings.TrimSpace(kind) + ":" + strings.TrimSpace(value)
	}
	return out
}

// closes is a change that cannot be made. The paths are closed, as Traefik 1.7 dropped them: to the backend another path
// may mean what was not to be seen.
func (r *rewriteReader) closes(at diag.Origin, message, fix string) pathChange {
	d := diag.New(diag.CodeBadValue, at, message, "its paths answer 503", fix)
	r.Say(d)
	return pathChange{closed: &model.Closed{Reason: message, Code: d.Code, Origin: at}}
}

type rewriteReader struct {
	*dialect.Reader
	ruleType string
}

// readRewriting reads rewrite-target and request-modifier. Traefik 1.7 applied both, the latter to what the former made,
// so that only the latter's word was left (rules.go, replacePathRegex; server_configuration.go, buildMatcherMiddlewares).
func readRewriting(reader *dialect.Reader, shape *dialect.Shape, ruleType string) pathChange {
	r := rewriteReader{reader, ruleType}
	target, targetAt, isTarget := r.Value("rewrite-target")
	modifier, at, modifies := r.Value("request-modifier")
	if isTarget && modifies {
		r.Say(diag.New(diag.CodeWithoutEffect, targetAt, "request-modifier says what becomes of the path", "it has no effect", "remove one of the two").With(at))
	}
	var out pathChange
	switch {
	case modifies:
		out = r.modifier(templated(modifier), at)
	case isTarget:
		out, at = r.target(templated(target), targetAt), targetAt
	default:
		return pathChange{}
	}
	out.origin, out.target, out.modifier = at, target, modifier
	shape.Annotations = append(shape.Annotations, at)
	return out
}

// templated is a value as Traefik 1.7's rules had it: it went through a quoted string of a template, in which a backslash
// stood for two. What is no such string had no effect there, and is taken as it is.
func templated(value string) string {
	if !strings.Contains(value, `\\`) {
		return value
	}
	if plain, err := strconv.Unquote(`"` + value + `"`); err == nil {
		return plain
	}
	return value
}

func (r *rewriteReader) target(target string, at diag.Origin) pathChange {
	if r.ruleType == ruleReplacePath {
		return r.besideReplacePath(at, "rewrite-target")
	}
	if strings.Contains(target, "$") {
		return r.closes(at, fmt.Sprintf("%q holds a $, but rewrite-target has no groups", target), "write a path, or request-modifier: ReplacePathRegex")
	}
	with, wrong := ownPrefix(target)
	if wrong != "" {
		return r.closes(at, fmt.Sprintf("%q is no target: %s", target, wrong), "write an absolute path")
	}
	return pathChange{rewrite: &model.ReplacePrefix{With: with, Origin: at}}
}

func (r *rewriteReader) besideReplacePath(at diag.Origin, key string) pathChange {
	return r.closes(at, key+" cannot stand beside rule-type ReplacePath, which says what the path becomes", "remove one of the two")
}

func (r *rewriteReader) modifier(text string, at diag.Origin) pathChange {
	const forms = "AddPrefix: PATH, ReplacePath: PATH or ReplacePathRegex: REGEX REPLACEMENT"
	kind, value, ok := strings.Cut(text, ":")
	kind, value = strings.TrimSpace(kind), strings.TrimSpace(value)
	if !ok || value == "" {
		return r.closes(at, fmt.Sprintf("%q is no modifier", text), "write "+forms)
	}
	if r.ruleType == ruleReplacePath {
		return r.besideReplacePath(at, "request-modifier")
	}
	switch kind {
	case "AddPrefix":
		prefix, wrong := ownPrefix(value)
		if wrong == "" && prefix == "" {
			wrong = "it adds nothing"
		}
		if wrong != "" {
			return r.closes(at, fmt.Sprintf("%q is no prefix: %s", value, wrong), "write an absolute path")
		}
		return pathChange{rewrite: &model.AddPrefix{Prefix: prefix, Origin: at}}
	case ruleReplacePath:
		if !strings.HasPrefix(value, "/") {
			return r.closes(at, fmt.Sprintf("%q is no path: it does not begin with /", value), "write an absolute path")
		}
		return pathChange{replace: dialect.SentPath(value)}
	case "ReplacePathRegex":
		return r.regex(value, at)
	default:
		return r.closes(at, fmt.Sprintf("%q is no modifier", kind), "write "+forms)
	}
}

func (r *rewriteReader) regex(value string, at diag.Origin) pathChange {
	fields := strings.Fields(value)
	if len(fields) != 2 {
		return r.closes(at, fmt.Sprintf("%q is not a regex and a replacement with one space between them", value), "write REGEX REPLACEMENT, a space in a path as %20")
	}
	pattern, err := dialect.ParsePattern(fields[0])
	if err != nil {
		return r.closes(at, fmt.Sprintf("the regex %s cannot be used: %s", fields[0], err), "write one in the syntax of RE2, over ASCII")
	}
	with, err := pattern.ParseSubstitution(fields[1], dialect.SentPath)
	if err != nil {
		return r.closes(at, fmt.Sprintf("the replacement %s cannot be used: %s", fields[1], err), "write a path in which $1 is the first group")
	}
	if dotsAlone(with) {
		return r.closes(at, fmt.Sprintf("the replacement %s may make a dot segment", fields[1]), "write no dot by itself between slashes or groups")
	}
	if !pattern.LeavesSlash(with) {
		return r.closes(at, fmt.Sprintf("what %s makes may not begin with a slash", value), "begin the replacement with /")
	}
	return pathChange{rewrite: &model.ReplaceRegex{Pattern: pattern.String(), With: with, Origin: at}}
}

// dotsAlone says whether a text of a substitution has a part between slashes, or between a slash and a group, of dots only.
func dotsAlone(with model.Substitution) bool {
	for _, part := range with {
		for element := range strings.SplitSeq(part.Text, "/") {
			if element != "" && strings.Trim(element, ".") == "" {
				return true
			}
		}
	}
	return false
}

// ownPrefix is a prefix that an annotation names, without slashes at its end, or what is wrong with it.
func ownPrefix(text string) (prefix, wrong string) {
	if !strings.HasPrefix(text, "/") {
		return "", "it does not begin with /"
	}
	prefix = dialect.SentPath(strings.TrimRight(text, "/"))
	if prefix != "" && path.Clean(prefix) != prefix {
		return "", "it holds // or a dot segment"
	}
	return prefix, ""
}

// applyTo changes one path of a rule.
func (p pathChange) applyTo(c dialect.PathClaim) (dialect.PathClaim, []diag.D) {
	switch {
	case c.Closed != nil || p.closed == nil && p.rewrite == nil && p.replace == "":
		return c, nil
	case p.closed != nil:
		c.Closed = p.closed
		return c, nil
	}
	if p.replace != "" {
		c.Replace, c.ReplaceOrigin = p.replace, p.origin
		return c, nil
	}
	switch rewrite := p.rewrite.(type) {
	case *model.ReplacePrefix:
		if c.Strip == nil {
			c.Rewrite = rewrite
		} else if rewrite.With != "" {
			c.Rewrite = &model.AddPrefix{Prefix: rewrite.With, Origin: rewrite.Origin}
		}
	case *model.ReplaceRegex:
		if c.Strip != nil {
			d := diag.New(diag.CodeBadValue, p.origin, "ReplacePathRegex cannot stand beside a rule-type that strips", "its paths answer 503",
				"write rule-type PathPrefix or Path, and a regex of the whole path")
			c.Closed = &model.Closed{Reason: d.Message, Code: d.Code, Origin: d.Origin}
			return c, []diag.D{d}
		}
		c.Rewrite = rewrite
	default:
		c.Rewrite = p.rewrite
	}
	return c, nil
}
