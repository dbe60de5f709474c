// Package canary plants secrets and looks for them in whatever is put out.
package canary

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// Set are secrets by what they are, each as texts that stand in it and nowhere else.
type Set struct {
	Texts map[string][]string
	t     testing.TB
}

// New is an empty Set, whose leaks fail a test.
func New(t testing.TB) *Set { return &Set{t: t, Texts: map[string][]string{}} }

// Random is a secret text.
func (c *Set) Random(name string) string {
	c.t.Helper()
	b := make([]byte, 15)
	rand.Read(b)
	return c.Plant(name, "Kx"+hex.EncodeToString(b))
}

// Plant notes the texts of a secret and gives the first.
func (c *Set) Plant(name string, texts ...string) string {
	c.t.Helper()
	if c.Texts[name] != nil {
		c.t.Fatalf("%s is planted twice", name)
	}
	c.Texts[name] = texts
	return texts[0]
}

// Pair is a self-signed certificate and its key, which is planted: as lines of PEM and as the number itself.
func (c *Set) Pair(name string, hosts ...string) (chain, key string) {
	c.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: hosts, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		c.t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		c.t.Fatal(err)
	}
	number, err := private.Bytes()
	if err != nil {
		c.t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
	// Of the lines of PEM only those with the number in them are secret: the last holds a part of the public point.
	c.Plant(name, strings.Split(text, "\n")[1], string(number))
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), text
}

// forms are the ways in which a text may be written.
func forms(text string) []string {
	out := []string{text, hex.EncodeToString([]byte(text)), strings.ToUpper(hex.EncodeToString([]byte(text))), url.QueryEscape(text), url.PathEscape(text)}
	for offset := range 3 {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			encoded := encoding.EncodeToString(append(make([]byte, offset), text...))
			// What stands before and behind changes the characters at either end.
			out = append(out, encoded[(offset*8+5)/6:len(encoded)-2])
		}
	}
	quoted := fmt.Sprintf("%q", text)
	return append(out, quoted[1:len(quoted)-1])
}

// Leaked names the secrets that an output holds, in whatever form.
func (c *Set) Leaked(output string) []string {
	var out []string
	for name, texts := range c.Texts {
		for _, text := range texts {
			for _, form := range forms(text) {
				if strings.Contains(output, form) {
					out = append(out, name+" as "+form)
				}
			}
		}
	}
	return out
}

// Without is the set without some secrets, for an output that holds them on purpose.
func (c *Set) Without(names ...string) *Set {
	out := New(c.t)
	for name, texts := range c.Texts {
		if !slices.Contains(names, name) {
			out.Texts[name] = texts
		}
	}
	return out
}

// Check fails the test where an output holds a secret.
func (c *Set) Check(what, output string) {
	c.t.Helper()
	for _, leak := range c.Leaked(output) {
		c.t.Errorf("%s shows %s", what, leak)
	}
}
