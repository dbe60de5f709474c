package config

import (
	"strings"
	"testing"
)

const urlRoutesJSON = `{"name": "http", "virtual_hosts": [{"name": "a", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 503},
 "typed_per_filter_config": {
  "envoy.filters.http.header_mutation.url": {"@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute", "mutations": {
   "request_mutations": [{"append": {"header": {"key": "x-envoy-postern-url", "value": "http://%REQ(:AUTHORITY)%%REQ(:PATH)%"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}]}},
  "envoy.filters.http.header_to_metadata.url": {"@type": "type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config", "request_rules": [{"header": "x-envoy-postern-url",
   "on_header_present": {"metadata_namespace": "postern.redirect-v1", "key": "url", "regex_value_rewrite": {"pattern": {"regex": "^http:(.*)"}, "substitution": "https:\\1$"}}}]},
  "envoy.filters.http.lua.redirect": {"@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.LuaPerRoute", "name": "redirect-v1", "filter_context": {"reading": 302, "other": 307}}}}]}]}`

func TestURLRedirect(t *testing.T) {
	c, err := DecodeRouteConfiguration("http", resourceOf(t, RouteType, urlRoutesJSON))
	if err != nil {
		t.Fatal(err)
	}
	r := c.VirtualHosts[0].Routes[0].Filters.URLRedirect
	asked := r.URL.Render(Values{Authority: "a.test", Path: "/x?y"})
	if got := r.Regexp.ReplaceAllString(asked, r.Substitution); got != "https://a.test/x?y$" || r.Reading != 302 || r.Other != 307 {
		t.Errorf("%s becomes %s, %d or %d", asked, got, r.Reading, r.Other)
	}
}

func TestURLRedirectRefused(t *testing.T) {
	for _, row := range []struct{ old, new, want string }{
		{`"append_action": "OVERWRITE_IF_EXISTS_OR_ADD"`, `"append_action": "ADD_IF_ABSENT"`, "mutations.request_mutations: only one that overwrites"},
		{`"key": "x-envoy-postern-url"`, `"key": "x-mine"`, "mutations.request_mutations: only one that overwrites"},
		{`%REQ(:PATH)%`, `%REQ(X-Path)%`, "operator %REQ(X-Path)% is not supported"},
		{`"mutations": {`, `"mutations": {"response_mutations": [{"remove": "x"}], `, "response_mutations: not supported"},
		{`"header": "x-envoy-postern-url"`, `"header": "x-mine"`, "request_rules[0].header: only"},
		{`"key": "url"`, `"key": "other"`, "on_header_present: only the key"},
		{`"postern.redirect-v1"`, `"other"`, "on_header_present: only the key"},
		{`"request_rules": [{`, `"request_rules": [{"remove": true, `, "request_rules[0].remove: not supported"},
		{`"^http:(.*)"`, `"^http:("`, "regex_value_rewrite.pattern.regex: error parsing"},
		{`\\1$`, `\\2`, "regex_value_rewrite.substitution: a backslash"},
		{`"reading": 302`, `"reading": 200`, "filter_context: only"},
		{`"reading": 302, `, ``, "filter_context: only"},
		{`"name": "redirect-v1"`, `"name": "prefix-v2"`, "name: only redirect-v1"},
		{`http.lua.redirect"`, `http.lua"`, "name: only prefix-v2"},
	} {
		if !strings.Contains(urlRoutesJSON, row.old) {
			t.Fatalf("no %q to spoil", row.old)
		}
		_, err := DecodeRouteConfiguration("http", resourceOf(t, RouteType, strings.Replace(urlRoutesJSON, row.old, row.new, 1)))
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s → %s: %v, want %s", row.old, row.new, err, row.want)
		}
	}
	script, _, _ := strings.Cut(urlRoutesJSON, `,
  "envoy.filters.http.lua.redirect"`)
	if _, err := DecodeRouteConfiguration("http", resourceOf(t, RouteType, script+"}}]}]}")); err == nil || !strings.Contains(err.Error(), "without each other") {
		t.Errorf("without the script: %v", err)
	}
}
