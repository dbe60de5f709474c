package config

import (
	"strings"
	"testing"
)

const (
	authzFilter = `{"@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz", "transport_api_version": "V3",
 "grpc_service": {"envoy_grpc": {"cluster_name": "postern-authorizer"}, "timeout": "35s"}, "status_on_error": {"code": 503}, "encode_raw_headers": true}`
	withAuthz = `{"name": "envoy.filters.http.ext_authz", "disabled": true, "typed_config": ` + authzFilter + `}, {"name": "envoy.filters.http.lua",`
)

// TestAuthorizer: the filter is taken as it is emitted, and refused where it would let pass what it cannot decide, or asks
// somebody else.
func TestAuthorizer(t *testing.T) {
	listener := strings.Replace(listenerJSON, `{"name": "envoy.filters.http.lua",`, withAuthz, 1)
	for _, c := range []struct{ old, new, want string }{
		{"", "", ""},
		{`"encode_raw_headers": true`, `"encode_raw_headers": true, "failure_mode_allow": true`, "failure_mode_allow" + unsupportedText},
		{`"encode_raw_headers": true`, `"encode_raw_headers": false`, "encode_raw_headers: only true"},
		{`"code": 503`, `"code": 403`, "status_on_error.code: only 503"},
		{`"postern-authorizer"`, `"ns/svc/80"`, "cluster_name: only postern-authorizer"},
	} {
		_, err := DecodeListener("x", resourceOf(t, ListenerType, strings.Replace(listener, c.old, c.new, 1)))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.new, err, c.want)
		}
	}
}

// TestUsers: lines are read, and what is wrong with them never shows them.
func TestUsers(t *testing.T) {
	const canary = "canary"
	secret := func(text string) string {
		return `{"name": "x", "generic_secret": {"secret": {"inline_string": "` + text + `"}}}`
	}
	s, err := DecodeSecret("x", resourceOf(t, SecretType, secret(`alice:`+canary+`\nbob:a:b\n`)))
	if err != nil || s.Users.Hashes["alice"] != canary || s.Users.Hashes["bob"] != "a:b" {
		t.Fatalf("%v", err)
	}
	if text := s.Users.String() + s.Users.GoString() + s.String(); strings.Contains(text, canary) {
		t.Errorf("users are printed: %s", text)
	}
	for _, text := range []string{"", canary, ":" + canary, canary + ":"} {
		if _, err := DecodeSecret("x", resourceOf(t, SecretType, secret(text))); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
