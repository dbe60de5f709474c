package envoy

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/postern-gateway/postern/translator/model"
)

const (
	// DefaultSecretName is the secret that a handshake without SNI asks for.
	DefaultSecretName = "default"
	// TrustName is the secret with the bundle that backends' certificates must chain to. No host name has a slash.
	TrustName = "trust/upstream"
)

func trustSecret(pem []byte) *tlsv3.Secret {
	return &tlsv3.Secret{Name: TrustName, Type: &tlsv3.Secret_ValidationContext{
		ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: inline(pem)},
	}}
}

// CertificateSecret is the secret by which a certificate is served. It has no name: that is what a handshake asks for.
func CertificateSecret(c model.Certificate) *tlsv3.Secret {
	return &tlsv3.Secret{Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		CertificateChain: inline(c.Chain), PrivateKey: inline(c.Key),
	}}}
}

func inline(b []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
}
