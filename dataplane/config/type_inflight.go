package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	"golang.org/x/net/http/httpguts"
	"google.golang.org/protobuf/types/known/anypb"
)

// The gRPC metadata of a route's ext_proc: its limits (see ParseInFlight), and the address of the client.
const (
	InFlightMetadata = "postern-in-flight"
	ClientMetadata   = "postern-client"
	clientOperator   = "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
)

// InFlight bounds how many requests of a route are answered at once.
type InFlight struct {
	// Name tells its counts from those of other routes.
	Name string
	// Limits all hold; no two count by one key.
	Limits []InFlightLimit
}

// An InFlightLimit admits so many requests for each value of a key. Client counts by the client's address, Host by the host
// without case and port; otherwise Header does, by the first value of one that is named in lower case.
type InFlightLimit struct {
	Client, Host bool
	Header       string
	Most         uint32
}

// inFlightLimitsMax is how many limits a route may have: one request is counted by each.
const inFlightLimitsMax = 16

// ParseInFlight reads NAME client=10 host=10 header:x-key=10, of which there is one limit at least.
func ParseInFlight(text string) (*InFlight, error) {
	words := strings.Fields(text)
	if len(words) < 2 || len(words) > inFlightLimitsMax+1 {
		return nil, fmt.Errorf("%q is not a name and 1 to %d limits", text, inFlightLimitsMax)
	}
	out := &InFlight{Name: words[0]}
	for _, word := range words[1:] {
		key, number, _ := strings.Cut(word, "=")
		n, err := strconv.ParseUint(number, 10, 32)
		limit := InFlightLimit{Client: key == "client", Host: key == "host", Most: uint32(n)}
		header, named := strings.CutPrefix(key, "header:")
		if named {
			limit.Header = header
		}
		known := limit.Client || limit.Host || httpguts.ValidHeaderFieldName(header) && header == strings.ToLower(header)
		if err != nil || n == 0 || !known || !limit.Client && !limit.Host && !named {
			return nil, fmt.Errorf("%q is no limit", word)
		}
		same := func(has InFlightLimit) bool {
			has.Most = limit.Most
			return has == limit
		}
		if slices.ContainsFunc(out.Limits, same) {
			return nil, fmt.Errorf("%q is a second limit by one key", word)
		}
		out.Limits = append(out.Limits, limit)
	}
	return out, nil
}

// decodeInFlightFilter reads the filter's own configuration. Who counts is the data plane's: here, the process itself.
func decodeInFlightFilter(_ *ConnectionManager, body *anypb.Any, at string) error {
	filter := &extprocv3.ExternalProcessor{}
	at, err := unpack(body, filter, at)
	mode := filter.GetProcessingMode()
	switch {
	case err != nil:
		return err
	case filter.GetGrpcService().GetEnvoyGrpc().GetClusterName() != "postern-authorizer":
		return only(at, "grpc_service.envoy_grpc.cluster_name", "postern-authorizer")
	case filter.GetStatusOnError().GetCode() != 503:
		return only(at, "status_on_error.code", 503)
	case mode.GetRequestHeaderMode() != extprocv3.ProcessingMode_SEND || mode.GetResponseHeaderMode() != extprocv3.ProcessingMode_SKIP,
		mode.GetRequestTrailerMode() != extprocv3.ProcessingMode_SKIP || mode.GetResponseTrailerMode() != extprocv3.ProcessingMode_SEND:
		return only(at, "processing_mode", "the headers of requests and the trailers of responses")
	}
	return nil
}

func decodeInFlight(out *Filters, body *anypb.Any, at string) error {
	perRoute := &extprocv3.ExtProcPerRoute{}
	at, err := unpack(body, perRoute, at)
	if err != nil {
		return err
	}
	metadata := perRoute.GetOverrides().GetGrpcInitialMetadata()
	at = join(at, "overrides.grpc_initial_metadata")
	if len(metadata) != 2 || metadata[0].GetKey() != InFlightMetadata || metadata[1].GetKey() != ClientMetadata || metadata[1].GetValue() != clientOperator {
		return only(at, "key", InFlightMetadata+", then "+ClientMetadata+" of "+clientOperator)
	}
	text, ok := unescaped(metadata[0])
	if !ok {
		return only(at, "value", "literal text")
	}
	if out.InFlight, err = ParseInFlight(text); err != nil {
		return fmt.Errorf("%s: %w", join(at, "value"), err)
	}
	return nil
}

// unescaped is the text of a format string without operators.
func unescaped(h *corev3.HeaderValue) (string, bool) {
	pieces := strings.Split(h.GetValue(), "%%")
	for _, piece := range pieces {
		if strings.Contains(piece, "%") {
			return "", false
		}
	}
	return strings.Join(pieces, "%"), true
}
