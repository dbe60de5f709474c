package files

import (
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// inboxNamesMax is how many names wait to be looked at; beyond it everything is looked at.
const inboxNamesMax = 10_000

// inbox takes events as they come, so that the system's own queue stays empty while a Change is worked on.
type inbox struct {
	clock clock
	// wake receives when there is something to take.
	wake chan struct{}

	mu  sync.Mutex
	bag mailbag // Guarded by mu.
}

// mailbag is the events since the last look.
type mailbag struct {
	// names are what the events are about, and when the first of each came in.
	names map[string]time.Time
	// first is when the first of all came in.
	first time.Time
	// overflow means that names are missing.
	overflow bool
}

func newInbox(c clock) *inbox {
	return &inbox{clock: c, wake: make(chan struct{}, 1)}
}

// fill takes events until the notifier is closed.
func (b *inbox) fill(notifier *fsnotify.Watcher) {
	for {
		select {
		case event, ok := <-notifier.Events:
			if !ok {
				return
			}
			if event.Op != fsnotify.Chmod {
				b.put(filepath.Clean(event.Name))
			}
		case _, ok := <-notifier.Errors:
			if !ok {
				return
			}
			b.put("") // Events were lost, whatever the error.
		}
	}
}

// put takes a name; an empty one stands for all.
func (b *inbox) put(name string) {
	now := b.clock.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bag.names == nil {
		b.bag = mailbag{names: map[string]time.Time{}, first: now}
	}
	switch {
	case name == "" || len(b.bag.names) >= inboxNamesMax:
		b.bag.overflow = true
	default:
		if _, ok := b.bag.names[name]; !ok {
			b.bag.names[name] = now
		}
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *inbox) take() mailbag {
	b.mu.Lock()
	defer b.mu.Unlock()
	bag := b.bag
	b.bag = mailbag{}
	return bag
}
