package inspect

import (
	"strings"
	"sync"
	"time"
)

const (
	// failuresMax is how many backends are remembered for their failures, failureWordsMax how many bytes of the words of each.
	failuresMax     = 1000
	failureWordsMax = 1000
	// failureKept is how long a failure is told after it was seen last. A data plane tells when a backend begins to fail and
	// when its reason changes, and nobody tells when it has recovered.
	failureKept = 15 * time.Minute
)

// Failure is what a data plane says of requests to a backend that failed.
type Failure struct {
	// Words are the data plane's, of the last failure.
	Words string `json:"words"`
	// Since is when the first of these failures was seen, Last when the last was.
	Since time.Time `json:"since"`
	Last  time.Time `json:"last"`
}

// FailureSource knows which backends failed of late, by name. postern up has one, since its data plane is in the process or
// beside it. A control plane in a cluster has none: its data planes tell it nothing but what xDS has words for.
type FailureSource interface {
	Failures() map[string]Failure
}

// FailureLog is a FailureSource that is told of each failure.
type FailureLog struct {
	now func() time.Time

	mu   sync.Mutex
	seen map[string]Failure // guarded by mu
}

// NewFailureLog makes a log that knows of no failure.
func NewFailureLog() *FailureLog {
	return &FailureLog{now: time.Now, seen: map[string]Failure{}}
}

// Add notes that a backend failed. Of too many, the one that failed longest ago is forgotten.
func (l *FailureLog) Add(backend, words string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if len(words) > failureWordsMax {
		words = strings.ToValidUTF8(words[:failureWordsMax], "") + "…"
	}
	f, known := l.seen[backend]
	if !known || now.Sub(f.Last) > failureKept {
		f.Since = now
	}
	f.Words, f.Last = words, now
	if !known && len(l.seen) >= failuresMax {
		oldest, first := "", true
		for name, other := range l.seen {
			if first || other.Last.Before(l.seen[oldest].Last) {
				oldest, first = name, false
			}
		}
		delete(l.seen, oldest)
	}
	l.seen[backend] = f
}

// Failures implements FailureSource.
func (l *FailureLog) Failures() map[string]Failure {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	out := map[string]Failure{}
	for name, f := range l.seen {
		if now.Sub(f.Last) > failureKept {
			delete(l.seen, name)
			continue
		}
		out[name] = f
	}
	return out
}
