package names

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/postern-gateway/postern/translator/source"
)

const (
	// ttlMin and ttlMax bound how long an answer is used, whatever its time to live: a name whose records live for no time
	// must not be asked for all the time, and a mistake must not last for days.
	ttlMin = 5 * time.Second
	ttlMax = time.Hour
	// retryMin is the wait after a failed lookup; it doubles with each one up to retryMax.
	retryMin = time.Second
	retryMax = time.Minute
	// goneKept is how long a name that was good, and of which DNS now says that it does not exist or has no address, keeps
	// its addresses: a zone that is published anew may be gone for a moment.
	goneKept = 30 * time.Second
	// staleMax is how long addresses are kept while no server answers (RFC 8767, 5: one to three days at most). After that
	// they may be anybody's.
	staleMax = 24 * time.Hour
)

// The families of addresses, each asked for by itself.
const (
	family4 = iota
	family6
	families
)

// lookup is what came of asking for a name: for each family an answer or an error.
type lookup struct {
	answers [families]answer
	errs    [families]error
}

// entry is what is known of one name.
type entry struct {
	name string
	// good are the last good answers; at is when each was.
	good [families]answer
	at   [families]time.Time
	// fault is why the last lookup was no good, empty where it was.
	fault string
	// failures counts the failed lookups since the last good one; gone is when the first of them said that the name does
	// not exist, zero where none did.
	failures int
	gone     time.Time
	// due is when it is asked for next; asked says that it was at all, asking that it is just now.
	due    time.Time
	asked  bool
	asking bool
}

// take notes what came of a lookup and decides when the next one is due. A family without an answer keeps its last good
// one: servers that fail for AAAA alone are common, and not the A records' fault.
func (e *entry) take(l lookup, now time.Time, shortest time.Duration) {
	e.asked = true
	none, some, ttl := false, false, ttlMax
	var err error
	for f := range families {
		switch a := l.answers[f]; {
		case l.errs[f] != nil:
			err = cmp.Or(err, l.errs[f])
		case a.none:
			none = true
		case len(a.addresses) > 0:
			some, ttl = true, min(ttl, a.ttl)
		}
	}
	if some {
		for f := range families {
			if l.errs[f] == nil {
				e.good[f], e.at[f] = l.answers[f], now
			}
		}
		e.fault, e.failures, e.gone = "", 0, time.Time{}
		ttl = max(ttl, shortest)
		// Early by up to a tenth, so that names that were asked for together drift apart.
		e.due = now.Add(ttl - time.Duration(rand.Int64N(int64(ttl)/10+1)))
		e.expire(now)
		return
	}
	switch {
	case none:
		e.fault = "there is no such name"
	case err != nil:
		e.fault = err.Error()
	default:
		e.fault = "it has no address"
	}
	if e.gone.IsZero() && (none || err == nil) {
		e.gone = now
	}
	e.due = now.Add(backoff(e.failures))
	e.failures++
	e.expire(now)
}

// backoff is the wait after a number of failures before: doubled each time, and a quarter more or less.
func backoff(failures int) time.Duration {
	wait := retryMin << min(failures, 10)
	wait = min(wait, retryMax)
	return wait*3/4 + time.Duration(rand.Int64N(int64(wait)/2+1))
}

// expire drops the addresses that were kept for too long.
func (e *entry) expire(now time.Time) {
	for f := range families {
		stale := now.Sub(e.at[f]) >= staleMax
		if gone := !e.gone.IsZero() && now.Sub(e.gone) >= goneKept; gone || stale {
			e.good[f] = answer{}
		}
	}
}

// resolved is the entry as the translator reads it.
func (e *entry) resolved() source.ResolvedName {
	out := source.ResolvedName{Name: e.name, Fault: e.fault}
	for _, a := range e.good {
		out.Addresses = append(out.Addresses, a.addresses...)
		for _, alias := range a.aliases {
			if !slices.Contains(out.Aliases, alias) {
				out.Aliases = append(out.Aliases, alias)
			}
		}
	}
	// Servers turn the order of records round; the set is what counts.
	slices.SortFunc(out.Addresses, netip.Addr.Compare)
	out.Addresses = slices.Compact(out.Addresses)
	return out
}

// same says whether two answers of a name mean the same.
func same(a, b source.ResolvedName) bool {
	return a.Name == b.Name && a.Fault == b.Fault && slices.Equal(a.Addresses, b.Addresses) && slices.Equal(a.Aliases, b.Aliases)
}
