package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	rbacfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// forbidden is what Envoy's RBAC filter answers where no mapper says otherwise.
const forbidden = 403

// A Denial is a policy of Envoy's RBAC filter that refuses requests, whoever sends them.
type Denial struct {
	Policy string
	Status int
	// Permissions are Envoy's word for what the policy is about: one that applies is enough.
	Permissions []Permission
}

// A Permission is a rule on a request: exactly one of its fields but for Not is set.
type Permission struct {
	Any    bool
	Header *HeaderMatch
	Path   *StringMatch // of the path without its query
	// All and Some are of rules of which all, or one at least, must apply.
	All, Some []Permission
	// Not has it apply to all other requests.
	Not bool
}

func decodeRBAC(body *anypb.Any, at string) ([]Denial, error) {
	filter := &rbacfilterv3.RBAC{}
	at, err := unpack(body, filter, at)
	if err != nil {
		return nil, err
	}
	at = join(at, "rules")
	if filter.GetRules().GetAction() != rbacv3.RBAC_DENY {
		return nil, only(at, "action", "DENY")
	}
	var out []Denial
	policies := filter.GetRules().GetPolicies()
	for _, name := range slices.Sorted(maps.Keys(policies)) {
		at := join(at, fmt.Sprintf("policies[%q]", name))
		principals := policies[name].GetPrincipals()
		if len(principals) != 1 || !principals[0].GetAny() {
			return nil, only(at, "principals", "any")
		}
		permissions, err := decodePermissions(policies[name].GetPermissions(), join(at, "permissions"))
		if err != nil {
			return nil, err
		}
		out = append(out, Denial{Policy: name, Status: forbidden, Permissions: permissions})
	}
	return out, nil
}

// decodePermissions reads rules; a list without any is refused, for it is easily read in two ways.
func decodePermissions(rules []*rbacv3.Permission, at string) ([]Permission, error) {
	if len(rules) == 0 {
		return nil, fmt.Errorf("%s: the Go data plane supports only a list with one rule or more", at)
	}
	var out []Permission
	for i, p := range rules {
		permission, err := decodePermission(p, fmt.Sprintf("%s[%d]", at, i))
		if err != nil {
			return nil, err
		}
		out = append(out, permission)
	}
	return out, nil
}

func decodePermission(p *rbacv3.Permission, at string) (Permission, error) {
	switch rule := p.GetRule().(type) {
	case *rbacv3.Permission_Header:
		header, err := decodeHeaderMatch(rule.Header, join(at, "header"))
		return Permission{Header: &header}, err
	case *rbacv3.Permission_UrlPath:
		path, err := decodeStringMatch(rule.UrlPath.GetPath(), join(at, "url_path.path"))
		return Permission{Path: &path}, err
	case *rbacv3.Permission_Any:
		if !rule.Any {
			return Permission{}, only(at, "any", true)
		}
		return Permission{Any: true}, nil
	case *rbacv3.Permission_AndRules:
		all, err := decodePermissions(rule.AndRules.GetRules(), join(at, "and_rules.rules"))
		return Permission{All: all}, err
	case *rbacv3.Permission_OrRules:
		some, err := decodePermissions(rule.OrRules.GetRules(), join(at, "or_rules.rules"))
		return Permission{Some: some}, err
	case *rbacv3.Permission_NotRule:
		out, err := decodePermission(rule.NotRule, join(at, "not_rule"))
		out.Not = !out.Not
		return out, err
	default:
		return Permission{}, only(at, "rule", "any, header, url_path, and_rules, or_rules and not_rule")
	}
}

// deniedBy is the one expression by which a mapper may choose replies; the Go data plane has no CEL.
var deniedBy = regexp.MustCompile(`^response\.code_details == 'rbac_access_denied_matched_policy\[(\w+)\]'$`)

// applyMapper has a denial answered with the status of a local reply mapper.
func applyMapper(denials []Denial, m *hcmv3.ResponseMapper, at string) error {
	filter := &celv3.ExpressionFilter{}
	filterAt, err := unpack(m.GetFilter().GetExtensionFilter().GetTypedConfig(), filter, join(at, "filter.extension_filter.typed_config"))
	if err != nil {
		return err
	}
	named := deniedBy.FindStringSubmatch(filter.GetExpression())
	if named == nil {
		return only(filterAt, "expression", "a test of response.code_details for a denial of a policy")
	}
	if m.GetBodyFormatOverride() != nil {
		return unsupported(join(at, "body_format_override"))
	}
	status := int(m.GetStatusCode().GetValue())
	i := slices.IndexFunc(denials, func(d Denial) bool { return d.Policy == named[1] })
	if i < 0 || status < 200 || status > 599 {
		return only(at, "status_code", "200 to 599, for a policy that there is,")
	}
	denials[i].Status = status
	return nil
}
