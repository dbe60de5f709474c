package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"time"
)

const (
	// certLifetime is how long the certificate of one run is good.
	certLifetime = 30 * 24 * time.Hour

	// clockSkewMax is how far a client's clock may be behind ours.
	clockSkewMax = time.Hour

	// serialBits is the size of a random serial number; RFC 5280, 4.1.2.2,
	// allows 20 octets.
	serialBits = 128

	certFileMode = 0o644 // a certificate is public
)

// selfSigned makes a key and a certificate for one DNS name, good from now on.
// The certificate is its own authority, so it can be given to a client as the
// one thing to trust.
func selfSigned(name string, now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		// Only the organization: names over 64 characters do not fit a common name.
		Subject:               pkix.Name{Organization: []string{"Postern example app"}},
		DNSNames:              []string{name},
		NotBefore:             now.Add(-clockSkewMax),
		NotAfter:              now.Add(certLifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a certificate for %q: %w", name, err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

func writeCertificate(file string, cert tls.Certificate) error {
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	if err := os.WriteFile(file, block, certFileMode); err != nil {
		return fmt.Errorf("write the certificate: %w", err)
	}
	return nil
}
