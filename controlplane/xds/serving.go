package xds

import (
	"context"

	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
)

// WaitServing returns when at least one proxy that has listeners has answered all that rev, or a newer revision, has for
// it; an authorizer is none. The error is the context's.
func (s *Server) WaitServing(ctx context.Context, rev Revision) error {
	return s.await(ctx, func() bool {
		for st := range s.streams {
			if st.present && st.settled >= rev && st.takesListeners() {
				return true
			}
		}
		return false
	})
}

func (st *stream) takesListeners() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	sub := st.state.subs[resource.ListenerType]
	return sub != nil && sub.asked
}
