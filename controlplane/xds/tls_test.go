package xds

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/postern-gateway/postern/controlplane/authority"
	"github.com/postern-gateway/postern/controlplane/casetest/transcript"
	"github.com/postern-gateway/postern/dataplane/identity"
)

const testLife = time.Hour

func newCA(t testing.TB) *authority.CA {
	t.Helper()
	ca, err := authority.NewCA(testLife)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t testing.TB, ca *authority.CA, role authority.Role, life time.Duration) authority.Pair {
	t.Helper()
	pair, err := ca.Issue(role, life)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// put writes a folder of certificates, trusting the CAs.
func put(t testing.TB, dir string, pair authority.Pair, trusted ...*authority.CA) {
	t.Helper()
	var bundle []byte
	for _, ca := range trusted {
		bundle = append(bundle, ca.Certificate...)
	}
	if err := authority.Write(dir, authority.Files(pair, bundle)); err != nil {
		t.Fatal(err)
	}
}

// secured is a server over TLS, and what it says.
type secured struct {
	t       testing.TB
	dir     string
	address string
	server  *Server
	log     *transcript.Text
}

func serveTLS(t testing.TB, ca *authority.CA) *secured {
	t.Helper()
	s := &secured{t: t, dir: filepath.Join(t.TempDir(), "server"), server: New(Options{}), log: &transcript.Text{}}
	put(t, s.dir, issue(t, ca, authority.ControlPlane(""), testLife), ca)
	folder, err := identity.Open(s.dir, identity.ControlPlane, slog.New(slog.NewTextHandler(s.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = lis.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.server.ServeTLS(ctx, lis, folder) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *secured) dial(c credentials.TransportCredentials) *grpc.ClientConn {
	s.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+s.address, grpc.WithTransportCredentials(c))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// showing are the credentials of a client with a pair, which trusts a CA.
func showing(t testing.TB, pair authority.Pair, trusted *authority.CA) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(trusted.Certificate)
	config := &tls.Config{ServerName: identity.ControlPlaneName, RootCAs: pool, MinVersion: tls.VersionTLS12}
	if pair.Certificate != nil {
		c, err := tls.X509KeyPair(pair.Certificate, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		// Whatever CAs the server names, this is shown.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }
	}
	return config
}

// TestOnlyDataPlanesAreServed: nobody gets anything without a certificate of the CA, for clients, with a data plane's name.
func TestOnlyDataPlanesAreServed(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	s := serveTLS(t, ca)
	s.server.Publish(world(t, 1, "a"))
	own := issue(t, ca, authority.DataPlane(), testLife)
	old := showing(t, own, ca)
	old.MaxVersion = tls.VersionTLS12
	named := func(name string, usage x509.ExtKeyUsage) credentials.TransportCredentials {
		return credentials.NewTLS(showing(t, issue(t, ca, authority.Role{Name: name, Usage: usage}, testLife), ca))
	}
	for _, tt := range []struct {
		name  string
		shown credentials.TransportCredentials
		told  string
	}{
		{"in plaintext", insecure.NewCredentials(), "first record does not look like a TLS handshake"},
		{"without a certificate", credentials.NewTLS(showing(t, authority.Pair{}, ca)), "client didn't provide a certificate"},
		{"of another CA", credentials.NewTLS(showing(t, issue(t, other, authority.DataPlane(), testLife), ca)), "certificate signed by unknown authority"},
		{"expired", credentials.NewTLS(showing(t, issue(t, ca, authority.DataPlane(), -time.Minute), ca)), "has expired"},
		{"of another name", named("somebody", x509.ExtKeyUsageClientAuth), "not for the DNS name"},
		{"of the control plane", credentials.NewTLS(showing(t, issue(t, ca, authority.ControlPlane("x"), testLife), ca)), "incompatible key usage"},
		{"of the control plane's name", named(identity.ControlPlaneName, x509.ExtKeyUsageClientAuth), "not for the DNS name"},
		{"for servers", named(identity.DataPlaneName, x509.ExtKeyUsageServerAuth), "incompatible key usage"},
		{"for anything", named(identity.DataPlaneName, x509.ExtKeyUsageAny), "lacks the usage"},
		{"by TLS 1.2", credentials.NewTLS(old), "client offered only unsupported versions"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			folder, err := identity.Open(s.dir, identity.ControlPlane, slog.New(slog.NewTextHandler(s.log, nil)))
			if err != nil {
				t.Fatal(err)
			}
			handshakeSays(t, folder, s, tt.shown, tt.told)
			ctx, cancel := context.WithTimeout(context.Background(), testWaitMax)
			defer cancel()
			stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(s.dial(tt.shown)).DeltaAggregatedResources(ctx)
			if err == nil {
				_, err = stream.Recv()
			}
			if status.Code(err) != codes.Unavailable {
				t.Errorf("a stream gets %v, want code Unavailable", err)
			}
		})
	}
	if p := s.server.Proxies(); len(p) != 0 {
		t.Errorf("proxies are known: %v", p)
	}
	admitted(t, s, credentials.NewTLS(showing(t, own, ca)))
	if p := s.server.Proxies(); len(p) != 1 || p[0].Address != "127.0.0.1" {
		t.Errorf("the proxy that was admitted is %+v", p)
	}
	if !strings.Contains(s.log.String(), "refused in the handshake") {
		t.Errorf("nothing is told of refused handshakes: %s", s.log)
	}
}

// handshakeSays does one handshake, without gRPC's retries, and looks for the reason at which it fails.
func handshakeSays(t *testing.T, folder *identity.Folder, s *secured, shown credentials.TransportCredentials, want string) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	left := make(chan struct{})
	go func() {
		defer close(left)
		conn, err := net.Dial("tcp", lis.Addr().String())
		if err != nil {
			return
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), testWaitMax)
		defer cancel()
		secure, _, err := shown.ClientHandshake(ctx, identity.ControlPlaneName, conn)
		if err != nil {
			return
		}
		// A gRPC client begins so; a server that expects TLS sees it at once.
		_, _ = secure.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
		_, _ = secure.Read(make([]byte, 1))
	}()
	conn, err := lis.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = folder.Server(identity.DataPlaneName).ServerHandshake(conn)
	_ = conn.Close()
	<-left
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the handshake says %v, want %q", err, want)
	}
}

// admitted gives a client that has got an answer, and the serial number of the certificate that the server showed.
func admitted(t testing.TB, s *secured, shown credentials.TransportCredentials) (*client, string) {
	t.Helper()
	c := reading(openStream(t, s.dial(shown)))
	c.ask("node", cds)
	c.ack(c.next())
	p, ok := peer.FromContext(c.stream.Context())
	if !ok {
		t.Fatal("the stream has no peer")
	}
	return c, p.AuthInfo.(credentials.TLSInfo).State.PeerCertificates[0].SerialNumber.String()
}

// TestNothingButDeltaIsServed asks for every other method that control planes have, with the right certificate.
func TestNothingButDeltaIsServed(t *testing.T) {
	ca := newCA(t)
	s := serveTLS(t, ca)
	s.server.Publish(world(t, 1, "a"))
	conn := s.dial(credentials.NewTLS(showing(t, issue(t, ca, authority.DataPlane(), testLife), ca)))
	ctx, cancel := context.WithTimeout(context.Background(), testWaitMax)
	defer cancel()
	for _, method := range []string{
		"envoy.service.listener.v3.ListenerDiscoveryService/FetchListeners",
		"envoy.service.route.v3.RouteDiscoveryService/FetchRoutes",
		"envoy.service.cluster.v3.ClusterDiscoveryService/FetchClusters",
		"envoy.service.endpoint.v3.EndpointDiscoveryService/FetchEndpoints",
		"envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets",
		"envoy.service.runtime.v3.RuntimeDiscoveryService/FetchRuntime",
		// What is known of other proxies is told on the inspection listener alone.
		"envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus",
	} {
		err := conn.Invoke(ctx, "/"+method, &discoveryv3.DiscoveryRequest{}, &discoveryv3.DiscoveryResponse{})
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: %v, want Unimplemented", method, err)
		}
	}
	for _, method := range []string{
		"envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
		"envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets",
		"envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets",
		"envoy.service.status.v3.ClientStatusDiscoveryService/StreamClientStatus",
		"grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		"grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
		"grpc.health.v1.Health/Watch",
	} {
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/"+method)
		if err == nil {
			err = stream.RecvMsg(&discoveryv3.DiscoveryResponse{})
		}
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: %v, want Unimplemented", method, err)
		}
	}
}

// TestPlaintextIsForUnixSockets: without certificates nothing is served over a network.
func TestPlaintextIsForUnixSockets(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := New(Options{}).Serve(t.Context(), lis); err == nil || !strings.Contains(err.Error(), "unix socket alone") {
		t.Errorf("Serve over TCP says %v", err)
	}
	if conn, err := net.Dial("tcp", lis.Addr().String()); err == nil {
		t.Error("the listener is open still")
		_ = conn.Close()
	}
}

// TestRotation: certificate and CA are changed while streams live on and new ones are made, by whoever the files name now.
func TestRotation(t *testing.T) {
	ca, next := newCA(t), newCA(t)
	s := serveTLS(t, ca)
	s.server.Publish(world(t, 1, "a"))
	first := credentials.NewTLS(showing(t, issue(t, ca, authority.DataPlane(), testLife), ca))
	live, before := admitted(t, s, first)

	put(t, s.dir, issue(t, ca, authority.ControlPlane(""), testLife), ca)
	_, renewed := admitted(t, s, first)
	if renewed == before {
		t.Error("a new connection is shown the certificate of before")
	}

	// A key of another pair: what was before goes on.
	if err := os.WriteFile(filepath.Join(s.dir, identity.KeyFile), newCA(t).Key, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, serial := admitted(t, s, first); serial != renewed {
		t.Errorf("with a broken pair the certificate is %s, want that of before, %s", serial, renewed)
	}

	// Both CAs: data planes of either are served.
	nextPair := issue(t, next, authority.DataPlane(), testLife)
	put(t, s.dir, issue(t, ca, authority.ControlPlane(""), testLife), ca, next)
	admitted(t, s, first)
	admitted(t, s, credentials.NewTLS(showing(t, nextPair, ca)))

	// The new one alone: those of the old one are not, but for the stream that there is.
	put(t, s.dir, issue(t, next, authority.ControlPlane(""), testLife), next)
	admitted(t, s, credentials.NewTLS(showing(t, nextPair, next)))
	ctx, cancel := context.WithTimeout(context.Background(), testWaitMax)
	defer cancel()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(s.dial(first)).DeltaAggregatedResources(ctx)
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("a data plane of the old CA gets %v, want Unavailable", err)
	}
	s.server.Publish(world(t, 2, "a"))
	live.take("Cluster +a")
}
