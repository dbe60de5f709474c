// Package authority makes the CA and the certificates by which control plane and data planes know each other.
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/postern-gateway/postern/dataplane/identity"
)

const (
	// DefaultCALife and DefaultLife are how long a CA and a certificate live unless Lives say otherwise.
	DefaultCALife = 10 * 365 * 24 * time.Hour
	DefaultLife   = 365 * 24 * time.Hour
	// clockSkew is how much earlier than now validity begins, for machines whose clock is behind.
	clockSkew = time.Hour

	certificateBlock = "CERTIFICATE"
	keyBlock         = "PRIVATE KEY"
)

// A Pair is a certificate and its key, as PEM.
type Pair struct{ Certificate, Key []byte }

// A CA signs certificates.
type CA struct {
	Pair
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// A Role is what a certificate is for.
type Role struct {
	// Name is the common name, and the first DNS name.
	Name string
	// Aliases are further DNS names.
	Aliases []string
	Usage   x509.ExtKeyUsage
}

// ControlPlane is the role of the xDS server. Its certificate is also for the names of its Service in a namespace, where one
// is given.
func ControlPlane(namespace string) Role {
	r := Role{Name: identity.ControlPlaneName, Usage: x509.ExtKeyUsageServerAuth}
	if namespace != "" {
		service := identity.ControlPlaneName + "." + namespace + ".svc"
		r.Aliases = []string{service, service + ".cluster.local"}
	}
	return r
}

// DataPlane is the role of a proxy.
func DataPlane() Role {
	return Role{Name: identity.DataPlaneName, Usage: x509.ExtKeyUsageClientAuth}
}

// NewCA makes a CA that lives so long.
func NewCA(life time.Duration) (*CA, error) {
	template, err := newTemplate("Postern xDS CA", life)
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	return sign(template, &CA{certificate: template, key: key}, key)
}

// Parse reads a CA that NewCA made.
func Parse(p Pair) (*CA, error) {
	certificate, _ := pem.Decode(p.Certificate)
	key, _ := pem.Decode(p.Key)
	if certificate == nil || key == nil || certificate.Type != certificateBlock || key.Type != keyBlock {
		return nil, fmt.Errorf("a CA's files hold one %s and one %s", certificateBlock, keyBlock)
	}
	parsed, err := x509.ParseCertificate(certificate.Bytes)
	if err != nil {
		return nil, err
	}
	private, err := x509.ParsePKCS8PrivateKey(key.Bytes)
	if err != nil {
		return nil, errors.New("the CA's key cannot be read") // crypto/x509's words may quote it
	}
	own, ok := private.(*ecdsa.PrivateKey)
	if !ok || !own.PublicKey.Equal(parsed.PublicKey) || !parsed.IsCA {
		return nil, errors.New("certificate and key are not those of a CA that postern certs made")
	}
	return &CA{Pair: p, certificate: parsed, key: own}, nil
}

// NotAfter is when the CA ends, and with it every certificate of it.
func (ca *CA) NotAfter() time.Time { return ca.certificate.NotAfter }

// Issue makes a certificate that lives so long, or as long as the CA does.
func (ca *CA) Issue(role Role, life time.Duration) (Pair, error) {
	template, err := newTemplate(role.Name, life)
	if err != nil {
		return Pair{}, err
	}
	if template.NotAfter.After(ca.certificate.NotAfter) {
		template.NotAfter = ca.certificate.NotAfter
	}
	template.DNSNames = append([]string{role.Name}, role.Aliases...)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{role.Usage}
	template.BasicConstraintsValid = true
	key, err := newKey()
	if err != nil {
		return Pair{}, err
	}
	issued, err := sign(template, ca, key)
	if err != nil {
		return Pair{}, err
	}
	return issued.Pair, nil
}

func newTemplate(name string, life time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name, Organization: []string{"Postern"}},
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(life),
	}, nil
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, nil
}

func sign(template *x509.Certificate, by *CA, key *ecdsa.PrivateKey) (*CA, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, by.certificate, key.Public(), by.key)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate for %s: %w", template.Subject.CommonName, err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the certificate for %s: %w", template.Subject.CommonName, err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return &CA{certificate: certificate, key: key, Pair: Pair{
		Certificate: pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: der}),
		Key:         pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: private}),
	}}, nil
}
