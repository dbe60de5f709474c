package xds

import (
	"slices"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// Stats are the numbers of the ledger.
type Stats struct {
	// Revision is what is served, 0 before the first Publish.
	Revision Revision
	// Proxies are connected. Behind are those of them that have not answered all of Revision.
	Proxies, Behind int
	// Authorizers are the data planes' authorizers, which have streams of their own.
	Authorizers int
	// Types are those that are served, in the order in which they are sent.
	Types []TypeStats
}

// TypeStats is one type of the Stats.
type TypeStats struct {
	// Type is the last word of the type URL: Cluster.
	Type string
	// ACKs and NACKs count the answers since the process began, of streams that are gone too.
	ACKs, NACKs uint64
	// Sent are the resources that travelled, those that were taken back included, since the process began. Of a proxy that
	// was served by another process before, they are what is new to it.
	Sent uint64
	// Refused are the resources that stand refused now, counted for each proxy.
	Refused int
}

// answers counts the ACKs and NACKs of a type. Only types of sendOrder are counted, for a proxy may ask for others.
type answers struct{ acks, nacks uint64 }

func (a answers) plus(b answers) answers { return answers{a.acks + b.acks, a.nacks + b.nacks} }

// Stats takes no time that grows with the number of resources, unlike Proxies: a Publish may wait for it.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Stats{Revision: s.revision, Types: make([]TypeStats, len(sendOrder))}
	for i, typeURL := range sendOrder {
		was := s.answered[typeURL]
		out.Types[i] = TypeStats{Type: shortType(typeURL), ACKs: was.acks, NACKs: was.nacks, Sent: s.sent[typeURL]}
	}
	for st := range s.streams {
		authorizer := st.addTo(out.Types)
		switch {
		case !st.present:
		case authorizer:
			out.Authorizers++
		default:
			out.Proxies++
			if st.settled < s.revision {
				out.Behind++
			}
		}
	}
	return out
}

// addTo adds the counts of one stream to those of sendOrder, and says whether it is an authorizer's.
func (st *stream) addTo(types []TypeStats) (authorizer bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for i, typeURL := range sendOrder {
		if sub := st.state.subs[typeURL]; sub != nil {
			types[i].ACKs += sub.answered.acks
			types[i].NACKs += sub.answered.nacks
			types[i].Refused += len(sub.refused)
		}
	}
	return st.state.byName
}

// countSent counts what is about to be sent, so that whoever sees an answer sees it counted.
func (s *Server) countSent(responses []*discoveryv3.DeltaDiscoveryResponse) {
	if len(responses) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range responses {
		if slices.Contains(sendOrder, r.GetTypeUrl()) {
			s.sent[r.GetTypeUrl()] += uint64(len(r.GetResources()) + len(r.GetRemovedResources()))
		}
	}
}

// keepAnswers keeps the counts of a stream that ends; it is called with s.mu held.
func (s *Server) keepAnswers(st *stream) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, sub := range st.state.subs {
		if slices.Contains(sendOrder, sub.typeURL) {
			s.answered[sub.typeURL] = s.answered[sub.typeURL].plus(sub.answered)
		}
	}
}

// Size is how much of one type is in a snapshot.
type Size struct {
	// Type is the last word of the type URL.
	Type             string
	Resources, Bytes int
}

// Sizes has a Size for each type that is served, in the order in which they are sent; on-demand secrets are not counted.
func (s *Snapshot) Sizes() []Size {
	out := make([]Size, len(sendOrder))
	for i, typeURL := range sendOrder {
		out[i].Type = shortType(typeURL)
		for _, e := range s.set(typeURL).byName {
			out[i].Resources++
			out[i].Bytes += len(e.wire.GetResource().GetValue())
		}
	}
	return out
}
