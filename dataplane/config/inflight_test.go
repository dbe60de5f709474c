package config

import (
	"fmt"
	"strings"
	"testing"
)

const (
	inFlightFilterJSON = `{"name": "envoy.filters.http.ext_proc", "disabled": true, "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
  "grpc_service": {"envoy_grpc": {"cluster_name": "postern-authorizer"}}, "message_timeout": "5s", "status_on_error": {"code": 503},
  "processing_mode": {"request_header_mode": "SEND", "response_header_mode": "SKIP", "request_trailer_mode": "SKIP", "response_trailer_mode": "SEND"}}}, {"name": "envoy.filters.http.lua", `
	inFlightRouteJSON = `"envoy.filters.http.ext_proc": {"@type": "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute", "overrides": {"grpc_initial_metadata": [
  {"key": "postern-in-flight", "value": "a client=10 host=2 header:x%%key=1"}, {"key": "postern-client", "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}]}}, "envoy.filters.http.lua": `
)

// inFlightRoutes has a route with limits.
var inFlightRoutes = strings.Replace(routesJSON, `"envoy.filters.http.lua": `, inFlightRouteJSON, 1)

func TestInFlight(t *testing.T) {
	rc, err := DecodeRouteConfiguration("http", resourceOf(t, RouteType, inFlightRoutes))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%+v", *rc.VirtualHosts[0].Routes[0].Filters.InFlight)
	if want := "{Name:a Limits:[{Client:true Host:false Header: Most:10} {Client:false Host:true Header: Most:2} {Client:false Host:false Header:x%key Most:1}]}"; got != want {
		t.Errorf("limits %s, want %s", got, want)
	}
}

func TestInFlightRefused(t *testing.T) {
	const at = "overrides.grpc_initial_metadata."
	for _, row := range []struct{ old, new, want string }{
		{`a client=10 host=2 header:x%%key=1`, `a`, at + "value: \"a\" is not a name"},
		{`client=10 host=2`, `client=0`, at + `value: "client=0" is no limit`},
		{`client=10 host=2`, `client=4294967296`, at + `value: "client=4294967296" is no limit`},
		{`client=10 host=2`, `cookie=1`, at + `value: "cookie=1" is no limit`},
		{`client=10 host=2`, `header:=1`, at + `value: "header:=1" is no limit`},
		{`client=10 host=2`, `header:X-A=1`, at + `value: "header:X-A=1" is no limit`},
		{`client=10 host=2`, `x-a=1`, at + `value: "x-a=1" is no limit`},
		{`client=10 host=2`, `client=10 client=2`, at + `value: "client=2" is a second`},
		{`x%%key`, `x%REQ(cookie)%`, at + "value: only literal text"},
		{`%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%`, `%REQ(x-real-ip)%`, at + "key: only"},
		{`"key": "postern-in-flight"`, `"key": "x"`, at + "key: only"},
		{`"overrides": {`, `"overrides": {"failure_mode_allow": true, `, "overrides.failure_mode_allow" + unsupportedText},
	} {
		refuses(t, RouteType, inFlightRoutes, row.old, row.new, row.want)
	}
	listener := strings.Replace(listenerJSON, `{"name": "envoy.filters.http.lua", `, inFlightFilterJSON, 1)
	if _, err := DecodeListener("https", resourceOf(t, ListenerType, listener)); err != nil || listener == listenerJSON {
		t.Fatalf("a listener with the filter: %v", err)
	}
	for _, row := range []struct{ old, new, want string }{
		{`"postern-authorizer"`, `"x"`, "cluster_name: only postern-authorizer"},
		{`"code": 503`, `"code": 200`, "status_on_error.code: only 503"},
		{`"response_trailer_mode": "SEND"`, `"response_trailer_mode": "SKIP"`, "processing_mode: only"},
		{`"request_header_mode": "SEND"`, `"request_body_mode": "STREAMED"`, "request_body_mode" + unsupportedText},
		{`"message_timeout"`, `"failure_mode_allow": true, "message_timeout"`, "failure_mode_allow" + unsupportedText},
	} {
		refuses(t, ListenerType, listener, row.old, row.new, row.want)
	}
}

func refuses(t *testing.T, typeURL, resource, old, new, want string) {
	t.Helper()
	if !strings.Contains(resource, old) {
		t.Fatalf("no %q to spoil", old)
	}
	_, err := decode(typeURL, "x", resourceOf(t, typeURL, strings.Replace(resource, old, new, 1)))
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s → %s: %v, want %s", old, new, err, want)
	}
}
