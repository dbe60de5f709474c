package xds

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// originsLogged is how many objects a log line about a refusal names; the ledger has all.
const originsLogged = 10

// authorizerUserAgent is how a data plane's authorizer calls itself: it has no listeners, and asks for secrets and clusters
// by name when requests need them.
const authorizerUserAgent = "postern-authorizer"

// stream is one proxy's connection. Its own goroutine drives it; others only poke and read the ledger.
type stream struct {
	id    uint64
	since time.Time
	// address is the peer's, without its port; empty on a unix socket.
	address string
	log     *slog.Logger
	// wake has room for one: a poke while one is due says nothing new, and the newest snapshot is read when it is taken.
	wake chan struct{}

	// mu guards what follows. It is never held while sending.
	mu      sync.Mutex
	state   *state
	node    string
	cluster string
	client  *corev3.Node

	// present, that a request has come, and settled are guarded by Server.mu.
	present bool
	settled Revision
}

func (st *stream) poke() {
	select {
	case st.wake <- struct{}{}:
	default:
	}
}

type transport = discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer

// run is the life of one stream.
func (s *Server) run(g transport) error {
	st := s.join(peerAddress(g.Context()))
	defer s.leave(st)
	requests, failed := receive(g)
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	for seen := false; ; {
		select {
		case <-g.Context().Done():
			return status.FromContextError(g.Context().Err()).Err()
		case err := <-failed:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		case req := <-requests:
			if err := s.take(st, req); err != nil {
				return status.Error(codes.InvalidArgument, err.Error())
			}
			seen = true
		case <-st.wake:
			st.refresh(s.Snapshot())
		case <-timer.C:
		}
		wake, settled, err := s.flush(st, g)
		if err != nil {
			return err
		}
		if seen {
			s.note(st, settled)
		}
		timer.Stop()
		if !wake.IsZero() {
			timer.Reset(time.Until(wake))
		}
	}
}

func peerAddress(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	at, ok := p.Addr.(*net.TCPAddr)
	if !ok {
		return ""
	}
	return at.AddrPort().Addr().Unmap().String()
}

// receive reads requests in a goroutine of its own, which ends with the stream.
func receive(g transport) (<-chan *discoveryv3.DeltaDiscoveryRequest, <-chan error) {
	requests := make(chan *discoveryv3.DeltaDiscoveryRequest)
	failed := make(chan error, 1)
	go func(ctx context.Context) {
		for {
			req, err := g.Recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case requests <- req:
			case <-ctx.Done():
				return
			}
		}
	}(g.Context())
	return requests, failed
}

// take handles one request and tells of it if it is a NACK.
func (s *Server) take(st *stream, req *discoveryv3.DeltaDiscoveryRequest) error {
	st.mu.Lock()
	// Only the first request needs a node (set_node_on_first_message_only).
	if node := req.GetNode(); node != nil {
		st.node, st.cluster, st.client = node.GetId(), node.GetCluster(), boundClient(node)
		st.state.byName = node.GetUserAgentName() == authorizerUserAgent
	}
	node := st.node
	nack, err := st.state.request(req, time.Now())
	st.mu.Unlock()
	if nack == nil {
		return err
	}
	var objects []string
	for _, o := range nack.Origins[:min(len(nack.Origins), originsLogged)] {
		objects = append(objects, o.String())
	}
	st.log.Error("a proxy refused resources", "node", node, "type", shortType(nack.TypeURL), "words", nack.Words,
		"resources", nack.Blamed[:min(len(nack.Blamed), originsLogged)], "objects", objects, "revision", uint64(nack.Revision))
	if s.options.OnNACK != nil {
		s.options.OnNACK(node, *nack)
	}
	return err
}

func (st *stream) refresh(snap *Snapshot, revision Revision) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if snap != nil && revision != st.state.revision {
		st.state.publish(snap, revision)
	}
}

// flush sends what is due. It returns when to come back and the revision that the proxy has settled, 0 for none.
func (s *Server) flush(st *stream, g transport) (time.Time, Revision, error) {
	st.mu.Lock()
	now := time.Now()
	responses, wake := st.state.pump(now)
	revision := st.state.revision
	var settled Revision
	if st.state.settled(now) {
		settled = revision
	}
	node := st.node
	st.mu.Unlock()
	s.countSent(responses)
	for _, response := range responses {
		if s.options.OnSend != nil {
			sent := Sent{TypeURL: response.GetTypeUrl(), Revision: revision, Removed: slices.Clone(response.GetRemovedResources())}
			for _, r := range response.GetResources() {
				sent.Resources = append(sent.Resources, r.GetName())
			}
			s.options.OnSend(node, sent)
		}
		if err := g.Send(response); err != nil {
			return wake, 0, err
		}
	}
	return wake, settled, nil
}

func (st *stream) ledger() ProxyState {
	st.mu.Lock()
	defer st.mu.Unlock()
	return ProxyState{
		Node: st.node, Cluster: st.cluster, Connected: st.since, Address: st.address, Authorizer: st.state.byName, Types: st.state.types(),
		Client: st.client, stream: st.id,
	}
}

// standing are the last refusals of types of which the proxy has refused the version of anything that is to be served now.
func (st *stream) standing() []NACK {
	st.mu.Lock()
	defer st.mu.Unlock()
	var out []NACK
	if st.state.snap == nil {
		return nil
	}
	for _, sub := range st.state.ordered() {
		for name, version := range sub.refused {
			if found := st.state.snap.find(sub.typeURL, name); sub.wants(name) && found.version == version {
				out = append(out, *sub.lastNACK)
				break
			}
		}
	}
	return out
}
