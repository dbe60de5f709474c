// Package failing remembers which clusters have failed requests lately, and why.
package failing

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

const (
	// Path is where the process of a data plane answers with a list of Failure, at its health port.
	Path = "/failing"
	// PortKey is the key in a node's metadata of that port.
	PortKey = "postern.dev/health-port"

	// Lately is how long a failure is told of. No plane says when a cluster is well again: nobody may ask it.
	Lately = 2 * time.Minute
	// clustersMax bounds the clusters that are remembered; then that whose last failure is oldest is forgotten.
	clustersMax = 1000
)

// Failure is a cluster that failed requests lately.
type Failure struct {
	Cluster string `json:"cluster"`
	// Reason is why the last of them failed, in the data plane's words, which hold nothing that a client sent.
	Reason string `json:"reason"`
	// Count is how many failed, for whatever reason, from First to Last.
	Count int       `json:"count"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

// Ledger is what one data plane has seen fail. A nil Ledger remembers nothing.
type Ledger struct {
	now func() time.Time

	mu       sync.Mutex
	clusters map[string]Failure // guarded by mu
}

// New makes an empty Ledger.
func New() *Ledger { return &Ledger{now: time.Now, clusters: map[string]Failure{}} }

// Add notes a failed request. It does not block.
func (l *Ledger) Add(cluster, reason string) {
	if l == nil {
		return
	}
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	f, known := l.clusters[cluster]
	if !known && len(l.clusters) >= clustersMax {
		delete(l.clusters, oldest(l.clusters))
	}
	if !known || now.Sub(f.Last) > Lately {
		f = Failure{Cluster: cluster, First: now}
	}
	f.Reason, f.Last = reason, now
	f.Count++
	l.clusters[cluster] = f
}

func oldest(clusters map[string]Failure) string {
	var first Failure
	for _, f := range clusters {
		if first.Cluster == "" || compare(f, first) < 0 {
			first = f
		}
	}
	return first.Cluster
}

func compare(a, b Failure) int {
	return cmp.Or(a.Last.Compare(b.Last), cmp.Compare(a.Cluster, b.Cluster))
}

// Recent are the clusters that failed lately, sorted by name.
func (l *Ledger) Recent() []Failure {
	out := []Failure{}
	if l == nil {
		return out
	}
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for cluster, f := range l.clusters {
		if now.Sub(f.Last) > Lately {
			delete(l.clusters, cluster)
			continue
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b Failure) int { return cmp.Compare(a.Cluster, b.Cluster) })
	return out
}

// Merge is what several data planes have seen, as one: of each cluster the latest words, and all counts.
func Merge(seen ...[]Failure) []Failure {
	merged := map[string]Failure{}
	for _, f := range slices.Concat(seen...) {
		m, known := merged[f.Cluster]
		if !known {
			merged[f.Cluster] = f
			continue
		}
		if f.Last.After(m.Last) {
			m.Reason, m.Last = f.Reason, f.Last
		}
		if f.First.Before(m.First) {
			m.First = f.First
		}
		m.Count += f.Count
		merged[f.Cluster] = m
	}
	out := make([]Failure, 0, len(merged))
	for _, f := range merged {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b Failure) int { return cmp.Compare(a.Cluster, b.Cluster) })
	return out
}
