// Package laws holds what must be true of every world, judged by a real Envoy.
package laws

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/mutate"
)

const cases = "../../translator/testdata"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// firstMutant is the first seed of mutants. The laws of package translator use the low seeds; these add to them.
const firstMutant = 1000

// mutants are n broken worlds of a case, translated. Each seed gives its own, whatever the machine.
func mutants(t *testing.T, c *casetest.Case, n int) []translator.Result {
	t.Helper()
	world, settings := c.World(t)
	out := make([]translator.Result, n)
	for i := range out {
		out[i] = translator.Translate(mutate.World(world, uint64(firstMutant+i)), settings)
	}
	return out
}
