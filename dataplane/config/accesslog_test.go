package config

import (
	"fmt"
	"strings"
	"testing"
)

// logOf has the listener log requests in a format, and keep what was asked for.
func logOf(format string) string {
	with := strings.Replace(listenerJSON, `"access_log": [`, `"access_log": [{"name": "requests", "typed_config": {
 "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog", "log_format": `+format+`}}, `, 1)
	return strings.Replace(with, `"http_filters": [`, `"http_filters": [{"name": "envoy.filters.http.set_filter_state", "typed_config": {
 "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config", "on_request_headers": [
 {"object_key": "postern.path", "factory_key": "envoy.string", "format_string": {"text_format_source": {"inline_string": "%PATH(NQ:PATH)%"}}}]}},`, 1)
}

var (
	jsonLog = logOf(`{"json_format": {"to": "%UPSTREAM_CLUSTER_RAW%", "at": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%"}}`)
	textLog = logOf(`{"text_format_source": {"inline_string": "a %PROTOCOL%%BYTES_SENT% b\n"}}`)
)

func TestDecodeAccessLog(t *testing.T) {
	for resource, want := range map[string]string{
		listenerJSON: "<nil>",
		jsonLog:      fmt.Sprintf("&{map[at:%d to:%d] []}", LogTime, LogCluster),
		textLog:      fmt.Sprintf("&{map[] [{a  0} { %d} { %d} { b 0}]}", LogProtocol, LogBytes),
	} {
		l, err := DecodeListener("https", resourceOf(t, ListenerType, resource))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(l.Chains[0].HTTP.AccessLog); got != want {
			t.Errorf("the log is %s, want %s", got, want)
		}
	}
}

func TestAccessLogRefused(t *testing.T) {
	for _, row := range []struct{ resource, old, new, want string }{
		{jsonLog, "%UPSTREAM_CLUSTER_RAW%", "%REQ(AUTHORIZATION)%", "log_format.json_format.to: only operators"},
		{textLog, "%PROTOCOL%", "%REQ(COOKIE)%", "log_format.text_format_source: only operators"},
		{textLog, ` b\n`, ` b`, "log_format.text_format_source: only one line"},
		{jsonLog, "postern.path", "envoy.network.upstream_server_name", "on_request_headers[0].object_key: only"},
		{jsonLog, "%PATH(NQ:PATH)%", "%PATH(WQ:PATH)%", "on_request_headers[0].object_key: only"},
		{jsonLog, `"access_log": [`, `"access_log": [{"name": "file", "typed_config": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": ""}}, `, "StringValue is not supported here"},
	} {
		if !strings.Contains(row.resource, row.old) {
			t.Fatalf("no %q to spoil", row.old)
		}
		_, err := DecodeListener("https", resourceOf(t, ListenerType, strings.Replace(row.resource, row.old, row.new, 1)))
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s for %s: %v, want %s", row.new, row.old, err, row.want)
		}
	}
}
