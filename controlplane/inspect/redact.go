package inspect

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	authzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	luav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/resolve"
)

// shown is a resource's message as people may see it, by the rule of translator/model: of a secret only what anybody who
// connects is shown, and of routes no value that an annotation gives and may be a credential. It is the message itself where
// it can hold none.
func shown(m proto.Message) proto.Message {
	switch m := m.(type) {
	case *tlsv3.Secret:
		return publicSecret(m)
	case *routev3.RouteConfiguration:
		out := proto.Clone(m)
		redact(out.ProtoReflect())
		return out
	default:
		return m
	}
}

// redact leaves out of a message of routes, and of all that stands in it, packed or not, what annotations give: values of
// headers, and queries of URLs that are asked.
func redact(m protoreflect.Message) {
	switch part := m.Interface().(type) {
	case *anypb.Any:
		redactPacked(part)
		return
	case *corev3.HeaderValue:
		redactHeader(part)
	case *routev3.HeaderMatcher:
		redactMatcher(part)
	case *authzv3.CheckSettings:
		if url, asks := part.ContextExtensions["url"]; asks {
			part.ContextExtensions["url"] = model.WithoutQuery(url)
		}
	case *luav3.LuaPerRoute:
		for _, page := range part.GetFilterContext().GetFields()["pages"].GetListValue().GetValues() {
			if path, has := page.GetStructValue().GetFields()["path"]; has {
				page.GetStructValue().Fields["path"] = structpb.NewStringValue(model.WithoutQuery(path.GetStringValue()))
			}
		}
	}
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.IsMap():
			if field.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
					redact(v.Message())
					return true
				})
			}
		case field.Message() == nil:
		case field.IsList():
			for i := range v.List().Len() {
				redact(v.List().Get(i).Message())
			}
		default:
			redact(v.Message())
		}
		return true
	})
}

func redactPacked(packed *anypb.Any) {
	m, err := packed.UnmarshalNew()
	if err != nil {
		panic("inspect: " + err.Error()) // We have packed it.
	}
	redact(m.ProtoReflect())
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic("inspect: " + err.Error())
	}
	packed.Value = value
}

// redactHeader leaves out a value that may be an annotation's: every literal one, but for where a redirect leads. In those
// every % is doubled; what the gateway itself has Envoy make of a request has operators, between single ones.
func redactHeader(h *corev3.HeaderValue) {
	literal := !strings.Contains(strings.ReplaceAll(h.GetValue(), "%%", ""), "%")
	if literal && !strings.EqualFold(h.GetKey(), "location") {
		h.Value, h.RawValue = model.Redacted, nil
	}
}

// redactMatcher leaves out the value that ssl-proxy-headers has a header compared with. The gateway's own comparisons are of
// names that start with a colon, or heed no case.
func redactMatcher(h *routev3.HeaderMatcher) {
	text := h.GetStringMatch()
	if exact, is := text.GetMatchPattern().(*matcherv3.StringMatcher_Exact); is && !text.GetIgnoreCase() && !strings.HasPrefix(h.GetName(), ":") {
		exact.Exact = model.Redacted
	}
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
