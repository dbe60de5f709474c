package resolve

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// rsaBitsMin is the shortest RSA key that Envoy serves (DownstreamTlsContext: 2,048 bits).
const rsaBitsMin = 2048

// CheckKeyPair admits a PEM chain and key that belong together and that Envoy takes too, and gives the DNS names of the
// certificate. What crypto/tls accepts and Envoy refuses would leave a handshake without an answer: short RSA keys,
// other curves, a chain with a broken certificate in it. The error never holds a byte of either.
func CheckKeyPair(chain, key []byte) ([]string, error) {
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, err
	}
	for i, der := range pair.Certificate {
		if _, err := x509.ParseCertificate(der); err != nil {
			return nil, fmt.Errorf("certificate %d of the chain does not parse", i+1)
		}
	}
	switch k := pair.Leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < rsaBitsMin {
			return nil, fmt.Errorf("an RSA key of %d bits is too short: Envoy serves %d and more", k.N.BitLen(), rsaBitsMin)
		}
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() && k.Curve != elliptic.P521() {
			return nil, fmt.Errorf("the curve %s is none that Envoy serves: P-256, P-384 or P-521", k.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		return nil, errors.New("the key is neither RSA nor ECDSA nor Ed25519")
	}
	return pair.Leaf.DNSNames, nil
}

// CheckBundle admits PEM with at least one certificate, all of which parse: Envoy refuses a bundle for one that does not.
func CheckBundle(bundle []byte) error {
	count := 0
	for rest := bundle; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		count++
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("certificate %d does not parse: %w", count, err)
		}
	}
	if count == 0 {
		return errors.New("it holds no PEM certificate")
	}
	return nil
}

// pemBegin begins every block of PEM.
const pemBegin = "-----BEGIN "

// readBundle gives the certificates of a bundle that an annotation names, as PEM and nothing else: what Envoy refuses
// besides (a block without an end, a block with headers) is not sent, nor is a key that stands there by mistake. It
// refuses other blocks rather than drop them, since one may be a revocation list, by which Envoy would go and the Go
// data plane would not. The error holds no byte of it.
func readBundle(text []byte) ([]byte, error) {
	if err := CheckBundle(text); err != nil {
		return nil, err
	}
	var out []byte
	blocks := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		blocks++
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it holds a PEM block that is no certificate, number %d", blocks)
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})...)
	}
	if bytes.Count(text, []byte(pemBegin)) != blocks {
		return nil, errors.New("one of its PEM blocks is broken")
	}
	return out, nil
}
