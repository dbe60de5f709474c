package live

import (
	"context"

	"github.com/postern-gateway/postern/dataplane/envoyproc"
)

// Envoy is the third judge: a fresh Envoy for each case. envoyproc.Find must find one.
var Envoy = court("envoy", func(ctx context.Context, p plane) error {
	return envoyproc.Run(ctx, envoyproc.Config{
		Folder: p.folder, XDSSocket: p.socket, NodeID: "case", NodeCluster: "cases", Concurrency: 1, OnReady: p.ready,
	}, p.log)
})
