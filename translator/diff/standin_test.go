package diff_test

import (
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest/worlds"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diff"
)

// TestStandIns: of random worlds without their Services nothing is absent once they have stand-ins; and with stand-ins for
// known Services they are the worlds that they were.
func TestStandIns(t *testing.T) {
	compared := 0
	for seed := range uint64(60) {
		w := worlds.Draw(seed, worlds.DrawSettings(seed))
		world, settings := read(t, w)
		whole := translator.Translate(world, settings)
		bare := world
		bare.Services = nil
		if left := translator.Translate(translator.WithStandIns(bare, settings, nil), settings).Absent.Ports; len(left) > 0 {
			t.Errorf("seed %d: %+v are absent", seed, left)
		}
		if len(whole.Absent.Ports) > 0 {
			continue // What was absent before has a stand-in, too.
		}
		compared++
		again := translator.Translate(translator.WithStandIns(bare, settings, world.Services), settings)
		if report := diff.Compare(diff.Side{Gateway: whole.Gateway}, diff.Side{Gateway: again.Gateway}); report.Different() {
			t.Errorf("seed %d: it is another world with the Services that are known:\n%s", seed, report.Text())
		}
	}
	if compared < 10 {
		t.Errorf("only %d worlds were compared", compared)
	}
}
