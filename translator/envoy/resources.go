// Package envoy renders the model as Envoy's xDS v3 resources. docs/design/xds.md describes their shape.
//
// It renders typed protos only; what a user wrote never becomes part of a template, a script or a format string.
package envoy

import (
	"cmp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	resource "github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/postern-gateway/postern/translator/model"
)

// The type URLs of the resources.
const (
	TypeListener = resource.ListenerType
	TypeRoute    = resource.RouteType
	TypeCluster  = resource.ClusterType
	TypeEndpoint = resource.EndpointType
	TypeSecret   = resource.SecretType
)

// Resource is one xDS resource and where it comes from.
type Resource struct {
	TypeURL string
	Name    string
	Message proto.Message
	// Origins are the places behind the resource; never empty.
	Origins model.Origins
}

// Render makes every resource of a gateway, sorted by type and name. Certificates that clients are served with go by
// SNI on demand (see CertificateSecret) and are not among them.
func Render(g model.Gateway) []Resource {
	var out []Resource
	add := func(typeURL, name string, m proto.Message, origins model.Origins) {
		out = append(out, Resource{TypeURL: typeURL, Name: name, Message: m, Origins: origins})
	}
	for _, t := range g.Tables {
		entry := flagOrigin("--" + t.Entry.Name)
		add(TypeListener, t.Entry.Name, listener(t, g.Edge), slices.Concat(entry, groupOrigins(t)))
		for _, group := range groups(t, g.Edge) {
			name := routesName(t.Entry, group)
			add(TypeRoute, name, routeConfiguration(name, t, g.Edge, group), slices.Concat(entry, tableOrigins(t, group)))
		}
	}
	for _, ca := range g.ClientCAs {
		name := clientCAName(ca.Name)
		add(TypeSecret, name, trustSecret(name, ca.Bundle), ca.Origins)
	}
	for _, b := range g.Backends {
		add(TypeCluster, b.Name, cluster(b), b.Origins)
	}
	for _, a := range g.Assignments {
		out = append(out, Assignment(a))
	}
	if len(g.Edge.UpstreamTrust) > 0 && slices.ContainsFunc(g.Backends, verifiesByEdge) {
		add(TypeSecret, TrustName, trustSecret(TrustName, g.Edge.UpstreamTrust), flagOrigin("--upstream-ca"))
	}
	for _, b := range g.Bundles {
		add(TypeSecret, trustName(b.Name), trustSecret(trustName(b.Name), b.PEM), b.Origins)
	}
	for _, c := range g.ClientCertificates {
		add(TypeSecret, clientName(c.Name), clientSecret(c), c.Origins)
	}
	for _, u := range g.Users {
		add(TypeSecret, usersPrefix+u.Name, usersSecret(u), u.Origins)
	}
	slices.SortFunc(out, Resource.Compare)
	return out
}

// Compare orders resources by type and name.
func (r Resource) Compare(o Resource) int {
	return cmp.Or(cmp.Compare(r.TypeURL, o.TypeURL), cmp.Compare(r.Name, o.Name))
}

// Assignment is the resource of an assignment.
func Assignment(a model.Assignment) Resource {
	return Resource{TypeURL: TypeEndpoint, Name: a.Name, Message: assignment(a), Origins: a.Origins}
}

// flagOrigin is behind what depends on settings.
func flagOrigin(flag string) model.Origins { return model.Origins{{Kind: "flag", Name: flag}} }

// groupOrigins are the annotations behind the TLS settings that a listener has for hosts.
func groupOrigins(t model.Table) model.Origins {
	var out model.Origins
	for _, g := range t.Groups {
		out = append(out, g.Origins...)
	}
	return out
}

// tableOrigins are the first place of each object that has a route for the connections of a group.
func tableOrigins(t model.Table, group model.TLSGroup) model.Origins {
	var out model.Origins
	seen := map[string]bool{}
	note := func(routes []model.Route) {
		for _, r := range routes {
			if at := r.Origins[0]; !seen[at.Object()] {
				seen[at.Object()] = true
				out = append(out, at)
			}
		}
	}
	groupOf := groupsByHost(t)
	for _, h := range slices.Concat(t.Exact, t.Wildcard) {
		if group.Name == "" || groupOf[h.Host].Name == group.Name {
			note(h.Routes)
		}
	}
	note(t.Any)
	note(t.Default)
	return out
}

// metadataKey is the filter metadata under which origins travel; no data plane reads it.
const metadataKey = "postern.dev"

// originMetadata writes origins without file and line: a comment added to a file must not change a resource.
func originMetadata(origins model.Origins) *corev3.Metadata {
	var values []*structpb.Value
	for _, o := range origins {
		values = append(values, structpb.NewStringValue(strings.ToValidUTF8(o.String(), "?")))
	}
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
		metadataKey: {Fields: map[string]*structpb.Value{
			"origins": structpb.NewListValue(&structpb.ListValue{Values: values}),
		}},
	}}
}

// typed packs a message; that a message of ours does not marshal is a fault of ours.
func typed(m proto.Message) *anypb.Any {
	a := &anypb.Any{}
	if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		panic("envoy: " + err.Error())
	}
	return a
}

// ads is the configuration source of everything that is discovered.
func ads() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
	}
}

// verifiesByEdge says whether a backend is verified by the gateway's own bundle.
func verifiesByEdge(b model.Backend) bool {
	return b.TLS != nil && !b.TLS.SkipVerify && b.TLS.Trust == ""
}
