package envoy

import (
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	rbacfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	headerdetectionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/original_ip_detection/custom_header/v3"
	xffv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/original_ip_detection/xff/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/postern-gateway/postern/translator/model"
)

const (
	accessFilterName  = "envoy.filters.http.rbac.access"
	clientsFilterName = "envoy.filters.http.rbac.clients"
	// accessPolicy names the one policy of a route, clientsPolicy that of the whole gateway.
	accessPolicy  = "access"
	clientsPolicy = "clients"
	// unknownClientHeader has the address of a client that trusted proxies do not tell legibly. It is set on every request
	// of theirs, and reaches no backend. A peer's own is taken off, as all that begins with x-envoy-.
	unknownClientHeader = "x-envoy-client-unknown"
	// unknownClient is nobody's address (RFC 6666).
	unknownClient = "100::"
)

// clientDetection finds the client behind trusted proxies: of X-Forwarded-For, which the early header mutation has
// completed with the peer, the last address that is not a trusted proxy's, or the first where all are. Where Envoy
// meets something else than an address before, or more than twenty addresses, it would take the peer for the client,
// and admit whoever a list for inner addresses is to keep out; so that such a client is nobody, not the proxy.
func clientDetection(proxies []netip.Prefix) []*corev3.TypedExtensionConfig {
	return []*corev3.TypedExtensionConfig{
		{Name: "envoy.http.original_ip_detection.xff", TypedConfig: typed(&xffv3.XffConfig{
			XffTrustedCidrs: &xffv3.XffTrustedCidrs{Cidrs: cidrRanges(proxies)}, SkipXffAppend: wrapperspb.Bool(true),
		})},
		{Name: "envoy.http.original_ip_detection.custom_header", TypedConfig: typed(&headerdetectionv3.CustomHeaderConfig{
			HeaderName: unknownClientHeader,
		})},
	}
}

func cidrRanges(prefixes []netip.Prefix) []*corev3.CidrRange {
	var out []*corev3.CidrRange
	for _, p := range prefixes {
		out = append(out, &corev3.CidrRange{AddressPrefix: p.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(p.Bits()))})
	}
	return out
}

// clientsFilter refuses by 403 whom the whole gateway does not admit, whatever the route and where there is none. Nothing
// stands for everyone.
func clientsFilter(clients []netip.Prefix) []*hcmv3.HttpFilter {
	if len(clients) == 0 {
		return nil
	}
	rules := &rbacv3.RBAC{Action: rbacv3.RBAC_ALLOW, Policies: map[string]*rbacv3.Policy{clientsPolicy: {
		Permissions: []*rbacv3.Permission{{Rule: &rbacv3.Permission_Any{Any: true}}},
		Principals:  principals(model.Sources{Ranges: clients, Forwarded: true}),
	}}}
	return []*hcmv3.HttpFilter{{
		Name: clientsFilterName, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: typed(&rbacfilterv3.RBAC{Rules: rules})},
	}}
}

// accessFilter refuses by 403 whom a route does not admit.
func accessFilter() *hcmv3.HttpFilter { return disabled(accessFilterName, &rbacfilterv3.RBAC{}) }

// limitAccess admits to a route only whom all its limits admit.
func limitAccess(r *routev3.Route, a *model.Access) {
	if a == nil {
		return
	}
	policy := &rbacv3.Policy{
		Permissions: []*rbacv3.Permission{{Rule: &rbacv3.Permission_Any{Any: true}}},
		Principals:  []*rbacv3.Principal{{Identifier: &rbacv3.Principal_Any{Any: true}}},
	}
	if a.Sources != nil {
		policy.Principals = principals(*a.Sources)
	}
	if a.Hosts != nil {
		policy.Permissions = hostPermissions(*a.Hosts)
	}
	switchOn(r, accessFilterName, &rbacfilterv3.RBACPerRoute{Rbac: &rbacfilterv3.RBAC{Rules: &rbacv3.RBAC{
		Action: rbacv3.RBAC_ALLOW, Policies: map[string]*rbacv3.Policy{accessPolicy: policy},
	}}})
}

func principals(s model.Sources) []*rbacv3.Principal {
	var out []*rbacv3.Principal
	for _, r := range cidrRanges(s.Ranges) {
		if s.Forwarded {
			out = append(out, &rbacv3.Principal{Identifier: &rbacv3.Principal_RemoteIp{RemoteIp: r}})
		} else {
			out = append(out, &rbacv3.Principal{Identifier: &rbacv3.Principal_DirectRemoteIp{DirectRemoteIp: r}})
		}
	}
	return out
}

// hostPermissions has one permission for each place where the name may stand: it is there, and not in a place before.
func hostPermissions(h model.AllowedHosts) []*rbacv3.Permission {
	var out, before []*rbacv3.Permission
	for _, name := range h.Headers {
		out = append(out, allOf(append(before[:len(before):len(before)], oneOfNames(name, h.Names))))
		filled := &rbacv3.Permission{Rule: &rbacv3.Permission_Header{Header: headerMatch(name, regex(".+"))}}
		before = append(before, &rbacv3.Permission{Rule: &rbacv3.Permission_NotRule{NotRule: filled}})
	}
	return append(out, allOf(append(before, oneOfNames(":authority", h.Names))))
}

func oneOfNames(header string, names []string) *rbacv3.Permission {
	var rules []*rbacv3.Permission
	for _, name := range names {
		rules = append(rules, &rbacv3.Permission{Rule: &rbacv3.Permission_Header{Header: headerMatch(header, &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_Exact{Exact: name}, IgnoreCase: true,
		})}})
	}
	return &rbacv3.Permission{Rule: &rbacv3.Permission_OrRules{OrRules: &rbacv3.Permission_Set{Rules: rules}}}
}

func allOf(rules []*rbacv3.Permission) *rbacv3.Permission {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_AndRules{AndRules: &rbacv3.Permission_Set{Rules: rules}}}
}
