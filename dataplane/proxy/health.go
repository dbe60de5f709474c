package proxy

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/postern-gateway/postern/dataplane/config"
)

var errAllEjected = errors.New("all of its endpoints have failed too often of late")

// A health is what is known of a cluster's endpoints by their answers: how many requests each has in flight, and which
// are ejected.
type health struct {
	outliers *config.Outliers // nil where none is ever ejected
	now      func() time.Time

	mu     sync.Mutex // guards what follows, contents too
	states map[netip.AddrPort]*endpointState
	next   time.Time // when the period ends
}

type endpointState struct {
	active        int
	total, failed uint64 // of the period
	ejected       bool
}

func newHealth(o *config.Outliers, now func() time.Time) *health {
	h := &health{outliers: o, now: now, states: map[netip.AddrPort]*endpointState{}}
	if o != nil {
		h.next = now().Add(o.Period)
	}
	return h
}

// state is that of an endpoint. h.mu is held.
func (h *health) state(e netip.AddrPort) *endpointState {
	s := h.states[e]
	if s == nil {
		s = &endpointState{}
		h.states[e] = s
	}
	return s
}

// keep forgets every endpoint but these: one that comes back is a new one.
func (h *health) keep(endpoints []netip.AddrPort) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for e := range h.states {
		if !slices.Contains(endpoints, e) {
			delete(h.states, e)
		}
	}
}

// usable are the endpoints that are not ejected.
func (h *health) usable(endpoints []netip.AddrPort) []netip.AddrPort {
	if h.outliers == nil {
		return endpoints
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sweep()
	return slices.DeleteFunc(slices.Clone(endpoints), func(e netip.AddrPort) bool {
		s := h.states[e]
		return s != nil && s.ejected
	})
}

// sweep ends the periods that are over. Nothing looks at an endpoint without it, so that no timer is needed. h.mu is held.
func (h *health) sweep() {
	now := h.now()
	for swept := 0; !now.Before(h.next); swept++ {
		if swept > 1 {
			// Whatever there was has been judged, and what was ejected is back.
			h.next = now
		}
		for _, s := range h.states {
			s.ejected = s.total > 0 && s.failed*100 >= h.outliers.Percent*s.total
			s.total, s.failed = 0, 0
		}
		h.next = h.next.Add(h.outliers.Period)
	}
}

// lighter is, of two endpoints that are drawn, the one with fewer requests in flight (Envoy's LEAST_REQUEST).
func (h *health) lighter(endpoints []netip.AddrPort) netip.AddrPort {
	a, b := endpoints[rand.IntN(len(endpoints))], endpoints[rand.IntN(len(endpoints))]
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state(b).active < h.state(a).active {
		return b
	}
	return a
}

// begin counts a request to an endpoint as in flight until the end that it returns.
func (h *health) begin(e netip.AddrPort) (end func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.state(e)
	s.active++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		s.active--
	}
}

// answered notes an answer of an endpoint by its status, 0 for none.
func (h *health) answered(e netip.AddrPort, status int) {
	if h.outliers == nil || status == 0 && !h.outliers.Connections {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sweep()
	s := h.state(e)
	s.total++
	if status == 0 || h.outliers.Fails(status) {
		s.failed++
	}
}
