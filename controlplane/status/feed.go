package status

import (
	"sync"

	"github.com/postern-gateway/postern/controlplane/controller"
)

// feed is a queue with room for one: the newest publication stands for those before it, for every reader by itself.
type feed struct {
	mu     sync.Mutex
	newest *controller.Publication
	// changed is closed and replaced with every publication.
	changed chan struct{}
}

func newFeed() *feed { return &feed{changed: make(chan struct{})} }

func (f *feed) put(p *controller.Publication) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.newest = p
	close(f.changed)
	f.changed = make(chan struct{})
}

// get is the newest publication, nil before the first, and what is closed when there is a newer one.
func (f *feed) get() (*controller.Publication, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.newest, f.changed
}
