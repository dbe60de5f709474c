package proxy

import (
	"context"
	"time"
)

// drainLook is how often a draining proxy looks whether the last connection is gone.
const drainLook = 20 * time.Millisecond

// Drain takes no new connection, has every answer end its own, and returns when the last is gone or ctx ends. What is
// configured meanwhile holds for the requests that still come.
func (p *Proxy) Drain(ctx context.Context) {
	p.mu.Lock()
	p.draining.Store(true)
	for _, e := range p.edges {
		e.listener.Close()
	}
	p.mu.Unlock()
	ticker := time.NewTicker(drainLook)
	defer ticker.Stop()
	for p.connections.Load() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
