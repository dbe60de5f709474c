// Package static renders a translation as one file that Envoy runs by itself, with no control plane: what would be
// discovered stands inside of what refers to it.
package static

import (
	"fmt"
	"slices"
	"unicode/utf8"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/postern-gateway/postern/dataplane/envoyproc"
	"github.com/postern-gateway/postern/dataplane/limits"
	"github.com/postern-gateway/postern/translator"
)

// nodeName is the id and the cluster of a node that no control plane knows.
const nodeName = "postern"

// Bootstrap is all that an Envoy needs to serve a translation: the limits that every Envoy of ours runs with, and the
// resources. It has no admin interface. Nothing in it depends on the machine that writes it, as another may run it.
func Bootstrap(r translator.Result) *bootstrapv3.Bootstrap {
	b := envoyproc.Base(envoyproc.Config{
		NodeID: nodeName, NodeCluster: nodeName, ConnectionsMax: limits.ConnectionsMax, HeapMax: limits.MemoryMax,
	})
	b.StaticResources = Resources(r)
	return b
}

// Resources are a translation's resources without any reference to a control plane. The result is left as it is.
//
// Route configurations stand in their listeners, endpoints in their clusters; secrets are static ones. Certificates that
// are served on demand become filter chains: see chains.go.
func Resources(r translator.Result) *bootstrapv3.Bootstrap_StaticResources {
	b := builder{
		routes: map[string]*routev3.RouteConfiguration{}, assignments: map[string]*endpointv3.ClusterLoadAssignment{},
		certificates: certificatesOf(r.Gateway),
	}
	for _, res := range r.Resources {
		switch m := proto.Clone(res.Message).(type) {
		case *routev3.RouteConfiguration:
			b.routes[res.Name] = m
		case *endpointv3.ClusterLoadAssignment:
			b.assignments[res.Name] = m
		case *tlsv3.Secret:
			if m.GetGenericSecret() != nil {
				continue // Of users: only an authorizer asks for them, and a file has none.
			}
			b.out.Secrets = append(b.out.Secrets, m)
		case *clusterv3.Cluster:
			b.out.Clusters = append(b.out.Clusters, m)
		case *listenerv3.Listener:
			b.out.Listeners = append(b.out.Listeners, m)
		default:
			panic(fmt.Sprintf("static: %s is of a type that cannot stand in a file, %T", res.Name, m))
		}
	}
	for _, c := range b.certificates {
		b.out.Secrets = append(b.out.Secrets, c.secret)
	}
	Edit(&b.out, b.inline)
	for _, c := range b.out.Clusters {
		b.closeUntrusted(c)
	}
	for _, l := range b.out.Listeners {
		b.expandChains(l)
	}
	return &b.out
}

// builder puts together what refers to each other.
type builder struct {
	routes      map[string]*routev3.RouteConfiguration
	assignments map[string]*endpointv3.ClusterLoadAssignment
	// certificates begin with the default one, where there is an entry that serves any.
	certificates []certificate
	out          bootstrapv3.Bootstrap_StaticResources
}

// inline puts what a message refers to in the place of the reference.
func (b *builder) inline(m proto.Message) {
	switch m := m.(type) {
	case *hcmv3.HttpConnectionManager:
		if rds := m.GetRds(); rds != nil {
			m.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: found(b.routes, rds.GetRouteConfigName())}
		}
	case *clusterv3.Cluster:
		if m.GetType() == clusterv3.Cluster_EDS {
			m.LoadAssignment = found(b.assignments, m.GetEdsClusterConfig().GetServiceName())
			m.ClusterDiscoveryType, m.EdsClusterConfig = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}, nil
		}
	case *tlsv3.SdsSecretConfig:
		// A name alone means a secret of the file (SdsSecretConfig.sds_config).
		m.SdsConfig = nil
	case *corev3.DataSource:
		// PEM is for people to read too.
		if bytes := m.GetInlineBytes(); len(bytes) > 0 && utf8.Valid(bytes) {
			m.Specifier = &corev3.DataSource_InlineString{InlineString: string(bytes)}
		}
	}
}

// closeUntrusted takes the endpoints of a cluster that needs a secret which there is none of, such as the CAs of a system
// without any: its requests answer 503, as they do where a control plane has no such secret. Envoy would refuse the file.
func (b *builder) closeUntrusted(c *clusterv3.Cluster) {
	missing := false
	Edit(c, func(m proto.Message) {
		if sds, ok := m.(*tlsv3.SdsSecretConfig); ok {
			missing = missing || !slices.ContainsFunc(b.out.Secrets, func(s *tlsv3.Secret) bool { return s.GetName() == sds.GetName() })
		}
	})
	if missing {
		c.TransportSocket = nil
		c.LoadAssignment = &endpointv3.ClusterLoadAssignment{ClusterName: c.GetLoadAssignment().GetClusterName()}
	}
}

// found is a resource that another one refers to; that it is not there is a fault of ours.
func found[M any](resources map[string]M, name string) M {
	m, ok := resources[name]
	if !ok {
		panic(fmt.Sprintf("static: there is no %q to stand in the place of the reference", name))
	}
	return m
}
