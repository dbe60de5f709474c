package inspect

import (
	statusv3 "github.com/envoyproxy/go-control-plane/envoy/service/status/v3"
	"google.golang.org/grpc"
)

// csdsStreamPath is the one call of gRPC that does not end by itself.
const csdsStreamPath = statusv3.ClientStatusDiscoveryService_StreamClientStatus_FullMethodName

// csdsRequestBytesMax bounds one request: some matchers of nodes.
const csdsRequestBytesMax = 64 << 10

// newCSDS makes the server of Envoy's Client Status Discovery Service, and of nothing else: no reflection.
func (i *Inspector) newCSDS() *grpc.Server {
	g := grpc.NewServer(grpc.MaxRecvMsgSize(csdsRequestBytesMax), grpc.WaitForHandlers(true))
	statusv3.RegisterClientStatusDiscoveryServiceServer(g, &csds{inspector: i})
	return g
}

// csds tells in Envoy's words what each proxy has.
type csds struct {
	statusv3.UnimplementedClientStatusDiscoveryServiceServer
	inspector *Inspector
}
