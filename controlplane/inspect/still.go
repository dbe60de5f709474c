package inspect

import (
	"time"

	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/source"
)

// Still is a View of what would be served, which nobody has published and no proxy asks for. Its error is a fault of ours.
func Still(world source.World, result translator.Result, now time.Time) (View, error) {
	snapshot, err := controller.Snapshot(nil, result)
	if err != nil {
		return View{}, err
	}
	return View{Publication: controller.Publication{Snapshot: snapshot, World: world, Result: result}, At: now, Now: now}, nil
}
