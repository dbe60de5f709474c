package traefik

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

var routing = []dialect.Annotation{
	{
		Key: "rule-type", Aliases: []string{"traefik.frontend.rule.type"}, On: dialect.OnIngress,
		Type:    "Path, PathPrefix, PathStrip, PathPrefixStrip or ReplacePath",
		Support: dialect.Approximated,
		Note: "Prefixes end at a path element: /foo never matches /foobar, unless --traefik-path-prefix=string is set. " +
			"A stripped prefix also redirects /foo to /foo/, sets X-Forwarded-Prefix in place of a client's, and puts Location and cookie paths under the prefix. " +
			"X-Replaced-Path, beside ReplacePath, takes the place of a client's too.",
		Doc:     "How the paths of the Ingress match, and what of them the backend sees. It overrides pathType.",
		Example: "PathPrefixStrip", Family: "routing", Case: "traefik/rule-type",
	},
	{
		Key: "priority", Aliases: []string{"traefik.frontend.priority"}, On: dialect.OnIngress, Type: "a whole number",
		Support: dialect.Approximated,
		Note:    "It orders the rules of one host, or those without a host; it never puts a broader host before a narrower one.",
		Doc:     "Above 0, it takes the place of the rule's length where rules are ordered.",
		Example: "10", Family: "routing", Case: "traefik/priority",
	},
	{
		Key: "frontend-entry-points", Aliases: []string{"traefik.frontend.entryPoints"}, On: dialect.OnIngress,
		Type: "a list of http, https", Support: dialect.Approximated,
		Note:    "By default all open entries serve the Ingress; Traefik's default was http alone.",
		Doc:     "The entry points that serve the Ingress.",
		Example: "http,https", Family: "routing", Case: "traefik/entry-points",
	},
	{
		Key: "service-weights", On: dialect.OnIngress, Type: weightForms, Support: dialect.Approximated,
		Note: "A Service's part is its own whatever its number of endpoints, and stays its own (503) where it has none. " +
			"Several Services that are left out share the rest evenly. Weights that do not make 100% keep their proportion, " +
			"and a weight that cannot be read closes the paths that share requests with it; Traefik 1.7 dropped the whole Ingress for either.",
		Doc:     "The parts of a path's requests that its Services get; one that is left out gets the rest.",
		Example: "web: 90%\napi: 10%", Family: "routing", Case: "traefik/service-weights",
	},
}

// The values of rule-type.
const (
	rulePath            = "Path"
	rulePathPrefix      = "PathPrefix"
	rulePathStrip       = "PathStrip"
	rulePathPrefixStrip = "PathPrefixStrip"
	ruleReplacePath     = "ReplacePath"
)

var ruleTypes = []string{rulePath, rulePathPrefix, rulePathStrip, rulePathPrefixStrip, ruleReplacePath}

// Shape reads the annotations of an Ingress. The protocol is that of backends of which no annotation speaks: Traefik's
// inference from the Service port, but for an Ingress that carries another dialect's annotations too, which is native
// in what no annotation says, and so shares no paths either.
func Shape(ing source.Ingress, s dialect.Settings, protocol model.Protocol) (dialect.Shape, []diag.D) {
	r := dialect.Read(Table, dialect.OnIngress, ing.Annotations, ing.AnnotationOrigin)
	shape := dialect.Shape{Path: dialect.NativePath, Policies: model.Policies{Protocol: protocol}, HostAnnotation: preserveHost}
	shape.SharesPaths = protocol == model.ProtocolFromPort
	readRouting(r, s, &shape)
	readWeights(r, ing, &shape)
	readRedirects(r, ing, &shape)
	readBackends(r, &shape)
	readAccess(r, &shape)
	readHeaders(r, &shape)
	readRateLimit(r, &shape)
	readErrorPages(r, &shape)
	readClientCertificate(r, &shape)
	readAuth(r, ing.Namespace, &shape)
	if shape.Closed == nil {
		shape.Closed = r.Closed
	}
	shape.Annotated = r.Annotated
	return shape, r.Diagnostics
}

func readRouting(r *dialect.Reader, s dialect.Settings, shape *dialect.Shape) {
	if text, at, ok := r.Value("priority"); ok {
		n, err := strconv.Atoi(text)
		if err != nil {
			r.Bad(at, text, "a whole number", "the rules are ordered as if it were absent")
		} else {
			shape.Priority = n
			shape.Annotations = append(shape.Annotations, at)
		}
	}
	if text, at, ok := r.Value("frontend-entry-points"); ok {
		readEntries(r, s, text, at, shape)
		names := strings.Split(text, ",")
		for i := range names {
			names[i] = strings.TrimSpace(names[i])
		}
		shape.PoolPrefix = strings.Join(names, "-") + "_"
	}
	if shape.Priority > 0 {
		shape.PoolPrefix = strconv.Itoa(shape.Priority) + "-" + shape.PoolPrefix
	}
	read := pathReader{settings: s}
	if text, at, ok := r.Value("rule-type"); ok {
		shape.Annotations = append(shape.Annotations, at)
		read.ruleType, read.ruleTypeAt = text, at
		if !slices.Contains(ruleTypes, text) {
			r.Bad(at, text, strings.Join(ruleTypes, ", "), "its paths answer 503")
			read.ruleType = rulePathPrefix
			shape.Closed = &model.Closed{Reason: text + " is not a rule-type", Code: diag.CodeBadValue, Origin: at}
		}
	}
	read.change = readRewriting(r, shape, read.ruleType)
	shape.Path = func(rule networkingv1.HTTPIngressPath, at diag.Origin) ([]dialect.PathClaim, []diag.D) {
		claims, ds := read.path(rule, at)
		if rule.Path == "" {
			// Without a path Traefik built no rule that could change one.
			return claims, ds
		}
		for i := range claims {
			changed, more := read.change.applyTo(claims[i])
			changed.RuleTail = read.change.tail(rule.Path)
			claims[i], ds = changed, append(ds, more...)
		}
		return claims, ds
	}
}

func readEntries(r *dialect.Reader, s dialect.Settings, text string, at diag.Origin, shape *dialect.Shape) {
	shape.Annotations = append(shape.Annotations, at)
	// An Ingress whose entry points are all unknown must not fall back to "all".
	shape.Entries = []string{}
	for _, name := range strings.Split(text, ",") {
		name = strings.TrimSpace(name)
		if slices.Contains(s.Entries, name) {
			shape.Entries = append(shape.Entries, name)
			continue
		}
		r.Say(diag.New(diag.CodeNoSuchEntry, at, fmt.Sprintf("there is no entry point %q", name),
			"the Ingress is not served there", "name one of "+strings.Join(s.Entries, ", ")))
	}
}

// pathReader reads the paths of an Ingress; ruleType is empty where the annotation is absent.
type pathReader struct {
	settings   dialect.Settings
	ruleType   string
	ruleTypeAt diag.Origin
	change     pathChange
}

func (p pathReader) path(rule networkingv1.HTTPIngressPath, at diag.Origin) ([]dialect.PathClaim, []diag.D) {
	native := rule.PathType != nil && *rule.PathType != networkingv1.PathTypeImplementationSpecific
	if p.ruleType == "" && native {
		return dialect.NativePath(rule, at)
	}
	if i := strings.IndexAny(rule.Path, "{};"); i >= 0 {
		return closedLanguage(rule.Path, i, at)
	}
	// A comma separates alternatives, of which Traefik left out empty ones (rules/rules.go).
	alternatives := strings.FieldsFunc(rule.Path, func(c rune) bool { return c == ',' })
	if len(alternatives) == 0 {
		alternatives = []string{""}
	}
	var claims []dialect.PathClaim
	var ds []diag.D
	for _, one := range alternatives {
		rule.Path = strings.TrimSpace(one)
		c, more := p.one(rule, at)
		claims, ds = append(claims, c), append(ds, more...)
	}
	return claims, ds
}

// closedLanguage closes what begins like a path in Traefik's own language, up to its first special character.
func closedLanguage(path string, i int, at diag.Origin) ([]dialect.PathClaim, []diag.D) {
	match := model.PathMatch{Kind: model.PathStringPrefix, Value: dialect.CleanPath(path[:i]).Path}
	d := diag.New(diag.CodePathLanguage, at, fmt.Sprintf("%q in the path %q is Traefik's path language", path[i:i+1], path),
		match.String()+" answers 503 in its place, unless another rule means that path", "write plain paths, one for each alternative")
	closed := &model.Closed{Reason: d.Message, Code: d.Code, Origin: at}
	return []dialect.PathClaim{{Match: match, RuleType: rulePathPrefix, StandIn: true, Closed: closed}}, []diag.D{d}
}

// one reads a single path. Without rule-type it is a PathPrefix.
func (p pathReader) one(rule networkingv1.HTTPIngressPath, at diag.Origin) (dialect.PathClaim, []diag.D) {
	if rule.Path == "" {
		// Without a path Traefik builds no path rule, so there is nothing to strip or replace.
		return dialect.PathClaim{Match: model.Prefix("/")}, nil
	}
	c, ds := dialect.CheckPath(rule.Path, at)
	value := c.Match.Value
	c.RuleType = p.ruleType
	if c.Match.Kind != model.PathExact {
		return c, ds // It was cut, and is closed.
	}
	switch p.ruleType {
	case "", rulePathPrefix:
		c.RuleType = rulePathPrefix
		c.Match = p.prefix(value)
	case rulePathPrefixStrip:
		c.Match = p.prefix(value)
		c.Strip = p.strip(c.Match)
	case rulePathStrip:
		c.Strip = p.strip(c.Match)
	case ruleReplacePath:
		// A modifier and no matcher: it takes every path of the host (rules/rules.go, replacePath).
		c.Match, c.Replace, c.ReplaceOrigin = model.Prefix("/"), dialect.SentPath(rule.Path), p.ruleTypeAt
	}
	return c, ds
}

func (p pathReader) prefix(value string) model.PathMatch {
	if p.settings.StringPrefix && value != "/" {
		return model.PathMatch{Kind: model.PathStringPrefix, Value: value}
	}
	return model.Prefix(value)
}

// strip takes off what the path matched; there is nothing to take off of /.
func (p pathReader) strip(m model.PathMatch) *model.Strip {
	prefix := strings.TrimRight(m.Value, "/")
	if prefix == "" {
		return nil
	}
	return &model.Strip{Prefix: prefix, Origin: p.ruleTypeAt}
}
