package xds

import (
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/postern-gateway/postern/translator/diag"
)

// TestListing: what is listed is what is served, on-demand secrets by the name that they are asked for.
func TestListing(t *testing.T) {
	snapshot := world(t, 1, "b", "a")
	for _, typeURL := range Types() {
		names, versions := snapshot.Versions(typeURL)
		listed := snapshot.List(typeURL)
		if len(listed) != len(names) || len(versions) != len(names) {
			t.Fatalf("%s: %d are listed, of %d names and %d versions", typeURL, len(listed), len(names), len(versions))
		}
		for i, l := range listed {
			version, _ := snapshot.Version(typeURL, l.Name)
			found, ok := snapshot.Lookup(typeURL, l.Name)
			if l.Name != names[i] || l.Version != versions[i] || l.Version != version || l.Bytes != proto.Size(l.Message) || !ok || found.Message != l.Message {
				t.Errorf("%s %s is listed as %s, %d bytes; found %t", typeURL, names[i], l.Version, l.Bytes, ok)
			}
		}
	}
	secret := &tlsv3.Secret{Type: &tlsv3.Secret_GenericSecret{GenericSecret: &tlsv3.GenericSecret{}}}
	origins := []diag.Origin{{Kind: "Secret", Name: "a"}}
	asked, err := NewSnapshot(nil, func(name string) (proto.Message, []diag.Origin) {
		if name == "a.test" {
			return secret, origins
		}
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	found, ok := asked.Lookup(resource.SecretType, "a.test")
	if version, _ := asked.Version(resource.SecretType, "a.test"); !ok || found.Version != version || found.Message != secret || len(found.Origins) != 1 || found.Bytes == 0 {
		t.Errorf("an on-demand secret: %v %v", found, ok)
	}
	if _, ok := asked.Lookup(resource.SecretType, "b.test"); ok {
		t.Error("a secret that is not there is found")
	}
}

// TestClientIsBounded: what a proxy says of itself is kept as long as it is short.
func TestClientIsBounded(t *testing.T) {
	node := &corev3.Node{Id: "a", Cluster: "b", UserAgentName: "envoy", Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{
		"zone": structpb.NewStringValue("eu"),
	}}, Extensions: []*corev3.Extension{{Name: "x"}}}
	got := boundClient(node)
	if got.GetMetadata().GetFields()["zone"].GetStringValue() != "eu" || got.GetUserAgentName() != "envoy" || got.GetExtensions() != nil || node.GetExtensions() == nil {
		t.Errorf("kept: %v", got)
	}
	node.Metadata.Fields["zone"] = structpb.NewStringValue(strings.Repeat("a", clientBytesMax))
	if got := boundClient(node); !proto.Equal(got, &corev3.Node{Id: "a", Cluster: "b"}) {
		t.Errorf("kept of too much: %v", got)
	}
}
