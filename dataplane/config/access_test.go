package config

import (
	"fmt"
	"strings"
	"testing"
)

// detectionJSON has the client of a trusted chain found in X-Forwarded-For.
var detectionJSON = strings.Replace(listenerJSON, `"use_remote_address": true,`, `"original_ip_detection_extensions": [
 {"name": "xff", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.http.original_ip_detection.xff.v3.XffConfig",
  "xff_trusted_cidrs": {"cidrs": [{"address_prefix": "10.0.0.0", "prefix_len": 8}, {"address_prefix": "fd00::", "prefix_len": 64}]}}},
 {"name": "otherwise", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig",
  "header_name": "X-Unknown"}}],`, 1)

// accessJSON has routes that admit some requests.
var accessJSON = strings.Replace(routesJSON, `"direct_response": {"status": 503}`, `"direct_response": {"status": 503}, "typed_per_filter_config": {
 "envoy.filters.http.rbac.access": {"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute", "rbac": {"rules": {"action": "ALLOW", "policies": {"access": {
  "permissions": [{"and_rules": {"rules": [{"any": true}, {"or_rules": {"rules": [{"header": {"name": ":authority", "string_match": {"exact": "A", "ignore_case": true}}}]}}]}}],
  "principals": [{"direct_remote_ip": {"address_prefix": "10.0.0.0", "prefix_len": 8}}, {"remote_ip": {"address_prefix": "::1", "prefix_len": 128}}]}}}}}}`, 1)

func TestDecodeAccess(t *testing.T) {
	l, err := DecodeListener("https", resourceOf(t, ListenerType, detectionJSON))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(*l.Chains[0].HTTP.Client); got != "{[10.0.0.0/8 fd00::/64] x-unknown}" {
		t.Errorf("detection %s", got)
	}
	rc, err := DecodeRouteConfiguration("http", resourceOf(t, RouteType, accessJSON))
	if err != nil {
		t.Fatal(err)
	}
	a := rc.VirtualHosts[0].Routes[2].Filters.Access
	if got := fmt.Sprint(a.Principals); got != "[{false 10.0.0.0/8 invalid Prefix} {false invalid Prefix ::1/128}]" {
		t.Errorf("principals %s", got)
	}
	if p := a.Permissions[0].All; len(p) != 2 || !p[0].Any || p[1].Some[0].Header.Value.Text != "a" {
		t.Errorf("permissions %+v", p)
	}
}

// clientsJSON has a connection manager that admits some clients.
var clientsJSON = strings.Replace(listenerJSON, `{"name": "envoy.filters.http.lua", `, `{"name": "envoy.filters.http.rbac.clients", "typed_config": {
 "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC", "rules": {"action": "ALLOW", "policies": {"clients": {
  "permissions": [{"any": true}], "principals": [{"remote_ip": {"address_prefix": "10.0.0.0", "prefix_len": 8}}]}}}}},
 {"name": "envoy.filters.http.lua", `, 1)

func TestDecodeClients(t *testing.T) {
	for resource, want := range map[string]string{listenerJSON: "<nil>", clientsJSON: "[{false invalid Prefix 10.0.0.0/8}]"} {
		l, err := DecodeListener("https", resourceOf(t, ListenerType, resource))
		if err != nil {
			t.Fatal(err)
		}
		got := "<nil>"
		if clients := l.Chains[0].HTTP.Clients; clients != nil {
			got = fmt.Sprint(clients.Principals)
		}
		if got != want {
			t.Errorf("clients %s, want %s", got, want)
		}
	}
}

func TestAccessRefused(t *testing.T) {
	const rules = `routes[2].typed_per_filter_config["envoy.filters.http.rbac.access"].RBACPerRoute.rbac.rules.`
	for _, row := range []struct{ typeURL, resource, old, new, want string }{
		{ListenerType, detectionJSON, `"original_ip`, `"use_remote_address": true, "original_ip`, hcm + "use_remote_address: only false"},
		{ListenerType, detectionJSON, `"header_name": "X-Unknown"`, `"header_name": ":path"`, `header_name: ":path" is not a header`},
		{ListenerType, detectionJSON, `"header_name": "X-Unknown"`, `"header_name": "x", "reject_with_status": {"code": "Forbidden"}`, "reject_with_status" + unsupportedText},
		{ListenerType, detectionJSON, `"prefix_len": 64`, `"prefix_len": 129`, "cidrs[1]"},
		{ListenerType, detectionJSON, `"xff_trusted_cidrs": {"cidrs": [{"address_prefix": "10.0.0.0", "prefix_len": 8}, {"address_prefix": "fd00::", "prefix_len": 64}]}`, `"xff_num_trusted_hops": 1`, "xff_num_trusted_hops" + unsupportedText},
		{ListenerType, clientsJSON, `"ALLOW"`, `"DENY"`, "rules.action: only ALLOW"},
		{ListenerType, clientsJSON, `"permissions": [{"any": true}], "principals": [{"remote_ip": {"address_prefix": "10.0.0.0", "prefix_len": 8}}]`, `"permissions": [{"any": true}]`, "principals: only one principal or more"},
		{ListenerType, clientsJSON, `"name": "envoy.filters.http.rbac.clients", `, `"name": "envoy.filters.http.rbac.clients", "disabled": true, `, "disabled: only false"},
		{RouteType, accessJSON, `"ALLOW"`, `"DENY"`, rules + "action: only ALLOW"},
		{RouteType, accessJSON, `{"rules": {"action"`, `{"shadow_rules": {"action"`, "shadow_rules" + unsupportedText},
		{RouteType, accessJSON, `"access": {`, `"other": {"permissions": [{"any": true}], "principals": [{"any": true}]}, "access": {`, rules + "policies: only one policy"},
		{RouteType, accessJSON, `"remote_ip": {"address_prefix": "::1"`, `"remote_ip": {"address_prefix": "x"`, "principals[1].remote_ip.address_prefix"},
		{RouteType, accessJSON, `"remote_ip": {"address_prefix": "::1", "prefix_len": 128}`, `"not_id": {"any": true}`, "principals[1].not_id" + unsupportedText},
		{RouteType, accessJSON, `{"any": true}, {"or_rules"`, `{"any": false}, {"or_rules"`, "and_rules.rules[0].any: only true"},
		{RouteType, accessJSON, `{"rules": [{"header": {"name": ":authority", "string_match": {"exact": "A", "ignore_case": true}}}]}`, `{}`, "or_rules.rules"},
	} {
		if !strings.Contains(row.resource, row.old) {
			t.Fatalf("no %q to spoil", row.old)
		}
		_, err := decode(row.typeURL, "x", resourceOf(t, row.typeURL, strings.Replace(row.resource, row.old, row.new, 1)))
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s → %s: %v, want %s", row.old, row.new, err, row.want)
		}
	}
}

// limitedJSON has a route with two counts.
var limitedJSON = strings.Replace(routesJSON, `"direct_response": {"status": 503}`, `"direct_response": {"status": 503}, "typed_per_filter_config": {
 "envoy.filters.http.local_ratelimit": {"@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit", "stat_prefix": "x",
  "token_bucket": {"fill_interval": "1s"}, "always_consume_default_token_bucket": false, "max_dynamic_descriptors": 7,
  "filter_enabled": {"default_value": {"numerator": 100}}, "filter_enforced": {"default_value": {"numerator": 100}},
  "rate_limits": [{"actions": [{"generic_key": {"descriptor_key": "n", "descriptor_value": "0"}}, {"request_headers": {"header_name": "X-Key", "descriptor_key": "h"}}]},
   {"actions": [{"generic_key": {"descriptor_key": "n", "descriptor_value": "1"}}, {"remote_address": {}}]}],
  "descriptors": [{"entries": [{"key": "n", "value": "0"}, {"key": "h"}], "token_bucket": {"max_tokens": 5, "tokens_per_fill": 3, "fill_interval": "1s"}},
   {"entries": [{"key": "n", "value": "1"}, {"key": "remote_address"}], "token_bucket": {"max_tokens": 9, "fill_interval": "0.05s"}}]}}`, 1)

func TestDecodeRateLimit(t *testing.T) {
	rc, err := DecodeRouteConfiguration("http", resourceOf(t, RouteType, limitedJSON))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(*rc.VirtualHosts[0].Routes[2].Filters.RateLimit); got != "{[{{false x-key <nil>} {5 3 1s}} {{true  <nil>} {9 1 50ms}}] 7}" {
		t.Errorf("rate limit %s", got)
	}
}

func TestRateLimitRefused(t *testing.T) {
	const at = `routes[2].typed_per_filter_config["envoy.filters.http.local_ratelimit"].LocalRateLimit.`
	for _, row := range []struct{ old, new, want string }{
		{`"token_bucket": {"fill_interval": "1s"}`, `"token_bucket": {"max_tokens": 1, "fill_interval": "1s"}`, at + "token_bucket.max_tokens: only 0"},
		{`"always_consume_default_token_bucket": false, `, ``, at + "always_consume_default_token_bucket: only false"},
		{`"filter_enabled": {"default_value": {"numerator": 100}}, `, ``, at + "filter_enabled: only 100"},
		{`"filter_enforced": {"default_value": {"numerator": 100}}`, `"filter_enforced": {"default_value": {"numerator": 100, "denominator": "MILLION"}}`, at + "filter_enforced: only 100"},
		{`"stat_prefix": "x"`, `"local_rate_limit_per_downstream_connection": true`, at + "local_rate_limit_per_downstream_connection" + unsupportedText},
		{`, {"remote_address": {}}]`, `]`, at + "descriptors[1].entries: only those"},
		{`{"remote_address": {}}]`, `{"masked_remote_address": {}}]`, "masked_remote_address" + unsupportedText},
		{`{"key": "h"}`, `{"key": "h", "value": "x"}`, at + "descriptors[0].entries: only those"},
		{`"descriptor_value": "1"`, `"descriptor_value": "0"`, at + "descriptors[1].entries: only those"},
		{`"fill_interval": "0.05s"`, `"fill_interval": "0.049s"`, at + "descriptors[1].token_bucket: "},
		{`"max_tokens": 9`, `"max_tokens": 0`, at + "descriptors[1].token_bucket: "},
		{`"header_name": "X-Key", `, `"skip_if_absent": true, "header_name": "X-Key", `, "skip_if_absent" + unsupportedText},
	} {
		if !strings.Contains(limitedJSON, row.old) {
			t.Fatalf("no %q to spoil", row.old)
		}
		_, err := decode(RouteType, "x", resourceOf(t, RouteType, strings.Replace(limitedJSON, row.old, row.new, 1)))
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s → %s: %v, want %s", row.old, row.new, err, row.want)
		}
	}
}
