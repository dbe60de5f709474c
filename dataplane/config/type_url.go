package config

import (
	"regexp"

	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_to_metadata/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// URLRedirect redirects a request whose URL a regex changes. It takes three filters: one writes the URL into a header,
// one what the regex makes of it into metadata, and the script redirect-v1 compares the two. The Go data plane knows
// them only together.
type URLRedirect struct {
	// URL is the request's.
	URL Format
	// Regexp and Substitution are as in Forward.
	Regexp       *regexp.Regexp
	Substitution string
	// Reading is the status for GET and HEAD, Other that for other methods.
	Reading, Other int
	// parts are the filters that the route has switched on so far.
	parts int
}

// urlParts are the filters of a URLRedirect.
const urlParts = 3

const (
	urlHeader    = "x-envoy-postern-url"
	urlNamespace = "postern." + RedirectScript
	urlKey       = "url"
)

// part is the redirect of a route, of which one more filter is read.
func (f *Filters) part() *URLRedirect {
	if f.URLRedirect == nil {
		f.URLRedirect = &URLRedirect{}
	}
	f.URLRedirect.parts++
	return f.URLRedirect
}

// decodeIdleMutation reads a filter that does nothing by itself.
func decodeIdleMutation(_ *ConnectionManager, body *anypb.Any, at string) error {
	m := &mutationv3.HeaderMutation{}
	at, err := unpack(body, m, at)
	if err == nil && m.GetMutations() != nil {
		err = unsupported(join(at, "mutations"))
	}
	return err
}

// decodeIdleMetadata reads another.
func decodeIdleMetadata(_ *ConnectionManager, body *anypb.Any, at string) error {
	m := &metadatav3.Config{}
	at, err := unpack(body, m, at)
	if err == nil && len(m.GetRequestRules()) > 0 {
		err = unsupported(join(at, "request_rules"))
	}
	return err
}

func decodeURL(out *Filters, body *anypb.Any, at string) error {
	m := &mutationv3.HeaderMutationPerRoute{}
	at, err := unpack(body, m, at)
	if err != nil {
		return err
	}
	at = join(at, "mutations")
	mutations, err := decodeEarlyMutations(m.GetMutations().GetRequestMutations(), join(at, "request_mutations"))
	if err != nil {
		return err
	}
	if len(mutations) != 1 || mutations[0].Add == nil || mutations[0].Add.Name != urlHeader || mutations[0].Add.Append != OverwriteIfExistsOrAdd {
		return only(at, "request_mutations", "one that overwrites "+urlHeader)
	}
	out.part().URL = mutations[0].Add.Value
	return nil
}

func decodeURLRegex(out *Filters, body *anypb.Any, at string) error {
	m := &metadatav3.Config{}
	at, err := unpack(body, m, at)
	if err != nil {
		return err
	}
	if len(m.GetRequestRules()) != 1 {
		return only(at, "request_rules", "one rule")
	}
	rule := m.GetRequestRules()[0]
	at = index(at, "request_rules", 0)
	to := rule.GetOnHeaderPresent()
	switch {
	case rule.GetHeader() != urlHeader:
		return only(at, "header", urlHeader)
	case to.GetMetadataNamespace() != urlNamespace || to.GetKey() != urlKey:
		return only(at, "on_header_present", "the key "+urlKey+" of "+urlNamespace)
	case to.GetRegexValueRewrite() == nil:
		return only(at, "on_header_present.regex_value_rewrite", "a regex")
	}
	part := out.part()
	part.Regexp, part.Substitution, err = decodeSubstitution(to.GetRegexValueRewrite(), join(at, "on_header_present.regex_value_rewrite"))
	return err
}

func decodeRedirectScript(out *Filters, body *anypb.Any, at string) error {
	context, at, err := runScript(RedirectScript, body, at)
	if err != nil {
		return err
	}
	part := out.part()
	part.Reading, part.Other = int(context["reading"].GetNumberValue()), int(context["other"].GetNumberValue())
	if len(context) != 2 || !isRedirect(part.Reading) || !isRedirect(part.Other) {
		return only(at, "filter_context", "reading and other, the statuses of a redirect,")
	}
	return nil
}

func isRedirect(status int) bool { return status >= 300 && status <= 399 }
