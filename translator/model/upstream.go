package model

import "github.com/postern-gateway/postern/translator/diag"

// Word is what one annotation says, and where it stands.
type Word[T any] struct {
	Value  T
	Origin diag.Origin
}

// Reference names an object in the namespace of the one that names it.
type Reference struct{ Kind, Name string }

// The kinds of objects that a Reference may be to.
const (
	KindSecret    = "Secret"
	KindConfigMap = "ConfigMap"
)

// UpstreamTLSClaim is what the annotations of one object ask of TLS to backends; nil is what they do not say.
type UpstreamTLSClaim struct {
	// CA is the Secret or ConfigMap with the bundle that the backend's certificate must chain to.
	CA *Word[Reference]
	// Client is the Secret with the certificate that is shown to the backend.
	Client     *Word[string]
	MinVersion *Word[TLSVersion]
	// Name is verified, and sent as SNI, in place of the Service's own.
	Name       *Word[string]
	SkipVerify *Word[bool]
	// Closed, where not nil, has routes over TLS answer 503, because the annotations cannot be applied.
	Closed *Closed
}

// Over is the claim with another's words where it has none of its own; what closes either closes it.
func (c UpstreamTLSClaim) Over(other UpstreamTLSClaim) UpstreamTLSClaim {
	return UpstreamTLSClaim{
		CA: or(c.CA, other.CA), Client: or(c.Client, other.Client), MinVersion: or(c.MinVersion, other.MinVersion),
		Name: or(c.Name, other.Name), SkipVerify: or(c.SkipVerify, other.SkipVerify), Closed: or(c.Closed, other.Closed),
	}
}

func or[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}

// Without is the claim's words of which another says nothing.
func (c UpstreamTLSClaim) Without(other UpstreamTLSClaim) UpstreamTLSClaim {
	return UpstreamTLSClaim{
		CA: unless(other.CA, c.CA), Client: unless(other.Client, c.Client), MinVersion: unless(other.MinVersion, c.MinVersion),
		Name: unless(other.Name, c.Name), SkipVerify: unless(other.SkipVerify, c.SkipVerify),
	}
}

func unless[T any](other, own *T) *T {
	if other != nil {
		return nil
	}
	return own
}

// Origins are the places of its words.
func (c UpstreamTLSClaim) Origins() Origins {
	var out Origins
	out = appendOrigin(out, c.CA)
	out = appendOrigin(out, c.Client)
	out = appendOrigin(out, c.MinVersion)
	out = appendOrigin(out, c.Name)
	return appendOrigin(out, c.SkipVerify)
}

func appendOrigin[T any](to Origins, w *Word[T]) Origins {
	if w == nil {
		return to
	}
	return append(to, w.Origin)
}

// UpstreamTLS is how a backend is spoken to over TLS.
type UpstreamTLS struct {
	// Names are the DNS names of which the backend's certificate must carry one; the first is the SNI. They never come
	// from the client.
	Names []string `json:"names"`
	// SkipVerify accepts any certificate; Trust is empty then.
	SkipVerify bool `json:"skipVerify,omitempty"`
	// Trust is the name of the Bundle that the certificate must chain to; empty is Edge.UpstreamTrust.
	Trust string `json:"trust,omitempty"`
	// Client is the name of the ClientCertificate that is shown to the backend; empty for none.
	Client     string     `json:"client,omitempty"`
	MinVersion TLSVersion `json:"minVersion,omitempty"`
}

// Bundle is CAs that backends' certificates must chain to.
type Bundle struct {
	// Name is secret/NS/NAME or configmap/NS/NAME.
	Name    string
	PEM     []byte
	Origins Origins
}

// ClientCertificate is a key pair that is shown to backends.
type ClientCertificate struct {
	// Name is NS/NAME of its Secret.
	Name    string
	Chain   []byte
	Key     Sensitive
	Origins Origins
}
