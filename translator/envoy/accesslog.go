package envoy

import (
	"strings"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	filterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	setstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/postern-gateway/postern/translator/model"
)

const (
	askedFilterName = "envoy.filters.http.set_filter_state"
	// stateAuthority and statePath keep what was asked for: a route may send another host and path to its backend, and
	// the headers are those when a line is written.
	stateAuthority = "postern.authority"
	statePath      = "postern.path"
)

// logFields are what a line says of a request, in the order of the text. There is no header of the client's but Host, and
// the path is without its query, where tokens stand.
var logFields = []struct{ name, operator string }{
	{"time", "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%"},
	{"client", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"},
	{"method", "%REQ(:METHOD)%"},
	{"authority", stateOperator(stateAuthority)},
	{"path", stateOperator(statePath)},
	{"protocol", "%PROTOCOL%"},
	{"status", "%RESPONSE_CODE%"},
	{"bytes", "%BYTES_SENT%"},
	{"duration_ms", "%DURATION%"},
	{"cluster", "%UPSTREAM_CLUSTER_RAW%"},
	{"origins", "%METADATA(ROUTE:" + metadataKey + ":origins)%"},
}

func stateOperator(key string) string { return "%FILTER_STATE(" + key + ":PLAIN)%" }

// requestLog writes a line for every request; nothing where it is off.
func requestLog(kind model.AccessLog) []*accesslogv3.AccessLog {
	if kind == model.AccessLogOff {
		return nil
	}
	format := &corev3.SubstitutionFormatString{}
	if kind == model.AccessLogJSON {
		fields := map[string]*structpb.Value{}
		for _, f := range logFields {
			fields[f.name] = structpb.NewStringValue(f.operator)
		}
		format.Format = &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: &structpb.Struct{Fields: fields}}
	} else {
		var operators []string
		for _, f := range logFields {
			operators = append(operators, f.operator)
		}
		format.Format = &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
			Specifier: &corev3.DataSource_InlineString{InlineString: strings.Join(operators, " ") + "\n"},
		}}
	}
	return []*accesslogv3.AccessLog{{
		Name: stdoutAccessLogName,
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: typed(&streamv3.StdoutAccessLog{
			AccessLogFormat: &streamv3.StdoutAccessLog_LogFormat{LogFormat: format},
		})},
	}}
}

// askedFilter stands first, so that what a later filter refuses is told, too. Nothing where no line is written.
func askedFilter(kind model.AccessLog) []*hcmv3.HttpFilter {
	if kind == model.AccessLogOff {
		return nil
	}
	state := func(key, operator string) *filterstatev3.FilterStateValue {
		return &filterstatev3.FilterStateValue{
			Key: &filterstatev3.FilterStateValue_ObjectKey{ObjectKey: key}, FactoryKey: "envoy.string",
			Value: &filterstatev3.FilterStateValue_FormatString{FormatString: &corev3.SubstitutionFormatString{
				Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
					Specifier: &corev3.DataSource_InlineString{InlineString: operator},
				}},
			}},
		}
	}
	return []*hcmv3.HttpFilter{{
		Name: askedFilterName,
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: typed(&setstatev3.Config{OnRequestHeaders: []*filterstatev3.FilterStateValue{
			state(stateAuthority, "%REQ(:AUTHORITY)%"), state(statePath, "%PATH(NQ:PATH)%"),
		}})},
	}}
}
