package inspect

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/resolve"
)

// redactedWord stands where something is left out.
var redactedWord = model.Sensitive(nil).String()

// credentialWords mark the names of headers whose values let somebody in. An annotation sets them, so that they are no Secret's
// and explain tells them; but who looks at the gateway need not be one who may read Ingresses.
var credentialWords = []string{"authorization", "cookie", "token", "secret", "password", "passwd", "api-key", "apikey", "credential", "session"}

func isCredential(header string) bool {
	lower := strings.ToLower(header)
	return slices.ContainsFunc(credentialWords, func(word string) bool { return strings.Contains(lower, word) })
}

// shown is a resource's message as people may see it: of a secret only what anybody who connects is shown, and no value of a
// header that is a credential. It is the message itself where nothing is left out.
func shown(m proto.Message) proto.Message {
	if secret, ok := m.(*tlsv3.Secret); ok {
		return publicSecret(secret)
	}
	if !holdsCredential(m.ProtoReflect()) {
		return m
	}
	out := proto.Clone(m)
	visit(out.ProtoReflect(), func(h *corev3.HeaderValue) bool {
		if isCredential(h.GetKey()) {
			h.Value, h.RawValue = redactedWord, nil
		}
		return true
	})
	return out
}

func holdsCredential(m protoreflect.Message) bool {
	found := false
	visit(m, func(h *corev3.HeaderValue) bool {
		found = found || isCredential(h.GetKey())
		return !found
	})
	return found
}

// visit calls do for every header value in a message, until it says false. What is packed as Any has none that an annotation
// sets: those stand on routes themselves.
func visit(m protoreflect.Message, do func(*corev3.HeaderValue) bool) bool {
	if h, ok := m.Interface().(*corev3.HeaderValue); ok {
		return do(h)
	}
	ok := true
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.Message() == nil:
		case field.IsMap():
			if field.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
					ok = visit(v.Message(), do)
					return ok
				})
			}
		case field.IsList():
			for i := 0; ok && i < v.List().Len(); i++ {
				ok = visit(v.List().Get(i).Message(), do)
			}
		default:
			ok = visit(v.Message(), do)
		}
		return ok
	})
	return ok
}

// publicSecret is a secret's certificates and nothing else: no key, no user.
func publicSecret(secret *tlsv3.Secret) *tlsv3.Secret {
	out := &tlsv3.Secret{Name: secret.GetName()}
	switch kind := secret.GetType().(type) {
	case *tlsv3.Secret_TlsCertificate:
		out.Type = &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
			CertificateChain: publicSource(kind.TlsCertificate.GetCertificateChain()),
		}}
	case *tlsv3.Secret_ValidationContext:
		out.Type = &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
			TrustedCa: publicSource(kind.ValidationContext.GetTrustedCa()),
		}}
	}
	return out
}

func publicSource(s *corev3.DataSource) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: resolve.OnlyCertificates(s.GetInlineBytes())}}
}

// SecretFacts are what is told of a secret.
type SecretFacts struct {
	// Kind is certificate, trusted CAs or users. Of users nothing more is told.
	Kind string `json:"kind"`
	// Certificates are in the order in which they are shown: the first is the holder's own, of a chain.
	Certificates []CertificateFacts `json:"certificates,omitempty"`
}

// CertificateFacts are what a certificate says of itself.
type CertificateFacts struct {
	Subject string `json:"subject"`
	Issuer  string `json:"issuer"`
	// Names are DNS names and IP addresses.
	Names     []string  `json:"names,omitempty"`
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	// Fingerprint is the SHA-256 of the whole, Serial the number that the issuer gave it, both in hexadecimal.
	Fingerprint string `json:"fingerprint"`
	Serial      string `json:"serial"`
}

func secretFacts(secret *tlsv3.Secret) *SecretFacts {
	switch kind := secret.GetType().(type) {
	case *tlsv3.Secret_TlsCertificate:
		return &SecretFacts{Kind: "certificate", Certificates: certificateFacts(kind.TlsCertificate.GetCertificateChain().GetInlineBytes())}
	case *tlsv3.Secret_ValidationContext:
		return &SecretFacts{Kind: "trusted CAs", Certificates: certificateFacts(kind.ValidationContext.GetTrustedCa().GetInlineBytes())}
	default:
		return &SecretFacts{Kind: "users"}
	}
}

func certificateFacts(text []byte) []CertificateFacts {
	var out []CertificateFacts
	for _, c := range chainOf(text) {
		out = append(out, factsOf(c))
	}
	return out
}

func factsOf(c *x509.Certificate) CertificateFacts {
	sum := sha256.Sum256(c.Raw)
	facts := CertificateFacts{
		Subject: c.Subject.String(), Issuer: c.Issuer.String(), Names: slices.Clone(c.DNSNames),
		NotBefore: c.NotBefore, NotAfter: c.NotAfter, Fingerprint: hex.EncodeToString(sum[:]), Serial: c.SerialNumber.Text(16),
	}
	for _, ip := range c.IPAddresses {
		facts.Names = append(facts.Names, ip.String())
	}
	return facts
}
