package xds

import (
	"fmt"
	"unicode/utf8"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	protobuf "google.golang.org/protobuf/proto"
)

// codec reads requests that hold names which are no UTF-8.
//
// Envoy writes the SNI into resource_names_subscribe as the client sent it, whatever its bytes. Go refuses such a
// message, gRPC then ends the stream, Envoy comes back and asks for the same name: one handshake by anybody would cut
// the proxy from its control plane for ever. Such names are left out. They cannot be answered either, for Envoy refuses a
// response with such a name in the same way; the handshake ends by the filter chain's transport_socket_connect_timeout.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(proto.Name)} }

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	err := c.CodecV2.Unmarshal(data, v)
	req, isRequest := v.(*discoveryv3.DeltaDiscoveryRequest)
	if err == nil || !isRequest {
		return err
	}
	kept, ok := validNames(data.Materialize())
	if !ok {
		return err
	}
	if again := protobuf.Unmarshal(kept, req); again != nil {
		return fmt.Errorf("read a request without its invalid names: %w", again)
	}
	return nil
}

// validNames copies a DeltaDiscoveryRequest without the names that are no UTF-8; false if it is no message at all.
func validNames(message []byte) ([]byte, bool) {
	const subscribe, unsubscribe, initialVersions, initialVersionsKey = 3, 4, 5, 1
	var out []byte
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeField(message)
		if size < 0 {
			return nil, false
		}
		field := message[:size]
		message = message[size:]
		if kind == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(field)
			value, _ := protowire.ConsumeBytes(field[tag:])
			switch number {
			case initialVersions:
				value = stringField(value, initialVersionsKey)
			case subscribe, unsubscribe:
			default:
				value = nil
			}
			if !utf8.Valid(value) {
				continue
			}
		}
		out = append(out, field...)
	}
	return out, true
}

// stringField is the last field of that number in a message, nil if there is none.
func stringField(message []byte, wanted protowire.Number) []byte {
	var found []byte
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeField(message)
		if size < 0 {
			return nil
		}
		if number == wanted && kind == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(message)
			found, _ = protowire.ConsumeBytes(message[tag:size])
		}
		message = message[size:]
	}
	return found
}
