package resolve

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"slices"
	"testing"
	"time"
)

// pemPair makes a self-signed pair of a key.
func pemPair(t *testing.T, key crypto.Signer) (chain, private []byte) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}

func ecKey(t *testing.T, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestCheckKeyPair: what Envoy 1.40 refuses is refused before it is sent.
func TestCheckKeyPair(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	rsaKey := func(bits int) crypto.Signer {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key  crypto.Signer
		good bool
	}{
		"RSA 2048": {rsaKey(2048), true}, "RSA 1024": {rsaKey(1024), false},
		"P-256": {ecKey(t, elliptic.P256()), true}, "P-384": {ecKey(t, elliptic.P384()), true}, "P-521": {ecKey(t, elliptic.P521()), true},
		"P-224": {ecKey(t, elliptic.P224()), false}, "Ed25519": {ed, true},
	} {
		chain, private := pemPair(t, c.key)
		names, err := CheckKeyPair(chain, private)
		if (err == nil) != c.good || c.good && (len(names) != 1 || names[0] != "a.test") {
			t.Errorf("%s: %v, %v; want good %v", name, names, err, c.good)
		}
	}
	chain, private := pemPair(t, ecKey(t, elliptic.P256()))
	garbage := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("garbage")})
	if _, err := CheckKeyPair(append(chain, garbage...), private); err == nil {
		t.Error("a chain with a broken certificate passes")
	}
	headed := func(text []byte) []byte {
		return bytes.Replace(text, []byte("-----\n"), []byte("-----\nWho: me\n\n"), 1)
	}
	for name, pair := range map[string][2][]byte{
		"a torn chain": {slices.Concat(chain, chain[:len(chain)/2]), private}, "a torn key": {chain, slices.Concat(private[:len(private)/2], []byte("\n"), private)},
		"a chain with headers": {headed(chain), private}, "a key with headers": {chain, headed(private)},
	} {
		if _, err := CheckKeyPair(pair[0], pair[1]); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	other, _ := pemPair(t, ecKey(t, elliptic.P256()))
	if _, err := CheckKeyPair(other, private); err == nil {
		t.Error("a key that belongs to another certificate passes")
	}
	if err := CheckBundle(append(other, garbage...)); err == nil {
		t.Error("a bundle with a broken certificate passes")
	}
	if err := CheckBundle(append(other, chain...)); err != nil {
		t.Error(err)
	}
	if err := CheckBundle([]byte("nothing")); err == nil {
		t.Error("a bundle without a certificate passes")
	}
}

// TestReadBundle: what Envoy refuses beside the certificates, and what it would go by though the Go data plane would
// not, is not sent.
func TestReadBundle(t *testing.T) {
	one, key := pemPair(t, ecKey(t, elliptic.P256()))
	two, _ := pemPair(t, ecKey(t, elliptic.P256()))
	block := func(kind string) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte("x")}) }
	headed := bytes.Replace(one, []byte("-----\n"), []byte("-----\nWho: me\n\n"), 1)
	for name, c := range map[string]struct{ text, want []byte }{
		"two":                {slices.Concat(one, two), slices.Concat(one, two)},
		"text around":        {slices.Concat([]byte("# the root\n"), one, []byte("end")), one},
		"headers":            {headed, nil},
		"line ends":          {bytes.ReplaceAll(one, []byte("\n"), []byte("\r\n")), one},
		"nothing":            {nil, nil},
		"a revocation list":  {slices.Concat(one, block("X509 CRL")), nil},
		"trust of OpenSSL's": {slices.Concat(one, block("TRUSTED CERTIFICATE")), nil},
		"a key":              {slices.Concat(key, one), nil},
		"a torn block":       {slices.Concat(one, two[:len(two)/2]), nil},
		"a torn block first": {slices.Concat(two[:len(two)/2], []byte("\n"), one), nil},
		"a broken one":       {slices.Concat(one, block("CERTIFICATE")), nil},
	} {
		got, err := readBundle(c.text)
		if (err == nil) != (c.want != nil) || err == nil && !bytes.Equal(got, c.want) {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
	}
}

// TestReadAuthorities: what is sent holds the authorities and nothing else.
func TestReadAuthorities(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	leaf, private := pemPair(t, key)
	bundle := slices.Concat([]byte("# Ours\n"), authority, authority, []byte("end"))
	if got, err := readAuthorities(bundle); err != nil || !bytes.Equal(got, slices.Concat(authority, authority)) {
		t.Errorf("%q, %v; want the two authorities", got, err)
	}
	for name, bundle := range map[string][]byte{"a client's own": leaf, "both": slices.Concat(authority, leaf), "a key": private, "beside a key": slices.Concat(authority, private), "a torn one": authority[:len(authority)/2], "none": nil} {
		if got, err := readAuthorities(bundle); err == nil {
			t.Errorf("%s: %q, want an error", name, got)
		}
	}
}

// TestOnlyCertificates: a key beside a chain goes no further, and a chain without one stays the same bytes.
func TestOnlyCertificates(t *testing.T) {
	chain, private := pemPair(t, ecKey(t, elliptic.P256()))
	combined := slices.Concat([]byte("a comment\n"), private, chain)
	if _, err := CheckKeyPair(combined, private); err != nil {
		t.Fatal(err)
	}
	if got := OnlyCertificates(combined); !bytes.Equal(got, chain) {
		t.Errorf("%q is left of %q", got, combined)
	}
	if got := OnlyCertificates(chain); &got[0] != &chain[0] {
		t.Error("a chain without more is copied")
	}
}
