package up

import (
	"time"

	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/controlplane/inspect"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/dataplane/failing"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/source"
)

// translated is a world, what became of it, and when that began.
type translated struct {
	world  source.World
	result translator.Result
	began  time.Time
}

// inspect makes the xDS server, and what looks into it where that was asked for.
func (r *runner) inspect() {
	options := xds.Options{Log: r.log}
	if r.pages == nil {
		r.server = xds.New(options)
		return
	}
	options.OnNACK = func(node string, nack xds.NACK) { r.inspector.Refused(node, nack) }
	r.server = xds.New(options)
	r.failing = failing.New()
	r.inspector = inspect.New(inspect.Config{Server: r.server, Failing: func() inspect.Told { return inspect.Told{Failures: r.failing.Recent()} }, Options: r.config.Options, Version: r.config.Version, Log: r.log})
}

// published tells the inspector of what is served.
func (r *runner) published(snapshot *xds.Snapshot, revision xds.Revision, t translated) {
	if r.inspector == nil {
		return
	}
	r.inspector.Published(controller.Publication{
		Revision: revision, Snapshot: snapshot, World: t.world, Result: t.result, Began: t.began, Took: time.Since(t.began),
	})
}
