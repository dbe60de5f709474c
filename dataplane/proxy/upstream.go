package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/postern-gateway/postern/dataplane/config"
)

const (
	// idleConnectionsMax bounds the idle connections to one endpoint.
	idleConnectionsMax = 128
	// responseHeaderBytesMax bounds the header of an answer: Envoy's max_response_headers_kb is 60.
	responseHeaderBytesMax = 60 * 1024
)

var (
	errNotArrived  = errors.New("its endpoints have not arrived")
	errNoEndpoints = errors.New("it has no endpoints")
	errNoTrust     = errors.New("the trusted authorities have not arrived")
	errNoClient    = errors.New("the client certificate has not arrived")
	errNoPeerName  = errors.New("the endpoint sent no certificate")
)

// An upstream is a cluster with its endpoints of one moment. It is immutable but for what its pointers share.
type upstream struct {
	config    config.Cluster
	endpoints []netip.AddrPort
	arrived   bool           // the endpoints have, though maybe none
	turn      *atomic.Uint64 // shared by the upstreams of one cluster
	pool      *pool          // shared by the upstreams of one configuration
	failures  *failures      // shared by the upstreams of one cluster
	health    *health        // shared by the upstreams of one configuration
}

// next is the endpoint whose turn it is.
func (u *upstream) next() (netip.AddrPort, error) {
	switch {
	case !u.arrived:
		return netip.AddrPort{}, errNotArrived
	case len(u.endpoints) == 0:
		return netip.AddrPort{}, errNoEndpoints
	}
	usable := u.health.usable(u.endpoints)
	switch {
	case len(usable) == 0:
		return netip.AddrPort{}, errAllEjected
	case u.config.LeastRequest:
		return u.health.lighter(usable), nil
	}
	return usable[(u.turn.Add(1)-1)%uint64(len(usable))], nil
}

// named is the endpoint of an address, where the cluster has it and it is not ejected.
func (u *upstream) named(address string) (netip.AddrPort, bool) {
	if address == "" {
		return netip.AddrPort{}, false
	}
	usable := u.health.usable(u.endpoints)
	i := slices.IndexFunc(usable, func(e netip.AddrPort) bool { return e.String() == address })
	if i < 0 {
		return netip.AddrPort{}, false
	}
	return usable[i], true
}

func (u *upstream) scheme() string {
	if u.config.TLS != nil {
		return "https"
	}
	return "http"
}

// A pool is the connections to the endpoints of a cluster.
type pool struct {
	transport *http.Transport
	users     atomic.Int64
	retired   atomic.Bool
}

// newPool makes the transport of a cluster with the credentials that it names.
func newPool(c config.Cluster, held credentials) *pool {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!c.HTTP2)
	protocols.SetUnencryptedHTTP2(c.HTTP2)
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, c.ConnectTimeout)
		defer cancel()
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, &connectError{err}
		}
		return conn, nil
	}
	t := &http.Transport{
		DialContext:            dial,
		Protocols:              protocols,
		DisableCompression:     true,
		IdleConnTimeout:        c.IdleTimeout,
		MaxIdleConnsPerHost:    idleConnectionsMax,
		MaxResponseHeaderBytes: responseHeaderBytesMax,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream: c.Windows.Stream, MaxReceiveBufferPerConnection: c.Windows.Connection,
		},
	}
	if c.TLS != nil {
		settings := clientTLS(c.TLS, held)
		t.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, c.ConnectTimeout)
			defer cancel()
			if err := held.missing(); err != nil {
				return nil, &connectError{err}
			}
			plain, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			conn := tls.Client(plain, settings)
			if err := conn.HandshakeContext(ctx); err != nil {
				plain.Close()
				return nil, &connectError{fmt.Errorf("TLS: %w", err)}
			}
			return conn, nil
		}
	}
	return &pool{transport: t}
}

// clientTLS verifies what the cluster says, and nothing that the client said: the chain against the bundle, and the
// certificate for one of the cluster's names, whatever the SNI or the Host.
func clientTLS(c *config.UpstreamTLS, held credentials) *tls.Config {
	settings := &tls.Config{
		MinVersion: max(c.MinVersion, tls.VersionTLS12),
		MaxVersion: c.MaxVersion,
		ServerName: c.SNI,
		// crypto/tls would verify the SNI as the one name; verifyPeer does what the cluster asks for instead.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if c.Trust == "" {
				return nil // upstream-insecure-skip-verify
			}
			return verifyPeer(state.PeerCertificates, c.Names, held.trusted.Load())
		},
	}
	if held.client != nil {
		settings.GetClientCertificate = held.certificate
	}
	return settings
}

func verifyPeer(chain []*x509.Certificate, names []string, roots *x509.CertPool) error {
	switch {
	case roots == nil:
		return errNoTrust
	case len(chain) == 0:
		return errNoPeerName
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return err
	}
	for _, name := range names {
		if chain[0].VerifyHostname(name) == nil {
			return nil
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("the certificate is for %s, not for any of %s",
		quoted(chain[0].DNSNames), quoted(names))
}

// namesShownMax bounds the names that an error lists.
const namesShownMax = 4

func quoted(names []string) string {
	if len(names) == 0 {
		return "no DNS name"
	}
	text := fmt.Sprintf("%q", names[:min(len(names), namesShownMax)])
	if len(names) > namesShownMax {
		text += fmt.Sprintf(" and %d more", len(names)-namesShownMax)
	}
	return strings.ReplaceAll(text, `" "`, `", "`)
}

// acquire and release count the requests on a pool, so that the last of a retired one closes what it leaves idle.
func (p *pool) acquire() { p.users.Add(1) }

func (p *pool) release() {
	if p.users.Add(-1) == 0 && p.retired.Load() {
		p.transport.CloseIdleConnections()
	}
}

// retire lets the requests of the pool end and keeps no connection for others.
func (p *pool) retire() {
	p.retired.Store(true)
	p.transport.CloseIdleConnections()
}
