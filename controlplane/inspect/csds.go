package inspect

import (
	"context"
	"errors"
	"io"
	"slices"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	statusv3 "github.com/envoyproxy/go-control-plane/envoy/service/status/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/postern-gateway/postern/controlplane/xds"
)

// csdsStreamPath is the one call of gRPC that does not end by itself.
const csdsStreamPath = statusv3.ClientStatusDiscoveryService_StreamClientStatus_FullMethodName

const (
	// csdsRequestBytesMax bounds one request: some matchers of nodes.
	csdsRequestBytesMax = 64 << 10
	// csdsAnswersMax is how many answers are made at once: each may hold all that is served, once for each proxy.
	csdsAnswersMax = 2
)

// newCSDS makes the server of Envoy's Client Status Discovery Service, and of nothing else: no reflection.
func (i *Inspector) newCSDS() *grpc.Server {
	g := grpc.NewServer(grpc.MaxRecvMsgSize(csdsRequestBytesMax), grpc.MaxSendMsgSize(xds.MessageBytesMax), grpc.WaitForHandlers(true))
	statusv3.RegisterClientStatusDiscoveryServiceServer(g, &csds{inspector: i, answers: make(chan struct{}, csdsAnswersMax)})
	return g
}

// csds tells in Envoy's words what each proxy has.
type csds struct {
	statusv3.UnimplementedClientStatusDiscoveryServiceServer
	inspector *Inspector
	answers   chan struct{}
}

// FetchClientStatus implements the service.
func (s *csds) FetchClientStatus(_ context.Context, r *statusv3.ClientStatusRequest) (*statusv3.ClientStatusResponse, error) {
	return s.answer(r)
}

// StreamClientStatus implements the service: one answer for each request.
func (s *csds) StreamClientStatus(g statusv3.ClientStatusDiscoveryService_StreamClientStatusServer) error {
	for {
		r, err := g.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		answer, err := s.answer(r)
		if err != nil {
			return err
		}
		if err := g.Send(answer); err != nil {
			return err
		}
	}
}

func (s *csds) answer(r *statusv3.ClientStatusRequest) (*statusv3.ClientStatusResponse, error) {
	select {
	case s.answers <- struct{}{}:
		defer func() { <-s.answers }()
	default:
		return nil, status.Error(codes.ResourceExhausted, "too many answers are being made")
	}
	match, err := parseNodeMatchers(r.GetNodeMatchers())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	view, ok := s.inspector.View()
	if !ok {
		return nil, status.Error(codes.Unavailable, "nothing is served yet")
	}
	return view.clientStatus(match, r.GetExcludeResourceContents()), nil
}

// clientStatus has a ClientConfig for each stream of a proxy that is asked about. An authorizer is no proxy to those who ask
// for all: it is told of where a matcher names it.
func (v View) clientStatus(match nodeMatch, bare bool) *statusv3.ClientStatusResponse {
	teller := clientTeller{view: v, bare: bare, contents: map[resourceID]*anypb.Any{}}
	streams := map[string]int{}
	for _, p := range v.Proxies {
		streams[p.Node]++
	}
	out := &statusv3.ClientStatusResponse{}
	for _, p := range v.Proxies {
		node := p.Client
		if node == nil {
			node = &corev3.Node{Id: p.Node, Cluster: p.Cluster}
		}
		if match == nil && p.Authorizer || match != nil && !match(node) {
			continue
		}
		config := &statusv3.ClientConfig{Node: node, GenericXdsConfigs: teller.configs(p)}
		if streams[p.Node] > 1 {
			config.ClientScope = "connected " + p.Connected.UTC().Format("2006-01-02T15:04:05.000Z")
		}
		out.Config = append(out.Config, config)
	}
	return out
}

// clientTeller tells of the proxies of one View.
type clientTeller struct {
	view View
	bare bool
	// contents are what was packed for another proxy.
	contents map[resourceID]*anypb.Any
}

func (c *clientTeller) configs(p xds.ProxyState) []*statusv3.ClientConfig_GenericXdsConfig {
	var out []*statusv3.ClientConfig_GenericXdsConfig
	for _, t := range p.Types {
		held := newHoldings(t)
		for _, name := range held.names {
			out = append(out, c.config(held, name))
		}
	}
	return out
}

// config is one resource of one proxy. It is told as management servers tell: version and content are those that are served,
// and what the proxy refuses stands in the error state.
func (c *clientTeller) config(held holdings, name string) *statusv3.ClientConfig_GenericXdsConfig {
	version, exists := c.view.Snapshot.Version(held.TypeURL, name)
	out := &statusv3.ClientConfig_GenericXdsConfig{TypeUrl: held.TypeURL, Name: name, VersionInfo: version}
	out.ConfigStatus, out.ClientStatus = held.status(name, version)
	if since, ok := c.view.ages.of(held.TypeURL, name); ok {
		out.LastUpdated = timestamppb.New(since)
	}
	if exists && !c.bare {
		out.XdsConfig = c.content(resourceID{held.TypeURL, name, version})
	}
	if refused, ok := held.refused[name]; ok && held.LastNACK != nil {
		out.ErrorState = &adminv3.UpdateFailureState{
			LastUpdateAttempt: timestamppb.New(held.LastNACK.Time), Details: held.LastNACK.Words, VersionInfo: refused,
		}
	}
	return out
}

// content is what is served, less what nobody is shown.
func (c *clientTeller) content(id resourceID) *anypb.Any {
	if packed := c.contents[id]; packed != nil {
		return packed
	}
	listed, ok := c.view.Snapshot.Lookup(id.typeURL, id.name)
	if !ok {
		return nil
	}
	message := shown(listed.Message)
	if secret, ok := message.(*tlsv3.Secret); ok {
		secret.Name = id.name // One message may serve many names.
	}
	packed, err := anypb.New(message)
	if err != nil {
		panic("inspect: a resource that is served does not marshal: " + id.name)
	}
	c.contents[id] = packed
	return packed
}

// holdings are what a proxy has of one type, by name.
type holdings struct {
	xds.TypeState
	// names are all that there is something to tell of, sorted.
	names             []string
	accepted, refused map[string]string
	pending, unsent   map[string]bool
}

func newHoldings(t xds.TypeState) holdings {
	h := holdings{
		TypeState: t, accepted: map[string]string{}, refused: map[string]string{}, pending: map[string]bool{}, unsent: map[string]bool{},
	}
	for _, a := range t.Accepted {
		h.accepted[a.Name] = a.Version
		h.names = append(h.names, a.Name)
	}
	for _, r := range t.Refused {
		h.refused[r.Name] = r.Version
		h.names = append(h.names, r.Name)
	}
	for _, name := range t.Pending {
		h.pending[name] = true
	}
	for _, name := range t.Unsent {
		h.unsent[name] = true
	}
	h.names = append(append(h.names, t.Pending...), t.Subscribed...)
	slices.Sort(h.names)
	h.names = slices.Compact(h.names)
	return h
}

// status is how the proxy stands to the version that is served, empty for none: as we see it, and as the proxy would.
func (h holdings) status(name, version string) (statusv3.ConfigStatus, adminv3.ClientResourceStatus) {
	accepted, has := h.accepted[name]
	client := adminv3.ClientResourceStatus_REQUESTED
	switch _, refused := h.refused[name]; {
	case refused:
		client = adminv3.ClientResourceStatus_NACKED
	case has:
		client = adminv3.ClientResourceStatus_ACKED
	case version == "" && !h.pending[name]:
		client = adminv3.ClientResourceStatus_DOES_NOT_EXIST
	}
	switch refused := h.refused[name]; {
	case refused != "" && refused == version:
		return statusv3.ConfigStatus_ERROR, client
	case h.unsent[name]:
		return statusv3.ConfigStatus_NOT_SENT, client
	case h.pending[name]:
		return statusv3.ConfigStatus_STALE, client
	case accepted == version:
		return statusv3.ConfigStatus_SYNCED, client
	default:
		return statusv3.ConfigStatus_STALE, client
	}
}
