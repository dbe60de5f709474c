package envoy

import (
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/postern-gateway/postern/translator/model"
)

// askedPath is the path that the client asked for, without its query: Envoy formats headers before it rewrites the path.
const askedPath = "%PATH(NQ)%"

// replacedPath tells the backend what a path was, in place of whatever the client says.
func replacedPath() *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: "x-replaced-path", Value: askedPath},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

// rewritten renders a route that takes no prefix off, and whose path may change otherwise.
func (b *routeBuilder) rewritten(f *model.Forward) {
	fill := func(change rewrite, headers ...*corev3.HeaderValueOption) func(*routev3.Route) {
		return func(r *routev3.Route) {
			r.Action = &routev3.Route_Route{Route: b.routeAction(f, change)}
			r.RequestHeadersToAdd = headers
		}
	}
	if f.ReplacePath != "" {
		b.emit(pathMatch(b.route.Path), nil, fill(replacePath(f.ReplacePath), replacedPath()))
		return
	}
	switch change := b.route.Rewrite.(type) {
	case *model.AddPrefix:
		b.emit(pathMatch(b.route.Path), nil, fill(addPrefix(change.Prefix)))
	case *model.ReplacePrefix:
		b.prefixReplaced(change.With, func(change rewrite) func(*routev3.Route) { return fill(change, replacedPath()) })
	case *model.ReplaceRegex:
		b.emit(pathMatch(b.route.Path), []*routev3.HeaderMatcher{twoDots()}, func(r *routev3.Route) { r.Action = directResponse(400) })
		b.emit(pathMatch(b.route.Path), nil, fill(regexRewrite(change.Pattern, re2Substitution(change.With)), replacedPath()))
	default:
		b.emit(pathMatch(b.route.Path), nil, fill(nil))
	}
}

// addPrefix puts a prefix before the path.
func addPrefix(prefix string) rewrite { return regexRewrite("^/", prefix+"/") }

// prefixReplaced puts something in the place of what a route's match takes. As where a prefix is stripped, the prefix
// itself and what is below it are matched apart, and one slash stays before what follows.
func (b *routeBuilder) prefixReplaced(with string, fill func(rewrite) func(*routev3.Route)) {
	value := b.route.Path.Value
	bare := strings.TrimSuffix(value, "/")
	itself := with
	if itself == "" {
		itself = "/"
	}
	if b.route.Path.Kind == model.PathExact {
		b.emit(exactPath(value), nil, fill(prefixRewrite(itself)))
		return
	}
	if bare == value {
		b.emit(exactPath(bare), nil, fill(prefixRewrite(itself)))
	}
	b.emit(prefixPath(bare+"/"), nil, fill(replacePrefix(bare+"/", with+"/")))
	if b.route.Path.Kind != model.PathStringPrefix || bare != value {
		return
	}
	// Traefik's own reading takes /foobar for /foo and bar. Where that becomes /bar it may not begin with a dot:
	// /foo../x would climb out of what the route opens.
	pattern, following, to := spell(bare).regex(), `[^/].*`, with
	if with == "" {
		following, to = `[^./].*`, "/"
	}
	b.emit(regexPath(pattern+following), nil, fill(regexRewrite("^"+pattern, to)))
}

// twoDots admits paths with two dots in a row.
func twoDots() *routev3.HeaderMatcher {
	return headerMatch(":path", regex(`[^?]*\.\.[^?]*(?:\?.*)?`))
}

// re2Substitution is a substitution in RE2's words.
func re2Substitution(with model.Substitution) string {
	var b strings.Builder
	for _, part := range with {
		if part.Text == "" {
			b.WriteString(`\` + strconv.Itoa(part.Group))
		} else {
			b.WriteString(strings.ReplaceAll(part.Text, `\`, `\\`))
		}
	}
	return b.String()
}
