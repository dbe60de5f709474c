package proxy

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"sync"
	"time"
)

const (
	// secretWaitMax is how long a handshake waits for its certificate.
	secretWaitMax = 5 * time.Second
	// heldNamesMax bounds the names whose certificates are held; the one unused for longest goes first. It is above
	// the 10,000 unknown names that the control plane lets a proxy hold, so that those do not drive out real hosts.
	heldNamesMax = 20_000
	// waitingNamesMax bounds the names that are asked for at one time; beyond it a handshake fails at once.
	waitingNamesMax = 1000
	// sniBytesMax is the length of a host name (RFC 1035).
	sniBytesMax = 255
)

var (
	errNoSecret      = errors.New("no certificate for this name")
	errSecretTimeout = errors.New("the control plane has not answered for this name in time")
	errSecretFlood   = errors.New("too many names are waiting for the control plane")
	errSNI           = errors.New("the name is not a host name")
)

// secrets holds the certificates that handshakes have asked for, by SNI.
type secrets struct {
	ask, forget func(name string) // subscribe and unsubscribe

	mu      sync.Mutex
	names   map[string]*secret // guarded by mu
	used    *list.List         // of *secret with a certificate, latest use first; guarded by mu
	waiting int                // names without an answer; guarded by mu
}

// secret is one name that is subscribed.
type secret struct {
	name        string
	answered    chan struct{}    // closed by the first answer, or when the name is dropped
	certificate *tls.Certificate // nil until there is one; guarded by secrets.mu
	place       *list.Element    // in secrets.used; guarded by secrets.mu
	waiters     int              // handshakes that wait for the answer; guarded by secrets.mu
}

func newSecrets(ask, forget func(string)) *secrets {
	return &secrets{ask: ask, forget: forget, names: make(map[string]*secret), used: list.New()}
}

// get is the certificate of a name: at once where it is held, else when the control plane answers.
func (s *secrets) get(ctx context.Context, name string) (*tls.Certificate, error) {
	if !hostLike(name) {
		return nil, errSNI
	}
	s.mu.Lock()
	held := s.names[name]
	if held != nil && held.certificate != nil {
		s.used.MoveToFront(held.place)
		certificate := held.certificate
		s.mu.Unlock()
		return certificate, nil
	}
	if held == nil {
		if s.waiting >= waitingNamesMax {
			s.mu.Unlock()
			return nil, errSecretFlood
		}
		held = &secret{name: name, answered: make(chan struct{})}
		s.names[name] = held
		s.waiting++
		s.ask(name)
	}
	held.waiters++
	s.mu.Unlock()
	wait := time.NewTimer(secretWaitMax)
	defer wait.Stop()
	select {
	case <-held.answered:
	case <-ctx.Done():
		return nil, s.giveUp(held, ctx.Err())
	case <-wait.C:
		return nil, s.giveUp(held, errSecretTimeout)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if held.certificate == nil {
		return nil, errNoSecret
	}
	return held.certificate, nil
}

// giveUp drops a name that was not answered and that no other handshake waits for, so that names asked for in vain
// are not kept.
func (s *secrets) giveUp(held *secret, reason error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	held.waiters--
	if s.names[held.name] == held && held.certificate == nil && held.waiters == 0 {
		s.drop(held)
	}
	return reason
}

// set puts a certificate in force for a name that is subscribed.
func (s *secrets) set(name string, certificate *tls.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.names[name]
	if held == nil {
		return
	}
	if held.certificate == nil {
		s.waiting--
		held.place = s.used.PushFront(held)
		close(held.answered)
	}
	held.certificate = certificate
	if s.used.Len() > heldNamesMax {
		s.drop(s.used.Back().Value.(*secret))
	}
}

// remove takes a name back: there is nothing for it, or no longer.
func (s *secrets) remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if held := s.names[name]; held != nil {
		s.drop(held)
	}
}

// drop forgets a name; the next handshake asks for it anew. s.mu is held.
func (s *secrets) drop(held *secret) {
	delete(s.names, held.name)
	if held.certificate != nil {
		s.used.Remove(held.place)
	} else {
		s.waiting--
		close(held.answered)
	}
	s.forget(held.name)
}

// hostLike admits what may be a host name. The names of other secrets have a slash, so no client can ask for one.
func hostLike(name string) bool {
	if name == "" || len(name) > sniBytesMax {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return true
}
