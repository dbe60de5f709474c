// Package config turns xDS resources into small validated structs.
//
// It has one file per xDS type. Every decoder first walks the message and refuses each field that is set and that the
// Go data plane does not honour (see fields.go), so that two data planes never silently differ; then it reads the
// fields that are left. An error names the resource and the full path of the field; the caller sends it as a NACK.
// Metadata is accepted everywhere and read nowhere.
package config

import (
	"fmt"
	"net/netip"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// The type URLs that the data plane asks for.
const (
	ListenerType = "type.googleapis.com/envoy.config.listener.v3.Listener"
	RouteType    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	ClusterType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	EndpointType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	SecretType   = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
)

// kinds are the words by which errors name a resource.
var kinds = map[string]string{
	ListenerType: "listener",
	RouteType:    "route configuration",
	ClusterType:  "cluster",
	EndpointType: "cluster load assignment",
	SecretType:   "secret",
}

// Kind is the word for a resource of a type: "listener", "cluster" and so on; the type URL itself where it is unknown.
func Kind(typeURL string) string {
	if kind, ok := kinds[typeURL]; ok {
		return kind
	}
	return typeURL
}

// A resource is what every decoder starts from: its message and the path that its errors begin with.
type resource[T proto.Message] struct {
	message T
	path    string
}

// open unmarshals a resource into message and checks its fields.
func open[T proto.Message](name string, body *anypb.Any, message T) (resource[T], error) {
	path := fmt.Sprintf("%s %q: ", Kind(body.GetTypeUrl()), name)
	if err := body.UnmarshalTo(message); err != nil {
		return resource[T]{}, fmt.Errorf("%sread: %w", path, err)
	}
	if err := check(message.ProtoReflect(), path); err != nil {
		return resource[T]{}, err
	}
	return resource[T]{message, path}, nil
}

// unpack reads a typed config as a T. The walk has admitted its type somewhere; here it must be the one that belongs.
func unpack[T proto.Message](body *anypb.Any, message T, path string) (string, error) {
	if body == nil {
		return "", fmt.Errorf("%s: missing", path)
	}
	if !body.MessageIs(message) {
		return "", fmt.Errorf("%s: %s is not supported here by the Go data plane", path, shortName(body))
	}
	if err := body.UnmarshalTo(message); err != nil {
		return "", fmt.Errorf("%s: read: %w", path, err)
	}
	return join(path, shortName(body)), nil
}

// shortName is the last part of the name of the message in body: "Router".
func shortName(body *anypb.Any) string {
	name := string(body.MessageName())
	return name[strings.LastIndexByte(name, '.')+1:]
}

// join appends a field to a path; a path that ends the name of the resource needs no dot.
func join(path, field string) string {
	if path == "" || strings.HasSuffix(path, " ") {
		return path + field
	}
	return path + "." + field
}

// index appends a position in a list to a path.
func index(path, field string, i int) string {
	return fmt.Sprintf("%s[%d]", join(path, field), i)
}

// only is the error for a field with a value that the Go data plane cannot honour.
func only(path, field string, want any) error {
	return fmt.Errorf("%s: only %v is supported by the Go data plane", join(path, field), want)
}

// unsupported is the error for a field that the Go data plane does not honour at all.
func unsupported(path string) error {
	return fmt.Errorf("%s: not supported by the Go data plane", path)
}

// requireADS checks that a config source is the ADS stream that the resource came by.
func requireADS(source *corev3.ConfigSource, path string) error {
	if source.GetAds() == nil {
		return only(path, "ads", "a config source over ADS")
	}
	return nil
}

// socketAddress reads an IP address and a port.
func socketAddress(address *corev3.Address, path string) (netip.AddrPort, error) {
	socket := address.GetSocketAddress()
	path = join(path, "socket_address")
	if socket.GetProtocol() != corev3.SocketAddress_TCP {
		return netip.AddrPort{}, only(path, "protocol", "TCP")
	}
	ip, err := netip.ParseAddr(socket.GetAddress())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%s: %q is not an IP address", join(path, "address"), socket.GetAddress())
	}
	port := socket.GetPortValue()
	if port > 65535 {
		return netip.AddrPort{}, fmt.Errorf("%s: %d is not a port", join(path, "port_value"), port)
	}
	return netip.AddrPortFrom(ip, uint16(port)), nil
}

// inline reads a data source that carries its bytes.
func inline(source *corev3.DataSource) []byte {
	if b := source.GetInlineBytes(); len(b) > 0 {
		return b
	}
	return []byte(source.GetInlineString())
}
