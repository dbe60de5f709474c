package options

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/resolve"
)

// rootFiles are where systems keep their roots as one file, in the order in which crypto/x509 looks for them on
// Linux; SSL_CERT_FILE comes before.
var rootFiles = []string{
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/pki/tls/cacert.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/cert.pem",
}

// systemRoots is the system's bundle of CAs, empty where there is none.
func systemRoots() []byte {
	for _, file := range append([]string{os.Getenv("SSL_CERT_FILE")}, rootFiles...) {
		if b, err := os.ReadFile(file); err == nil && resolve.CheckBundle(b) == nil {
			return b
		}
	}
	return nil
}

// LoadCertificate reads tls.crt and tls.key of a folder and checks that they belong together.
func LoadCertificate(dir string) (*model.Certificate, error) {
	chain, err := os.ReadFile(filepath.Join(dir, "tls.crt"))
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(filepath.Join(dir, "tls.key"))
	if err != nil {
		return nil, err
	}
	if _, err := resolve.CheckKeyPair(chain, key); err != nil {
		return nil, fmt.Errorf("%s: tls.crt and tls.key: %w", dir, err)
	}
	return &model.Certificate{Chain: resolve.OnlyCertificates(chain), Key: key, Origins: model.Origins{{Kind: "flag", Name: "--tls-cert-dir", File: dir}}}, nil
}

// EnsureCertificate gives the https entry a self-signed certificate where it has no default one, and says whether it
// did. A Secret named as the default takes its place once that is found.
func EnsureCertificate(s *translator.Settings) (bool, error) {
	https := slices.ContainsFunc(s.Resolve.Entries, func(e model.Entry) bool { return e.TLS })
	if !https || s.Resolve.DefaultCertificate != nil {
		return false, nil
	}
	c, err := SelfSigned()
	if err != nil {
		return false, fmt.Errorf("make a self-signed certificate: %w", err)
	}
	s.Resolve.DefaultCertificate = c
	return true, nil
}

// selfSignedValidity is short: the certificate lives as long as the process that made it.
const selfSignedValidity = 90 * 24 * time.Hour

// SelfSigned makes a certificate for names that have none, known by the line that says so at the start.
func SelfSigned() (*model.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Postern default certificate"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(selfSignedValidity),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode the key: %w", err)
	}
	var chainPEM, keyPEM bytes.Buffer
	if err := errors.Join(
		pem.Encode(&chainPEM, &pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.Encode(&keyPEM, &pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	); err != nil {
		return nil, fmt.Errorf("encode the certificate: %w", err)
	}
	return &model.Certificate{
		Chain: chainPEM.Bytes(), Key: keyPEM.Bytes(),
		Origins: model.Origins{diag.Origin{Kind: "flag", Name: "self-signed certificate"}},
	}, nil
}
