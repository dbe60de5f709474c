package config

import (
	"crypto/tls"
	"slices"

	sniv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/cert_mappers/sni/v3"
	selectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/cert_selectors/on_demand_secret/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// DownstreamTLS is how a filter chain ends TLS: with a secret named as the SNI, asked for on demand.
type DownstreamTLS struct {
	MinVersion, MaxVersion uint16 // as in crypto/tls
	ALPN                   []string
	DefaultSecret          string // for a client that sends no SNI
	// ClientCA names the secret with the bundle that a client's certificate must chain to; empty where none is asked for.
	ClientCA string
}

// UpstreamTLS is how a cluster is spoken to over TLS.
type UpstreamTLS struct {
	MinVersion, MaxVersion uint16
	SNI                    string
	// Trust names the secret whose bundle the certificate must chain to; empty where nothing is verified.
	Trust string
	// Names are the DNS names of which the certificate must carry one, exactly; empty admits any.
	Names []string
	// Client names the secret with the certificate that is shown to the backend; empty for none.
	Client string
}

func decodeDownstreamTLS(body *anypb.Any, at string) (*DownstreamTLS, error) {
	context := &tlsv3.DownstreamTlsContext{}
	at, err := unpack(body, context, at)
	if err != nil {
		return nil, err
	}
	if !context.GetDisableStatelessSessionResumption() || !context.GetDisableStatefulSessionResumption() {
		return nil, only(at, "disable_stateless_session_resumption", "true, and the stateful kind likewise")
	}
	common := context.GetCommonTlsContext()
	out := &DownstreamTLS{ALPN: common.GetAlpnProtocols()}
	if out.ClientCA, err = decodeClientCA(context, at); err != nil {
		return nil, err
	}
	at = join(at, "common_tls_context")
	if common.GetCombinedValidationContext() != nil {
		return nil, unsupported(join(at, "combined_validation_context"))
	}
	if len(common.GetTlsCertificateSdsSecretConfigs()) > 0 {
		return nil, unsupported(join(at, "tls_certificate_sds_secret_configs"))
	}
	if slices.ContainsFunc(out.ALPN, func(p string) bool { return p != "h2" && p != "http/1.1" }) {
		return nil, only(at, "alpn_protocols", "h2 and http/1.1")
	}
	if out.MinVersion, out.MaxVersion, err = tlsVersions(common.GetTlsParams(), join(at, "tls_params")); err != nil {
		return nil, err
	}
	selector := &selectorv3.Config{}
	at, err = unpack(common.GetCustomTlsCertificateSelector().GetTypedConfig(), selector, join(at, "custom_tls_certificate_selector.typed_config"))
	if err != nil {
		return nil, err
	}
	if err := requireADS(selector.GetConfigSource(), join(at, "config_source")); err != nil {
		return nil, err
	}
	mapper := &sniv3.SNI{}
	if at, err = unpack(selector.GetCertificateMapper().GetTypedConfig(), mapper, join(at, "certificate_mapper.typed_config")); err != nil {
		return nil, err
	}
	if out.DefaultSecret = mapper.GetDefaultValue(); out.DefaultSecret == "" {
		return nil, only(at, "default_value", "a name")
	}
	return out, nil
}

// decodeClientCA reads whose certificates clients must show. To ask for one and take none, or to take any, is refused.
func decodeClientCA(context *tlsv3.DownstreamTlsContext, at string) (string, error) {
	sds := context.GetCommonTlsContext().GetValidationContextSdsSecretConfig()
	if required := context.GetRequireClientCertificate().GetValue(); required != (sds != nil) {
		return "", only(at, "require_client_certificate", "true beside a validation_context_sds_secret_config, and false without one,")
	}
	if sds == nil {
		return "", nil
	}
	at = join(at, "common_tls_context.validation_context_sds_secret_config")
	if sds.GetName() == "" {
		return "", only(at, "name", "a named secret")
	}
	return sds.GetName(), requireADS(sds.GetSdsConfig(), join(at, "sds_config"))
}

func decodeUpstreamTLS(body *anypb.Any, at string) (*UpstreamTLS, error) {
	context := &tlsv3.UpstreamTlsContext{}
	at, err := unpack(body, context, at)
	if err != nil {
		return nil, err
	}
	common := context.GetCommonTlsContext()
	out := &UpstreamTLS{SNI: context.GetSni()}
	at = join(at, "common_tls_context")
	if common.GetCustomTlsCertificateSelector() != nil {
		return nil, unsupported(join(at, "custom_tls_certificate_selector"))
	}
	if len(common.GetAlpnProtocols()) > 0 {
		return nil, unsupported(join(at, "alpn_protocols"))
	}
	if common.GetValidationContextSdsSecretConfig() != nil {
		return nil, unsupported(join(at, "validation_context_sds_secret_config"))
	}
	if out.MinVersion, out.MaxVersion, err = tlsVersions(common.GetTlsParams(), join(at, "tls_params")); err != nil {
		return nil, err
	}
	if out.Client, err = decodeClient(common.GetTlsCertificateSdsSecretConfigs(), at); err != nil {
		return nil, err
	}
	combined := common.GetCombinedValidationContext()
	if combined == nil {
		return out, nil
	}
	at = join(at, "combined_validation_context")
	if out.Trust, err = secretName(combined.GetValidationContextSdsSecretConfig(), join(at, "validation_context_sds_secret_config")); err != nil {
		return nil, err
	}
	out.Names, err = decodeNames(combined.GetDefaultValidationContext(), join(at, "default_validation_context"))
	return out, err
}

// decodeClient reads the one certificate that a cluster may show.
func decodeClient(sds []*tlsv3.SdsSecretConfig, at string) (string, error) {
	switch len(sds) {
	case 0:
		return "", nil
	case 1:
		return secretName(sds[0], index(at, "tls_certificate_sds_secret_configs", 0))
	default:
		return "", only(at, "tls_certificate_sds_secret_configs", "one certificate")
	}
}

// secretName reads a reference to a secret that comes by the ADS stream.
func secretName(sds *tlsv3.SdsSecretConfig, at string) (string, error) {
	if sds.GetName() == "" {
		return "", only(at, "name", "a named secret")
	}
	return sds.GetName(), requireADS(sds.GetSdsConfig(), join(at, "sds_config"))
}

func decodeNames(validation *tlsv3.CertificateValidationContext, at string) ([]string, error) {
	if validation.GetTrustedCa() != nil {
		return nil, only(at, "trusted_ca", "a bundle by SDS")
	}
	var out []string
	for i, m := range validation.GetMatchTypedSubjectAltNames() {
		at := index(at, "match_typed_subject_alt_names", i)
		exact, isExact := m.GetMatcher().GetMatchPattern().(*matcherv3.StringMatcher_Exact)
		if m.GetSanType() != tlsv3.SubjectAltNameMatcher_DNS || !isExact || m.GetMatcher().GetIgnoreCase() {
			return nil, only(at, "matcher", "an exact DNS name")
		}
		out = append(out, exact.Exact)
	}
	return out, nil
}

// tlsVersions maps Envoy's names; 0 leaves the choice to crypto/tls, which is TLS 1.2 and 1.3 as Envoy's is.
func tlsVersions(p *tlsv3.TlsParameters, at string) (lowest, highest uint16, err error) {
	versions := map[tlsv3.TlsParameters_TlsProtocol]uint16{
		tlsv3.TlsParameters_TLS_AUTO: 0,
		tlsv3.TlsParameters_TLSv1_2:  tls.VersionTLS12,
		tlsv3.TlsParameters_TLSv1_3:  tls.VersionTLS13,
	}
	lowest, known := versions[p.GetTlsMinimumProtocolVersion()]
	if !known {
		return 0, 0, only(at, "tls_minimum_protocol_version", "TLSv1_2 and TLSv1_3")
	}
	highest, known = versions[p.GetTlsMaximumProtocolVersion()]
	if !known {
		return 0, 0, only(at, "tls_maximum_protocol_version", "TLSv1_2 and TLSv1_3")
	}
	return lowest, highest, nil
}
