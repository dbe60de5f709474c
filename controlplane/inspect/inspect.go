// Package inspect is the window into what is served: pages for people and the same as JSON for programs, on an address of
// its own. It changes nothing.
package inspect

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/dataplane/failing"
	"github.com/postern-gateway/postern/translator/model"
)

// Config is what an Inspector looks at.
type Config struct {
	// Server is asked for the proxies and what they have accepted.
	Server *xds.Server
	// Failing gives the backends that failed requests lately; nil where nobody tells of them. It must not block.
	Failing func() Told
	// Replica is the name of this one among those of a control plane, empty where there is only one.
	Replica string
	// Options decide what is served.
	Options options.Options
	// Version is of the binary.
	Version string
	Log     *slog.Logger
}

// Inspector is a controller.Observer: it keeps the latest publications and answers questions about them.
type Inspector struct {
	config  Config
	now     func() time.Time
	process string

	// mu guards what follows.
	mu      sync.Mutex
	latest  *served
	ages    ages
	earlier []Moment
	// changed is closed and replaced whenever something that a page shows may be other than before.
	changed chan struct{}

	// replicas are asked too, where there are any. Serve sets it before anybody can ask.
	replicas *replicas

	pulses pulses
}

var _ controller.Observer = (*Inspector)(nil)

// New makes an Inspector that has seen nothing yet.
func New(c Config) *Inspector {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Inspector{config: c, now: time.Now, process: rand.Text(), changed: make(chan struct{})}
}

// Published implements controller.Observer.
func (i *Inspector) Published(p controller.Publication) {
	i.mu.Lock()
	defer i.mu.Unlock()
	// A rollout of pods must not push out what people want to compare.
	if i.latest != nil && !p.EndpointsOnly {
		i.earlier = keep(i.earlier, i.latest.moment())
	}
	p.Result.Gateway.Users = nameOnly(p.Result.Gateway.Users)
	i.latest = &served{Publication: p, at: i.now(), lazy: &lazyIndex{}}
	i.ages = i.ages.next(p, i.latest.at)
	i.broadcast()
}

// nameOnly are users without their lines. Whoever may look could otherwise try passwords by asking what becomes of a request
// that has one, as fast as the process can hash them.
func nameOnly(users []model.Users) []model.Users {
	out := slices.Clone(users)
	for i := range out {
		out[i].Entries = nil
	}
	return out
}

// Refused implements controller.Observer.
func (i *Inspector) Refused(string, xds.NACK) { i.Stir() }

// Stir says that something may be other than before which no publication and no proxy tells of.
func (i *Inspector) Stir() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.broadcast()
}

// broadcast is called with mu held.
func (i *Inspector) broadcast() {
	close(i.changed)
	i.changed = make(chan struct{})
}

// Changed is closed when something may be other than it is now.
func (i *Inspector) Changed() <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.changed
}

// View is what a page is made of, as of now. It is false before the first publication.
func (i *Inspector) View() (View, bool) {
	v, ok := i.published()
	if !ok {
		return View{}, false
	}
	// These take their time, in which Published does not wait.
	v.Proxies = i.config.Server.Proxies()
	if i.config.Failing != nil {
		v.Failing = map[string]failing.Failure{}
		v.own = i.config.Failing()
		v.Silent = v.own.Silent
		for _, f := range v.own.Failures {
			v.Failing[f.Cluster] = f
		}
	}
	v.Now = i.now()
	return v, true
}

// viewFor is a View for who looks, with what the other replicas know.
func (i *Inspector) viewFor(r *http.Request) (View, bool) {
	v, ok := i.View()
	if ok && i.replicas != nil && r.Header.Get(replicaHeader) == "" {
		v = v.beside(r.Context(), asking{i.replicas, r.Header.Get("Authorization")})
	}
	return v, ok
}

// published is what a View has of the publications.
func (i *Inspector) published() (View, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.latest == nil {
		return View{}, false
	}
	return View{
		Publication: i.latest.Publication, At: i.latest.at, Earlier: i.earlier, options: i.config.Options, replica: i.config.Replica, process: i.process, Version: i.config.Version, ages: i.ages, lazy: i.latest.lazy,
	}, true
}

// Handler answers every page.
func (i *Inspector) Handler() http.Handler { return i.routes() }
