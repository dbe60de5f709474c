package config

import (
	"fmt"
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	rbacfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	headerdetectionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/original_ip_detection/custom_header/v3"
	xffv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/original_ip_detection/xff/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// Access is a policy of Envoy's RBAC filter that admits some requests, to a route or to all of them, and refuses all others.
type Access struct {
	// Permissions and Principals are what the policy is about, and whom: one of each must apply.
	Permissions []Permission
	Principals  []Principal
}

// A Principal is who sends a request: anybody, or who has an address in a range.
type Principal struct {
	Any bool
	// Peer is a range of addresses of the connection's other end, Client one of the client's as trusted proxies tell it.
	Peer, Client netip.Prefix
}

// decodeAccessFilter reads the filter's own configuration, which refuses nobody.
func decodeAccessFilter(_ *ConnectionManager, body *anypb.Any, at string) error {
	filter := &rbacfilterv3.RBAC{}
	at, err := unpack(body, filter, at)
	if err == nil && filter.GetRules() != nil {
		err = unsupported(join(at, "rules"))
	}
	return err
}

func decodeAccess(out *Filters, body *anypb.Any, at string) error {
	perRoute := &rbacfilterv3.RBACPerRoute{}
	at, err := unpack(body, perRoute, at)
	if err != nil {
		return err
	}
	out.Access, err = decodeAdmission(perRoute.GetRbac().GetRules(), join(at, "rbac.rules"))
	return err
}

// decodeClients reads whom the connection manager admits, whatever the route.
func decodeClients(m *ConnectionManager, body *anypb.Any, at string) error {
	filter := &rbacfilterv3.RBAC{}
	at, err := unpack(body, filter, at)
	if err != nil {
		return err
	}
	m.Clients, err = decodeAdmission(filter.GetRules(), join(at, "rules"))
	return err
}

// decodeAdmission reads rules that admit what their one policy is about.
func decodeAdmission(rules *rbacv3.RBAC, at string) (*Access, error) {
	if rules == nil || rules.GetAction() != rbacv3.RBAC_ALLOW {
		return nil, only(at, "action", "ALLOW")
	}
	if len(rules.GetPolicies()) != 1 {
		return nil, only(at, "policies", "one policy")
	}
	access := &Access{}
	for name, policy := range rules.GetPolicies() {
		at := join(at, fmt.Sprintf("policies[%q]", name))
		var err error
		if access.Permissions, err = decodePermissions(policy.GetPermissions(), join(at, "permissions")); err != nil {
			return nil, err
		}
		for i, p := range policy.GetPrincipals() {
			principal, err := decodePrincipal(p, index(at, "principals", i))
			if err != nil {
				return nil, err
			}
			access.Principals = append(access.Principals, principal)
		}
		if len(access.Principals) == 0 {
			return nil, only(at, "principals", "one principal or more")
		}
	}
	return access, nil
}

func decodePrincipal(p *rbacv3.Principal, at string) (Principal, error) {
	switch who := p.GetIdentifier().(type) {
	case *rbacv3.Principal_Any:
		if !who.Any {
			return Principal{}, only(at, "any", true)
		}
		return Principal{Any: true}, nil
	case *rbacv3.Principal_DirectRemoteIp:
		peer, err := decodeCIDR(who.DirectRemoteIp, join(at, "direct_remote_ip"))
		return Principal{Peer: peer}, err
	case *rbacv3.Principal_RemoteIp:
		client, err := decodeCIDR(who.RemoteIp, join(at, "remote_ip"))
		return Principal{Client: client}, err
	default:
		return Principal{}, only(at, "identifier", "any, direct_remote_ip and remote_ip")
	}
}

func decodeCIDR(r *corev3.CidrRange, at string) (netip.Prefix, error) {
	addr, err := netip.ParseAddr(r.GetAddressPrefix())
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%s: %w", join(at, "address_prefix"), err)
	}
	prefix, err := addr.Prefix(int(r.GetPrefixLen().GetValue()))
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%s: %w", join(at, "prefix_len"), err)
	}
	return prefix, nil
}

// A ClientDetection is how the client behind trusted proxies is found: Envoy's extensions xff and custom_header, in this
// order.
type ClientDetection struct {
	Trusted []netip.Prefix
	// Otherwise is the header, lower case, that has the address where X-Forwarded-For tells none.
	Otherwise string
}

// decodeDetection is nil where the peer is the client.
func decodeDetection(extensions []*corev3.TypedExtensionConfig, at string) (*ClientDetection, error) {
	if len(extensions) == 0 {
		return nil, nil
	}
	if len(extensions) != 2 {
		return nil, only(at, "original_ip_detection_extensions", "xff and custom_header")
	}
	xff, header := &xffv3.XffConfig{}, &headerdetectionv3.CustomHeaderConfig{}
	xffAt, err := unpack(extensions[0].GetTypedConfig(), xff, join(index(at, "original_ip_detection_extensions", 0), "typed_config"))
	if err != nil {
		return nil, err
	}
	headerAt, err := unpack(extensions[1].GetTypedConfig(), header, join(index(at, "original_ip_detection_extensions", 1), "typed_config"))
	if err != nil {
		return nil, err
	}
	out := &ClientDetection{}
	for i, r := range xff.GetXffTrustedCidrs().GetCidrs() {
		trusted, err := decodeCIDR(r, index(xffAt, "xff_trusted_cidrs.cidrs", i))
		if err != nil {
			return nil, err
		}
		out.Trusted = append(out.Trusted, trusted)
	}
	switch {
	case len(out.Trusted) == 0:
		return nil, only(xffAt, "xff_trusted_cidrs", "one range or more")
	case xff.GetSkipXffAppend() != nil && !xff.GetSkipXffAppend().GetValue():
		return nil, only(xffAt, "skip_xff_append", true)
	}
	out.Otherwise, err = headerName(header.GetHeaderName(), join(headerAt, "header_name"))
	return out, err
}
