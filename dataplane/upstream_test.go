package dataplane_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/postern-gateway/postern/dataplane/config"
)

const (
	bundleName = "trust/secret/ns/ca"
	clientName = "client/ns/gateway"
)

// mutual has a cluster verify by a bundle of its own and show a certificate of its own.
func mutual(sni string, change ...func(*tlsv3.CommonTlsContext)) func(*clusterProto, *explicitProto) {
	return func(c *clusterProto, _ *explicitProto) {
		common := &tlsv3.CommonTlsContext{
			TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{{Name: clientName, SdsConfig: overADS()}},
			ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
				CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
					DefaultValidationContext: &tlsv3.CertificateValidationContext{
						MatchTypedSubjectAltNames: []*tlsv3.SubjectAltNameMatcher{{
							SanType: tlsv3.SubjectAltNameMatcher_DNS,
							Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: sni}},
						}},
					},
					ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: bundleName, SdsConfig: overADS()},
				},
			},
		}
		for _, f := range change {
			f(common)
		}
		c.TransportSocket = transportSocket(&tlsv3.UpstreamTlsContext{Sni: sni, CommonTlsContext: common})
	}
}

func upstreamBundle(authorities ...*authority) *tlsv3.Secret {
	var bundle []byte
	for _, a := range authorities {
		bundle = append(bundle, a.pem...)
	}
	return bundleSecret(bundleName, bundle)
}

func (a *authority) pair(t testing.TB, names ...string) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(a.sign(t, names...))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// demanding has a backend ask for a client certificate of the authority, answer with its name, and take one request on
// each connection, so that every request shakes hands in full.
func (a *authority) demanding(t testing.TB, certificate *atomic.Pointer[tls.Certificate], highest uint16) func(*httptest.Server) {
	return func(s *httptest.Server) {
		s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, r.TLS.PeerCertificates[0].DNSNames[0])
		})
		s.Config.SetKeepAlivesEnabled(false)
		s.TLS = &tls.Config{
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate.Load(), nil },
			ClientAuth:     tls.RequireAndVerifyClientCert, ClientCAs: a.pool(), MaxVersion: highest,
			SessionTicketsDisabled: true,
		}
	}
}

// held is a certificate that may be changed while it is served.
func held(c tls.Certificate) *atomic.Pointer[tls.Certificate] {
	p := new(atomic.Pointer[tls.Certificate])
	p.Store(&c)
	return p
}

func TestClientCertificate(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	chain, key := ca.sign(t, "gateway.test")
	configure := func(t *testing.T, c *controlPlane, p *plane) {
		served := held(ca.pair(t, "svc.ns.svc"))
		strict := backend(t, ca.demanding(t, served, 0))
		foreign := backend(t, stranger.demanding(t, served, 0))
		old := backend(t, ca.demanding(t, served, tls.VersionTLS12))
		newest := mutual("svc.ns.svc", func(common *tlsv3.CommonTlsContext) {
			common.TlsParams = &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_3, TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3}
		})
		unverified := mutual("svc.ns.svc", func(common *tlsv3.CommonTlsContext) { common.ValidationContextType = nil })
		c.set(clusterOf("strict", mutual("svc.ns.svc")), assignment("strict", strict.Listener.Addr()),
			clusterOf("foreign", mutual("svc.ns.svc")), assignment("foreign", foreign.Listener.Addr()),
			clusterOf("old", mutual("svc.ns.svc")), assignment("old", old.Listener.Addr()),
			clusterOf("newest", newest), assignment("newest", old.Listener.Addr()),
			clusterOf("unverified", unverified), assignment("unverified", strict.Listener.Addr()),
			clusterOf("without", overTLS("svc.ns.svc", "svc.ns.svc")), assignment("without", strict.Listener.Addr()),
			trustSecret(ca.pem), upstreamBundle(ca), certificateSecret(clientName, chain, key))
		h := host("*")
		for _, name := range []string{"strict", "foreign", "old", "newest", "unverified", "without"} {
			h.Routes = append(h.Routes, forward(prefix("/"+name), name))
		}
		c.set(routes("http", h), listener(t, "http", p.http))
	}
	onEach(t, configure, func(t *testing.T, c *controlPlane, p *plane) {
		expect := func(path string, status int) {
			t.Helper()
			a := parse(t, raw(t, p.http, render("GET "+path+"|Host: h.test")), "GET")
			if a.status != status || status == 200 && a.body != "gateway.test" || status == 503 && a.body != "503\n" {
				t.Errorf("%s: %d %q, want %d", path, a.status, a.body, status)
			}
		}
		for path, status := range map[string]int{"/strict": 200, "/foreign": 503, "/old": 200, "/newest": 503, "/unverified": 200, "/without": 503} {
			expect(path, status)
		}
		if p.name != "go" {
			return // Our control plane never takes back a secret that a cluster names.
		}
		c.remove(config.SecretType, clientName)
		c.settled(t)
		expect("/strict", 503)
		expect("/unverified", 503)
		if got := strings.Join(p.failures.all(), "\n"); !strings.Contains(got, "strict: the client certificate has not arrived") {
			t.Errorf("the failures are %q", got)
		}
	})
}

// TestRotationUnderLoad changes the client certificate, then the backend's CA by way of both, while requests go on.
func TestRotationUnderLoad(t *testing.T) {
	was, is := newAuthority(t), newAuthority(t)
	served := held(was.pair(t, "svc.ns.svc"))
	var one, two [2][]byte
	one[0], one[1] = was.sign(t, "one.test")
	two[0], two[1] = was.sign(t, "two.test")
	configure := func(t *testing.T, c *controlPlane, p *plane) {
		served.Store(ptr(was.pair(t, "svc.ns.svc")))
		b := backend(t, was.demanding(t, served, 0))
		c.set(clusterOf("b", mutual("svc.ns.svc")), assignment("b", b.Listener.Addr()), upstreamBundle(was), certificateSecret(clientName, one[0], one[1]),
			routes("http", host("*", forward(prefix("/"), "b"))), listener(t, "http", p.http))
	}
	onEach(t, configure, func(t *testing.T, c *controlPlane, p *plane) {
		shown := func(client *http.Client) (string, bool) { return shownTo(t, client, p.http.String()) }
		var load sync.WaitGroup
		ctx, cancel := context.WithCancel(context.Background())
		defer load.Wait()
		defer cancel()
		for range 2 {
			load.Go(func() {
				client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
				defer client.CloseIdleConnections()
				for good := true; good && ctx.Err() == nil; {
					_, good = shown(client)
				}
			})
		}
		client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
		defer client.CloseIdleConnections()
		// rotated waits until a secret is in force: twenty requests, one after the other, show a name.
		rotated := func(s *tlsv3.Secret, want string) {
			t.Helper()
			c.set(s)
			c.secret(t, s.GetName())
			// Envoy accepts a secret on its main thread, and the workers follow.
			for inARow, deadline := 0, time.Now().Add(patience); inARow < 20; inARow++ {
				got, good := shown(client)
				if !good || time.Now().After(deadline) {
					t.Errorf("after %s: %s is shown, want %s", s.GetName(), got, want)
					return
				}
				if got != want {
					inARow = -1
				}
			}
		}
		rotated(certificateSecret(clientName, two[0], two[1]), "two.test")
		rotated(upstreamBundle(was, is), "two.test")
		served.Store(ptr(is.pair(t, "svc.ns.svc")))
		rotated(upstreamBundle(is), "two.test")
		cancel()
		load.Wait()
		served.Store(ptr(was.pair(t, "svc.ns.svc")))
		if a := parse(t, raw(t, p.http, render("GET /|Host: h.test")), "GET"); a.status != http.StatusServiceUnavailable {
			t.Errorf("a CA that is trusted no more: %d", a.status)
		}
	})
}

// shownTo is the name of the client certificate that a request's connection has shown to the backend.
func shownTo(t *testing.T, client *http.Client, gateway string) (string, bool) {
	r, err := client.Get("http://" + gateway + "/")
	if err != nil {
		t.Errorf("request: %v", err)
		return "", false
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("status %d, body %q, %v", r.StatusCode, body, err)
		return "", false
	}
	return string(body), true
}

func ptr[T any](v T) *T { return &v }

// TestIdleUpstreamConnectionsEnd: a connection that waits for a request longer than the cluster says is closed by the data
// plane, so that no request meets the moment at which the backend would close it.
func TestIdleUpstreamConnectionsEnd(t *testing.T) {
	var closed chan struct{}
	configure := func(t *testing.T, c *controlPlane, p *plane) {
		ended := make(chan struct{}, 10)
		closed = ended
		b := backend(t, func(s *httptest.Server) {
			s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateClosed {
					ended <- struct{}{}
				}
			}
		})
		cluster := clusterOf("b")
		cluster.TypedExtensionProtocolOptions["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"] = typed(&httpv3.HttpProtocolOptions{
			CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{IdleTimeout: durationpb.New(20 * time.Millisecond)},
			UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{HttpProtocolOptions: &corev3.Http1ProtocolOptions{}},
			}},
		})
		c.set(cluster, assignment("b", b.Listener.Addr()), routes("http", host("*", forward(prefix("/"), "b"))), listener(t, "http", p.http))
	}
	onEach(t, configure, func(t *testing.T, _ *controlPlane, p *plane) {
		if a := parse(t, raw(t, p.http, render("GET /|Host: h.test")), "GET"); a.status != http.StatusOK {
			t.Fatalf("status %d", a.status)
		}
		select {
		case <-closed:
		case <-time.After(patience):
			t.Error("an idle connection stays open")
		}
	})
}
