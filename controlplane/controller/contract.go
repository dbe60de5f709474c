// Package controller is the control plane of a cluster: it translates what a Source watches, keeps the last good version
// of what cannot be served, and publishes snapshots to the proxies.
package controller

import (
	"context"
	"time"

	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// Source watches the objects of one cluster or more.
type Source interface {
	// Run watches until ctx ends, which is no error.
	Run(ctx context.Context) error
	// Want names the Secrets and ConfigMaps that are referred to now: these are watched, others are forgotten. It does not
	// block.
	Want(model.References)
	// World is every object as it is known now. It is complete once every kind has been listed and every object that the
	// last Want named has been looked up, whether or not it exists.
	World() (w source.World, complete bool)
	// Changes has room for one value, which says that World is another than when it was last received.
	Changes() <-chan Change
}

// Change is what a Source tells of its World: everything that came since the last Change was received, as one.
type Change struct {
	// EndpointsOnly says that nothing but EndpointSlices is other than before.
	EndpointsOnly bool
	// At is when the first of it was seen.
	At time.Time
}

// Publication is a snapshot that is served from now on, and what it was made of.
type Publication struct {
	Revision xds.Revision
	Snapshot *xds.Snapshot
	// World is what was translated: where the last good version of an object serves on, that version.
	World  source.World
	Result translator.Result
	// EndpointsOnly says that only assignments are other than in the publication before.
	EndpointsOnly bool
	// Began is when the first change behind it was seen, Took how long translating it and making the snapshot took.
	Began time.Time
	Took  time.Duration
}

// Observer is told what the controller does, in one goroutine at a time. It must neither block nor write to what it is given.
type Observer interface {
	Published(Publication)
	// Refused is a NACK of a proxy. It may come from several goroutines at once.
	Refused(node string, nack xds.NACK)
}
