package live

import (
	"context"

	"github.com/postern-gateway/postern/dataplane"
)

// Go is the second judge: the Go data plane, in this process.
var Go = court("go", func(ctx context.Context, p plane) error {
	return dataplane.Run(ctx, dataplane.Options{
		Target: "unix://" + p.socket, NodeID: "case", Cluster: "cases", Log: p.log, Ready: p.ready,
	})
})
