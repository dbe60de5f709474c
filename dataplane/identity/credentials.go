package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

// refusalInterval is how often a refused handshake is told of: anybody who reaches the port can cause one.
const refusalInterval = time.Second

// protocols are what a gRPC connection settles on (ALPN).
var protocols = []string{"h2"}

// Server gives the credentials of a server that serves nobody but those whose certificate is of one of the CAs, may be shown
// by clients, and has the DNS name.
func (f *Folder) Server(client string) credentials.TransportCredentials {
	config := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: protocols}
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.serverConfig(client), nil }
	return &serverCredentials{TransportCredentials: credentials.NewTLS(config), folder: f}
}

func (f *Folder) serverConfig(client string) *tls.Config {
	m := f.now()
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		NextProtos:   protocols,
		Certificates: []tls.Certificate{m.pair},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    m.authorities,
		// A resumed session would go by the CAs of before.
		SessionTicketsDisabled: true,
		VerifyConnection:       func(s tls.ConnectionState) error { return mayBe(client, s) },
	}
}

// mayBe is why a verified client is not of this name. crypto/x509 takes a certificate without usages for one of any usage.
func mayBe(name string, s tls.ConnectionState) error {
	leaf := s.PeerCertificates[0]
	if !slices.Contains(leaf.DNSNames, name) {
		return fmt.Errorf("the client's certificate is not for the DNS name %s", name)
	}
	if !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
		return fmt.Errorf("the client's certificate lacks the usage %q", "client auth")
	}
	return nil
}

// serverCredentials tell of refused handshakes, of which grpc-go is silent.
type serverCredentials struct {
	credentials.TransportCredentials
	folder *Folder

	mu     sync.Mutex
	told   time.Time // guarded by mu
	untold int       // guarded by mu
}

// ServerHandshake implements credentials.TransportCredentials.
func (c *serverCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secure, info, err := c.TransportCredentials.ServerHandshake(conn)
	if err != nil {
		c.refused(conn.RemoteAddr().String(), err)
	}
	return secure, info, err
}

func (c *serverCredentials) refused(from string, reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Sub(c.told) < refusalInterval {
		c.untold++
		return
	}
	c.folder.log.Warn("a connection is refused in the handshake", "from", from, "reason", reason, "untold", c.untold)
	c.told, c.untold = now, 0
}

// Client gives the credentials of a client that talks to nobody but a server whose certificate is of one of the CAs and for
// the DNS name.
func (f *Folder) Client(server string) credentials.TransportCredentials {
	return &clientCredentials{
		TransportCredentials: credentials.NewTLS(&tls.Config{ServerName: server, MinVersion: tls.VersionTLS13}),
		folder:               f, server: server,
	}
}

// clientCredentials take certificate and CAs anew for each handshake.
type clientCredentials struct {
	credentials.TransportCredentials
	folder *Folder
	server string
}

// ClientHandshake implements credentials.TransportCredentials. Whatever the channel calls its server, c.server is verified.
func (c *clientCredentials) ClientHandshake(ctx context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	m := c.folder.now()
	return credentials.NewTLS(&tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{m.pair},
		RootCAs:      m.authorities,
	}).ClientHandshake(ctx, c.server, conn)
}

// Clone implements credentials.TransportCredentials.
func (c *clientCredentials) Clone() credentials.TransportCredentials {
	return &clientCredentials{TransportCredentials: c.TransportCredentials.Clone(), folder: c.folder, server: c.server}
}
