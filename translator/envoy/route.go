package envoy

import (
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/postern-gateway/postern/translator/model"
)

// hostBuilder gathers the routes of one virtual host.
type hostBuilder struct {
	edge  model.Edge
	entry model.Entry
	// oneHost says that all requests are for one host, whatever its spelling.
	oneHost bool
	routes  []*routev3.Route
}

// add renders routes, each under the given header matches.
func (b *hostBuilder) add(routes []model.Route, under []*routev3.HeaderMatcher) {
	for _, r := range routes {
		rb := routeBuilder{hostBuilder: b, route: r, under: under}
		switch action := r.Action.(type) {
		case *model.Closed:
			rb.closed()
		case *model.Forward:
			rb.forward(action)
		}
	}
}

// routeBuilder renders one route of the model, which may take several of Envoy's.
type routeBuilder struct {
	*hostBuilder
	route model.Route
	under []*routev3.HeaderMatcher
}

// emit adds a route for a match under the builder's header matches and more of them.
func (b *routeBuilder) emit(match *routev3.RouteMatch, more []*routev3.HeaderMatcher, fill func(*routev3.Route)) {
	match.Headers = slices.Concat(b.under, more)
	r := &routev3.Route{Match: match, Metadata: originMetadata(b.route.Origins)}
	fill(r)
	b.routeFilters(r)
	if b.route.HSTS != nil {
		r.ResponseHeadersToAdd = append(r.ResponseHeadersToAdd, overwriteHeader("strict-transport-security", b.route.HSTS.String()))
	}
	b.routes = append(b.routes, r)
}

// closed answers 503, in every spelling of the path: a broader route must not take one of them for its own.
func (b *routeBuilder) closed() {
	if b.route.HTTPSRedirect != nil {
		b.httpsRedirect(*b.route.HTTPSRedirect)
	}
	b.emit(b.match(b.route), nil, func(r *routev3.Route) {
		r.Action = directResponse(503)
	})
}

func directResponse(status uint32) *routev3.Route_DirectResponse {
	return &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: status}}
}

func (b *routeBuilder) forward(f *model.Forward) {
	if b.route.RootRedirect != nil {
		b.rootRedirect(*b.route.RootRedirect)
	}
	if b.route.HTTPSRedirect != nil {
		b.httpsRedirect(*b.route.HTTPSRedirect)
	}
	if b.route.HostRedirect != nil {
		b.hostRedirect(*b.route.HostRedirect)
	}
	if f.Strip == nil {
		b.rewritten(f)
		return
	}
	b.stripped(f)
}

// match is what a route takes: where it is closed, its path in every spelling.
func (b *hostBuilder) match(r model.Route) *routev3.RouteMatch {
	if _, closed := r.Action.(*model.Closed); closed {
		return everySpelling(r.Path, b.edge.EscapedSlashes)
	}
	return pathMatch(r.Path)
}

// pathMatch is the match of a rule's path.
func pathMatch(p model.PathMatch) *routev3.RouteMatch {
	switch {
	case p.Kind == model.PathExact:
		return exactPath(p.Value)
	case p.Kind == model.PathStringPrefix || p.Value == "/":
		return prefixPath(p.Value)
	default:
		return separatedPrefix(p.Value)
	}
}

func regex(pattern string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: pattern}}}
}

func headerMatch(name string, m *matcherv3.StringMatcher) *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{Name: name, HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: m}}
}

// reading admits GET and HEAD: the methods that every status of a redirect leaves as they are.
func reading() *routev3.HeaderMatcher { return headerMatch(":method", regex("GET|HEAD")) }

// rewrite is how the path changes on its way to the backend; a nil rewrite leaves it.
type rewrite func(*routev3.RouteAction)

func prefixRewrite(to string) rewrite {
	return func(a *routev3.RouteAction) { a.PrefixRewrite = to }
}

func regexRewrite(pattern, to string) rewrite {
	return func(a *routev3.RouteAction) {
		a.RegexRewrite = &matcherv3.RegexMatchAndSubstitute{
			Pattern: &matcherv3.RegexMatcher{Regex: pattern}, Substitution: to,
		}
	}
}

// replacePath sends every request to one path.
func replacePath(path string) rewrite {
	return regexRewrite("^/.*$", path)
}

func (b *routeBuilder) routeAction(f *model.Forward, change rewrite) *routev3.RouteAction {
	a := &routev3.RouteAction{
		// No limit on how long a response takes: the stream idle timeout ends one that stands still.
		Timeout: durationpb.New(0),
		RetryPolicy: &routev3.RetryPolicy{
			RetryOn: "connect-failure,refused-stream,reset-before-request", NumRetries: wrapperspb.UInt32(1),
		},
	}
	if n := f.Buffering.Retries; n != nil {
		a.RetryPolicy.NumRetries = wrapperspb.UInt32(n.Value)
	}
	setTargets(a, f.Targets)
	if change != nil {
		change(a)
	}
	return a
}

// setTargets sends the requests to one cluster, or to several by weight. Each has its own Host.
func setTargets(a *routev3.RouteAction, targets []model.Target) {
	if len(targets) == 1 {
		a.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: targets[0].Backend}
		if host := targets[0].Host; host != "" {
			a.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: host}
		}
		return
	}
	clusters := &routev3.WeightedCluster{}
	for _, t := range targets {
		w := &routev3.WeightedCluster_ClusterWeight{Name: t.Backend, Weight: wrapperspb.UInt32(t.Weight)}
		w.TypedPerFilterConfig = targetFilters(t)
		if t.Host != "" {
			w.HostRewriteSpecifier = &routev3.WeightedCluster_ClusterWeight_HostRewriteLiteral{HostRewriteLiteral: t.Host}
		}
		clusters.Clusters = append(clusters.Clusters, w)
	}
	a.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: clusters}
}

// overwriteHeader sets a header to a literal value, in which a % is no operator.
func overwriteHeader(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, Value: strings.ReplaceAll(value, "%", "%%")},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}
