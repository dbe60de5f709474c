// Package names keeps names outside of the cluster resolved, for the translator, which asks nobody by itself. What may be
// done with an address is the translator's to say: here nothing is filtered.
//
// Names are asked for whole, A and AAAA, at the servers that are given or that the system names; neither search lists nor
// /etc/hosts count. An answer is used for its time to live. docs/operate/external-names.md says what happens without one.
package names

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/postern-gateway/postern/translator/source"
)

const (
	// namesMax is how many names are kept resolved.
	namesMax = 1000
	// askingMax is how many are asked for at a time.
	askingMax = 16
	// gatherTime is how long a change waits for others: many names that answer together are one change.
	gatherTime = 50 * time.Millisecond
)

// Options say whom to ask.
type Options struct {
	// Servers gives the DNS servers, in the order in which they are asked; nil takes SystemServers. It is called for each
	// lookup, as a laptop changes its network.
	Servers func() ([]netip.AddrPort, error)
	// TTLMin takes the place of the 5 seconds for which an answer is used at least; 0 leaves it.
	TTLMin time.Duration
}

// Resolver keeps names resolved. Want may be called from any goroutine, Run once.
type Resolver struct {
	ttlMin time.Duration
	look   func(ctx context.Context, name string) lookup
	// wake has room for one.
	wake chan struct{}

	mu sync.Mutex
	// wanted is guarded by mu.
	wanted []string
}

// New makes a Resolver that wants nothing yet.
func New(o Options) *Resolver {
	c := client{servers: o.Servers}
	if c.servers == nil {
		c.servers = SystemServers
	}
	return &Resolver{ttlMin: cmp.Or(o.TTLMin, ttlMin), look: c.look, wake: make(chan struct{}, 1)}
}

// look asks for both families at once.
func (c client) look(ctx context.Context, name string) lookup {
	var l lookup
	var both sync.WaitGroup
	for f, kind := range [families]dnsmessage.Type{family4: dnsmessage.TypeA, family6: dnsmessage.TypeAAAA} {
		both.Go(func() { l.answers[f], l.errs[f] = c.ask(ctx, name, kind) })
	}
	both.Wait()
	return l
}

// Want says which names are to be kept resolved from now on; others are forgotten. Names are in lower case without a dot
// at their end.
func (r *Resolver) Want(wanted []string) {
	r.mu.Lock()
	r.wanted = slices.Clone(wanted)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// result is what came of one lookup.
type result struct {
	name   string
	lookup lookup
}

// Run resolves until ctx ends. It calls onChange, always from the same goroutine, with what is known of every name that
// was asked for, sorted by name, each time that any of it changes.
func (r *Resolver) Run(ctx context.Context, onChange func([]source.ResolvedName)) {
	ctx, cancel := context.WithCancel(ctx)
	var lookups sync.WaitGroup
	defer lookups.Wait()
	defer cancel()
	k := keeper{entries: map[string]*entry{}}
	results := make(chan result)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		k.want(r.latest(), now)
		for _, name := range k.start(now) {
			lookups.Go(func() {
				l := r.look(ctx, name)
				select {
				case results <- result{name, l}:
				case <-ctx.Done():
				}
			})
		}
		if k.ripe(now) {
			k.changed = time.Time{}
			onChange(k.resolved())
		}
		timer.Reset(k.next(time.Now()))
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
		case got := <-results:
			k.take(got, time.Now(), r.ttlMin)
		}
	}
}

// latest is what Want said last.
func (r *Resolver) latest() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wanted
}

// keeper is the state of Run.
type keeper struct {
	entries map[string]*entry
	// left are the names beyond namesMax.
	left   []string
	asking int
	// changed is when the first change came that was not told yet, zero where all were.
	changed time.Time
}

// want takes new names in and drops those that are wanted no more.
func (k *keeper) want(wanted []string, now time.Time) {
	wanted = slices.Sorted(slices.Values(wanted))
	kept := wanted[:min(len(wanted), namesMax)]
	left := wanted[len(kept):]
	if !slices.Equal(left, k.left) {
		k.left = left
		k.note(now)
	}
	for _, name := range kept {
		if k.entries[name] == nil {
			k.entries[name] = &entry{name: name, due: now}
		}
	}
	for name := range k.entries {
		if _, still := slices.BinarySearch(kept, name); !still {
			delete(k.entries, name)
			k.note(now)
		}
	}
}

// note has a change told once it is ripe.
func (k *keeper) note(now time.Time) {
	if k.changed.IsZero() {
		k.changed = now
	}
}

// start are the names to be asked for now, those that have waited longest first.
func (k *keeper) start(now time.Time) []string {
	var due []*entry
	for _, e := range k.entries {
		if !e.asking && !e.due.After(now) {
			due = append(due, e)
		}
	}
	slices.SortFunc(due, func(a, b *entry) int { return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.name, b.name)) })
	var out []string
	for _, e := range due[:min(len(due), max(0, askingMax-k.asking))] {
		e.asking = true
		k.asking++
		out = append(out, e.name)
	}
	return out
}

func (k *keeper) take(got result, now time.Time, shortest time.Duration) {
	k.asking--
	e := k.entries[got.name]
	if e == nil {
		return // It is wanted no more.
	}
	before, known := e.resolved(), e.asked
	e.asking = false
	e.take(got.lookup, now, shortest)
	if !known || !same(before, e.resolved()) {
		k.note(now)
	}
}

// ripe says whether what has changed is to be told: when nothing is being asked for that might change too, or after
// gatherTime.
func (k *keeper) ripe(now time.Time) bool {
	return !k.changed.IsZero() && (k.asking == 0 || now.Sub(k.changed) >= gatherTime)
}

// next is the time to wait where nothing else happens.
func (k *keeper) next(now time.Time) time.Duration {
	wait := ttlMax
	for _, e := range k.entries {
		// While all lookups are taken, the end of one is what is waited for.
		if !e.asking && k.asking < askingMax {
			wait = min(wait, e.due.Sub(now))
		}
	}
	if !k.changed.IsZero() {
		wait = min(wait, k.changed.Add(gatherTime).Sub(now))
	}
	return max(wait, 0)
}

// resolved is what is known of the names.
func (k *keeper) resolved() []source.ResolvedName {
	var out []source.ResolvedName
	for _, name := range slices.Sorted(maps.Keys(k.entries)) {
		if e := k.entries[name]; e.asked {
			out = append(out, e.resolved())
		}
	}
	for _, name := range k.left {
		out = append(out, source.ResolvedName{Name: name, Fault: fmt.Sprintf("more than %d names are to be resolved, and this one is beyond them", namesMax)})
	}
	return out
}
