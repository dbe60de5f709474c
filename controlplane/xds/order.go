package xds

import (
	"time"

	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
)

// orderWaitMax bounds how long a change waits for the sake of order: for a proxy that never asks for clusters, or for
// the assignment of one, or does not answer.
const orderWaitMax = 5 * time.Second

// Make before break, in two rules.
// 1. A new or changed listener or route is sent when clusters and endpoints are accepted, and the secrets of those
// clusters sent (mustWait).
// 2. A cluster or assignment is removed when listeners and routes are accepted, a route configuration or a secret that
// listeners or clusters name when those are (mustHold).

// mustWait tells whether additions of this type have to wait, and notes since when they do.
func (s *state) mustWait(sub *subscription, now time.Time) bool {
	if sub.typeURL != resource.ListenerType && sub.typeURL != resource.RouteType {
		return false
	}
	if s.backendsReady(now) {
		return false
	}
	if sub.blockedSince.IsZero() {
		sub.blockedSince = now
	}
	return now.Sub(sub.blockedSince) < s.orderWait
}

// backendsReady is true when no cluster or assignment that the proxy lacks is due. Both were pumped before (sendOrder),
// so whatever is due is in flight. What the proxy has refused is not due: one bad cluster must not hold every route.
func (s *state) backendsReady(now time.Time) bool {
	return !s.unasked(resource.ClusterType, now) &&
		!s.inFlight(resource.ClusterType) && !s.inFlight(resource.EndpointType) &&
		!s.expecting(resource.EndpointType, now) && !s.expectingOfClusters(now) && !s.owesSecrets()
}

// owesSecrets is true while a secret of a cluster cannot be sent because another response of secrets is in flight. Once
// sent it is before the routes, whether accepted or not: those that handshakes ask for must not hold up routes.
func (s *state) owesSecrets() bool {
	sub := s.subs[resource.SecretType]
	if sub == nil {
		return false
	}
	for name := range sub.dirty {
		if _, ofCluster := s.snap.clusterSecrets[name]; !ofCluster {
			continue
		}
		if act, _ := sub.judge(s.snap, name); act == actSend {
			return true
		}
	}
	return false
}

// expectingOfClusters is true while the proxy is about to ask for a secret of a cluster. It asks for those of listeners
// when it asks for their routes, which must not wait for them.
func (s *state) expectingOfClusters(now time.Time) bool {
	if !s.expecting(resource.SecretType, now) {
		return false
	}
	for name := range s.subs[resource.SecretType].expected {
		if _, ofCluster := s.snap.clusterSecrets[name]; ofCluster {
			return true
		}
	}
	return false
}

func (s *state) inFlight(typeURL string) bool {
	sub := s.subs[typeURL]
	return sub != nil && sub.flight != nil
}

// mustHold tells whether the removal of a name has to wait. A proxy that refuses the routes goes on using the old ones,
// so their clusters stay until it has accepted better ones. What listeners name stays until they have changed, and what
// they name now has come; a secret that clusters name likewise, and one of users until the routes have changed that name it.
// One that a handshake asked for goes at once.
func (s *state) mustHold(sub *subscription, name string, now time.Time) bool {
	switch sub.typeURL {
	case resource.ClusterType, resource.EndpointType:
		return s.usersUnsettled(now) || s.usersRefusing()
	case resource.RouteType:
		return s.listenersUnsettled(now)
	case resource.SecretType:
		_, named := sub.names[name]
		_, onDemand := sub.queued[name]
		return named && !onDemand && (s.changing(resource.ClusterType) || s.listenersUnsettled(now) || s.usersUnsettled(now))
	}
	return false
}

// changing tells whether something of a type is on its way or waits to be.
func (s *state) changing(typeURL string) bool {
	sub := s.subs[typeURL]
	return sub != nil && (sub.flight != nil || len(sub.dirty) > 0)
}

// listenersUnsettled tells whether a proxy may still serve by listeners of before: they are refused, or wait for what
// they name.
func (s *state) listenersUnsettled(now time.Time) bool {
	listeners := s.subs[resource.ListenerType]
	return s.changing(resource.ListenerType) || listeners != nil && listeners.refusing(s.snap) ||
		s.expecting(resource.RouteType, now) || s.expecting(resource.SecretType, now)
}

func (s *state) usersUnsettled(now time.Time) bool {
	for _, typeURL := range []string{resource.ListenerType, resource.RouteType} {
		if s.unasked(typeURL, now) || s.expecting(typeURL, now) {
			return true
		}
		sub := s.subs[typeURL]
		if sub == nil {
			continue
		}
		if sub.flight != nil {
			return true
		}
		for name := range sub.dirty {
			if act, _ := sub.judge(s.snap, name); act != actNone {
				return true
			}
		}
	}
	return false
}

func (s *state) usersRefusing() bool {
	for _, typeURL := range []string{resource.ListenerType, resource.RouteType} {
		if sub := s.subs[typeURL]; sub != nil && sub.refusing(s.snap) {
			return true
		}
	}
	return false
}

// unasked is true for a type that the proxy may still ask for. Once the stream is older than orderWait, it is taken as
// a proxy that never will.
func (s *state) unasked(typeURL string, now time.Time) bool {
	sub := s.subs[typeURL]
	return !s.byName && (sub == nil || !sub.asked) && now.Sub(s.began) < s.orderWait
}

// expecting is true while the proxy is about to ask for something that an accepted resource refers to. Names that need
// no more waiting are forgotten.
func (s *state) expecting(typeURL string, now time.Time) bool {
	sub := s.subs[typeURL]
	if sub == nil {
		return false
	}
	for name, since := range sub.expected {
		if s.snap.static(typeURL, name) == nil || now.Sub(since) >= s.orderWait {
			delete(sub.expected, name)
		}
	}
	return len(sub.expected) > 0
}

// settled is true when the proxy has answered all that the snapshot has for it, and nothing more is to be expected.
// Removals that are held because routes were refused do not count: they may be held for ever.
func (s *state) settled(now time.Time) bool {
	if s.snap == nil || s.unasked(resource.ListenerType, now) {
		return false
	}
	for _, typeURL := range []string{resource.EndpointType, resource.RouteType, resource.SecretType} {
		if s.expecting(typeURL, now) {
			return false
		}
	}
	refusing := s.usersRefusing()
	for _, sub := range s.subs {
		if sub.flight != nil || sub.answerDue {
			return false
		}
		for name := range sub.dirty {
			act, _ := sub.judge(s.snap, name)
			if act == actNone || act == actRemove && refusing && s.mustHold(sub, name, now) {
				continue
			}
			return false
		}
	}
	return true
}

// wake is the next moment at which waiting alone changes something, zero if there is none.
func (s *state) wake(now time.Time) time.Time {
	var next time.Time
	consider := func(since time.Time) {
		at := since.Add(s.orderWait)
		if !since.IsZero() && at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	consider(s.began)
	for _, sub := range s.subs {
		consider(sub.blockedSince)
		for _, since := range sub.expected {
			consider(since)
		}
	}
	return next
}
