package inflight

import (
	"errors"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/postern-gateway/postern/dataplane/config"
)

var errNoHeaders = errors.New("a stream does not begin with a request's headers")

// Process counts one request of an Envoy's in, and out when its stream ends. Its error has Envoy answer 503.
func (l *Limiter) Process(stream extprocv3.ExternalProcessor_ProcessServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	limits, request, err := read(stream, first)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	done, refused := l.Enter(stream.Context(), limits, request)
	if done == nil {
		return stream.Send(&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ImmediateResponse{
			ImmediateResponse: &extprocv3.ImmediateResponse{Status: &typev3.HttpStatus{Code: typev3.StatusCode(refused)}, Details: "in_flight"},
		}})
	}
	defer done()
	if err := stream.Send(&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestHeaders{}}); err != nil {
		return err
	}
	return l.await(stream)
}

// await returns when a stream has ended, or the Limiter has. A response may have trailers, which pass.
func (l *Limiter) await(stream extprocv3.ExternalProcessor_ProcessServer) error {
	over := make(chan error, 1)
	go func() {
		for {
			next, err := stream.Recv()
			if err == nil && next.GetResponseTrailers() != nil {
				err = stream.Send(&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseTrailers{}})
			}
			if err != nil {
				over <- err
				return
			}
		}
	}()
	select {
	case <-over: // however it ended, the request has
	case <-l.ended:
	}
	return nil
}

// read takes the limits and what they look at out of ext_proc's words.
func read(stream extprocv3.ExternalProcessor_ProcessServer, first *extprocv3.ProcessingRequest) (*config.InFlight, Request, error) {
	said, _ := metadata.FromIncomingContext(stream.Context())
	limits, err := config.ParseInFlight(strings.Join(said.Get(config.InFlightMetadata), " "))
	if err != nil {
		return nil, Request{}, err
	}
	headers := first.GetRequestHeaders().GetHeaders().GetHeaders()
	r := Request{Client: strings.Join(said.Get(config.ClientMetadata), ""), Header: func(name string) string { return header(headers, name) }}
	if r.Authority = r.Header(":authority"); r.Client == "" || r.Authority == "" {
		return nil, Request{}, errNoHeaders
	}
	return limits, r, nil
}

// header is the first value of a header.
func header(headers []*corev3.HeaderValue, name string) string {
	for _, h := range headers {
		if strings.EqualFold(h.GetKey(), name) {
			if raw := h.GetRawValue(); len(raw) > 0 {
				return string(raw)
			}
			return h.GetValue()
		}
	}
	return ""
}
