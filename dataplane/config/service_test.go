package config

import (
	"fmt"
	"strings"
	"testing"
)

const (
	// filtersJSON takes the place of prefix-v2 on a route.
	filtersJSON = `"envoy.filters.http.buffer": {"@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute", "buffer": {"max_request_bytes": 1000}},
  "envoy.filters.http.stateful_session": ` + sessionJSON + `, "envoy.filters.http.lua": `
	sessionJSON = `{"@type": "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute", "stateful_session": {"session_state":
   {"name": "envoy.http.stateful_session.cookie", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState",
    "cookie": {"name": "s", "path": "/", "attributes": [{"name": "Secure"}, {"name": "SameSite", "value": "Lax"}]}}}}}`
	outliersJSON = `"lb_policy": "LEAST_REQUEST", "common_lb_config": {"healthy_panic_threshold": {}}, "outlier_detection": {"interval": "10s", "base_ejection_time": "10s",
  "max_ejection_time": "10s", "max_ejection_percent": 100, "enforcing_consecutive_5xx": 0, "enforcing_success_rate": 0, "enforcing_consecutive_gateway_failure": 0,
  "enforcing_failure_percentage": 100, "failure_percentage_threshold": 51, "failure_percentage_minimum_hosts": 1, "failure_percentage_request_volume": 1,
  "split_external_local_origin_errors": true, "enforcing_consecutive_local_origin_failure": 0, "enforcing_local_origin_success_rate": 0}`
	errorsJSON = `"outlier_detection": {"error_matcher": {"or_match": {"rules": [
  {"http_response_headers_match": {"headers": [{"name": ":status", "range_match": {"start": "500", "end": "502"}}]}},
  {"http_response_headers_match": {"headers": [{"name": ":status", "range_match": {"start": "503", "end": "504"}}]}}]}}}, "explicit_http_config"`
)

// serviceRoutes and serviceCluster are what Services ask for.
var (
	serviceRoutes  = strings.Replace(routesJSON, `"envoy.filters.http.lua": `, filtersJSON, 1)
	serviceCluster = strings.Replace(strings.Replace(clusterJSON, `"lb_policy": "ROUND_ROBIN"`, outliersJSON, 1), `"explicit_http_config"`, errorsJSON, 1)
)

func TestServices(t *testing.T) {
	rc, err := DecodeRouteConfiguration("http", resourceOf(t, RouteType, serviceRoutes))
	if err != nil {
		t.Fatal(err)
	}
	f := rc.VirtualHosts[0].Routes[0].Filters
	if f.RequestBytesMax != 1000 || *f.Session != (Session{Cookie: "s", Attributes: "; Path=/; Secure; SameSite=Lax; HttpOnly"}) {
		t.Errorf("filters %+v", f)
	}
	c, err := DecodeCluster("x", resourceOf(t, ClusterType, serviceCluster))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%t %+v", c.LeastRequest, *c.Outliers); got != "true {Period:10s Percent:51 Errors:[{From:500 To:502} {From:503 To:504}] Connections:false}" {
		t.Errorf("cluster %s", got)
	}
	for status, want := range map[int]bool{499: false, 500: true, 501: true, 502: false, 503: true, 504: false} {
		if c.Outliers.Fails(status) != want {
			t.Errorf("%d fails: %t", status, !want)
		}
	}
}

func TestServicesRefused(t *testing.T) {
	const outliers = `cluster "x": outlier_detection.`
	for _, row := range []struct{ typeURL, resource, old, new, want string }{
		{RouteType, serviceRoutes, `"max_request_bytes": 1000`, `"max_request_bytes": 67108865`, "buffer.max_request_bytes: only 1 to 67108864"},
		{RouteType, serviceRoutes, `"path": "/", "attr`, `"path": "/x", "attr`, "cookie.path: only /"},
		{RouteType, serviceRoutes, `"path": "/", "attr`, `"path": "/", "ttl": "5s", "attr`, "cookie.ttl" + unsupportedText},
		{RouteType, serviceRoutes, `"name": "s"`, `"name": "s;"`, "cookie.name: only a token"},
		{RouteType, serviceRoutes, `"value": "Lax"`, `"value": "a b"`, "cookie.attributes: only tokens"},
		{RouteType, serviceRoutes, `"stateful_session": {"session_state"`, `"stateful_session": {"strict": true, "session_state"`, "stateful_session.strict" + unsupportedText},
		{ClusterType, serviceCluster, `"healthy_panic_threshold": {}`, `"healthy_panic_threshold": {"value": 50}`, "healthy_panic_threshold: only 0"},
		{ClusterType, serviceCluster, `"healthy_panic_threshold": {}`, ``, "healthy_panic_threshold: only 0"},
		{ClusterType, serviceCluster, `"base_ejection_time": "10s"`, `"base_ejection_time": "30s"`, outliers + "interval: only"},
		{ClusterType, serviceCluster, `"failure_percentage_threshold": 51`, `"failure_percentage_threshold": 101`, outliers + "failure_percentage_threshold: only 1 to 100"},
		{ClusterType, serviceCluster, `"enforcing_consecutive_5xx": 0,`, ``, outliers + "enforcing_consecutive_5xx: only 0"},
		{ClusterType, serviceCluster, `"failure_percentage_request_volume": 1,`, `"failure_percentage_request_volume": 5,`, outliers + "failure_percentage_request_volume: only 1"},
		{ClusterType, serviceCluster, `, "enforcing_local_origin_success_rate": 0`, ``, outliers + "enforcing_local_origin_success_rate: only 0"},
		{ClusterType, serviceCluster, `"max_ejection_percent": 100,`, `"max_ejection_percent": 100, "consecutive_5xx": 3,`, outliers + "consecutive_5xx" + unsupportedText},
		{ClusterType, serviceCluster, `"name": ":status"`, `"name": "x"`, "http_response_headers_match: only one range of :status"},
		{ClusterType, strings.Replace(clusterJSON, `"lb_policy"`, `"common_lb_config": {"healthy_panic_threshold": {}}, "lb_policy"`, 1), `"EDS"`, `"EDS"`, "outlier_detection: only set beside"},
		{RouteType, routesJSON, `"weight": 3,`, `"weight": 3, "typed_per_filter_config": {"envoy.filters.http.lua": ` + sessionJSON + `},`, `clusters[0].typed_per_filter_config["envoy.filters.http.lua"]` + unsupportedText},
		{ListenerType, listenerJSON, `"upgrade_type": "websocket"`, `"upgrade_type": "websocket", "filters": [{"name": "x"}]`, "upgrade_configs[0].filters: only http_filters without"},
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
