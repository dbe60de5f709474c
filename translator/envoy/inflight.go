package envoy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/postern-gateway/postern/translator/model"
)

const (
	inFlightFilterName = "envoy.filters.http.ext_proc"
	// The gRPC metadata of a request's stream: what its route asks for, and who the client is. Envoy reads the values as
	// format strings.
	inFlightKey, inFlightClientKey = "postern-in-flight", "postern-client"
	inFlightClient                 = "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
	// inFlightTimeout is far above what the authorizer takes (dataplane/inflight); after it, Envoy answers 504.
	inFlightTimeout = 5 * time.Second
	// inFlightNameBytes is how much of a hash tells routes apart.
	inFlightNameBytes = 16
)

// inFlightFilter has the data plane's authorizer count the requests that are being answered: there is a stream for each, which
// lasts as long as the request does (docs/design/in-flight.md). That a response might have trailers which the authorizer wants
// to see is what keeps Envoy from ending the stream early. Without the authorizer there is 503.
func inFlightFilter() *hcmv3.HttpFilter {
	return disabled(inFlightFilterName, &extprocv3.ExternalProcessor{
		GrpcService: &corev3.GrpcService{
			TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: authorizeCluster}},
		},
		ProcessingMode: &extprocv3.ProcessingMode{
			RequestHeaderMode: extprocv3.ProcessingMode_SEND, ResponseHeaderMode: extprocv3.ProcessingMode_SKIP,
			RequestTrailerMode: extprocv3.ProcessingMode_SKIP, ResponseTrailerMode: extprocv3.ProcessingMode_SEND,
		},
		MessageTimeout: durationpb.New(inFlightTimeout),
		StatusOnError:  &typev3.HttpStatus{Code: typev3.StatusCode_ServiceUnavailable},
	})
}

// limitInFlight says of a route what is counted, and to how many: NAME client=10 header:x-key=5.
func (b *routeBuilder) limitInFlight(r *routev3.Route, all model.InFlightLimits) {
	if len(all.Limits) == 0 {
		return
	}
	sum := sha256.Sum256([]byte(b.entry.Name + " " + all.Name))
	words := []string{hex.EncodeToString(sum[:inFlightNameBytes])}
	for _, limit := range all.Limits {
		words = append(words, fmt.Sprintf("%s=%d", inFlightBy(limit.By), limit.Most))
	}
	text := strings.ReplaceAll(strings.Join(words, " "), "%", "%%")
	switchOn(r, inFlightFilterName, &extprocv3.ExtProcPerRoute{Override: &extprocv3.ExtProcPerRoute_Overrides{Overrides: &extprocv3.ExtProcOverrides{
		GrpcInitialMetadata: []*corev3.HeaderValue{{Key: inFlightKey, Value: text}, {Key: inFlightClientKey, Value: inFlightClient}},
	}}})
}

func inFlightBy(by model.RateKey) string {
	switch by := by.(type) {
	case model.RateByHost:
		return "host"
	case model.RateByHeader:
		return "header:" + by.Name
	}
	return "client"
}
