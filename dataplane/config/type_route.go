package config

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// A RouteConfiguration is the table of one listener.
type RouteConfiguration struct {
	Name string
	// IgnorePort has hosts compared without the port that the client named.
	IgnorePort             bool
	RequestHeadersToRemove []string // lower case
	VirtualHosts           []VirtualHost
}

// A VirtualHost is a set of domains with routes, of which the first that matches answers.
type VirtualHost struct {
	Name string
	// Domains are exact hosts, "*" with a suffix, or "*"; lower case.
	Domains []string
	Routes  []Route
}

// A Route is a match with an action.
type Route struct {
	Match                   RouteMatch
	Action                  Action
	RequestHeadersToAdd     []HeaderValue
	RequestHeadersToRemove  []string // lower case
	ResponseHeadersToAdd    []HeaderValue
	ResponseHeadersToRemove []string // lower case
	Filters                 Filters
	// Origins are the objects and fields that the route comes of, for the access log and nothing else.
	Origins []string
}

// A PathKind is how a route compares the path.
type PathKind int

// The kinds are the members of Envoy's RouteMatch.path_specifier.
const (
	PathExact PathKind = iota
	PathPrefix
	PathSeparatedPrefix
	PathRegex
)

// A RouteMatch admits a request whose path and headers all match.
type RouteMatch struct {
	Kind    PathKind
	Path    string
	Regexp  *regexp.Regexp // for PathRegex; anchored at both ends
	Headers []HeaderMatch
}

// A HeaderMatch is Envoy's HeaderMatcher on one header or pseudo-header.
type HeaderMatch struct {
	Name string // lower case
	// Value is nil where presence is asked for, or absence with Present false.
	Value   *StringMatch
	Present bool
	Invert  bool
	// MissingEmpty has a header that is not there compared as an empty value.
	MissingEmpty bool
}

// An Action is a *Forward, a *Redirect or a *DirectResponse.
type Action interface{ action() }

// Forward sends the request to a cluster.
type Forward struct {
	// Clusters share the requests by weight. There is one at least.
	Clusters []WeightedCluster
	// PrefixRewrite replaces what the match consumed of the path; empty leaves it.
	PrefixRewrite string
	// RegexRewrite replaces every match in the path, without the query, by Substitution (of regexp's Expand); nil leaves it.
	RegexRewrite *regexp.Regexp
	Substitution string
	// Retries is how often a request is tried again, on another endpoint, that no endpoint has begun to take.
	Retries int
}

// A WeightedCluster is a cluster with its part of a route's requests.
type WeightedCluster struct {
	Name        string
	Weight      uint32
	HostRewrite string // empty keeps the client's
	// Session is how clients are kept at one endpoint, where the route itself does not say; nil for not at all.
	Session *Session
}

// Redirect is Envoy's RedirectAction: what is empty or 0 is taken from the request.
type Redirect struct {
	Status int
	Scheme string
	Host   string
	Port   uint32
	Path   string // with its query, if it has one; else the request's is kept
}

// DirectResponse answers by itself.
type DirectResponse struct{ Status int }

func (*Forward) action()        {}
func (*Redirect) action()       {}
func (*DirectResponse) action() {}

// DecodeRouteConfiguration reads a RouteConfiguration resource.
func DecodeRouteConfiguration(name string, body *anypb.Any) (RouteConfiguration, error) {
	r, err := open(name, body, &routev3.RouteConfiguration{})
	if err != nil {
		return RouteConfiguration{}, err
	}
	out := RouteConfiguration{Name: name, IgnorePort: r.message.GetIgnorePortInHostMatching()}
	if out.RequestHeadersToRemove, err = headerNames(r.message.GetRequestHeadersToRemove(), r.path, "request_headers_to_remove"); err != nil {
		return RouteConfiguration{}, err
	}
	owner := make(map[string]string) // domain → virtual host
	for i, h := range r.message.GetVirtualHosts() {
		at := index(r.path, "virtual_hosts", i)
		host := VirtualHost{Name: h.GetName()}
		for j, d := range h.GetDomains() {
			domain := strings.ToLower(d)
			if strings.Contains(strings.TrimPrefix(domain, "*"), "*") || domain == "" {
				return RouteConfiguration{}, only(at, "domains", "an exact host, * with a suffix, or *")
			}
			if first, taken := owner[domain]; taken {
				return RouteConfiguration{}, fmt.Errorf("%s: %q belongs to virtual host %q", index(at, "domains", j), d, first)
			}
			owner[domain] = host.Name
			host.Domains = append(host.Domains, domain)
		}
		for j, route := range h.GetRoutes() {
			decoded, err := decodeRoute(route, index(at, "routes", j))
			if err != nil {
				return RouteConfiguration{}, err
			}
			host.Routes = append(host.Routes, decoded)
		}
		out.VirtualHosts = append(out.VirtualHosts, host)
	}
	return out, nil
}

func decodeRoute(r *routev3.Route, at string) (Route, error) {
	route := Route{Origins: originsOf(r.GetMetadata())}
	var err error
	if route.Match, err = decodeMatch(r.GetMatch(), join(at, "match")); err != nil {
		return Route{}, err
	}
	switch action := r.GetAction().(type) {
	case *routev3.Route_Route:
		route.Action, err = decodeForward(action.Route, join(at, "route"))
	case *routev3.Route_Redirect:
		route.Action, err = decodeRedirect(action.Redirect, join(at, "redirect"))
	case *routev3.Route_DirectResponse:
		status := int(action.DirectResponse.GetStatus())
		if status < 200 || status > 599 {
			err = only(at, "direct_response.status", "200 to 599")
		}
		route.Action = &DirectResponse{Status: status}
	default:
		err = fmt.Errorf("%s: no action", at)
	}
	if err != nil {
		return Route{}, err
	}
	if route.RequestHeadersToAdd, err = decodeHeaderValues(r.GetRequestHeadersToAdd(), at, "request_headers_to_add"); err != nil {
		return Route{}, err
	}
	if route.ResponseHeadersToAdd, err = decodeHeaderValues(r.GetResponseHeadersToAdd(), at, "response_headers_to_add"); err != nil {
		return Route{}, err
	}
	if route.RequestHeadersToRemove, err = headerNames(r.GetRequestHeadersToRemove(), at, "request_headers_to_remove"); err != nil {
		return Route{}, err
	}
	if route.ResponseHeadersToRemove, err = headerNames(r.GetResponseHeadersToRemove(), at, "response_headers_to_remove"); err != nil {
		return Route{}, err
	}
	route.Filters, err = decodeRouteFilters(r.GetTypedPerFilterConfig(), join(at, "typed_per_filter_config"))
	return route, err
}

func decodeMatch(m *routev3.RouteMatch, at string) (RouteMatch, error) {
	var out RouteMatch
	switch p := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Path:
		out.Kind, out.Path = PathExact, p.Path
	case *routev3.RouteMatch_Prefix:
		out.Kind, out.Path = PathPrefix, p.Prefix
	case *routev3.RouteMatch_PathSeparatedPrefix:
		out.Kind, out.Path = PathSeparatedPrefix, p.PathSeparatedPrefix
		if strings.ContainsAny(out.Path, "?#") || strings.HasSuffix(out.Path, "/") || !strings.HasPrefix(out.Path, "/") {
			return RouteMatch{}, only(at, "path_separated_prefix", "a path without a slash at its end, query or fragment")
		}
	case *routev3.RouteMatch_SafeRegex:
		re, err := decodeRegex(p.SafeRegex, join(at, "safe_regex"))
		if err != nil {
			return RouteMatch{}, err
		}
		out.Kind, out.Regexp = PathRegex, re
	default:
		return RouteMatch{}, fmt.Errorf("%s: no path specifier", at)
	}
	for i, h := range m.GetHeaders() {
		match, err := decodeHeaderMatch(h, index(at, "headers", i))
		if err != nil {
			return RouteMatch{}, err
		}
		out.Headers = append(out.Headers, match)
	}
	return out, nil
}

func decodeHeaderMatch(h *routev3.HeaderMatcher, at string) (HeaderMatch, error) {
	out := HeaderMatch{Name: strings.ToLower(h.GetName()), Invert: h.GetInvertMatch(), MissingEmpty: h.GetTreatMissingHeaderAsEmpty()}
	switch s := h.GetHeaderMatchSpecifier().(type) {
	case *routev3.HeaderMatcher_StringMatch:
		value, err := decodeStringMatch(s.StringMatch, join(at, "string_match"))
		if err != nil {
			return HeaderMatch{}, err
		}
		out.Value = &value
	case *routev3.HeaderMatcher_PresentMatch:
		out.Present = s.PresentMatch
	case *routev3.HeaderMatcher_RangeMatch:
		return HeaderMatch{}, unsupported(join(at, "range_match"))
	default:
		out.Present = true // "if header_match_specifier is not set, the header must be present"
	}
	return out, nil
}

// retriable are the conditions under which no endpoint has begun to take the request.
var retriable = []string{"connect-failure", "refused-stream", "reset-before-request"}

// retriesMax bounds how often a request is tried again.
const retriesMax = 10

func decodeForward(a *routev3.RouteAction, at string) (*Forward, error) {
	clusters, err := decodeClusters(a, at)
	if err != nil {
		return nil, err
	}
	out := &Forward{Clusters: clusters, PrefixRewrite: a.GetPrefixRewrite()}
	// Envoy's default is 15 s, and net/http has no limit that spans the response: only "none" means the same in both.
	if a.GetTimeout() == nil || a.GetTimeout().AsDuration() != 0 {
		return nil, only(at, "timeout", "0s")
	}
	if r := a.GetRegexRewrite(); r != nil {
		if out.PrefixRewrite != "" {
			return nil, only(at, "regex_rewrite", "one of prefix_rewrite and regex_rewrite")
		}
		if out.RegexRewrite, out.Substitution, err = decodeSubstitution(r, join(at, "regex_rewrite")); err != nil {
			return nil, err
		}
	}
	if p := a.GetRetryPolicy(); p != nil {
		for condition := range strings.SplitSeq(p.GetRetryOn(), ",") {
			if !slices.Contains(retriable, condition) {
				return nil, only(at, "retry_policy.retry_on", strings.Join(retriable, ","))
			}
		}
		out.Retries = 1 // Envoy's default
		if n := p.GetNumRetries(); n != nil {
			if n.GetValue() > retriesMax {
				return nil, only(at, "retry_policy.num_retries", fmt.Sprintf("up to %d", retriesMax))
			}
			out.Retries = int(n.GetValue())
		}
	}
	return out, nil
}

// decodeClusters reads a route's one cluster, or several with weights, of which each says for itself what is its Host.
func decodeClusters(a *routev3.RouteAction, at string) ([]WeightedCluster, error) {
	if a.GetWeightedClusters() == nil {
		if a.GetCluster() == "" {
			return nil, only(at, "cluster", "a name")
		}
		return []WeightedCluster{{Name: a.GetCluster(), Weight: 1, HostRewrite: a.GetHostRewriteLiteral()}}, nil
	}
	if a.GetHostRewriteLiteral() != "" {
		return nil, only(at, "host_rewrite_literal", "that of each weighted cluster")
	}
	var out []WeightedCluster
	var total uint64
	at = join(at, "weighted_clusters")
	for i, c := range a.GetWeightedClusters().GetClusters() {
		w := WeightedCluster{Name: c.GetName(), Weight: c.GetWeight().GetValue(), HostRewrite: c.GetHostRewriteLiteral()}
		if w.Name == "" {
			return nil, only(index(at, "clusters", i), "name", "a name")
		}
		var err error
		if w.Session, err = decodeClusterSession(c.GetTypedPerFilterConfig(), join(index(at, "clusters", i), "typed_per_filter_config")); err != nil {
			return nil, err
		}
		total += uint64(w.Weight)
		out = append(out, w)
	}
	if total == 0 || total > math.MaxUint32 {
		return nil, only(at, "clusters", "a sum of weights from 1 to 4294967295")
	}
	return out, nil
}

// decodeSubstitution turns RE2's substitution (\1, \\) into regexp's (${1}, $$).
func decodeSubstitution(r *matcherv3.RegexMatchAndSubstitute, at string) (*regexp.Regexp, string, error) {
	re, err := regexp.Compile(r.GetPattern().GetRegex())
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", join(at, "pattern.regex"), err)
	}
	var expand strings.Builder
	text := r.GetSubstitution()
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '$':
			expand.WriteString("$$")
		case c != '\\':
			expand.WriteByte(c)
		case i+1 < len(text) && text[i+1] == '\\':
			expand.WriteByte('\\')
			i++
		case i+1 < len(text) && text[i+1] >= '0' && int(text[i+1]-'0') <= re.NumSubexp():
			expand.WriteString("${" + text[i+1:i+2] + "}")
			i++
		default:
			return nil, "", fmt.Errorf("%s: a backslash at byte %d that begins no reference to a group", join(at, "substitution"), i)
		}
	}
	return re, expand.String(), nil
}

// redirectStatuses are Envoy's names of a redirect's status.
var redirectStatuses = map[routev3.RedirectAction_RedirectResponseCode]int{
	routev3.RedirectAction_MOVED_PERMANENTLY:  301,
	routev3.RedirectAction_FOUND:              302,
	routev3.RedirectAction_SEE_OTHER:          303,
	routev3.RedirectAction_TEMPORARY_REDIRECT: 307,
	routev3.RedirectAction_PERMANENT_REDIRECT: 308,
}

func decodeRedirect(r *routev3.RedirectAction, at string) (*Redirect, error) {
	out := &Redirect{
		Scheme: r.GetSchemeRedirect(), Host: r.GetHostRedirect(), Port: r.GetPortRedirect(), Path: r.GetPathRedirect(),
	}
	if r.GetHttpsRedirect() {
		out.Scheme = "https"
	}
	if out.Port > 65535 {
		return nil, only(at, "port_redirect", "a port")
	}
	status, known := redirectStatuses[r.GetResponseCode()]
	if !known {
		return nil, only(at, "response_code", "301, 302, 303, 307 and 308")
	}
	out.Status = status
	return out, nil
}
