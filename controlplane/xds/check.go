package xds

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// Check tells of every reference within the snapshot that leads nowhere: a route's cluster, an EDS cluster's assignment,
// a cluster's secret, a listener's route configuration or validation secret; and of domains that one route
// configuration has twice, case ignored, for which Envoy refuses the whole of it. The order is that of the resources' names.
// go-control-plane's Consistent() compares less: it knows neither routes' clusters nor secrets nor domains.
func (s *Snapshot) Check() []error {
	var errs []error
	for _, of := range []struct{ typeURL, word string }{{resource.ClusterType, "cluster"}, {resource.ListenerType, "listener"}} {
		for _, r := range s.Resources(of.typeURL) {
			for _, ref := range s.static(r.TypeURL, r.Name).refs {
				if s.static(ref.typeURL, ref.name) == nil {
					errs = append(errs, fmt.Errorf("%s %q: there is no %s %q", of.word, r.Name, refWords[ref.typeURL], ref.name))
				}
			}
		}
	}
	for _, r := range s.Resources(resource.RouteType) {
		errs = append(errs, s.checkRoutes(r.Message.(*routev3.RouteConfiguration))...)
	}
	return errs
}

// refWords are what errors call the types of resourceName.
var refWords = map[string]string{
	resource.EndpointType: "assignment", resource.RouteType: "route configuration", resource.SecretType: "secret",
}

func (s *Snapshot) checkRoutes(rc *routev3.RouteConfiguration) []error {
	var errs []error
	owner := map[string]string{}
	for _, vh := range rc.GetVirtualHosts() {
		for _, domain := range vh.GetDomains() {
			key := strings.ToLower(domain)
			if first, twice := owner[key]; twice {
				errs = append(errs, fmt.Errorf("routes %q: domain %q is in virtual host %q and in %q", rc.GetName(), domain, first, vh.GetName()))
				continue
			}
			owner[key] = vh.GetName()
		}
		for i, route := range vh.GetRoutes() {
			for _, cluster := range clusterNames(route) {
				if s.static(resource.ClusterType, cluster) == nil {
					errs = append(errs, fmt.Errorf("routes %q: virtual host %q, route %d: there is no cluster %q", rc.GetName(), vh.GetName(), i, cluster))
				}
			}
		}
	}
	return errs
}

// clusterNames are the clusters that a route names, in the order of the proto's fields.
func clusterNames(r *routev3.Route) []string {
	action := r.GetRoute()
	var names []string
	if name := action.GetCluster(); name != "" {
		names = append(names, name)
	}
	for _, w := range action.GetWeightedClusters().GetClusters() {
		names = append(names, w.GetName())
	}
	for _, m := range action.GetRequestMirrorPolicies() {
		names = append(names, m.GetCluster())
	}
	return names
}

// assignmentName is the name that an EDS cluster asks for: service_name, or its own where that is empty
// (cluster.proto, EdsClusterConfig.service_name). It is false for clusters of other kinds.
func assignmentName(c *clusterv3.Cluster) (string, bool) {
	if c.GetType() != clusterv3.Cluster_EDS {
		return "", false
	}
	if name := c.GetEdsClusterConfig().GetServiceName(); name != "" {
		return name, true
	}
	return c.GetName(), true
}

// clusterRefs are the assignment that a cluster asks for, and the secrets that it verifies by and shows.
func clusterRefs(c *clusterv3.Cluster) ([]resourceName, error) {
	var refs []resourceName
	if service, isEDS := assignmentName(c); isEDS {
		refs = append(refs, resourceName{resource.EndpointType, service})
	}
	secrets, err := secretNames(c)
	for _, name := range secrets {
		refs = append(refs, resourceName{resource.SecretType, name})
	}
	return refs, err
}

// secretNames are the secrets that a cluster verifies by and shows.
func secretNames(c *clusterv3.Cluster) ([]string, error) {
	socket := c.GetTransportSocket().GetTypedConfig()
	if !socket.MessageIs((*tlsv3.UpstreamTlsContext)(nil)) {
		return nil, nil
	}
	tls := &tlsv3.UpstreamTlsContext{}
	if err := socket.UnmarshalTo(tls); err != nil {
		return nil, fmt.Errorf("cluster %q: read its TLS context: %w", c.GetName(), err)
	}
	common := tls.GetCommonTlsContext()
	var names []string
	for _, sds := range append(slices.Clone(common.GetTlsCertificateSdsSecretConfigs()),
		common.GetValidationContextSdsSecretConfig(),
		common.GetCombinedValidationContext().GetValidationContextSdsSecretConfig(),
	) {
		if sds != nil {
			names = append(names, sds.GetName())
		}
	}
	return names, nil
}

// listenerRefs are the route configurations that a listener's connection managers ask for, and the secrets by which its
// clients are verified, sorted.
func listenerRefs(l *listenerv3.Listener) ([]resourceName, error) {
	chains := slices.Clone(l.GetFilterChains())
	if d := l.GetDefaultFilterChain(); d != nil {
		chains = append(chains, d)
	}
	var refs []resourceName
	for _, chain := range chains {
		for _, filter := range chain.GetFilters() {
			name, err := routeName(filter.GetTypedConfig())
			if err != nil {
				return nil, fmt.Errorf("listener %q: read filter %q: %w", l.GetName(), filter.GetName(), err)
			}
			if name != "" {
				refs = append(refs, resourceName{resource.RouteType, name})
			}
		}
		name, err := clientCAName(chain.GetTransportSocket().GetTypedConfig())
		if err != nil {
			return nil, fmt.Errorf("listener %q: read the TLS context of chain %q: %w", l.GetName(), chain.GetName(), err)
		}
		if name != "" {
			refs = append(refs, resourceName{resource.SecretType, name})
		}
	}
	slices.SortFunc(refs, func(a, b resourceName) int {
		return cmp.Or(cmp.Compare(a.typeURL, b.typeURL), cmp.Compare(a.name, b.name))
	})
	return slices.Compact(refs), nil
}

// clientCAName is the secret by which a TLS context verifies clients, empty where it verifies none.
func clientCAName(config *anypb.Any) (string, error) {
	if !config.MessageIs((*tlsv3.DownstreamTlsContext)(nil)) {
		return "", nil
	}
	context := &tlsv3.DownstreamTlsContext{}
	if err := config.UnmarshalTo(context); err != nil {
		return "", err
	}
	return context.GetCommonTlsContext().GetValidationContextSdsSecretConfig().GetName(), nil
}

func routeName(config *anypb.Any) (string, error) {
	if !config.MessageIs((*hcmv3.HttpConnectionManager)(nil)) {
		return "", nil
	}
	hcm := &hcmv3.HttpConnectionManager{}
	if err := config.UnmarshalTo(hcm); err != nil {
		return "", err
	}
	return hcm.GetRds().GetRouteConfigName(), nil
}
