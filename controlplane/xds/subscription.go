package xds

import (
	"container/list"
	"time"

	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
)

// wildcardName subscribes to every resource of a type (xDS protocol, "Wildcard subscriptions").
const wildcardName = "*"

// gone is the version, in what was told to a proxy, of a name that does not exist.
const gone = ""

// unsure is the version of what a proxy may or may not have, and so unlike any real one.
const unsure = "?"

// subscription is what one stream knows of one type. It is owned by its state.
type subscription struct {
	typeURL string
	// asked is false as long as the proxy has sent no request of this type; the record may exist before, for expected.
	asked    bool
	wildcard bool
	// names are subscribed by name.
	names map[string]struct{}
	// told is what the proxy was last sent, or claimed to have in initial_resource_versions: name to version, gone for
	// a subscribed name that was answered with removed_resources.
	told map[string]string
	// accepted is the version of each resource that the proxy has ACKed.
	accepted map[string]string
	// refused is the version of each resource that was in a response which the proxy NACKed.
	refused map[string]string
	// triedWith are the secrets, as secretsOf has them, with which what is refused was last sent.
	triedWith map[string]string
	// dirty are the names that may have to be sent. Whether they do is decided when a response is built.
	dirty map[string]struct{}
	// flight is the response that is not answered yet, at most one per type.
	flight *flight
	// answerDue asks for a response even if it is empty: a wildcard request always gets one, or Envoy waits for ever
	// to be initialized.
	answerDue bool
	// expected are names that the proxy will ask for, because it has accepted a cluster or listener that refers to
	// them, and since when.
	expected map[string]time.Time
	// owed are assignments to be sent even to a proxy that will say in its first request that it has them: see repeat.
	owed map[string]struct{}
	// blockedSince is when additions of this type began to wait for clusters and endpoints; zero if they do not.
	blockedSince time.Time
	lastNACK     *NACK
	answered     answers
	// queue holds the on-demand names, oldest first, and queued finds a name in it; only of the secrets.
	queue  *list.List
	queued map[string]*list.Element
}

// flight is a response on its way.
type flight struct {
	nonce    string
	revision Revision
	versions map[string]string
	removed  []string
	snapshot *Snapshot
}

func newSubscription(typeURL string) *subscription {
	return &subscription{
		typeURL: typeURL, names: map[string]struct{}{}, told: map[string]string{}, accepted: map[string]string{},
		refused: map[string]string{}, triedWith: map[string]string{}, dirty: map[string]struct{}{}, expected: map[string]time.Time{}, owed: map[string]struct{}{},
		queue: list.New(), queued: map[string]*list.Element{},
	}
}

// hasWildcard tells of which types one may subscribe to all: listeners and clusters. Of the others * is a name like
// any, lest a client with the SNI * be sent every certificate.
func hasWildcard(typeURL string) bool {
	return typeURL == resource.ListenerType || typeURL == resource.ClusterType
}

func (s *subscription) wants(name string) bool {
	if s.wildcard {
		return true
	}
	_, named := s.names[name]
	return named
}

// begin takes the first request of the type on its stream. A proxy that comes back names what it has, so nothing of
// that is sent again unless it has changed.
func (s *subscription) begin(initial map[string]string, subscribe []string) {
	s.asked = true
	for name, version := range initial {
		if version == gone {
			continue
		}
		s.accepted[name] = version
		if _, owed := s.owed[name]; !owed {
			s.told[name] = version
		}
	}
	clear(s.owed)
	// A first request without names is the older spelling of the wildcard (xDS protocol, "Wildcard subscriptions").
	if len(subscribe) == 0 && hasWildcard(s.typeURL) {
		s.subscribeAll()
	}
}

func (s *subscription) subscribeAll() {
	s.wildcard = true
	s.answerDue = true
	for name := range s.told {
		s.dirty[name] = struct{}{}
	}
}

// subscribe adds a name. Unless the request is the first one, the name is sent again even if the proxy has it: "the
// server must send all resources listed in resource_names_subscribe", for the proxy may have dropped it meanwhile.
func (s *subscription) subscribe(name string, first bool) {
	s.names[name] = struct{}{}
	s.dirty[name] = struct{}{}
	delete(s.expected, name)
	if !first {
		delete(s.told, name)
		delete(s.refused, name)
	}
}

// unsubscribe forgets a name. Where the wildcard still covers it, it is sent again, as the protocol wants.
func (s *subscription) unsubscribe(name string) {
	delete(s.names, name)
	s.unqueue(name)
	s.forget(name)
	if s.wildcard {
		s.dirty[name] = struct{}{}
	}
}

func (s *subscription) forget(name string) {
	delete(s.told, name)
	delete(s.accepted, name)
	delete(s.refused, name)
	delete(s.triedWith, name)
	delete(s.dirty, name)
}

func (s *subscription) unsubscribeAll() {
	s.wildcard = false
	s.answerDue = false
	for name := range s.told {
		if _, named := s.names[name]; !named {
			s.forget(name)
		}
	}
}

// enqueue makes name the youngest of the on-demand names and returns the oldest ones beyond limit.
func (s *subscription) enqueue(name string, limit int) []string {
	s.unqueue(name)
	s.queued[name] = s.queue.PushBack(name)
	var out []string
	for s.queue.Len() > limit {
		oldest := s.queue.Front().Value.(string)
		s.unqueue(oldest)
		out = append(out, oldest)
	}
	return out
}

func (s *subscription) unqueue(name string) {
	if e := s.queued[name]; e != nil {
		s.queue.Remove(e)
		delete(s.queued, name)
	}
}

// takeBack drops the subscription to a name of which the proxy must be told that it is gone, if it was ever sent.
func (s *subscription) takeBack(name string) {
	delete(s.names, name)
	delete(s.refused, name)
	if _, told := s.told[name]; !told && s.flight != nil && s.flight.versions[name] != "" {
		s.told[name] = unsure // Asked for again while it was on its way.
	}
	if s.told[name] == gone {
		s.forget(name)
		return
	}
	s.dirty[name] = struct{}{}
}

type action int

const (
	actNone action = iota
	actSend
	// actRemove tells the proxy that something it has is gone.
	actRemove
	// actDeny tells it that something it never had does not exist; this waits for nothing.
	actDeny
)

// judge decides what a name needs, given the snapshot.
func (s *subscription) judge(snap *Snapshot, name string) (action, served) {
	var found served
	if s.wants(name) {
		found = snap.find(s.typeURL, name)
	}
	version, told := s.told[name]
	_, named := s.names[name]
	switch {
	case found.exists() && version != found.version:
		return actSend, found
	case found.exists():
		return actNone, served{}
	case told && version != gone:
		return actRemove, served{}
	case !told && named:
		return actDeny, served{}
	}
	return actNone, served{}
}

// markAll makes dirty whatever the proxy lacks or has too much of.
func (s *subscription) markAll(now *Snapshot) {
	for name := range s.names {
		s.check(now, name)
	}
	if !s.wildcard {
		return
	}
	for name := range s.told {
		s.check(now, name)
	}
	for _, name := range now.set(s.typeURL).names {
		s.check(now, name)
	}
}

// mark makes dirty what differs between two snapshots. What the proxy lacked before is dirty already.
func (s *subscription) mark(before, now *Snapshot) {
	if before == nil {
		s.markAll(now)
		return
	}
	changed(before, now, s.typeURL, func(name string) { s.check(now, name) })
	if s.typeURL == resource.SecretType {
		for name := range s.names { // On-demand secrets are in no list.
			s.check(now, name)
		}
	}
}

func (s *subscription) check(now *Snapshot, name string) {
	if act, _ := s.judge(now, name); act != actNone {
		s.dirty[name] = struct{}{}
	}
}

// land settles the response in flight.
func (s *subscription) land(accepted bool) *flight {
	f := s.flight
	s.flight = nil
	for name, version := range f.versions {
		if !s.wants(name) {
			continue
		}
		if accepted {
			s.accepted[name] = version
			delete(s.refused, name)
		} else {
			s.refused[name] = version
		}
		// Forgotten and wanted again while the response was on its way, so the proxy may have taken it or dropped it.
		if _, told := s.told[name]; !told {
			s.told[name] = unsure
			s.dirty[name] = struct{}{}
		}
	}
	for _, name := range f.removed {
		if version := s.told[name]; version == gone {
			delete(s.accepted, name)
			delete(s.refused, name)
		}
	}
	return f
}

// refusing tells whether the proxy has refused the current version of something of which it has accepted an older one,
// which it goes on using.
func (s *subscription) refusing(snap *Snapshot) bool {
	for name, version := range s.refused {
		_, older := s.accepted[name]
		if found := snap.find(s.typeURL, name); older && s.wants(name) && found.version == version {
			return true
		}
	}
	return false
}

// upToDate says whether the proxy has accepted the secrets, among some references, that it is subscribed to.
func (s *subscription) upToDate(snap *Snapshot, refs []resourceName) bool {
	for _, ref := range refs {
		if e := snap.static(s.typeURL, ref.name); ref.typeURL == s.typeURL && s.wants(ref.name) && e != nil && s.accepted[ref.name] != e.version {
			return false
		}
	}
	return true
}
