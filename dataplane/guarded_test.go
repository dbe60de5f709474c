package dataplane_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	inspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	inputsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/postern-gateway/postern/dataplane/config"
)

const (
	guardedChain  = "untrusted/guarded"
	guardedRoutes = "https/guarded"
	guardedCA     = "client-ca/ns/ca"
)

// inspected is an https listener that knows the SNI when it chooses a chain.
func inspected(t testing.TB, at net.Addr) *listenerv3.Listener {
	l := listener(t, "https", at)
	l.ListenerFilters = []*listenerv3.ListenerFilter{{
		Name: "envoy.filters.listener.tls_inspector", ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: typed(&inspectorv3.TlsInspector{})},
	}}
	return l
}

// guarded is one of which the host safe.test has a chain of its own, with a client CA.
func guarded(t testing.TB, at net.Addr, least tlsv3.TlsParameters_TlsProtocol) *listenerv3.Listener {
	l := inspected(t, at)
	chain := listener(t, "https", at).FilterChains[0]
	chain.Name = guardedChain
	m := manager(t, "https", false)
	m.GetRds().RouteConfigName = guardedRoutes
	chain.Filters[0].ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: typed(m)}
	context := downstreamTLS()
	context.RequireClientCertificate = wrapperspb.Bool(true)
	context.CommonTlsContext.TlsParams.TlsMinimumProtocolVersion = least
	context.CommonTlsContext.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig{
		ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: guardedCA, SdsConfig: overADS()},
	}
	chain.TransportSocket = transportSocket(context)
	l.FilterChains = append(l.FilterChains, chain)
	to := func(name string) *xdsmatcherv3.Matcher_OnMatch {
		return &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Action{
			Action: &xdscorev3.TypedExtensionConfig{Name: "chain", TypedConfig: typed(wrapperspb.String(name))},
		}}
	}
	l.FilterChainMatcher = &xdsmatcherv3.Matcher{
		MatcherType: &xdsmatcherv3.Matcher_MatcherTree_{MatcherTree: &xdsmatcherv3.Matcher_MatcherTree{
			Input: &xdscorev3.TypedExtensionConfig{Name: "sni", TypedConfig: typed(&inputsv3.ServerNameInput{})},
			TreeType: &xdsmatcherv3.Matcher_MatcherTree_ExactMatchMap{ExactMatchMap: &xdsmatcherv3.Matcher_MatcherTree_MatchMap{
				Map: map[string]*xdsmatcherv3.Matcher_OnMatch{"safe.test": to(guardedChain)},
			}},
		}},
		OnNoMatch: to("untrusted"),
	}
	return l
}

// kept is a TLS connection that stays open.
type kept struct {
	conn *tls.Conn
	r    *bufio.Reader
}

func keep(t testing.TB, at net.Addr, config *tls.Config) (*kept, error) {
	t.Helper()
	raw, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	raw.SetDeadline(time.Now().Add(patience))
	config.InsecureSkipVerify = true
	conn := tls.Client(raw, config)
	return &kept{conn, bufio.NewReader(conn)}, conn.Handshake()
}

// ask is the answer's status, with what its one backend saw of the path; empty where there is none.
func (k *kept) ask() string {
	fmt.Fprintf(k.conn, "GET /x HTTP/1.1\r\nHost: safe.test\r\n\r\n")
	r, err := http.ReadResponse(k.r, nil)
	if err != nil {
		return ""
	}
	body, _ := io.ReadAll(r.Body)
	var path string
	fmt.Sscanf(string(body), "GET %s", &path)
	if r.Close {
		path += " closing"
	}
	return fmt.Sprint(r.StatusCode, " ", path)
}

// client gives a certificate of the authority to a server that asks for one.
func (a *authority) client(t testing.TB) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	t.Helper()
	own, key := a.signFor(t, x509.ExtKeyUsageClientAuth, "client")
	pair, err := tls.X509KeyPair(own, key)
	if err != nil {
		t.Fatal(err)
	}
	return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
}

// handshakes are those with a data plane that listens at an address.
type handshakes struct {
	t  testing.TB
	at net.Addr
}

func (h handshakes) is(what, got, want string) {
	h.t.Helper()
	if got != want {
		h.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// fresh is the answer over a new connection, empty where there is none.
func (h handshakes) fresh(config *tls.Config) string {
	h.t.Helper()
	config.ServerName = "safe.test"
	k, err := keep(h.t, h.at, config)
	if err != nil {
		return ""
	}
	return k.ask()
}

func (h handshakes) eventually(what string, config func() *tls.Config, want string) {
	h.t.Helper()
	got := ""
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if got = h.fresh(config()); got == want {
			return
		}
	}
	h.t.Errorf("%s: %q, want %q", what, got, want)
}

// TestGuardedChain: a chain that asks for client certificates comes into force when its routes and its CA are there; until
// then, and on every other chain, all goes on as before.
func TestGuardedChain(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	chain, key := ca.sign(t, "safe.test")
	mine, foreign := ca.client(t), stranger.client(t)
	configure := func(t *testing.T, c *controlPlane, p *plane) {
		c.set(clusterOf("echo"), assignment("echo", backend(t).Listener.Addr()),
			routes("http", host("*", forward(prefix("/"), "echo"))),
			routes("https", host("*", forward(prefix("/"), "echo", rewriteTo("/open/")))),
			listener(t, "http", p.http), inspected(t, p.https), certificateSecret("safe.test", chain, key))
	}
	onEach(t, configure, func(t *testing.T, c *controlPlane, p *plane) {
		h := handshakes{t, p.https}
		is, fresh, eventually := h.is, h.fresh, h.eventually
		early, err := keep(t, p.https, &tls.Config{ServerName: "safe.test"})
		if err != nil {
			t.Fatal(err)
		}
		is("before", early.ask(), "200 /open/x")

		c.set(guarded(t, p.https, tlsv3.TlsParameters_TLSv1_2))
		c.settled(t)
		is("without routes and CA", fresh(&tls.Config{}), "200 /open/x")
		c.set(bundleSecret(guardedCA, ca.pem))
		c.secret(t, guardedCA)
		is("without routes", fresh(&tls.Config{}), "200 /open/x")
		c.set(routes(guardedRoutes, host("*", forward(prefix("/"), "echo", rewriteTo("/guarded/")))))
		c.settled(t)
		eventually("with all that it needs", func() *tls.Config { return &tls.Config{GetClientCertificate: mine} }, "200 /guarded/x")
		is("no certificate", fresh(&tls.Config{}), "")
		is("no certificate, TLS 1.2", fresh(&tls.Config{MaxVersion: tls.VersionTLS12}), "")
		is("a stranger's certificate", fresh(&tls.Config{GetClientCertificate: foreign}), "")
		is("a connection of before", early.ask(), "200 /open/x")

		c.set(bundleSecret(guardedCA, stranger.pem))
		c.secret(t, guardedCA)
		eventually("a renewed CA", func() *tls.Config { return &tls.Config{GetClientCertificate: foreign} }, "200 /guarded/x")
		is("a certificate of the CA before", fresh(&tls.Config{GetClientCertificate: mine}), "")
		old, err := keep(t, p.https, &tls.Config{ServerName: "safe.test", GetClientCertificate: foreign})
		if err != nil {
			t.Fatal(err)
		}
		is("a connection under the renewed CA", old.ask(), "200 /guarded/x")

		c.set(guarded(t, p.https, tlsv3.TlsParameters_TLSv1_3))
		c.settled(t)
		eventually("a later version", func() *tls.Config { return &tls.Config{GetClientCertificate: foreign, MaxVersion: tls.VersionTLS12} }, "")
		is("that version", fresh(&tls.Config{GetClientCertificate: foreign}), "200 /guarded/x")
		is("a connection on a chain that stays", early.ask(), "200 /open/x")
		if p.name == "go" { // Envoy drains the connection, which takes minutes.
			is("a connection on a chain that asks for more now", old.ask(), "421  closing")
			c.remove(config.SecretType, guardedCA)
			eventually("a CA that is taken back", func() *tls.Config { return &tls.Config{GetClientCertificate: foreign} }, "")
		}
	})
}
