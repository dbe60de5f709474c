package kube

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// fault is what keeps watches of a kind from being up to date.
type fault struct {
	// what is the kind, with its namespace where it is watched in some only.
	what string
	// words are the API server's, or the system's.
	words string
}

// faults are those that stand, by the number of watches that have them. Thousands of watches may have one at once, which is
// logged once.
type faults struct {
	log   *slog.Logger
	words map[fault]int
}

// Fault is something that is not as the API server has it, or not known to be.
type Fault struct {
	// What is a kind, of a namespace where only some are watched, or an object: Secret shop/tls.
	What string
	// Known says that it was known before: its last version serves on.
	Known bool
	// Why is what the API server said last, or the system; empty where nothing has been said yet.
	Why string
}

// String is the fault in one sentence.
func (f Fault) String() string {
	state := "is not known yet"
	if f.Known {
		state = "is as it was last seen"
	}
	if f.Why == "" {
		return f.What + " " + state
	}
	return f.What + " " + state + ": " + f.Why
}

// faultsMax bounds the list of faults: beyond it, it is plain that something is wrong.
const faultsMax = 20

// Faults say what keeps the World from being complete, or up to date: kinds first, then objects, sorted. Of many, there are
// the first, and the number of the others.
func (s *Source) Faults() []Fault {
	s.lock.Lock()
	defer s.lock.Unlock()
	var out []Fault
	for _, w := range s.whole {
		if w.answer != found || w.fault != (fault{}) {
			out = append(out, w.asFault())
		}
	}
	var objects []Fault
	s.lookups.each(func(w *watch) {
		if w.answer != found || w.fault != (fault{}) {
			objects = append(objects, w.asFault())
		}
	})
	byWhat := func(a, b Fault) int { return cmp.Compare(a.What, b.What) }
	slices.SortFunc(out, byWhat)
	slices.SortFunc(objects, byWhat)
	out = append(out, objects...)
	if more := len(out) - faultsMax; more > 0 {
		out = append(out[:faultsMax], Fault{What: fmt.Sprintf("and what %d other watches are for", more)})
	}
	return out
}

func (w *watch) asFault() Fault {
	return Fault{What: w.scope.of(w.kind), Known: w.answer == found, Why: w.fault.words}
}

// failed notes an error of a watch, and logs it where no watch of its kind has it already. The reflector tries again.
func (s *Source) failed(w *watch, err error) {
	// Ended versions are in the nature of a watch: the reflector lists again.
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return
	}
	if s.options.OnFailure != nil {
		s.options.OnFailure(w.kind)
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	now := fault{what: w.group(), words: w.words(err)}
	if now != w.fault {
		before := w.fault
		w.fault = now
		s.faults.move(before, now)
	}
	if w.lookup == nil {
		return
	}
	w.lookup.leave()
	if w.answer == unanswered && apierrors.IsForbidden(err) {
		w.answered(refused)
		s.tell(false)
	}
}

// succeeded is called with the lock held.
func (s *Source) succeeded(w *watch) {
	if w.fault == (fault{}) {
		return
	}
	before := w.fault
	w.fault = fault{}
	s.faults.move(before, fault{})
}

// move counts one watch from a fault to another and logs what is new, and what is over.
func (f *faults) move(before, now fault) {
	if before != (fault{}) {
		f.forget(before)
		if f.words[before] == 0 && now == (fault{}) {
			f.log.Info("the API server answers again", "what", before.what)
		}
	}
	if now != (fault{}) {
		if f.words[now]++; f.words[now] == 1 {
			f.log.Warn("objects cannot be read from the API server: what was known of them stays, and it is tried again",
				"what", now.what, "error", now.words)
		}
	}
}

// forget is of a watch that is not wanted any more.
func (f *faults) forget(stood fault) {
	if stood == (fault{}) {
		return
	}
	if f.words[stood]--; f.words[stood] == 0 {
		delete(f.words, stood)
	}
}

// group is what faults of a watch are told of together: objects that are looked up one by one, by namespace.
func (w *watch) group() string {
	if w.lookup != nil {
		return scope{namespace: w.scope.namespace}.of(w.kind)
	}
	return w.scope.of(w.kind)
}

// words are what the API server said, or the system, without the request.
func words(err error) string {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err.Error()
	}
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		return status.Status().Message
	}
	return err.Error()
}

// words are an error without what differs from request to request.
func (w *watch) words(err error) string {
	text := words(err)
	if w.scope.name != "" {
		text = strings.ReplaceAll(text, fmt.Sprintf("%q", w.scope.name), "NAME")
	}
	return text
}
