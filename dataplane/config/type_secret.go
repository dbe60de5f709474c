package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// A Secret is a certificate with its key, a bundle of trusted authorities, or users: exactly one of them is set.
type Secret struct {
	Name        string
	Certificate *tls.Certificate
	Trusted     *x509.CertPool
	Users       *Users
}

// String keeps the key out of whatever prints a secret.
func (s Secret) String() string { return s.Name + " [redacted]" }

// GoString does so for %#v.
func (s Secret) GoString() string { return s.String() }

var (
	errKeyPair = errors.New("the certificate chain and the private key are not a pair that can be read")
	errUsers   = errors.New("not lines of users that can be read")
	errBundle  = errors.New("no certificate can be read")
)

// DecodeSecret reads a Secret resource. Its errors say nothing of the bytes of a key.
func DecodeSecret(name string, body *anypb.Any) (Secret, error) {
	r, err := open(name, body, &tlsv3.Secret{})
	if err != nil {
		return Secret{}, err
	}
	switch kind := r.message.GetType().(type) {
	case *tlsv3.Secret_TlsCertificate:
		chain, key := inline(kind.TlsCertificate.GetCertificateChain()), inline(kind.TlsCertificate.GetPrivateKey())
		pair, err := tls.X509KeyPair(chain, key)
		if err != nil {
			return Secret{}, fmt.Errorf("%s: %w", join(r.path, "tls_certificate"), errKeyPair)
		}
		return Secret{Name: name, Certificate: &pair}, nil
	case *tlsv3.Secret_ValidationContext:
		if len(kind.ValidationContext.GetMatchTypedSubjectAltNames()) > 0 {
			return Secret{}, unsupported(join(r.path, "validation_context.match_typed_subject_alt_names"))
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(inline(kind.ValidationContext.GetTrustedCa())) {
			return Secret{}, fmt.Errorf("%s: %w", join(r.path, "validation_context.trusted_ca"), errBundle)
		}
		return Secret{Name: name, Trusted: pool}, nil
	case *tlsv3.Secret_GenericSecret:
		users, ok := parseUsers(inline(kind.GenericSecret.GetSecret()))
		if !ok {
			return Secret{}, fmt.Errorf("%s: %w", join(r.path, "generic_secret"), errUsers)
		}
		return Secret{Name: name, Users: users}, nil
	default:
		return Secret{}, fmt.Errorf("%sneither a tls_certificate, a validation_context nor a generic_secret", r.path)
	}
}
