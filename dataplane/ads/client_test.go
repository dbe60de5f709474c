package ads

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// scripted is a control plane whose part the test plays: it hands out what it receives and sends what it is told.
type scripted struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	received chan *discoveryv3.DeltaDiscoveryRequest
	send     chan *discoveryv3.DeltaDiscoveryResponse
	cut      chan struct{}
}

func (s *scripted) DeltaAggregatedResources(stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	go func() {
		for {
			r, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case s.received <- r:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	for {
		select {
		case r := <-s.send:
			if err := stream.Send(r); err != nil {
				return err
			}
		case <-s.cut:
			return errors.New("cut by the test")
		case <-stream.Context().Done():
			return nil
		}
	}
}

// handler refuses the names in bad.
type handler struct{ bad map[string]bool }

func (h *handler) Apply(u Update) map[string]error {
	refused := make(map[string]error)
	for _, r := range u.Resources {
		if h.bad[r.GetName()] {
			refused[r.GetName()] = fmt.Errorf("thing %q: field: refused", r.GetName())
		}
	}
	return refused
}

// start runs a client against a scripted control plane.
func start(t *testing.T, h Handler) (*Client, *scripted) {
	s := &scripted{
		received: make(chan *discoveryv3.DeltaDiscoveryRequest), send: make(chan *discoveryv3.DeltaDiscoveryResponse), cut: make(chan struct{}),
	}
	path := filepath.Join(t.TempDir(), "ads.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, s)
	go server.Serve(l)
	c, err := New(Options{
		Target: "unix://" + path, NodeID: "id", Cluster: "cluster", Wildcards: []string{"wild"}, Handler: h,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
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
			t.Errorf("Run: %v", err)
		}
		server.Stop()
	})
	return c, s
}

// next is the next request, in short; every request must name the node.
func (s *scripted) next(t *testing.T) string {
	t.Helper()
	select {
	case r := <-s.received:
		if r.GetNode().GetId() != "id" || r.GetNode().GetCluster() != "cluster" {
			t.Errorf("node %v", r.GetNode())
		}
		text := r.GetTypeUrl()
		if n := r.GetResponseNonce(); n != "" {
			text += " nonce " + n
		}
		if names := r.GetResourceNamesSubscribe(); len(names) > 0 {
			text += " +" + strings.Join(names, ",")
		}
		if names := r.GetResourceNamesUnsubscribe(); len(names) > 0 {
			text += " -" + strings.Join(names, ",")
		}
		if versions := r.GetInitialResourceVersions(); len(versions) > 0 {
			text += fmt.Sprint(" has ", versions)
		}
		if r.GetErrorDetail() != nil {
			text += " refuses: " + r.GetErrorDetail().GetMessage()
		}
		return text
	case <-time.After(patience):
		t.Fatal("no request in time")
		return ""
	}
}

func (s *scripted) expect(t *testing.T, want string) {
	t.Helper()
	if got := s.next(t); got != want {
		t.Errorf("request %q, want %q", got, want)
	}
}

func response(typeURL, nonce string, removed []string, names ...string) *discoveryv3.DeltaDiscoveryResponse {
	r := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: typeURL, Nonce: nonce, RemovedResources: removed}
	for _, n := range names {
		r.Resources = append(r.Resources, &discoveryv3.Resource{Name: n, Version: "v" + nonce})
	}
	return r
}

func TestProtocol(t *testing.T) {
	c, s := start(t, &handler{bad: map[string]bool{"bad": true, "worse": true}})
	s.expect(t, "wild")
	s.send <- response("wild", "1", nil, "a", "b")
	s.expect(t, "wild nonce 1")
	c.Subscribe("named", "x")
	s.expect(t, "named +x")
	c.Subscribe("named", "y")
	s.expect(t, "named +y")
	s.send <- response("named", "2", nil, "x", "y", "bad", "worse")
	s.expect(t, `named nonce 2 refuses: thing "bad": field: refused; thing "worse": field: refused`)
	c.Unsubscribe("named", "y")
	s.expect(t, "named -y")
	s.send <- response("wild", "3", []string{"b"}, "bad", "c")
	s.expect(t, `wild nonce 3 refuses: thing "bad": field: refused`)

	// The next stream is told what is wanted and what is held: not what was refused, removed or given up.
	for range 3 {
		s.cut <- struct{}{}
		s.expect(t, "named +x has map[x:v2]")
		s.expect(t, "wild has map[a:v1 c:v3]")
	}
	c.Unsubscribe("named", "x")
	s.expect(t, "named -x")
	s.cut <- struct{}{}
	s.expect(t, "wild has map[a:v1 c:v3]") // of a type without names nothing is asked: it would be a wildcard
	c.Subscribe("named", "z")
	s.expect(t, "named +z")
}

// TestPlaintextIsForUnixSockets: a target over a network needs certificates.
func TestPlaintextIsForUnixSockets(t *testing.T) {
	for _, target := range []string{"dns:///postern-controlplane:18000", "127.0.0.1:18000", ""} {
		if _, err := New(Options{Target: target, NodeID: "id", Cluster: "cluster"}); err == nil {
			t.Errorf("the target %q is taken", target)
		}
	}
}

// What changes before it can be told is told once, by its last word; asking again for what is subscribed is an ask.
func TestPending(t *testing.T) {
	c, err := New(Options{Target: "unix:///ads.sock", NodeID: "id", Cluster: "cluster"})
	if err != nil {
		t.Fatal(err)
	}
	c.Subscribe("t", "a")
	c.Subscribe("t", "b")
	c.Unsubscribe("t", "a")
	r := c.types["t"].request()
	if !slices.Equal(r.GetResourceNamesSubscribe(), []string{"b"}) || len(r.GetResourceNamesUnsubscribe()) > 0 {
		t.Errorf("first request %v", r)
	}
	c.Unsubscribe("t", "b")
	c.Subscribe("t", "b")
	r = c.types["t"].request()
	if !slices.Equal(r.GetResourceNamesSubscribe(), []string{"b"}) || len(r.GetResourceNamesUnsubscribe()) > 0 {
		t.Errorf("asking again: %v", r)
	}
	if r := c.types["t"].request(); r != nil {
		t.Errorf("nothing is pending, and yet %v", r)
	}
}

func TestDetailIsBounded(t *testing.T) {
	refused := make(map[string]error)
	for i := range 1000 {
		refused[fmt.Sprintf("r%03d", i)] = errors.New(strings.Repeat("x", 500))
	}
	text := detail(refused)
	if len(text) > errorDetailBytesMax+100 || !strings.HasSuffix(text, "more") {
		t.Errorf("%d bytes, ending in %q", len(text), text[len(text)-20:])
	}
}

func TestNodeMustBeNamed(t *testing.T) {
	for _, o := range []Options{{NodeID: "x"}, {Cluster: "x"}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}
