package ads

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"path/filepath"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"

	"github.com/postern-gateway/postern/controlplane/authority"
	"github.com/postern-gateway/postern/dataplane/identity"
)

const tlsRotations = 20

// folders are those of both sides.
type folders struct{ controlPlane, dataPlane string }

// write puts certificates of a CA into both folders, each trusting the CAs given.
func (f folders) write(t *testing.T, by *authority.CA, trusted ...*authority.CA) {
	t.Helper()
	var bundle []byte
	for _, ca := range trusted {
		bundle = append(bundle, ca.Certificate...)
	}
	for dir, role := range map[string]authority.Role{f.controlPlane: authority.ControlPlane(""), f.dataPlane: authority.DataPlane()} {
		pair, err := by.Issue(role, patience*10)
		if err != nil {
			t.Fatal(err)
		}
		if err := authority.Write(dir, authority.Files(pair, bundle)); err != nil {
			t.Fatal(err)
		}
	}
}

func newAuthority(t *testing.T) *authority.CA {
	t.Helper()
	ca, err := authority.NewCA(patience * 20)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func openFolder(t *testing.T, dir string, role identity.Role) *identity.Folder {
	t.Helper()
	folder, err := identity.Open(dir, role, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// TestRotationOverTLS: between two servers, each with a new certificate or CA, the files of both sides change; the client
// finds each.
func TestRotationOverTLS(t *testing.T) {
	dirs := folders{filepath.Join(t.TempDir(), "controlplane"), filepath.Join(t.TempDir(), "dataplane")}
	ca := newAuthority(t)
	dirs.write(t, ca, ca)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := lis.Addr().String()
	serverFiles := openFolder(t, dirs.controlPlane, identity.ControlPlane)
	s := &scripted{received: make(chan *discoveryv3.DeltaDiscoveryRequest), send: make(chan *discoveryv3.DeltaDiscoveryResponse)}
	// An answer has the client come back soon.
	answered := func() {
		t.Helper()
		s.expect(t, "wild")
		s.send <- &discoveryv3.DeltaDiscoveryResponse{TypeUrl: "wild", Nonce: "1"}
		s.expect(t, "wild nonce 1")
	}
	serve := func(lis net.Listener) *grpc.Server {
		g := grpc.NewServer(grpc.Creds(serverFiles.Server(identity.DataPlaneName)))
		discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, s)
		go g.Serve(lis)
		return g
	}
	server := serve(lis)
	c, err := New(Options{
		Target: "dns:///" + address, NodeID: "id", Cluster: "cluster", Wildcards: []string{"wild"}, Handler: &handler{},
		Credentials: openFolder(t, dirs.dataPlane, identity.DataPlane).Client(identity.ControlPlaneName), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		server.Stop()
	})
	answered()
	for i := range tlsRotations {
		next := ca
		if i%4 == 3 { // a new CA: first both are trusted, then it signs, then it is alone
			next = newAuthority(t)
			dirs.write(t, ca, ca, next)
			dirs.write(t, next, ca, next)
		}
		dirs.write(t, next, next)
		ca = next
		server.Stop()
		if lis, err = net.Listen("tcp", address); err != nil {
			t.Fatal(err)
		}
		server = serve(lis)
		answered()
	}
}

// TestServersOfAnotherNameGetNothing: a client says nothing to a server that is not the control plane.
func TestServersOfAnotherNameGetNothing(t *testing.T) {
	ca := newAuthority(t)
	dirs := folders{filepath.Join(t.TempDir(), "controlplane"), filepath.Join(t.TempDir(), "dataplane")}
	dirs.write(t, ca, ca)
	strangers := newAuthority(t)
	for name, tt := range map[string]struct {
		by    *authority.CA
		role  authority.Role
		taken bool
	}{
		"the control plane":      {ca, authority.ControlPlane(""), true},
		"of another name":        {ca, authority.Role{Name: "somebody", Usage: authority.ControlPlane("").Usage}, false},
		"of another CA":          {strangers, authority.ControlPlane(""), false},
		"a data plane":           {ca, authority.DataPlane(), false},
		"of the name, no server": {ca, authority.Role{Name: identity.ControlPlaneName, Usage: authority.DataPlane().Usage}, false},
	} {
		pair, err := tt.by.Issue(tt.role, patience)
		if err != nil {
			t.Fatal(err)
		}
		shown, err := tls.X509KeyPair(pair.Certificate, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		server, client := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			config := &tls.Config{Certificates: []tls.Certificate{shown}, ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{"h2"}}
			_ = tls.Server(server, config).HandshakeContext(t.Context())
			_ = server.Close()
		}()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if _, _, err := openFolder(t, dirs.dataPlane, identity.DataPlane).Client(identity.ControlPlaneName).ClientHandshake(ctx, "somebody", client); (err == nil) != tt.taken {
			t.Errorf("a server, %s: %v", name, err)
		}
		cancel()
		_ = client.Close()
		<-done
	}
}
