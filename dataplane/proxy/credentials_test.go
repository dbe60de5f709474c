package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"sync/atomic"
	"testing"

	"github.com/postern-gateway/postern/dataplane/config"
)

// TestSecretsOfNobody: a secret that was on its way when its last cluster went harms nothing; one of another kind than is asked
// for is refused.
func TestSecretsOfNobody(t *testing.T) {
	store, _ := newStore()
	p := &Proxy{secrets: store, users: newUserFiles(nil, nil), trust: shelf[x509.CertPool]{}, clients: shelf[tls.Certificate]{}}
	kinds := map[string]config.Secret{"trust": {Trusted: x509.NewCertPool()}, "users": {Users: &config.Users{}}, "certificate": {Certificate: &tls.Certificate{}}}
	for kind, s := range kinds {
		if err := p.setSecret("gone", s); err != nil {
			t.Errorf("%s that nobody asks for: %v", kind, err)
		}
		p.trust["asked"] = new(atomic.Pointer[x509.CertPool])
		if err := p.setSecret("asked", s); (err == nil) != (kind == "trust") {
			t.Errorf("%s where trust is asked for: %v", kind, err)
		}
	}
}
