package envoy

import (
	"html"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/postern-gateway/postern/translator/model"
)

// encodingHeader says which compression a client takes.
const encodingHeader = "accept-encoding"

// stripped renders a route whose prefix the backend does not see. The prefix itself and what is below it are matched
// apart, each with a rewrite that leaves exactly one slash: neither // nor a climbing /.. can come of it.
func (b *routeBuilder) stripped(f *model.Forward) {
	prefix := f.Strip.Prefix
	fill := func(change rewrite) func(*routev3.Route) {
		return func(r *routev3.Route) {
			if f.ReplacePath != "" {
				change = replacePath(f.ReplacePath)
			}
			r.Action = &routev3.Route_Route{Route: b.routeAction(f, change)}
			r.RequestHeadersToAdd = []*corev3.HeaderValueOption{overwriteHeader("x-forwarded-prefix", prefix)}
			if f.ReplacePath != "" {
				r.RequestHeadersToAdd = append(r.RequestHeadersToAdd, replacedPath())
			}
			// Paths that the backend names are the prefix's only where it sees what is left of them.
			if b.route.Path.Kind != model.PathExact && f.ReplacePath == "" && b.route.Rewrite == nil {
				putUnder(prefix, r)
			}
			if f.Strip.RewriteBase {
				rewriteBase(prefix, r)
			}
		}
	}
	root := "/" // what the backend sees in the place of the prefix
	if add, ok := b.route.Rewrite.(*model.AddPrefix); ok {
		root = add.Prefix + "/"
	}
	if b.route.Path.Kind == model.PathExact {
		b.emit(exactPath(b.route.Path.Value), nil, fill(prefixRewrite(root)))
		return
	}
	if strings.HasSuffix(b.route.Path.Value, "/") {
		// Traefik's own reading of /foo/ takes what begins so, and not /foo.
		b.emit(prefixPath(b.route.Path.Value), nil, fill(replacePrefix(b.route.Path.Value, root)))
		return
	}
	if b.edge.SlashRedirect {
		b.emit(exactPath(prefix), []*routev3.HeaderMatcher{reading()}, func(r *routev3.Route) {
			r.Action = &routev3.Route_Redirect{Redirect: &routev3.RedirectAction{
				PathRewriteSpecifier: &routev3.RedirectAction_PathRedirect{PathRedirect: prefix + "/"},
				ResponseCode:         routev3.RedirectAction_FOUND,
			}}
		})
	}
	b.emit(exactPath(prefix), nil, fill(prefixRewrite(root)))
	b.emit(prefixPath(prefix+"/"), nil, fill(replacePrefix(prefix+"/", root)))
	if b.route.Path.Kind == model.PathStringPrefix {
		// Traefik's own reading takes /foobar for /foo and bar. What follows may not begin with a dot: /foo../x
		// would climb out of what the route opens.
		pattern := spell(prefix).regex()
		b.emit(regexPath(pattern+`[^./].*`), nil, fill(regexRewrite("^"+pattern, root)))
	}
}

// putUnder has the script put Location and cookie paths of the response under the prefix.
func putUnder(prefix string, r *routev3.Route) {
	switchOn(r, prefixFilterName, runScript(PrefixScript, map[string]*structpb.Value{"prefix": structpb.NewStringValue(prefix)}))
}

// rewriteBase has the script put the base element of pages under the prefix; it reads only what is not compressed.
func rewriteBase(prefix string, r *routev3.Route) {
	context := map[string]*structpb.Value{"prefix": structpb.NewStringValue(html.EscapeString(prefix))}
	if r.GetMatch().GetPath() == prefix {
		// The page's own address has no slash behind the prefix, so that its relative links would miss the prefix
		// without a base. Everywhere else they are right as they are.
		context["insert"] = structpb.NewBoolValue(true)
	}
	r.RequestHeadersToAdd = append(r.RequestHeadersToAdd, overwriteHeader(encodingHeader, "identity"))
	switchOn(r, baseFilterName, runScript(BaseScript, context))
}
