package config

import (
	"maps"
	"slices"
	"strings"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	filterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	setstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// An AccessLog is the line that is written of every request: JSON where Fields is set, else text.
type AccessLog struct {
	Fields map[string]LogValue
	Text   []LogPart
}

// A LogPart is a value, or words as they are.
type LogPart struct {
	Words string
	Value LogValue
}

// A LogValue is what a line says of a request.
type LogValue int

// The values, each by the operator of Envoy's that is beside it in logOperators.
const (
	LogNothing LogValue = iota
	LogTime
	LogClient
	LogMethod
	LogAuthority
	LogPath
	LogProtocol
	LogStatus
	LogBytes
	LogDuration
	LogCluster
	LogOrigins
)

var logOperators = map[string]LogValue{
	"%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%":     LogTime,
	"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%": LogClient,
	"%REQ(:METHOD)%":                           LogMethod,
	"%FILTER_STATE(postern.authority:PLAIN)%":  LogAuthority,
	"%FILTER_STATE(postern.path:PLAIN)%":       LogPath,
	"%PROTOCOL%":                               LogProtocol,
	"%RESPONSE_CODE%":                          LogStatus,
	"%BYTES_SENT%":                             LogBytes,
	"%DURATION%":                               LogDuration,
	"%UPSTREAM_CLUSTER_RAW%":                   LogCluster,
	"%METADATA(ROUTE:postern.dev:origins)%":    LogOrigins,
}

// askedStates are what the filter in front keeps of a request for the log.
var askedStates = map[string]string{"postern.authority": "%REQ(:AUTHORITY)%", "postern.path": "%PATH(NQ:PATH)%"}

// decodeAccessLogs reads the log of every request, nil where there is none. One with a filter is of failures, which go to
// the program's own log.
func decodeAccessLogs(logs []*accesslogv3.AccessLog, at string) (*AccessLog, error) {
	var out *AccessLog
	for i, l := range logs {
		at := index(at, "access_log", i)
		if l.GetFilter() != nil {
			continue
		}
		stdout := &streamv3.StdoutAccessLog{}
		at, err := unpack(l.GetTypedConfig(), stdout, join(at, "typed_config"))
		if err != nil {
			return nil, err
		}
		if out != nil {
			return nil, only(at, "", "one log without a filter")
		}
		if out, err = decodeLogFormat(stdout, join(at, "log_format")); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func decodeLogFormat(l *streamv3.StdoutAccessLog, at string) (*AccessLog, error) {
	const known = "operators of the log of Postern's"
	if fields := l.GetLogFormat().GetJsonFormat().GetFields(); len(fields) > 0 {
		out := &AccessLog{Fields: map[string]LogValue{}}
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			value, ok := logOperators[fields[name].GetStringValue()]
			if !ok {
				return nil, only(at, "json_format."+name, known)
			}
			out.Fields[name] = value
		}
		return out, nil
	}
	rest, ended := strings.CutSuffix(string(inline(l.GetLogFormat().GetTextFormatSource())), "\n")
	if !ended || rest == "" {
		return nil, only(at, "text_format_source", "one line given inline, or json_format beside it,")
	}
	out := &AccessLog{}
	for rest != "" {
		words, _, _ := strings.Cut(rest, "%")
		if rest = rest[len(words):]; words != "" {
			out.Text = append(out.Text, LogPart{Words: words})
			continue
		}
		operator := ""
		for _, o := range slices.Sorted(maps.Keys(logOperators)) {
			if strings.HasPrefix(rest, o) {
				operator = o
			}
		}
		if operator == "" {
			return nil, only(at, "text_format_source", known)
		}
		out.Text = append(out.Text, LogPart{Value: logOperators[operator]})
		rest = rest[len(operator):]
	}
	return out, nil
}

// decodeAsked reads the filter that keeps what was asked for; the Go data plane does by itself.
func decodeAsked(_ *ConnectionManager, body *anypb.Any, at string) error {
	filter := &setstatev3.Config{}
	at, err := unpack(body, filter, at)
	if err != nil {
		return err
	}
	for i, s := range filter.GetOnRequestHeaders() {
		if !keepsAsked(s) {
			return only(index(at, "on_request_headers", i), "object_key", "what the access log says of a request")
		}
	}
	return nil
}

func keepsAsked(s *filterstatev3.FilterStateValue) bool {
	operator, known := askedStates[s.GetObjectKey()]
	return known && s.GetFactoryKey() == "envoy.string" && string(inline(s.GetFormatString().GetTextFormatSource())) == operator
}

// originsOf are the origins of a route, where they are a list of strings.
func originsOf(m *corev3.Metadata) []string {
	var out []string
	for _, v := range m.GetFilterMetadata()["postern.dev"].GetFields()["origins"].GetListValue().GetValues() {
		out = append(out, v.GetStringValue())
	}
	return out
}
