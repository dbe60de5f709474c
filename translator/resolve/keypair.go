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
	"slices"
)

// rsaBitsMin is the shortest RSA key that Envoy serves (DownstreamTlsContext: 2,048 bits).
const rsaBitsMin = 2048

// CheckKeyPair admits a PEM chain and key that belong together and that Envoy takes too, and gives the DNS names of the
// certificate. What crypto/tls accepts and Envoy refuses would leave a handshake without an answer: short RSA keys,
// other curves, a chain with a broken certificate in it, torn PEM. The error never holds a byte of either.
func CheckKeyPair(chain, key []byte) ([]string, error) {
	for _, text := range [][]byte{chain, key} {
		if _, err := pemBlocks(text); err != nil {
			return nil, err
		}
	}
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
	blocks, err := pemBlocks(bundle)
	if err != nil {
		return err
	}
	_, err = parseCertificates(slices.DeleteFunc(blocks, notCertificate))
	return err
}

// readBundle gives the certificates of a bundle that an annotation names, as PEM and nothing around it. It refuses other
// blocks rather than drop them, since one may be a revocation list, by which Envoy would go and the Go data plane would
// not. The error holds no byte of it.
func readBundle(bundle []byte) ([]byte, error) {
	certificates, err := bundled(bundle)
	return encodeCertificates(certificates), err
}

// readAuthorities is readBundle for what verifies clients. A client's own certificate in the bundle would be trusted as
// itself by some and not by others, so it is refused.
func readAuthorities(bundle []byte) ([]byte, error) {
	certificates, err := bundled(bundle)
	if err != nil {
		return nil, err
	}
	for i, c := range certificates {
		if !c.BasicConstraintsValid || !c.IsCA {
			return nil, fmt.Errorf("certificate %d is none of an authority (CA:TRUE)", i+1)
		}
	}
	return encodeCertificates(certificates), nil
}

func bundled(bundle []byte) ([]*x509.Certificate, error) {
	blocks, err := pemBlocks(bundle)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(blocks, notCertificate) {
		return nil, errors.New("it holds PEM that is no certificate")
	}
	return parseCertificates(blocks)
}

func notCertificate(b *pem.Block) bool { return b.Type != "CERTIFICATE" }

func parseCertificates(blocks []*pem.Block) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for i, block := range blocks {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d does not parse: %w", i+1, err)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, errors.New("it holds no PEM certificate")
	}
	return out, nil
}

func encodeCertificates(certificates []*x509.Certificate) []byte {
	var out []byte
	for _, c := range certificates {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

// OnlyCertificates is an admitted chain or bundle without what is no certificate, such as the private key that many files have
// beside it: proxies need no more of it, and people are shown it.
func OnlyCertificates(text []byte) []byte {
	var out []byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if !notCertificate(block) {
			out = append(out, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})...)
		}
	}
	if bytes.Equal(out, text) {
		return text // Chains are many, and most often the Secret's own bytes.
	}
	return out
}

// pemBegin begins every block of PEM.
const pemBegin = "-----BEGIN "

// pemBlocks are the blocks of a text, all of them whole and without headers: Envoy refuses a text for others, over which
// encoding/pem passes without a word.
func pemBlocks(text []byte) ([]*pem.Block, error) {
	var blocks []*pem.Block
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		blocks = append(blocks, block)
		if len(block.Headers) > 0 {
			return nil, fmt.Errorf("PEM block %d has headers", len(blocks))
		}
	}
	if bytes.Count(text, []byte(pemBegin)) != len(blocks) {
		return nil, errors.New("a PEM block is broken")
	}
	return blocks, nil
}
