package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	authzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"golang.org/x/net/http/httpguts"
	"google.golang.org/protobuf/types/known/anypb"
)

// The kinds of an Authorization.
const (
	AuthorizeBasic   = "basic"
	AuthorizeDigest  = "digest"
	AuthorizeForward = "forward"
)

// An Authorization is what the authorizer goes by: the context extensions of a route's ext_authz, read.
type Authorization struct {
	Kind string
	// Scheme is that of the entry, http or https.
	Scheme string
	// Users is the name of the secret with the users of basic and digest, Realm what clients are shown.
	Users, Realm string
	// Header carries the user's name to the backend, lower case; empty for none.
	Header string
	// RemoveAuthorization takes Authorization off before the backend.
	RemoveAuthorization bool
	// URL is what forward asks, by Cluster.
	URL     *url.URL
	Cluster string
	// Trust passes on what X-Forwarded headers say already.
	Trust bool
	// ResponseHeaders are copied from an answer that admits; lower case.
	ResponseHeaders []string

	rewrite       Forward
	matchedPrefix string
}

// contextKeys are the keys that context extensions may have.
var contextKeys = strings.Fields("kind scheme users realm header remove url cluster trust response-headers " +
	"rewrite-prefix matched-prefix rewrite-regex rewrite-to")

// ParseAuthorization reads context extensions; what it does not know it refuses.
func ParseAuthorization(context map[string]string) (Authorization, error) {
	out := Authorization{
		Kind: context["kind"], Scheme: context["scheme"], Users: context["users"], Realm: context["realm"], Header: context["header"],
		RemoveAuthorization: context["remove"] == "true", Cluster: context["cluster"], Trust: context["trust"] == "true",
		matchedPrefix: context["matched-prefix"],
	}
	for key := range context {
		if !slices.Contains(contextKeys, key) {
			return out, fmt.Errorf("%q is no key that is known", key)
		}
	}
	names := strings.FieldsFunc(context["response-headers"], func(c rune) bool { return c == ',' })
	out.ResponseHeaders = names
	for _, name := range append(slices.Clone(names), out.Header) {
		if name != "" && (!httpguts.ValidHeaderFieldName(name) || name != strings.ToLower(name)) {
			return out, fmt.Errorf("%q is not the name of a header in lower case", name)
		}
	}
	if out.Scheme != "http" && out.Scheme != "https" {
		return out, fmt.Errorf("scheme is neither http nor https")
	}
	switch out.Kind {
	case AuthorizeBasic, AuthorizeDigest:
		if out.Users == "" || out.Realm == "" || strings.ContainsAny(out.Realm, "\"\\") {
			return out, fmt.Errorf("%s needs users, and a realm without quotes", out.Kind)
		}
		return out, nil
	case AuthorizeForward:
	default:
		return out, fmt.Errorf("kind is none of basic, digest and forward")
	}
	var err error
	if out.URL, err = url.Parse(context["url"]); err != nil || out.URL.Host == "" || out.Cluster == "" {
		return out, fmt.Errorf("forward needs a url and a cluster")
	}
	out.rewrite.PrefixRewrite = context["rewrite-prefix"]
	if pattern := context["rewrite-regex"]; pattern != "" {
		out.rewrite.RegexRewrite, out.rewrite.Substitution, err = decodeSubstitution(&matcherv3.RegexMatchAndSubstitute{
			Pattern: &matcherv3.RegexMatcher{Regex: pattern}, Substitution: context["rewrite-to"],
		}, "rewrite-regex")
	}
	return out, err
}

// BackendPath is a path with its query as the backend is to see it.
func (a Authorization) BackendPath(target string) string {
	match := RouteMatch{Kind: PathRegex}
	if a.matchedPrefix != "" {
		match = RouteMatch{Kind: PathPrefix, Path: a.matchedPrefix}
	}
	return a.rewrite.Rewrite(match, target)
}

// Rewrite is the path and query that the backend sees.
func (f *Forward) Rewrite(m RouteMatch, target string) string {
	path, query := target, ""
	if i := strings.IndexByte(target, '?'); i >= 0 {
		path, query = target[:i], target[i:]
	}
	switch {
	case f.RegexRewrite != nil:
		path = f.RegexRewrite.ReplaceAllString(path, f.Substitution)
	case f.PrefixRewrite != "" && (m.Kind == PathExact || m.Kind == PathRegex):
		path = f.PrefixRewrite
	case f.PrefixRewrite != "":
		path = f.PrefixRewrite + strings.TrimPrefix(path, m.Path)
	}
	return path + query
}

// Users are the users of one secret: what stands for the password of each, by name.
type Users struct{ Hashes map[string]string }

// String keeps them out of whatever prints them.
func (u *Users) String() string { return "[redacted]" }

// GoString does so for %#v.
func (u *Users) GoString() string { return u.String() }

// parseUsers reads lines of NAME:HASH. Its error shows nothing of them.
func parseUsers(text []byte) (*Users, bool) {
	out := &Users{Hashes: map[string]string{}}
	for line := range strings.Lines(string(text)) {
		name, hash, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		if !ok || name == "" || hash == "" {
			return nil, false
		}
		out.Hashes[name] = hash
	}
	return out, len(out.Hashes) > 0
}

// decodeAuthorizer reads the filter's own configuration. Where it asks is the data plane's: here, the process itself.
func decodeAuthorizer(_ *ConnectionManager, body *anypb.Any, at string) error {
	filter := &authzv3.ExtAuthz{}
	at, err := unpack(body, filter, at)
	switch {
	case err != nil:
		return err
	case filter.GetGrpcService().GetEnvoyGrpc().GetClusterName() != "postern-authorizer":
		return only(at, "grpc_service.envoy_grpc.cluster_name", "postern-authorizer")
	case filter.GetStatusOnError().GetCode() != 503:
		return only(at, "status_on_error.code", 503)
	case !filter.GetEncodeRawHeaders():
		return only(at, "encode_raw_headers", true)
	}
	return nil
}

func decodeAuthorize(out *Filters, body *anypb.Any, at string) error {
	perRoute := &authzv3.ExtAuthzPerRoute{}
	at, err := unpack(body, perRoute, at)
	if err != nil {
		return err
	}
	out.Authorize = perRoute.GetCheckSettings().GetContextExtensions()
	if _, err := ParseAuthorization(out.Authorize); err != nil {
		return fmt.Errorf("%s: %w", join(at, "check_settings.context_extensions"), err)
	}
	return nil
}

// deniedExpression is the one test by which a mapper finds what the authorizer has answered.
const deniedExpression = "response.code_details == 'ext_authz_denied'"

// keepsDenied tells whether a mapper leaves what the authorizer has answered as it is.
func keepsDenied(mapper *hcmv3.ResponseMapper) bool {
	test := &celv3.ExpressionFilter{}
	body := mapper.GetFilter().GetExtensionFilter().GetTypedConfig()
	return body.MessageIs(test) && body.UnmarshalTo(test) == nil && test.GetExpression() == deniedExpression &&
		mapper.GetStatusCode() == nil && string(inline(mapper.GetBodyFormatOverride().GetTextFormatSource())) == "%LOCAL_REPLY_BODY%"
}
