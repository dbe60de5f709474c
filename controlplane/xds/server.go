package xds

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/postern-gateway/postern/dataplane/identity"
)

const (
	// UnknownSNIMax is the number of on-demand secrets that one proxy holds, unless Options say otherwise. Beyond it the
	// oldest is taken back. Envoy keeps about 24 kB for each (docs/design).
	UnknownSNIMax = 10000
	// MessageBytesMax is the largest response, in bytes. A proxy written with grpc-go must raise its own limit to it.
	MessageBytesMax = 256 << 20
	// requestBytesMax is the largest request, in bytes: a proxy that comes back names everything it has.
	requestBytesMax = 32 << 20
	// streamsPerConnectionMax bounds the streams of one connection; a proxy needs one.
	streamsPerConnectionMax = 100
	// keepaliveTime and keepaliveTimeout find a proxy that is gone without a word.
	keepaliveTime    = 30 * time.Second
	keepaliveTimeout = 10 * time.Second
	// handshakeMax is how long a connection may take until it is one of a proxy.
	handshakeMax = 10 * time.Second
	// connectionGrace is how long a proxy whose connection has reached its age may keep its stream.
	connectionGrace = 5 * time.Second
	// pingTimeMin is how often a proxy may ping us; Envoy's interval is its connection_keepalive.
	pingTimeMin = 5 * time.Second
)

// Revision counts the published snapshots, from 1. It is of this process only: versions are what outlives a restart.
type Revision uint64

// Options are all optional.
type Options struct {
	Log *slog.Logger
	// OnNACK is called for every refusal, in the goroutine of the proxy's stream: that proxy waits for it.
	OnNACK func(node string, nack NACK)
	// OnSend is called for every response before it goes out, in the same goroutine.
	OnSend func(node string, sent Sent)
	// OnDemandMax bounds the on-demand secrets per proxy; 0 means UnknownSNIMax.
	OnDemandMax int
	// MaxConnectionAge, if not 0, makes proxies reconnect now and then, so that they spread over several control
	// planes; gRPC adds 10 % of jitter.
	MaxConnectionAge time.Duration
}

// Sent says what travels in one response. Names are sorted; a response may be empty.
type Sent struct {
	TypeURL   string
	Revision  Revision
	Resources []string
	Removed   []string
}

// Server serves the newest snapshot to every connected proxy.
type Server struct {
	options Options
	// orderWait is orderWaitMax but in tests.
	orderWait time.Duration

	// mu guards what follows. It may be held while a stream's lock is taken, never the other way round.
	mu       sync.Mutex
	snap     *Snapshot
	revision Revision
	streams  map[*stream]struct{}
	lastID   uint64
	// answered counts the answers of streams that are gone, by type URL.
	answered map[string]answers
	// sent counts the resources of responses, those that were taken back included, by type URL.
	sent map[string]uint64
	// changed is closed and replaced whenever a stream comes, goes or settles.
	changed chan struct{}
}

// New makes a server without a snapshot: proxies may connect and are answered from the first Publish on.
func New(options Options) *Server {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.OnDemandMax <= 0 {
		options.OnDemandMax = UnknownSNIMax
	}
	return &Server{
		options: options, orderWait: orderWaitMax, streams: map[*stream]struct{}{}, answered: map[string]answers{}, sent: map[string]uint64{},
		changed: make(chan struct{}),
	}
}

// Publish makes snap what is served. It waits for nobody: a proxy that is slow skips the revisions in between.
func (s *Server) Publish(snap *Snapshot) Revision {
	if snap == nil {
		panic("xds: Publish without a snapshot")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	s.snap = snap
	for st := range s.streams {
		st.poke()
	}
	return s.revision
}

// Snapshot is what is served now, nil before the first Publish.
func (s *Server) Snapshot() (*Snapshot, Revision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snap, s.revision
}

// Wait returns when every proxy that is connected has ACKed or NACKed all that rev, or a newer revision, has for it. A
// proxy counts as connected once it has sent a request; within orderWaitMax of connecting it is expected to ask for
// listeners. The error is the context's.
func (s *Server) Wait(ctx context.Context, rev Revision) error {
	return s.await(ctx, func() bool {
		for st := range s.streams {
			if st.present && st.settled < rev {
				return false
			}
		}
		return true
	})
}

// Standing are the refusals of what is served now, one of each proxy and type, and whether proxies are connected at all.
// Where none stands and some are, what is served has been accepted or is on its way.
func (s *Server) Standing() (refusals []NACK, connected bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for st := range s.streams {
		if st.present {
			connected = true
			refusals = append(refusals, st.standing()...)
		}
	}
	return refusals, connected
}

// WaitConnected returns when at least n proxies are connected and have sent a request.
func (s *Server) WaitConnected(ctx context.Context, n int) error {
	return s.await(ctx, func() bool {
		count := 0
		for st := range s.streams {
			if st.present {
				count++
			}
		}
		return count >= n
	})
}

// await calls done under mu after every change.
func (s *Server) await(ctx context.Context, done func() bool) error {
	for {
		s.mu.Lock()
		ok, changed := done(), s.changed
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Proxies is the ledger: what each connected proxy has, sorted by node id, then by age. It takes time by the number of
// resources, in which a Publish does not wait; so a proxy may be further than its Revision says.
func (s *Server) Proxies() []ProxyState {
	s.mu.Lock()
	settled := make(map[*stream]Revision, len(s.streams))
	for st := range s.streams {
		if st.present {
			settled[st] = st.settled
		}
	}
	s.mu.Unlock()
	out := []ProxyState{}
	for st, revision := range settled {
		p := st.ledger()
		p.Revision = revision
		out = append(out, p)
	}
	slices.SortFunc(out, compareProxies)
	return out
}

// Serve answers proxies on a unix socket, whose folder says who may come, until ctx ends, then closes it and all
// connections; that is no error. It may be called for several listeners.
func (s *Server) Serve(ctx context.Context, lis net.Listener) error {
	if network := lis.Addr().Network(); network != "unix" {
		return errors.Join(fmt.Errorf("serve xds on %s: without certificates it is served on a unix socket alone, not over %s", lis.Addr(), network), lis.Close())
	}
	return s.serve(ctx, lis)
}

// ServeTLS is Serve over TLS 1.3, for proxies whose certificate is a data plane's. The files are read again at every
// handshake. A certificate is looked at in the handshake only: a stream outlives the end of its certificate, and of the
// CA, until it is made anew.
func (s *Server) ServeTLS(ctx context.Context, lis net.Listener, files *identity.Folder) error {
	ctx, cancel := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		files.Watch(ctx)
	}()
	defer func() {
		cancel()
		<-watched
	}()
	return s.serve(ctx, lis, grpc.Creds(files.Server(identity.DataPlaneName)), grpc.ConnectionTimeout(handshakeMax))
}

// serve registers nothing but AggregatedDiscoveryService: no reflection, no unary Fetch.
func (s *Server) serve(ctx context.Context, lis net.Listener, more ...grpc.ServerOption) error {
	params := keepalive.ServerParameters{Time: keepaliveTime, Timeout: keepaliveTimeout, MaxConnectionAge: s.options.MaxConnectionAge}
	if params.MaxConnectionAge > 0 {
		// Without it gRPC lets the one stream that a proxy keeps live on.
		params.MaxConnectionAgeGrace = connectionGrace
	}
	g := grpc.NewServer(append([]grpc.ServerOption{
		grpc.KeepaliveParams(params),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingTimeMin, PermitWithoutStream: true}),
		grpc.MaxConcurrentStreams(streamsPerConnectionMax),
		grpc.MaxRecvMsgSize(requestBytesMax),
		grpc.MaxSendMsgSize(MessageBytesMax),
		grpc.WaitForHandlers(true),
		grpc.ForceServerCodecV2(newCodec()),
	}, more...)...)
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, &service{server: s})
	served := make(chan error, 1)
	go func() { served <- g.Serve(lis) }()
	select {
	case <-ctx.Done():
		g.Stop()
		<-served
		return nil
	case err := <-served:
		g.Stop()
		return fmt.Errorf("serve xds on %s: %w", lis.Addr(), err)
	}
}

// service is the gRPC face of a Server. The embedded struct answers StreamAggregatedResources with Unimplemented.
type service struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	server *Server
}

// DeltaAggregatedResources implements the one method that is served.
func (s *service) DeltaAggregatedResources(g discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return s.server.run(g)
}

func (s *Server) join(address string) *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastID++
	now := time.Now()
	st := &stream{
		id: s.lastID, since: now, address: address, log: s.options.Log, wake: make(chan struct{}, 1),
		state: newState(s.orderWait, s.options.OnDemandMax, now),
	}
	st.poke()
	s.streams[st] = struct{}{}
	return st
}

func (s *Server) leave(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, st)
	s.keepAnswers(st)
	s.broadcast()
}

// note records how far a stream is.
func (s *Server) note(st *stream, settled Revision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.present && settled <= st.settled {
		return
	}
	st.present = true
	st.settled = max(st.settled, settled)
	s.broadcast()
}

// broadcast is called with mu held.
func (s *Server) broadcast() {
	close(s.changed)
	s.changed = make(chan struct{})
}
