package inspect

import (
	"time"

	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/dataplane/failing"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

const (
	// momentsMax is how many earlier publications are kept to be compared, momentRoutesMax how many routes all of them may
	// have together: models share nothing, and 10,000 Ingresses take megabytes.
	momentsMax      = 20
	momentRoutesMax = 50_000
)

// Moment is a publication that was served before, as far as it is asked about.
type Moment struct {
	Revision    xds.Revision
	At          time.Time
	Gateway     model.Gateway
	Diagnostics []diag.D
}

// View is everything that pages are made of, at one time. It is immutable.
type View struct {
	// Publication is what is served, At when it was published.
	controller.Publication
	At time.Time
	// Earlier are the publications before it that are still kept, the oldest first. Of a row of those that differ in
	// endpoints only the last is there.
	Earlier []Moment
	// Proxies are those that are connected to this replica of the control plane, Others the other replicas.
	Proxies []xds.ProxyState
	Others  []Replica
	// Failing are the backends that failed requests lately, by the name of the Backend.
	Failing map[string]failing.Failure
	// Silent are the proxies that do not say which backends fail, each with why.
	Silent  map[string]string
	Now     time.Time
	Version string
	options options.Options
	// replica and process are of this one, own is what its own proxies said.
	replica, process string
	own              Told
	// asking asks the other replicas; without them there is nobody to ask.
	asking asking
	ages   ages
	// lazy has the index, which is made for the first page that needs it; nil makes one each time.
	lazy *lazyIndex
}

// served is a publication and when it was.
type served struct {
	controller.Publication
	at   time.Time
	lazy *lazyIndex
}

// moment is what is kept of a publication once another is served.
func (s served) moment() Moment {
	return Moment{Revision: s.Revision, At: s.at, Gateway: s.Result.Gateway, Diagnostics: s.Result.Diagnostics}
}

// keep adds a moment, and forgets the oldest ones beyond the bounds.
func keep(moments []Moment, next Moment) []Moment {
	out := append(moments[:len(moments):len(moments)], next)
	routes := 0
	for i := len(out) - 1; i >= 0; i-- {
		routes += countRoutes(out[i].Gateway)
		if routes > momentRoutesMax || len(out)-i > momentsMax {
			return out[i+1:]
		}
	}
	return out
}

func countRoutes(g model.Gateway) int {
	n := 0
	for _, t := range g.Tables {
		n += len(t.Any) + len(t.Default)
		for _, h := range t.Exact {
			n += len(h.Routes)
		}
		for _, h := range t.Wildcard {
			n += len(h.Routes)
		}
	}
	return n
}
