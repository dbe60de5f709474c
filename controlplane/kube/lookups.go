package kube

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/validation"

	"github.com/postern-gateway/postern/translator/model"
)

const (
	// lookupsMax bounds how many objects are asked for at once; those that have been answered are watched beside them.
	lookupsMax = 32
	// lookupWaitMax bounds how long the others wait for the answer on one object, once all have been known.
	lookupWaitMax = 30 * time.Second
)

// lookups are the watches of Secrets and ConfigMaps, each of one object, as a kubelet has them: whatever else a cluster
// holds is never asked for.
type lookups struct {
	// slots are taken by those that wait for their first answer.
	slots chan struct{}
	// watches are those that are wanted, answers how many of each kind are how.
	watches map[lookupKey]*watch
	answers map[string]map[answer]int
	// settled says that once all that a translation referred to was known.
	settled bool
}

// lookupKey names an object that is looked up.
type lookupKey struct {
	kind string
	scope
}

// lookup is what the watch of one object has beside others. The Source's lock guards it.
type lookup struct {
	// leave gives the slot back; it may be called often.
	leave     func()
	forgotten bool
}

func newLookups() lookups {
	return lookups{slots: make(chan struct{}, lookupsMax), watches: map[lookupKey]*watch{}, answers: map[string]map[answer]int{}}
}

// want has exactly these looked up, and says whether there are any among them that were not before.
func (l *lookups) want(s *Source, r model.References) bool {
	wanted := make(map[lookupKey]bool, len(r.Secrets)+len(r.ConfigMaps))
	added := false
	c := s.options.Client.CoreV1()
	for _, key := range r.Secrets {
		if key.Cluster == s.options.Cluster {
			k := lookupKey{s.secrets.name, scope{key.Namespace, key.Name}}
			wanted[k] = true
			if l.watches[k] == nil {
				added = true
				l.add(s, k, newWatch(s, s.secrets, k.scope, requests(s.options.Client, c.Secrets(key.Namespace))))
			}
		}
	}
	for _, key := range r.ConfigMaps {
		if key.Cluster == s.options.Cluster {
			k := lookupKey{s.configMaps.name, scope{key.Namespace, key.Name}}
			wanted[k] = true
			if l.watches[k] == nil {
				added = true
				l.add(s, k, newWatch(s, s.configMaps, k.scope, requests(s.options.Client, c.ConfigMaps(key.Namespace))))
			}
		}
	}
	for k, w := range l.watches {
		if !wanted[k] {
			l.forget(s, k, w)
		}
	}
	return added
}

func (l *lookups) add(s *Source, k lookupKey, w *watch) {
	w.lookup = &lookup{leave: func() {}}
	l.watches[k] = w
	if l.answers[k.kind] == nil {
		l.answers[k.kind] = map[answer]int{}
	}
	if !possible(k.scope) {
		// No object has such a name, and a request for it would ask for something else.
		w.answer = found
	}
	l.answers[k.kind][w.answer]++
	if s.start != nil && w.answer == unanswered {
		s.start(w)
	}
}

// possible says whether an object may have the name.
func possible(of scope) bool {
	return len(validation.NameIsDNSSubdomain(of.name, false)) == 0 && len(validation.ValidateNamespaceName(of.namespace, false)) == 0
}

func (l *lookups) forget(s *Source, k lookupKey, w *watch) {
	delete(l.watches, k)
	l.answers[k.kind][w.answer]--
	w.lookup.forgotten = true
	s.faults.forget(w.fault)
	if w.stop != nil {
		w.stop()
	}
	// That the object is gone from the world changes nothing that is translated.
	switch k.kind {
	case s.secrets.name:
		s.secrets.remove(k.scope)
	case s.configMaps.name:
		s.configMaps.remove(k.scope)
	}
}

// enter waits for a slot, and says whether there was one before ctx ended.
func (l *lookups) enter(ctx context.Context, s *Source, w *watch) bool {
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	w.lookup.leave = sync.OnceFunc(func() { <-l.slots })
	return true
}

// overdue is called when an object has been asked for as long as others wait for it.
func (s *Source) overdue(w *watch) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if w.answer == unanswered && !w.forgotten() {
		w.answered(late)
		s.tell(false)
	}
}

// count is told of an answer before it is noted.
func (l *lookups) count(w *watch, now answer) {
	if w.lookup.forgotten {
		return
	}
	l.answers[w.kind][w.answer]--
	l.answers[w.kind][now]++
	w.lookup.leave()
}

// complete says whether enough is known to go on. A Secret that may not be read, or on which there is no answer, keeps only
// its own hosts waiting; at the start, though, where nothing serves yet, answers are waited for, and a kind of which nothing
// at all may be read is a fault of the installation that must be seen.
func (l *lookups) complete() bool {
	for _, how := range l.answers {
		if how[unanswered] > 0 {
			return false
		}
		if !l.settled && (how[late] > 0 || how[refused] > 0 && how[found] == 0) {
			return false
		}
	}
	return true
}

// each visits all watches, in no order.
func (l *lookups) each(visit func(*watch)) {
	for _, w := range l.watches {
		visit(w)
	}
}
