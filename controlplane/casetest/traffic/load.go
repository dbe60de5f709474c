// Package traffic is what tests under load are made of: clients in closed loops that are counted, connections that must
// live on, and backends that leave as pods do.
package traffic

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// failuresKept bounds the failures of each kind that are told in words; all are counted.
	failuresKept = 5
	// thinkTime is what a client lets pass between two requests, so that a load is steady and leaves the machine some air.
	thinkTime = 4 * time.Millisecond
	// waitMax is a hang limit, not a measure.
	waitMax = 2 * time.Minute
)

// Client asks one request after the other; an error is a failed one. Those of one kind are counted together.
type Client struct {
	Kind string
	Ask  func() error
	// Restless is a client that makes no pause between its requests.
	Restless bool
}

// Load is clients that run until Stop.
type Load struct {
	stop    chan struct{}
	stopped sync.Once
	running sync.WaitGroup

	mu sync.Mutex
	// rounds, by client, and report are guarded by mu; moved is closed and replaced at every request.
	rounds []int64
	report Report
	moved  chan struct{}
}

// Report counts the requests of a Load.
type Report struct {
	// Asked and Failed are by kind.
	Asked, Failed map[string]int64
	// Words are the first failures of each kind, in the order in which they came.
	Words []string
}

// Start runs clients, each in a goroutine of its own.
func Start(clients ...Client) *Load {
	l := &Load{
		stop: make(chan struct{}), rounds: make([]int64, len(clients)), moved: make(chan struct{}),
		report: Report{Asked: map[string]int64{}, Failed: map[string]int64{}},
	}
	for i, c := range clients {
		l.running.Go(func() { l.run(i, c) })
	}
	return l
}

func (l *Load) run(i int, c Client) {
	tick := time.NewTicker(thinkTime)
	defer tick.Stop()
	for {
		l.count(i, c.Kind, c.Ask())
		pause := tick.C
		if c.Restless {
			pause = always
		}
		select {
		case <-l.stop:
			return
		case <-pause:
		}
	}
}

// always has nobody wait.
var always = func() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}()

func (l *Load) count(i int, kind string, failure error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rounds[i]++
	l.report.Asked[kind]++
	if failure != nil {
		if l.report.Failed[kind]++; l.report.Failed[kind] <= failuresKept {
			l.report.Words = append(l.report.Words, fmt.Sprintf("%s, request %d: %v", kind, l.report.Asked[kind], failure))
		}
	}
	close(l.moved)
	l.moved = make(chan struct{})
}

// Rounds returns when every client has begun and ended n requests more. Its error is a client that hangs.
func (l *Load) Rounds(n int64) error {
	deadline := time.After(waitMax)
	l.mu.Lock()
	goal := make([]int64, len(l.rounds))
	for i, r := range l.rounds {
		goal[i] = r + n + 1 // The one that is on its way has begun before.
	}
	l.mu.Unlock()
	for {
		l.mu.Lock()
		late := -1
		for i := range goal {
			if l.rounds[i] < goal[i] {
				late = i
			}
		}
		moved := l.moved
		l.mu.Unlock()
		if late < 0 {
			return nil
		}
		select {
		case <-moved:
		case <-deadline:
			return fmt.Errorf("client %d makes no %d requests within %s", late, n, waitMax)
		}
	}
}

// Stop lets the requests that are on their way end, and tells of all.
func (l *Load) Stop() Report {
	l.stopped.Do(func() { close(l.stop) })
	l.running.Wait()
	return l.report
}

// Total is the number of requests.
func (r Report) Total() int64 {
	var n int64
	for _, asked := range r.Asked {
		n += asked
	}
	return n
}

// String is the number of requests of each kind.
func (r Report) String() string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(r.Asked)) {
		parts = append(parts, fmt.Sprintf("%d %s", r.Asked[kind], kind))
	}
	return fmt.Sprintf("%d requests: %s", r.Total(), strings.Join(parts, ", "))
}

// Faults are what keeps a load from showing anything: requests that failed, and kinds of which fewer than least were made.
func (r Report) Faults(least int64) []string {
	var out []string
	for _, kind := range slices.Sorted(maps.Keys(r.Asked)) {
		if failed := r.Failed[kind]; failed > 0 {
			out = append(out, fmt.Sprintf("%d of %d requests failed: %s", failed, r.Asked[kind], kind))
		}
		if r.Asked[kind] < least {
			out = append(out, fmt.Sprintf("%d requests were made, want at least %d: %s", r.Asked[kind], least, kind))
		}
	}
	return append(out, r.Words...)
}

// Check fails the test for every fault, and logs what was asked.
func (r Report) Check(t testing.TB, least int64) {
	t.Helper()
	for _, fault := range r.Faults(least) {
		t.Error(fault)
	}
	t.Log(r)
}
