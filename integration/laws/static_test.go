package laws

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/dataplane/envoyproc"
	"github.com/postern-gateway/postern/translator"
	translated "github.com/postern-gateway/postern/translator/envoy"
)

const (
	// mutantsMin is how many broken worlds one run validates at least; batchSize is how many go into one file.
	mutantsMin = 1000
	batchSize  = 100
)

// TestEnvoyAcceptsMutants: whatever the world, Envoy takes what we make of it. The worlds of a batch are rendered as
// one static file; on a refusal each of them is tried alone, so that the failure names the world.
func TestEnvoyAcceptsMutants(t *testing.T) {
	binary := live.NeedEnvoy(t)
	all := casetest.Load(t, cases)
	perCase := mutantsMin/len(all) + 1
	var batch []world
	count := 0
	flush := func() {
		validate(t, binary, batch)
		count += len(batch)
		batch = nil
	}
	for _, c := range all {
		for i, result := range mutants(t, c, perCase) {
			batch = append(batch, world{name: fmt.Sprintf("%s seed %d", c.Name, 1000+i), result: result})
			if len(batch) == batchSize {
				flush()
			}
		}
	}
	flush()
	if count < mutantsMin {
		t.Errorf("%d worlds were validated, want at least %d", count, mutantsMin)
	}
	t.Logf("Envoy accepts %d worlds", count)
}

// TestEnvoyRefuses shows that the law above can fail.
func TestEnvoyRefuses(t *testing.T) {
	binary := live.NeedEnvoy(t)
	c := casetest.Load(t, cases)[0]
	w, settings := c.World(t)
	result := translator.Translate(w, settings)
	for _, r := range result.Resources {
		if rc, ok := r.Message.(*routev3.RouteConfiguration); ok && len(rc.GetVirtualHosts()) > 0 {
			rc.VirtualHosts[0].Domains = append(rc.VirtualHosts[0].Domains, rc.VirtualHosts[0].Domains[0])
		}
	}
	if words := refusal(t, binary, []world{{name: c.Name, result: result}}); words == "" {
		t.Error("Envoy accepts a domain that stands there twice")
	}
}

type world struct {
	name   string
	result translator.Result
}

func validate(t *testing.T, binary string, batch []world) {
	t.Helper()
	if len(batch) == 0 {
		return
	}
	together := refusal(t, binary, batch)
	if together == "" {
		return
	}
	for _, w := range batch {
		if words := refusal(t, binary, []world{w}); words != "" {
			t.Errorf("%s: Envoy refuses it:\n%s", w.name, words)
		}
	}
	if !t.Failed() {
		t.Errorf("Envoy refuses a batch of worlds each of which it accepts, %s … %s:\n%s", batch[0].name, batch[len(batch)-1].name, together)
	}
}

// refusal is what Envoy says against the worlds, empty where it accepts them.
func refusal(t *testing.T, binary string, batch []world) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "static.json")
	text, err := protojson.Marshal(static(batch))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(binary, "--mode", "validate", "-c", file, "-l", "error")
	var words bytes.Buffer
	command.Stdout, command.Stderr = &words, &words
	if err := command.Run(); err != nil {
		return fmt.Sprintf("%v: %s", err, words.String())
	}
	return ""
}

// static renders worlds as one file, each under its own names.
func static(batch []world) *bootstrapv3.Bootstrap {
	s := &bootstrapv3.Bootstrap_StaticResources{}
	for i, w := range batch {
		rename := func(name string) string { return fmt.Sprintf("w%d/%s", i, name) }
		routes := map[string]*routev3.RouteConfiguration{}
		endpoints := map[string]*endpointv3.ClusterLoadAssignment{}
		trust := &tlsv3.Secret{}
		for _, r := range w.result.Resources {
			switch m := proto.Clone(r.Message).(type) {
			case *routev3.RouteConfiguration:
				routes[r.Name] = renameClusters(m, rename)
			case *endpointv3.ClusterLoadAssignment:
				endpoints[r.Name] = m
			case *tlsv3.Secret:
				trust = m
			}
		}
		for _, r := range w.result.Resources {
			switch m := proto.Clone(r.Message).(type) {
			case *clusterv3.Cluster:
				s.Clusters = append(s.Clusters, inlineTrust(inlineEndpoints(m, endpoints, rename), trust))
			case *listenerv3.Listener:
				// Two listeners must not have one address; nothing is bound.
				m.GetAddress().GetSocketAddress().PortSpecifier = &corev3.SocketAddress_PortValue{PortValue: uint32(1 + len(s.Listeners))}
				s.Listeners = append(s.Listeners, inlineRoutes(m, routes, rename))
			}
		}
		for _, c := range w.result.Gateway.Certificates {
			secret := translated.CertificateSecret(c)
			secret.Name = rename(c.Host.Name())
			s.Secrets = append(s.Secrets, secret)
		}
	}
	ads := &clusterv3.Cluster{Name: "ads", ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}}
	s.Clusters = append(s.Clusters, ads)
	return &bootstrapv3.Bootstrap{
		Node:            &corev3.Node{Id: "law", Cluster: "laws"},
		StaticResources: s,
		// The limit on regexes is the one that our Envoys run with.
		LayeredRuntime: envoyproc.Bootstrap(envoyproc.Config{}).GetLayeredRuntime(),
		DynamicResources: &bootstrapv3.Bootstrap_DynamicResources{AdsConfig: &corev3.ApiConfigSource{
			ApiType: corev3.ApiConfigSource_DELTA_GRPC, TransportApiVersion: corev3.ApiVersion_V3,
			GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
				EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: "ads"},
			}}},
		}},
	}
}

func renameClusters(rc *routev3.RouteConfiguration, rename func(string) string) *routev3.RouteConfiguration {
	for _, vh := range rc.GetVirtualHosts() {
		for _, r := range vh.GetRoutes() {
			a := r.GetRoute()
			for _, w := range a.GetWeightedClusters().GetClusters() {
				w.Name = rename(w.GetName())
			}
			if name := a.GetCluster(); name != "" {
				a.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: rename(name)}
			}
		}
	}
	return rc
}

// inlineEndpoints makes a static cluster of one whose endpoints are discovered, so that Envoy judges those too.
func inlineEndpoints(c *clusterv3.Cluster, endpoints map[string]*endpointv3.ClusterLoadAssignment, rename func(string) string) *clusterv3.Cluster {
	c.LoadAssignment = endpoints[c.GetEdsClusterConfig().GetServiceName()]
	c.EdsClusterConfig = nil
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
	c.Name = rename(c.GetName())
	return c
}

// inlineTrust puts the bundle into a cluster that would ask for it: validating, Envoy has no ADS to ask and crashes.
func inlineTrust(c *clusterv3.Cluster, trust *tlsv3.Secret) *clusterv3.Cluster {
	if c.GetTransportSocket() == nil {
		return c
	}
	upstream := &tlsv3.UpstreamTlsContext{}
	if err := c.GetTransportSocket().GetTypedConfig().UnmarshalTo(upstream); err != nil {
		panic(err)
	}
	common := upstream.GetCommonTlsContext()
	if combined := common.GetCombinedValidationContext(); combined != nil {
		validation := combined.GetDefaultValidationContext()
		validation.TrustedCa = trust.GetValidationContext().GetTrustedCa()
		common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: validation}
	}
	c.TransportSocket.ConfigType = &corev3.TransportSocket_TypedConfig{TypedConfig: pack(upstream)}
	return c
}

func pack(m proto.Message) *anypb.Any {
	packed, err := anypb.New(m)
	if err != nil {
		panic(err)
	}
	return packed
}

func inlineRoutes(l *listenerv3.Listener, routes map[string]*routev3.RouteConfiguration, rename func(string) string) *listenerv3.Listener {
	for _, chain := range l.GetFilterChains() {
		for _, f := range chain.GetFilters() {
			manager := &hcmv3.HttpConnectionManager{}
			if err := f.GetTypedConfig().UnmarshalTo(manager); err != nil {
				panic(err)
			}
			manager.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: routes[manager.GetRds().GetRouteConfigName()]}
			f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: pack(manager)}
		}
	}
	l.Name = rename(l.GetName())
	return l
}
