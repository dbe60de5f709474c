package casetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/translator/model"
)

// Pair is a certificate and its key, as PEM.
type Pair struct{ Certificate, Key []byte }

// Certificates are made once a process, so that a second step has the first one's, and cases take milliseconds.
var (
	pairs      sync.Map // what newPair is called with, to func() Pair
	selfSigned = sync.OnceValues(func() (*model.Certificate, error) { return options.SelfSigned() })
	authority  = sync.OnceValue(func() signer {
		key := newKey()
		template := template("Test CA")
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		return signer{key: key, certificate: sign(template, template, key, key)}
	})
)

type signer struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func authorityPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority().certificate.Raw})
}

// Who signs a certificate.
const (
	SignedByCA   = "test"
	SignedBySelf = "self"
)

// NewPair makes a certificate for comma-separated DNS names, the first being its common name. The same arguments give
// the same certificate as long as the process lives; words behind the names make it another one.
func NewPair(names, signedBy string) Pair {
	made, _ := pairs.LoadOrStore([2]string{names, signedBy}, sync.OnceValue(func() Pair {
		dns := strings.Split(strings.Fields(names)[0], ",")
		key, template := newKey(), template(dns[0])
		template.DNSNames = dns
		parent := signer{key: key, certificate: template}
		if signedBy == SignedByCA {
			parent = authority()
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			panic(err)
		}
		return Pair{
			Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: sign(template, parent.certificate, key, parent.key).Raw}),
			Key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		}
	}))
	return made.(func() Pair)()
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

// validity is long enough for a run of the tests.
const validity = 24 * time.Hour

func template(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		panic(err)
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(validity),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

func sign(template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		panic(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return c
}

// placeholder is {{cert NAMES}} or {{key NAMES}}.
var placeholder = regexp.MustCompile(`\{\{(\w+) ([^{}]+)\}\}`)

// base64Form is what a Secret's data holds, pemForm what a file does.
func base64Form(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
func pemForm(b []byte) string    { return string(b) }

// expand puts certificates and keys in the place of placeholders.
func expand(text string, form func([]byte) string) (string, error) {
	var wrong error
	out := placeholder.ReplaceAllStringFunc(text, func(found string) string {
		m := placeholder.FindStringSubmatch(found)
		switch m[1] {
		case "cert":
			return form(NewPair(m[2], SignedByCA).Certificate)
		case "key":
			return form(NewPair(m[2], SignedByCA).Key)
		default:
			wrong = fmt.Errorf("%s: write {{cert NAMES}} or {{key NAMES}}", found)
			return found
		}
	})
	return out, wrong
}
