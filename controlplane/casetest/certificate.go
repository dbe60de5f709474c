package casetest

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"regexp"
	"strconv"
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
	pairs      sync.Map // what NewPair is called with, to func() Pair
	selfSigned = sync.OnceValues(func() (*model.Certificate, error) { return options.SelfSigned() })
	signers    sync.Map // name of a CA to func() signer
)

type signer struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

// authority is the CA of a name, the same as long as the process lives.
func authority(name string) signer {
	made, _ := signers.LoadOrStore(name, sync.OnceValue(func() signer {
		key := newKey()
		template := template("Test CA " + name)
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		return signer{key: key, certificate: sign(template, template, key, key)}
	}))
	return made.(func() signer)()
}

// AuthorityPEM is the certificate of the CA of a name.
func AuthorityPEM(name string) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority(name).certificate.Raw})
}

// Who signs a certificate: the CA of this name, or of any other, or the certificate's own key.
const (
	SignedByCA   = "test"
	SignedBySelf = "self"
)

// NewPair makes a certificate for comma-separated DNS names, the first being its common name, for servers and clients.
// The same arguments give the same certificate as long as the process lives; words behind the names make it another one.
func NewPair(names, signedBy string) Pair {
	made, _ := pairs.LoadOrStore([2]string{names, signedBy}, sync.OnceValue(func() Pair {
		dns := strings.Split(strings.Fields(names)[0], ",")
		key, template := newKey(), template(dns[0])
		template.DNSNames = dns
		if dns[0] == OddName {
			makeOdd(template)
		}
		parent := signer{key: key, certificate: template}
		if signedBy != SignedBySelf {
			parent = authority(signedBy)
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

// OddName has a certificate that says all that one can, in whatever forms there are.
const OddName = "odd.test"

func makeOdd(c *x509.Certificate) {
	component := asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}
	c.Subject = pkix.Name{
		CommonName: OddName, SerialNumber: "0042", Country: []string{"FR"}, Province: []string{"Some State"}, Locality: []string{"Orléans"},
		Organization: []string{"Cheese, Inc", `"2" + 100%`}, OrganizationalUnit: []string{"Blue"},
		ExtraNames: []pkix.AttributeTypeAndValue{{Type: component, Value: "org"}, {Type: component, Value: "cheese"}},
	}
	c.EmailAddresses = []string{"a+b@cheese.test"}
	for _, ip := range []string{"192.0.2.1", "2001:db8::1", "::", "1:0:0:2:0:0:0:3", "fe80::", "::1", "1:2:3:4:5:6:7:8", "1:0:2:3:4:5:6:7"} {
		c.IPAddresses = append(c.IPAddresses, net.ParseIP(ip))
	}
	c.URIs = []*url.URL{{Scheme: "spiffe", Host: "cheese.test", Path: "/blue"}}
	// Beyond 2049 a time is written in another form (RFC 5280, 4.1.2.5).
	c.NotAfter = time.Date(2060, time.February, 29, 23, 59, 58, 0, time.UTC)
}

// ClientCertificate is a certificate that a client shows: its common name, and the name of the CA that signs it.
type ClientCertificate struct{ Name, CA string }

// Pair is empty for the zero value.
func (c ClientCertificate) Pair() Pair {
	if c.Name == "" {
		return Pair{}
	}
	return NewPair(c.Name, c.CA)
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
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
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

// placeholder is {{cert NAMES}}, {{key NAMES}}, {{ca}} or {{ca-text}}, the latter two with the name of another CA.
var placeholder = regexp.MustCompile(`\{\{([\w-]+)((?: [^{}]+)?)\}\}`)

// base64Form is what a Secret's data holds, pemForm what a file does, textForm what a ConfigMap's data does.
func base64Form(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
func pemForm(b []byte) string    { return string(b) }
func textForm(b []byte) string   { return strconv.Quote(string(b)) }

// expand puts certificates and keys in the place of placeholders.
func expand(text string, form func([]byte) string) (string, error) {
	var wrong error
	out := placeholder.ReplaceAllStringFunc(text, func(found string) string {
		m := placeholder.FindStringSubmatch(found)
		arguments := strings.TrimSpace(m[2])
		switch {
		case m[1] == "cert" && arguments != "":
			return form(placedPair(arguments).Certificate)
		case m[1] == "key" && arguments != "":
			return form(placedPair(arguments).Key)
		case m[1] == "ca":
			return form(AuthorityPEM(cmp.Or(arguments, SignedByCA)))
		case m[1] == "ca-text":
			return textForm(AuthorityPEM(cmp.Or(arguments, SignedByCA)))
		default:
			wrong = fmt.Errorf("%s: write {{cert NAMES}}, {{key NAMES}}, {{ca}} or {{ca-text}}", found)
			return found
		}
	})
	return out, wrong
}

// placedPair is the pair of a placeholder: names, perhaps words that make it another one, perhaps by=SIGNER at the end.
func placedPair(arguments string) Pair {
	names, signer, given := strings.Cut(arguments, " by=")
	if !given {
		signer = SignedByCA
	}
	return NewPair(names, signer)
}
