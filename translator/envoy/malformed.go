package envoy

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	rbacfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/postern-gateway/postern/translator/model"
)

// slashesAction is Envoy's word for each value.
var slashesAction = map[model.EscapedSlashes]hcmv3.HttpConnectionManager_PathWithEscapedSlashesAction{
	model.SlashesRedirect: hcmv3.HttpConnectionManager_UNESCAPE_AND_REDIRECT,
	model.SlashesForward:  hcmv3.HttpConnectionManager_UNESCAPE_AND_FORWARD,
	model.SlashesReject:   hcmv3.HttpConnectionManager_REJECT_REQUEST,
	model.SlashesKeep:     hcmv3.HttpConnectionManager_KEEP_UNCHANGED,
}

const (
	malformedFilterName = "envoy.filters.http.rbac"
	// malformedPolicy names the policy; Envoy gives the name among the details of its answer.
	malformedPolicy = "malformed"
	// wellFormedHost is what a Host may be: a name or an address, and a port. Envoy makes one host of two Host headers,
	// with a comma, and takes a@b and a:1:2 for names of which it knows nothing; a backend may read another host there.
	wellFormedHost = `(?:[0-9A-Za-z._~-]*[0-9A-Za-z_~-]|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?`
	// hiddenClimb is a dot segment that is left after normalisation: one with a parameter (/..;/), which Tomcat and its
	// like read as /../, or one beside an escaped slash, which is a climb to who decodes the slash.
	hiddenClimb = `.*` + anySlash + `\.{1,2}(?:(?:` + semicolon + `|` + anySlash + `).*)?`
	// ownConnection is what Connection may say where it asks for an upgrade. Otherwise Envoy takes the header off, with
	// all that it names; on an upgrade the backend gets it, and would take our word on the client for the client's own.
	ownConnection = `(?i)(?:upgrade|keep-alive|close|[ \t,])*`
	anySlash      = `(?:/|%2[fF]|%5[cC])`
	semicolon     = `(?:;|%3[bB])`
)

// malformedFilter stands first and refuses, whatever the route, what no honest client sends and backends read in more
// than one way.
func malformedFilter() *hcmv3.HttpFilter {
	host := &rbacv3.Permission{Rule: &rbacv3.Permission_Header{Header: headerMatch(":authority", regex(wellFormedHost))}}
	policy := &rbacv3.Policy{
		Permissions: []*rbacv3.Permission{
			{Rule: &rbacv3.Permission_NotRule{NotRule: host}},
			{Rule: &rbacv3.Permission_UrlPath{UrlPath: &matcherv3.PathMatcher{
				Rule: &matcherv3.PathMatcher_Path{Path: regex(hiddenClimb)},
			}}},
			{Rule: &rbacv3.Permission_Header{Header: &routev3.HeaderMatcher{
				Name: "connection", InvertMatch: true,
				HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: regex(ownConnection)},
			}}},
		},
		Principals: []*rbacv3.Principal{{Identifier: &rbacv3.Principal_Any{Any: true}}},
	}
	return &hcmv3.HttpFilter{
		Name: malformedFilterName,
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: typed(&rbacfilterv3.RBAC{Rules: &rbacv3.RBAC{
			Action: rbacv3.RBAC_DENY, Policies: map[string]*rbacv3.Policy{malformedPolicy: policy},
		}})},
	}
}

// localReplies has the proxy's own answers name their status and nothing else: Envoy's words tell of backends and
// are for the operator. What the malformed policy denies is 400, where the filter would say 403. The authorizer's answers
// stay what they are.
func localReplies() *hcmv3.LocalReplyConfig {
	denied := &celv3.ExpressionFilter{
		Expression: "response.code_details == 'rbac_access_denied_matched_policy[" + malformedPolicy + "]'",
	}
	return &hcmv3.LocalReplyConfig{
		Mappers: []*hcmv3.ResponseMapper{{
			Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ExtensionFilter{
				ExtensionFilter: &accesslogv3.ExtensionFilter{
					Name:       "envoy.access_loggers.extension_filters.cel",
					ConfigType: &accesslogv3.ExtensionFilter_TypedConfig{TypedConfig: typed(denied)},
				},
			}},
			StatusCode: wrapperspb.UInt32(400),
		}, deniedReply()},
		BodyFormat: &corev3.SubstitutionFormatString{
			Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
				Specifier: &corev3.DataSource_InlineString{InlineString: "%RESPONSE_CODE%\n"},
			}},
		},
	}
}
