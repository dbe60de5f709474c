package casetest

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/model"
)

// Backend is how a test backend differs from the usual one, which takes plain HTTP and TLS alike and has a self-signed
// certificate for no name that anybody asks for.
type Backend struct {
	// Mode is one of the modes below.
	Mode string
	// Names are the DNS names of its certificate.
	Names []string
	// SignedBy is SignedByCA or SignedBySelf.
	SignedBy string
	// DemandsClient has it refuse whoever shows no client certificate signed by the test CA.
	DemandsClient bool
	// MaxTLS is the highest version of TLS that it speaks.
	MaxTLS model.TLSVersion
}

// The modes of a backend.
const (
	// ModeAny takes both plain HTTP and TLS.
	ModeAny = "any"
	// ModePlain ends a connection that begins with a TLS handshake.
	ModePlain = "plain"
	// ModeDown refuses connections.
	ModeDown = "down"
)

// parseBackends reads backends.txt: NS/SERVICE/PORT, then words: plain, down, names=a,b, ca=test, client=test, max-tls=1.2.
func parseBackends(data []byte) (map[string]Backend, error) {
	out := map[string]Backend{}
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		b := Usual()
		for _, w := range words[1:] {
			key, value, _ := strings.Cut(w, "=")
			switch {
			case w == ModePlain || w == ModeDown:
				b.Mode = w
			case key == "names":
				b.Names = strings.Split(value, ",")
			case key == "ca" && (value == SignedByCA || value == SignedBySelf):
				b.SignedBy = value
			case w == "client="+SignedByCA:
				b.DemandsClient = true
			case key == "max-tls" && model.TLSVersion(value) == model.TLS12:
				b.MaxTLS = model.TLS12
			default:
				return nil, fmt.Errorf("%s: %q: write plain, down, names=A,B, ca=test, client=test or max-tls=1.2", backendsFile, w)
			}
		}
		out[words[0]] = b
	}
	return out, nil
}

// Usual is a backend of which backends.txt says nothing.
func Usual() Backend {
	return Backend{Mode: ModeAny, Names: []string{"backend.invalid"}, SignedBy: SignedBySelf, MaxTLS: model.TLS13}
}

// Backend is how the test backend of an assignment behaves.
func (c *Case) Backend(assignment string) Backend {
	if b, ok := c.Backends[assignment]; ok {
		return b
	}
	return Usual()
}

// Pair is the backend's certificate and key.
func (b Backend) Pair() Pair { return NewPair(strings.Join(b.Names, ","), b.SignedBy) }

// ClientCAs are who signs the client certificates that a backend demands.
func ClientCAs() *x509.CertPool { return poolOf(AuthorityPEM(SignedByCA)) }

func poolOf(bundle []byte) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(bundle)
	return pool
}

// approach is how a gateway comes to a backend.
type approach struct {
	// tls is nil where it comes in clear.
	tls *model.UpstreamTLS
	// bundle is what it verifies by, client the chain that it shows, both PEM.
	bundle, client []byte
}

// failure is why a backend cannot be reached as a route asks, empty where it can: what a data plane finds by trying.
func (b Backend) failure(a approach) string {
	switch {
	case b.Mode == ModeDown:
		return "the backend refuses connections"
	case a.tls == nil:
		return ""
	case b.Mode == ModePlain:
		return "the backend does not speak TLS"
	case a.tls.MinVersion > b.MaxTLS:
		return "the backend does not speak TLS " + string(a.tls.MinVersion)
	case b.DemandsClient && !signed(a.client, ClientCAs(), x509.ExtKeyUsageClientAuth):
		return "the backend demands another client certificate"
	case a.tls.SkipVerify:
		return ""
	case !signed(b.Pair().Certificate, poolOf(a.bundle), x509.ExtKeyUsageServerAuth):
		return "the backend's certificate is signed by nobody trusted"
	case !slices.ContainsFunc(a.tls.Names, func(name string) bool { return slices.Contains(b.Names, name) }):
		return "the backend's certificate is for another name"
	default:
		return ""
	}
}

// signed says whether the first certificate of a chain is vouched for.
func signed(chain []byte, by *x509.CertPool, usage x509.ExtKeyUsage) bool {
	leaf := leafOf(chain)
	if leaf == nil {
		return false
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: by, KeyUsages: []x509.ExtKeyUsage{usage}})
	return err == nil
}

// leafOf is the first certificate of a chain, nil where there is none.
func leafOf(chain []byte) *x509.Certificate {
	block, _ := pem.Decode(chain)
	if block == nil {
		return nil
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return leaf
}
