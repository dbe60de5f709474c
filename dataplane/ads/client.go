// Package ads is a client of the aggregated discovery service in its delta form.
//
// It keeps one stream to the control plane, says what is subscribed, hands responses to a Handler and answers them
// with ACK or NACK. While there is no stream, nothing is taken back: the last accepted resources stay in force, and
// their versions are told to the next stream, so that only what changed is sent.
package ads

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	// reconnectDelayMin and reconnectDelayMax bound the wait between two streams; it doubles from one to the other.
	reconnectDelayMin = 50 * time.Millisecond
	reconnectDelayMax = 5 * time.Second
	// keptMin is how long a stream lives that was not refused.
	keptMin = time.Second
	// messageBytesMax bounds one response: a table of 100,000 routes fits.
	messageBytesMax = 256 << 20
	// keepaliveTime and keepaliveTimeout find out that the control plane's machine is gone.
	keepaliveTime    = 30 * time.Second
	keepaliveTimeout = 10 * time.Second
	// errorDetailBytesMax bounds the text of a NACK.
	errorDetailBytesMax = 4096
)

// An Update is one response: of one type, resources that changed and names of those that are gone.
type Update struct {
	TypeURL   string
	Resources []*discoveryv3.Resource
	Removed   []string
}

// A Handler takes updates. Apply is called from one goroutine; it puts into force every resource that it can and
// returns an error for each that it cannot, by name. One error or more makes the answer a NACK with their texts.
type Handler interface {
	Apply(Update) map[string]error
}

// Options are what a Client needs.
type Options struct {
	// Target is the control plane's address as a gRPC target, such as unix:///run/ads.sock.
	Target string
	// NodeID and Cluster name this proxy; the control plane's ledger goes by them. Neither may be empty.
	NodeID, Cluster string
	// Wildcards are the type URLs of which every resource is wanted, from the start.
	Wildcards []string
	Handler   Handler
	// Metadata, if set, is what the node says of itself beside that.
	Metadata *structpb.Struct
	// UserAgent is how the node calls its program; empty is that of the Go data plane.
	UserAgent string
	// Credentials are what the connection is secured by; a unix socket, whose folder says who may come, needs none.
	Credentials credentials.TransportCredentials
	Log         *slog.Logger
}

// A Client is one proxy's side of the protocol.
type Client struct {
	options Options
	node    *corev3.Node
	poked   chan struct{} // capacity 1: something is pending

	mu    sync.Mutex
	types map[string]*subscription // guarded by mu, contents too
}

// A subscription is the state of one type.
type subscription struct {
	wildcard bool
	names    map[string]bool   // subscribed by name
	versions map[string]string // of what is in force
	pending  map[string]bool   // not yet told to this stream: true subscribes, false unsubscribes
	told     bool              // this stream has had a first request of the type
}

// New makes a client, which does nothing until Run.
func New(o Options) (*Client, error) {
	if o.NodeID == "" || o.Cluster == "" {
		return nil, errors.New("node id and cluster must both be given")
	}
	if o.Credentials == nil {
		if !strings.HasPrefix(o.Target, "unix:") {
			return nil, fmt.Errorf("control plane %q: without certificates it is asked on a unix socket alone", o.Target)
		}
		o.Credentials = insecure.NewCredentials()
	}
	c := &Client{
		options: o,
		node:    &corev3.Node{Id: o.NodeID, Cluster: o.Cluster, UserAgentName: cmp.Or(o.UserAgent, "postern-go-data-plane"), Metadata: o.Metadata},
		poked:   make(chan struct{}, 1),
		types:   make(map[string]*subscription),
	}
	for _, t := range o.Wildcards {
		c.subscription(t).wildcard = true
	}
	return c, nil
}

// Subscribe asks for a resource by name. Asking again has the control plane send it again.
func (c *Client) Subscribe(typeURL, name string) { c.want(typeURL, name, true) }

// Unsubscribe wants no more of a resource.
func (c *Client) Unsubscribe(typeURL, name string) { c.want(typeURL, name, false) }

func (c *Client) want(typeURL, name string, wanted bool) {
	c.mu.Lock()
	s := c.subscription(typeURL)
	s.pending[name] = wanted
	if wanted {
		s.names[name] = true
	} else {
		delete(s.names, name)
		delete(s.versions, name)
	}
	c.mu.Unlock()
	select {
	case c.poked <- struct{}{}:
	default:
	}
}

// subscription is the state of a type, made where it is missing. c.mu is held, or c not yet shared.
func (c *Client) subscription(typeURL string) *subscription {
	s := c.types[typeURL]
	if s == nil {
		s = &subscription{
			names: make(map[string]bool), versions: make(map[string]string), pending: make(map[string]bool),
		}
		c.types[typeURL] = s
	}
	return s
}

// Run keeps a stream open until ctx ends, and returns nil then. Its only error is a target that cannot be parsed.
func (c *Client) Run(ctx context.Context) error {
	conn, err := grpc.NewClient(c.options.Target,
		grpc.WithTransportCredentials(c.options.Credentials),
		grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageBytesMax)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{
			BaseDelay: reconnectDelayMin, Multiplier: 2, Jitter: 0.2, MaxDelay: reconnectDelayMax,
		}, MinConnectTimeout: reconnectDelayMax}),
	)
	if err != nil {
		return fmt.Errorf("control plane %q: %w", c.options.Target, err)
	}
	defer conn.Close()
	delay := reconnectDelayMin
	for {
		answered, err := c.stream(ctx, conn)
		if ctx.Err() != nil {
			return nil
		}
		if answered {
			delay = reconnectDelayMin
		}
		c.options.Log.Warn("control plane lost; serving what was last accepted", "target", c.options.Target, "reason", err)
		wait := time.NewTimer(delay/2 + rand.N(delay/2+1))
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
		}
		delay = min(2*delay, reconnectDelayMax)
	}
}

// stream speaks on one stream until it ends, and tells whether the control plane answered on it, or kept it open without: who
// has everything already, and asks by name, hears nothing.
func (c *Client) stream(parent context.Context, conn *grpc.ClientConn) (answered bool, err error) {
	ctx, cancel := context.WithCancel(parent)
	opened, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx, grpc.WaitForReady(true))
	if err != nil {
		cancel()
		return false, err
	}
	began := time.Now()
	defer func() { answered = answered || time.Since(began) >= keptMin }()
	in := read(ctx, opened)
	defer func() {
		cancel()
		for range in.responses { // until the reader has ended: two streams never overlap
		}
	}()
	c.restart()
	for {
		if err := c.sendPending(opened); err != nil {
			return answered, in.reason(err)
		}
		select {
		case response, open := <-in.responses:
			if !open {
				return answered, in.err
			}
			answered = true
			if err := opened.Send(c.answer(response)); err != nil {
				return answered, in.reason(err)
			}
		case <-c.poked:
		}
	}
}

type stream = grpc.BidiStreamingClient[discoveryv3.DeltaDiscoveryRequest, discoveryv3.DeltaDiscoveryResponse]

// inbound is the receiving half of a stream.
type inbound struct {
	responses chan *discoveryv3.DeltaDiscoveryResponse
	err       error // set before responses is closed
}

func read(ctx context.Context, from stream) *inbound {
	in := &inbound{responses: make(chan *discoveryv3.DeltaDiscoveryResponse)}
	go func() {
		defer close(in.responses)
		for {
			response, err := from.Recv()
			if err != nil {
				in.err = err
				return
			}
			select {
			case in.responses <- response:
			case <-ctx.Done():
				in.err = ctx.Err()
				return
			}
		}
	}()
	return in
}

// reason is why a send failed: gRPC tells the sender EOF, and the receiver the cause.
func (in *inbound) reason(sending error) error {
	if !errors.Is(sending, io.EOF) {
		return sending
	}
	for range in.responses { // what came before the end is not applied: the next stream brings it again
	}
	return in.err
}

// restart forgets what the last stream was told.
func (c *Client) restart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.types {
		s.told = false
		clear(s.pending)
		for name := range s.names {
			s.pending[name] = true
		}
	}
}

// sendPending tells the control plane of every subscription that it has not been told of, one request for each type.
func (c *Client) sendPending(to stream) error {
	c.mu.Lock()
	var requests []*discoveryv3.DeltaDiscoveryRequest
	for _, typeURL := range slices.Sorted(maps.Keys(c.types)) {
		if r := c.types[typeURL].request(); r != nil {
			r.Node, r.TypeUrl = c.node, typeURL
			requests = append(requests, r)
		}
	}
	c.mu.Unlock()
	for _, r := range requests {
		if err := to.Send(r); err != nil {
			return err
		}
	}
	return nil
}

// request takes what is pending; nil where nothing is. The first request of a stream names the versions that are in
// force; one without names is a wildcard by the protocol, so a type of which nothing is wanted sends none.
func (s *subscription) request() *discoveryv3.DeltaDiscoveryRequest {
	first := !s.told
	if first && !s.wildcard && len(s.names) == 0 {
		clear(s.pending)
		return nil
	}
	if !first && len(s.pending) == 0 {
		return nil
	}
	r := &discoveryv3.DeltaDiscoveryRequest{}
	for _, name := range slices.Sorted(maps.Keys(s.pending)) {
		if s.pending[name] {
			r.ResourceNamesSubscribe = append(r.ResourceNamesSubscribe, name)
		} else if !first {
			r.ResourceNamesUnsubscribe = append(r.ResourceNamesUnsubscribe, name)
		}
	}
	clear(s.pending)
	if first {
		s.told = true
		r.InitialResourceVersions = maps.Clone(s.versions)
	}
	return r
}

// answer applies a response and says ACK or NACK.
func (c *Client) answer(response *discoveryv3.DeltaDiscoveryResponse) *discoveryv3.DeltaDiscoveryRequest {
	typeURL := response.GetTypeUrl()
	request := &discoveryv3.DeltaDiscoveryRequest{Node: c.node, TypeUrl: typeURL, ResponseNonce: response.GetNonce()}
	refused := c.options.Handler.Apply(Update{
		TypeURL: typeURL, Resources: response.GetResources(), Removed: response.GetRemovedResources(),
	})
	c.mu.Lock()
	s := c.subscription(typeURL)
	for _, r := range response.GetResources() {
		if refused[r.GetName()] == nil && (s.wildcard || s.names[r.GetName()]) {
			s.versions[r.GetName()] = r.GetVersion()
		}
	}
	for _, name := range response.GetRemovedResources() {
		delete(s.versions, name)
	}
	c.mu.Unlock()
	if len(refused) > 0 {
		request.ErrorDetail = &status.Status{Code: int32(codes.InvalidArgument), Message: detail(refused)}
		c.options.Log.Error("configuration refused; the last good stays", "type", typeURL, "reason", request.ErrorDetail.Message)
	}
	return request
}

// detail joins the errors in the order of the names, within errorDetailBytesMax.
func detail(refused map[string]error) string {
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(refused)) {
		text := refused[name].Error()
		if i > 0 && b.Len()+len(text) > errorDetailBytesMax {
			fmt.Fprintf(&b, "; and %d more", len(refused)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(text[:min(len(text), errorDetailBytesMax)])
	}
	return strings.ToValidUTF8(b.String(), "")
}
