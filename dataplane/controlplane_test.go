package dataplane_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/postern-gateway/postern/dataplane/config"
)

// patience bounds every wait of these tests.
const patience = 20 * time.Second

// controlPlane is a small delta ADS server over a unix socket. Both data planes read from it.
type controlPlane struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	path   string
	server *grpc.Server

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced on every change of what follows
	resources map[string]map[string]*discoveryv3.Resource
	streams   map[*adsStream]bool
	nacks     []string
	asked     []string // names asked for by SDS, in order
	initial   map[string]map[string]string
	nonce     int
}

// adsStream is one proxy's stream; guarded by controlPlane.mu.
type adsStream struct {
	to       discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer
	wildcard map[string]bool
	names    map[string]map[string]bool
	sent     map[string]map[string]string // type → name → version
	acked    map[string]map[string]string
	waiting  map[string]map[string]string // nonce → name → version
	denied   map[string]bool              // secrets that there are not, as was told
}

func newControlPlane(t testing.TB) *controlPlane {
	c := &controlPlane{
		path:    filepath.Join(t.TempDir(), "ads.sock"),
		changed: make(chan struct{}), resources: make(map[string]map[string]*discoveryv3.Resource),
		streams: make(map[*adsStream]bool), initial: make(map[string]map[string]string),
	}
	c.start(t)
	t.Cleanup(func() { c.stop() })
	return c
}

func (c *controlPlane) target() string { return "unix://" + c.path }

func (c *controlPlane) start(t testing.TB) {
	l, err := net.Listen("unix", c.path)
	if err != nil {
		t.Fatal(err)
	}
	c.server = grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(c.server, c)
	go c.server.Serve(l)
}

func (c *controlPlane) stop() { c.server.Stop() }

func nameOf(m proto.Message) string {
	for _, field := range []string{"name", "cluster_name"} {
		if fd := m.ProtoReflect().Descriptor().Fields().ByTextName(field); fd != nil {
			return m.ProtoReflect().Get(fd).String()
		}
	}
	panic("a resource without a name")
}

// set puts resources up and sends them to whoever asked.
func (c *controlPlane) set(resources ...proto.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range resources {
		body := typed(m)
		sum := sha256.Sum256(body.Value)
		if c.resources[body.TypeUrl] == nil {
			c.resources[body.TypeUrl] = make(map[string]*discoveryv3.Resource)
		}
		c.resources[body.TypeUrl][nameOf(m)] = &discoveryv3.Resource{
			Name: nameOf(m), Version: hex.EncodeToString(sum[:8]), Resource: body,
		}
	}
	c.flush()
}

func (c *controlPlane) remove(typeURL, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.resources[typeURL], name)
	c.flush()
}

// flush sends every stream what it has not got. c.mu is held.
func (c *controlPlane) flush() {
	for s := range c.streams {
		for _, typeURL := range []string{config.ClusterType, config.EndpointType, config.RouteType, config.ListenerType, config.SecretType} {
			c.send(s, typeURL)
		}
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// send sends one stream what it has not got of a type. c.mu is held.
func (c *controlPlane) send(s *adsStream, typeURL string) {
	response := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: typeURL}
	sent := s.sent[typeURL]
	if sent == nil {
		return
	}
	versions := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(c.resources[typeURL])) {
		r := c.resources[typeURL][name]
		if (s.wildcard[typeURL] || s.names[typeURL][name]) && sent[name] != r.Version {
			response.Resources = append(response.Resources, r)
			sent[name], versions[name] = r.Version, r.Version
		}
	}
	gone := func(name string) bool { return c.resources[typeURL][name] == nil }
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		if gone(name) {
			response.RemovedResources = append(response.RemovedResources, name)
			delete(sent, name)
		}
	}
	if typeURL == config.SecretType { // a name for which there is nothing is answered at once
		for _, name := range slices.Sorted(maps.Keys(s.names[typeURL])) {
			switch {
			case !gone(name):
				delete(s.denied, name)
			case !s.denied[name]:
				s.denied[name] = true
				if !slices.Contains(response.RemovedResources, name) {
					response.RemovedResources = append(response.RemovedResources, name)
				}
			}
		}
	}
	if len(response.Resources)+len(response.RemovedResources) == 0 {
		return
	}
	c.nonce++
	response.Nonce = fmt.Sprint(c.nonce)
	s.waiting[response.Nonce] = versions
	s.to.Send(response)
}

// DeltaAggregatedResources serves one proxy.
func (c *controlPlane) DeltaAggregatedResources(to discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	s := &adsStream{
		to: to, wildcard: make(map[string]bool), names: make(map[string]map[string]bool),
		sent: make(map[string]map[string]string), acked: make(map[string]map[string]string),
		waiting: make(map[string]map[string]string), denied: make(map[string]bool),
	}
	c.mu.Lock()
	c.streams[s] = true
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.streams, s)
		c.flush()
	}()
	for {
		r, err := to.Recv()
		if err != nil {
			return nil
		}
		c.receive(s, r)
	}
}

func (c *controlPlane) receive(s *adsStream, r *discoveryv3.DeltaDiscoveryRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.flush()
	typeURL := r.GetTypeUrl()
	if s.sent[typeURL] == nil {
		s.sent[typeURL] = make(map[string]string)
		maps.Copy(s.sent[typeURL], r.GetInitialResourceVersions())
		s.acked[typeURL] = maps.Clone(s.sent[typeURL])
		c.initial[typeURL] = r.GetInitialResourceVersions()
		s.names[typeURL] = make(map[string]bool)
		s.wildcard[typeURL] = len(r.GetResourceNamesSubscribe()) == 0
	}
	if versions, ok := s.waiting[r.GetResponseNonce()]; ok {
		delete(s.waiting, r.GetResponseNonce())
		if r.GetErrorDetail() != nil {
			c.nacks = append(c.nacks, r.GetErrorDetail().GetMessage())
		} else {
			maps.Copy(s.acked[typeURL], versions)
		}
	}
	for _, name := range r.GetResourceNamesSubscribe() {
		if name == "*" {
			s.wildcard[typeURL] = true
			continue
		}
		if s.names[typeURL][name] {
			delete(s.sent[typeURL], name)
		}
		s.names[typeURL][name] = true
		if typeURL == config.SecretType {
			delete(s.denied, name)
			c.asked = append(c.asked, name)
		}
	}
	for _, name := range r.GetResourceNamesUnsubscribe() {
		delete(s.names[typeURL], name)
		delete(s.sent[typeURL], name)
	}
}

// await waits until a condition holds; c.mu is held while it is looked at.
func (c *controlPlane) await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		c.mu.Lock()
		met, changed := condition(), c.changed
		state := c.nacks
		c.mu.Unlock()
		if met {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("not in time: %s; refused so far: %q", what, state)
		}
	}
}

// settled waits until a proxy has accepted everything but secrets, which are asked for on demand.
func (c *controlPlane) settled(t testing.TB) {
	t.Helper()
	c.await(t, "a proxy with everything", func() bool {
		for s := range c.streams {
			if c.accepted(s) {
				return true
			}
		}
		return false
	})
}

func (c *controlPlane) accepted(s *adsStream) bool {
	for typeURL, resources := range c.resources {
		for name, r := range resources {
			if typeURL != config.SecretType && s.acked[typeURL][name] != r.Version {
				return false
			}
		}
	}
	return len(s.waiting) == 0
}

// secret waits until a proxy has accepted a secret as it is now.
func (c *controlPlane) secret(t testing.TB, name string) {
	t.Helper()
	c.await(t, "the secret "+name+" to be accepted", func() bool {
		for s := range c.streams {
			if s.acked[config.SecretType][name] == c.resources[config.SecretType][name].Version {
				return true
			}
		}
		return false
	})
}

// refused waits for a NACK with a text.
func (c *controlPlane) refused(t testing.TB, text string) {
	t.Helper()
	c.await(t, "a refusal with "+text, func() bool {
		return slices.ContainsFunc(c.nacks, func(nack string) bool { return strings.Contains(nack, text) })
	})
}
