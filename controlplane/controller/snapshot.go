package controller

import (
	"fmt"

	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator"
)

// Snapshot makes what the xDS server publishes of a translation; what is not other than in the snapshot before, which may
// be nil, is taken over. Its error is a resource of ours that is none.
func Snapshot(before *xds.Snapshot, result translator.Result) (*xds.Snapshot, error) {
	resources := make([]xds.Resource, len(result.Resources))
	for i, r := range result.Resources {
		resources[i] = xds.Resource{TypeURL: r.TypeURL, Name: r.Name, Message: r.Message, Origins: r.Origins}
	}
	snapshot, err := before.Next(resources, result.Secret)
	if err != nil {
		return nil, fmt.Errorf("make a snapshot: %w", err)
	}
	return snapshot, nil
}
