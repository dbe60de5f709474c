package xds

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
)

// typesMax bounds the types that one stream may ask for. Postern serves five; of others nothing exists.
const typesMax = 16

// routesPerResponse is how many route configurations travel together: a proxy answers a response as a whole, and a good
// table must not count as refused because of a bad one. Listeners are not sent singly, since Envoy takes the first
// response for all of them and would be ready with one.
const routesPerResponse = 1

// sendOrder is the order in which types are sent, of which xDS's "Eventual consistency considerations" are the reason:
// clusters, endpoints and the secrets of clusters, then what refers to them. Secrets wait for nobody.
var sendOrder = []string{
	resource.ClusterType, resource.EndpointType, resource.SecretType, resource.ListenerType, resource.RouteType,
}

// state is the protocol of one stream without its transport: requests and snapshots go in, responses come out. It has
// no clock and no goroutine; its stream guards it.
type state struct {
	// orderWait bounds how long anything waits for the sake of order.
	orderWait time.Duration
	// onDemandMax bounds the on-demand names held.
	onDemandMax int
	// byName is a stream that never asks for listeners or routes, so that nothing waits for these on it.
	byName bool
	began  time.Time

	snap     *Snapshot
	revision Revision
	subs     map[string]*subscription
	nonces   uint64
}

func newState(orderWait time.Duration, onDemandMax int, now time.Time) *state {
	return &state{orderWait: orderWait, onDemandMax: onDemandMax, began: now, subs: map[string]*subscription{}}
}

func (s *state) sub(typeURL string) *subscription {
	sub := s.subs[typeURL]
	if sub == nil {
		sub = newSubscription(typeURL)
		s.subs[typeURL] = sub
	}
	return sub
}

// request takes one request. The NACK, if it is one, is returned; an error ends the stream.
func (s *state) request(req *discoveryv3.DeltaDiscoveryRequest, now time.Time) (*NACK, error) {
	typeURL := req.GetTypeUrl()
	if typeURL == "" {
		return nil, fmt.Errorf("a request without type_url on an aggregated stream")
	}
	if s.subs[typeURL] == nil && len(s.subs) >= typesMax {
		return nil, fmt.Errorf("more than %d types on one stream", typesMax)
	}
	sub := s.sub(typeURL)
	first := !sub.asked
	if first {
		sub.begin(req.GetInitialResourceVersions(), req.GetResourceNamesSubscribe())
	}
	var nack *NACK
	// An answer with another nonce belongs to a response that is settled already; its subscriptions still count.
	if sub.flight != nil && req.GetResponseNonce() == sub.flight.nonce {
		nack = s.answer(sub, req.GetErrorDetail(), now)
	}
	for _, name := range req.GetResourceNamesUnsubscribe() {
		if name == wildcardName && hasWildcard(typeURL) {
			sub.unsubscribeAll()
			continue
		}
		sub.unsubscribe(name)
	}
	for _, name := range req.GetResourceNamesSubscribe() {
		if name == wildcardName && hasWildcard(typeURL) {
			sub.subscribeAll()
			continue
		}
		sub.subscribe(name, first)
		s.bound(sub, name)
	}
	if s.snap != nil && (first || sub.answerDue) {
		sub.markAll(s.snap)
	}
	return nack, nil
}

// bound keeps the number of on-demand names finite, whatever SNIs clients make up.
func (s *state) bound(sub *subscription, name string) {
	if sub.typeURL != resource.SecretType || s.snap != nil && s.snap.static(sub.typeURL, name) != nil {
		return
	}
	for _, old := range sub.enqueue(name, s.onDemandMax) {
		sub.takeBack(old)
	}
}

// answer settles the response in flight by the proxy's ACK or NACK.
func (s *state) answer(sub *subscription, refusal *status.Status, now time.Time) *NACK {
	f := sub.land(refusal == nil)
	if sub.typeURL == resource.SecretType {
		s.retry()
	}
	if refusal != nil {
		for name := range f.versions {
			sub.triedWith[name] = f.snapshot.secretsOf(sub.typeURL, name)
		}
		sub.answered.nacks++
		sub.lastNACK = newNACK(sub.typeURL, f, refusal.GetMessage(), now)
		// The repair may have been published while this refusal was on its way.
		s.retry()
		return sub.lastNACK
	}
	sub.answered.acks++
	if sub.typeURL != resource.ClusterType && sub.typeURL != resource.ListenerType {
		return nil
	}
	for name := range f.versions {
		for _, ref := range f.snapshot.static(sub.typeURL, name).refs {
			// What is subscribed already is due by itself.
			if to := s.sub(ref.typeURL); !to.wants(ref.name) {
				to.expected[ref.name] = now
			}
		}
	}
	return nil
}

// repeat has the assignments of clusters that are being sent follow them, even if the proxy has them. Envoy makes a
// changed cluster anew and waits for its endpoints, but does not ask for them if it has the subscription, be it by the
// cluster's former self or by another cluster of the same Service: without this the cluster comes into force only after
// initial_fetch_timeout, 15 s (seen on Envoy 1.40; envoy #47302). The ACK of the clusters is too late a moment, since
// Envoy holds it back until they are warm.
func (s *state) repeat(refs []resourceName) {
	to := s.sub(resource.EndpointType)
	for _, ref := range refs {
		if ref.typeURL != resource.EndpointType {
			continue
		}
		name := ref.name
		if !to.asked {
			to.owed[name] = struct{}{}
		} else if version, told := to.told[name]; told && version != gone && to.wants(name) {
			delete(to.told, name)
			to.dirty[name] = struct{}{}
		}
	}
}

// publish replaces the snapshot. Revisions in between are never seen by a stream that is busy.
func (s *state) publish(snap *Snapshot, revision Revision) {
	before := s.snap
	s.snap, s.revision = snap, revision
	for _, sub := range s.subs {
		for name := range sub.queued {
			if snap.static(sub.typeURL, name) != nil {
				sub.unqueue(name)
			}
		}
		sub.mark(before, snap)
	}
	s.retry()
}

// retry sends again what the proxy has refused together with other secrets than there are now, once it has these: a listener
// refused for a CA that cannot be used is no other listener after the repair, and Envoy does not try it by itself.
func (s *state) retry() {
	secrets := s.subs[resource.SecretType]
	for _, typeURL := range []string{resource.ClusterType, resource.ListenerType} {
		sub := s.subs[typeURL]
		if sub == nil {
			continue
		}
		for name, version := range sub.refused {
			if now := s.snap.static(typeURL, name); now == nil || now.version != version || sub.triedWith[name] == s.snap.secretsOf(typeURL, name) {
				continue
			}
			if secrets == nil || secrets.upToDate(s.snap, s.snap.static(typeURL, name).refs) {
				sub.triedWith[name] = s.snap.secretsOf(typeURL, name)
				delete(sub.told, name)
				sub.dirty[name] = struct{}{}
			}
		}
	}
}

// pump returns the responses that are to be sent now, and when to pump again if nothing else happens; zero for never.
func (s *state) pump(now time.Time) ([]*discoveryv3.DeltaDiscoveryResponse, time.Time) {
	if s.snap == nil {
		return nil, time.Time{}
	}
	var out []*discoveryv3.DeltaDiscoveryResponse
	for _, sub := range s.ordered() {
		if response := s.build(sub, now); response != nil {
			out = append(out, response)
		}
	}
	return out, s.wake(now)
}

// ordered are the subscriptions in sendOrder, then the rest by type URL.
func (s *state) ordered() []*subscription {
	out := make([]*subscription, 0, len(s.subs))
	for _, sub := range s.subs {
		out = append(out, sub)
	}
	rank := func(sub *subscription) int {
		if i := slices.Index(sendOrder, sub.typeURL); i >= 0 {
			return i
		}
		return len(sendOrder)
	}
	slices.SortFunc(out, func(a, b *subscription) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		if a.typeURL < b.typeURL {
			return -1
		}
		return 1
	})
	return out
}

// build makes the next response of a type, nil if there is nothing that may be sent now.
func (s *state) build(sub *subscription, now time.Time) *discoveryv3.DeltaDiscoveryResponse {
	if sub.flight != nil || !sub.asked {
		return nil
	}
	f := &flight{revision: s.revision, versions: map[string]string{}, snapshot: s.snap}
	var resources []*discoveryv3.Resource
	sendBlocked := false
	for _, name := range sortedKeys(sub.dirty) {
		act, found := sub.judge(s.snap, name)
		switch {
		case act == actSend && s.mustWait(sub, now):
			sendBlocked = true
			continue
		case act == actSend && sub.typeURL == resource.RouteType && len(resources) == routesPerResponse:
			continue
		case act == actRemove && s.mustHold(sub, name, now):
			continue
		case act == actSend:
			resources = append(resources, found.wire())
			f.versions[name] = found.version
			sub.told[name] = found.version
			if sub.typeURL == resource.ClusterType {
				s.repeat(found.entry.refs)
			}
		case act != actNone:
			f.removed = append(f.removed, name)
			if _, named := sub.names[name]; named {
				sub.told[name] = gone
			} else {
				delete(sub.told, name)
			}
		}
		delete(sub.dirty, name)
	}
	if !sendBlocked {
		sub.blockedSince = time.Time{}
	}
	if len(resources) == 0 && len(f.removed) == 0 && (!sub.answerDue || sendBlocked) {
		return nil
	}
	sub.answerDue = false
	s.nonces++
	f.nonce = strconv.FormatUint(s.nonces, 10)
	sub.flight = f
	return &discoveryv3.DeltaDiscoveryResponse{
		SystemVersionInfo: strconv.FormatUint(uint64(s.revision), 10),
		TypeUrl:           sub.typeURL, Nonce: f.nonce, Resources: resources, RemovedResources: f.removed,
	}
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
