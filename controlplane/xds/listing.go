package xds

import (
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
)

// clientBytesMax bounds what is kept of what a proxy says of itself.
const clientBytesMax = 16 << 10

// Types are the type URLs that are served, in the order in which they are sent.
func Types() []string { return slices.Clone(sendOrder) }

// Listed is a resource as it is served.
type Listed struct {
	Resource
	Version string
	// Bytes is the size of the message.
	Bytes int
}

// List are the resources of a type, sorted by name; on-demand secrets are not among them.
func (s *Snapshot) List(typeURL string) []Listed {
	set := s.set(typeURL)
	out := make([]Listed, len(set.names))
	for i, name := range set.names {
		out[i] = set.byName[name].listed()
	}
	return out
}

// Lookup is one resource, be it an on-demand secret; false where there is none. An on-demand secret may serve under many names
// and has none in its message.
func (s *Snapshot) Lookup(typeURL, name string) (Listed, bool) {
	found := s.find(typeURL, name)
	if !found.exists() {
		return Listed{}, false
	}
	if found.entry != nil {
		return found.entry.listed(), true
	}
	message, origins := s.onDemand(name)
	return Listed{
		Resource: Resource{TypeURL: typeURL, Name: name, Message: message, Origins: origins},
		Version:  found.version, Bytes: len(found.wire().GetResource().GetValue()),
	}, true
}

func (e *entry) listed() Listed {
	return Listed{Resource: e.resource, Version: e.version, Bytes: len(e.wire.GetResource().GetValue())}
}

// Versions are the names of a type, sorted, and the version of each; on-demand secrets are not among them. Snapshots that serve
// a type alike may share both, so they must not be written to.
func (s *Snapshot) Versions(typeURL string) (names, versions []string) {
	set := s.set(typeURL)
	return set.names, set.versions
}

// boundClient is what is kept of what a proxy says of itself: what tells it from others. Of too much the name remains.
func boundClient(node *corev3.Node) *corev3.Node {
	out := proto.CloneOf(node)
	out.Extensions, out.ClientFeatures, out.DynamicParameters = nil, nil, nil
	if proto.Size(out) > clientBytesMax {
		out = &corev3.Node{Id: node.GetId(), Cluster: node.GetCluster()}
	}
	return out
}
