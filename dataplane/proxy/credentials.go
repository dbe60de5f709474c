package proxy

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/postern-gateway/postern/dataplane/config"
)

// A shelf holds the secrets of one kind that clusters, or the chains of listeners, name. A place is there as long as one
// names it; its secret arrives later, and may change or be taken back.
type shelf[T any] map[string]*atomic.Pointer[T]

// place is the place of a name, made where there is none; nil for no name.
func (s shelf[T]) place(name string) *atomic.Pointer[T] {
	if name == "" {
		return nil
	}
	if s[name] == nil {
		s[name] = new(atomic.Pointer[T])
	}
	return s[name]
}

// credentials are the secrets of one cluster; nil for what it does not name.
type credentials struct {
	trusted *atomic.Pointer[x509.CertPool]
	client  *atomic.Pointer[tls.Certificate]
}

// credentials of a cluster. p.mu is held.
func (p *Proxy) credentials(c config.Cluster) credentials {
	if c.TLS == nil {
		return credentials{}
	}
	return credentials{trusted: p.trust.place(c.TLS.Trust), client: p.clients.place(c.TLS.Client)}
}

// secretsOf are the names of the secrets that a cluster needs.
func secretsOf(c config.Cluster) []string {
	if c.TLS == nil {
		return nil
	}
	return slices.DeleteFunc([]string{c.TLS.Trust, c.TLS.Client}, func(name string) bool { return name == "" })
}

// missing is what has not arrived, nil for nothing.
func (c credentials) missing() error {
	switch {
	case c.trusted != nil && c.trusted.Load() == nil:
		return errNoTrust
	case c.client != nil && c.client.Load() == nil:
		return errNoClient
	}
	return nil
}

// certificate is what a backend is shown that asks for a client certificate.
func (c credentials) certificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if held := c.client.Load(); held != nil {
		return held, nil
	}
	return nil, errNoClient
}

// setSecret puts a secret where it was asked for: by a cluster, or else by handshakes. One that nobody asks for any more was on
// its way when its cluster went.
func (p *Proxy) setSecret(name string, s config.Secret) error {
	trust, client := p.trust[name], p.clients[name]
	switch {
	case trust == nil && client == nil && !p.users.asked(name) && s.Certificate == nil:
	case s.Users != nil && p.users.asked(name):
		p.users.set(name, s.Users)
	case trust != nil && s.Trusted != nil:
		if old := trust.Swap(s.Trusted); old == nil || !old.Equal(s.Trusted) {
			p.reconnect(name)
		}
	case client != nil && s.Certificate != nil:
		if old := client.Swap(s.Certificate); old == nil || !slices.EqualFunc(old.Certificate, s.Certificate.Certificate, bytes.Equal) {
			p.reconnect(name)
		}
	case trust == nil && client == nil && s.Certificate != nil:
		p.secrets.set(name, s.Certificate)
	default:
		return fmt.Errorf("secret %q: not of the kind that was asked for", name)
	}
	return nil
}

// removeSecret: a bundle that is taken back is trusted no more, a client certificate shown no more, and a name without
// a certificate fails its handshakes.
func (p *Proxy) removeSecret(name string) {
	if p.users.asked(name) {
		p.users.remove(name)
		return
	}
	trust, client := p.trust[name], p.clients[name]
	if trust != nil {
		trust.Store(nil)
	}
	if client != nil {
		client.Store(nil)
	}
	if trust == nil && client == nil {
		p.secrets.remove(name)
		return
	}
	p.reconnect(name)
}

// reconnect has the clusters that use a secret shake hands with their endpoints anew.
func (p *Proxy) reconnect(name string) {
	for _, u := range p.upstreams {
		if slices.Contains(secretsOf(u.config), name) {
			u.pool.transport.CloseIdleConnections()
		}
	}
}
