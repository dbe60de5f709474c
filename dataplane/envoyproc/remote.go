package envoyproc

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	commonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/common/dns/v3"
	dnsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dns/v3"
	caresv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/network/dns_resolver/cares/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/postern-gateway/postern/dataplane/identity"
)

const (
	// certificateSecret and authoritiesSecret are what Envoy shows to the control plane and verifies it by.
	certificateSecret = "postern-xds-certificate"
	authoritiesSecret = "postern-xds-authorities"
	// resolveInterval and resolveRetryMax are how often the control plane's name is resolved, and how long after a failure
	// at most, so that a control plane that moves is found.
	resolveInterval = 5 * time.Second
	resolveRetryMin = 200 * time.Millisecond
	resolveRetryMax = 5 * time.Second
)

// Remote is a control plane that is reached over a network, by TLS with certificates on both sides.
type Remote struct {
	// Host is a DNS name or an IP address. A name is looked up as it stands where it ends with a dot, else in the domains
	// of resolv.conf first.
	Host string
	Port uint16
	// CertDir holds tls.crt, tls.key and ca.crt. Envoy reads them again when something is moved into the folder, as
	// Kubernetes and postern certs do.
	CertDir string
	// ServerName is the DNS name in the control plane's certificate.
	ServerName string
	// DNSServers are who is asked for Host; none leaves it to resolv.conf.
	DNSServers []netip.AddrPort
}

// remoteCluster is the one cluster whose name Envoy resolves, and the only one that is not told over xDS.
func remoteCluster(c Config) *clusterv3.Cluster {
	cluster := grpcCluster(xdsClusterName, socketAddress(c.XDS.Host, c.XDS.Port))
	if _, err := netip.ParseAddr(c.XDS.Host); err != nil {
		cluster.ClusterDiscoveryType = resolvedType(c.XDS)
	}
	cluster.TransportSocket = &corev3.TransportSocket{Name: "envoy.transport_sockets.tls", ConfigType: &corev3.TransportSocket_TypedConfig{
		TypedConfig: mustAny(&tlsv3.UpstreamTlsContext{
			Sni: c.XDS.ServerName,
			CommonTlsContext: &tlsv3.CommonTlsContext{
				AlpnProtocols:                  []string{"h2"},
				TlsParams:                      &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_3, TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3},
				TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{secretFromFile(c, certificateSecret)},
				ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
					DefaultValidationContext: &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: []*tlsv3.SubjectAltNameMatcher{{
						SanType: tlsv3.SubjectAltNameMatcher_DNS,
						Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: c.XDS.ServerName}},
					}}},
					ValidationContextSdsSecretConfig: secretFromFile(c, authoritiesSecret),
				}},
			},
		}),
	}}
	return cluster
}

// resolvedType resolves the control plane's name again and again, to every address that it has.
func resolvedType(r *Remote) *clusterv3.Cluster_ClusterType {
	dns := &dnsv3.DnsCluster{
		DnsRefreshRate:        durationpb.New(resolveInterval),
		DnsFailureRefreshRate: &dnsv3.DnsCluster_RefreshRate{BaseInterval: durationpb.New(resolveRetryMin), MaxInterval: durationpb.New(resolveRetryMax)},
		DnsLookupFamily:       commonv3.DnsLookupFamily_ALL,
	}
	if len(r.DNSServers) > 0 {
		cares := &caresv3.CaresDnsResolverConfig{}
		for _, server := range r.DNSServers {
			cares.Resolvers = append(cares.Resolvers, socketAddress(server.Addr().String(), server.Port()))
		}
		dns.TypedDnsResolverConfig = &corev3.TypedExtensionConfig{Name: "envoy.network.dns_resolver.cares", TypedConfig: mustAny(cares)}
	}
	return &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{Name: "envoy.cluster.dns", TypedConfig: mustAny(dns)}}
}

func socketAddress(host string, port uint16) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: host, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
	}}}
}

// secretFromFile is a secret that a file describes: of certificates that the bootstrap names Envoy reads the files once.
func secretFromFile(c Config, name string) *tlsv3.SdsSecretConfig {
	return &tlsv3.SdsSecretConfig{Name: name, SdsConfig: &corev3.ConfigSource{
		ResourceApiVersion: corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_PathConfigSource{PathConfigSource: &corev3.PathConfigSource{
			Path: c.secretFile(name), WatchedDirectory: &corev3.WatchedDirectory{Path: c.Folder},
		}},
	}}
}

func (c Config) secretFile(name string) string { return filepath.Join(c.Folder, name+".json") }

// writeSecrets writes the files that describe secrets. They name the certificates' files, and hold no key.
func (c Config) writeSecrets() error {
	file := func(name string) *corev3.DataSource {
		return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: filepath.Join(c.XDS.CertDir, name)}}
	}
	watched := &corev3.WatchedDirectory{Path: c.XDS.CertDir}
	for _, s := range []*tlsv3.Secret{
		{Name: certificateSecret, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
			CertificateChain: file(identity.CertificateFile), PrivateKey: file(identity.KeyFile), WatchedDirectory: watched,
		}}},
		{Name: authoritiesSecret, Type: &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
			TrustedCa: file(identity.CAFile), WatchedDirectory: watched,
		}}},
	} {
		if err := writeProto(c.secretFile(s.GetName()), &discoveryv3.DiscoveryResponse{Resources: []*anypb.Any{mustAny(s)}}); err != nil {
			return err
		}
	}
	return nil
}

// writeProto writes a message as JSON.
func writeProto(path string, m proto.Message) error {
	text, err := protojson.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("envoyproc: %v", err))
	}
	if err := os.WriteFile(path, text, fileMode); err != nil {
		return fmt.Errorf("run Envoy: %w", err)
	}
	return nil
}
