package envoy

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/postern-gateway/postern/translator/model"
)

const (
	// DefaultSecretName is the secret that a handshake without SNI asks for.
	DefaultSecretName = "default"
	// TrustName is the secret with the bundle that backends' certificates must chain to, where no annotation names
	// another. No host name has a slash.
	TrustName = "trust/upstream"
	// clientCAPrefix begins the names of the secrets with the authorities of clients.
	clientCAPrefix = "client-ca/"
)

// trustName is the secret of a bundle; that of no bundle's name is the gateway's own.
func trustName(bundle string) string {
	if bundle == "" {
		return TrustName
	}
	return "trust/" + bundle
}

// clientName is the secret of a client certificate.
func clientName(certificate string) string { return "client/" + certificate }

// IsServerName says whether the name of a secret may be one that a handshake asks for. The others have a slash.
func IsServerName(secret string) bool { return !strings.Contains(secret, "/") }

func clientCAName(name string) string { return clientCAPrefix + name }

func trustSecret(name string, pem []byte) *tlsv3.Secret {
	return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_ValidationContext{
		ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: inline(pem)},
	}}
}

func clientSecret(c model.ClientCertificate) *tlsv3.Secret {
	return &tlsv3.Secret{Name: clientName(c.Name), Type: keyPair(c.Chain, c.Key)}
}

// CertificateSecret is the secret by which a certificate is served. It has no name: that is what a handshake asks for.
func CertificateSecret(c model.Certificate) *tlsv3.Secret {
	return &tlsv3.Secret{Type: keyPair(c.Chain, c.Key)}
}

func keyPair(chain []byte, key model.Sensitive) *tlsv3.Secret_TlsCertificate {
	return &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		CertificateChain: inline(chain), PrivateKey: inline(key),
	}}
}

// Printable is a resource's message as it may be shown: without a private key, and without users.
func (r Resource) Printable() proto.Message {
	secret, ok := r.Message.(*tlsv3.Secret)
	if !ok || secret.GetTlsCertificate() == nil && secret.GetGenericSecret() == nil {
		return r.Message
	}
	redacted := &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: model.Sensitive(nil).String()}}
	shown := proto.CloneOf(secret)
	if shown.GetGenericSecret() != nil {
		shown.Type = &tlsv3.Secret_GenericSecret{GenericSecret: &tlsv3.GenericSecret{Secret: redacted}}
	} else {
		shown.GetTlsCertificate().PrivateKey = redacted
	}
	return shown
}

func inline(b []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
}
