package live

import (
	"bytes"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/postern-gateway/postern/controlplane/casetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const cases = "../../../translator/testdata"

// TestNoDataPlaneSeesOrigins: what is served here lacks the metadata that tells of origins, and the translator's has it.
// So a data plane that acted on it would fail its cases.
func TestNoDataPlaneSeesOrigins(t *testing.T) {
	told := false
	for _, c := range casetest.Load(t, cases) {
		results, err := c.Translate()
		if err != nil {
			t.Fatal(err)
		}
		h := newPlace(c, &errgroup.Group{})
		for _, r := range results[0].Resources {
			m, err := h.localise(r)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(marshal(t, m), []byte(originsKey)) {
				t.Errorf("%s: %s %s still tells of origins", c.Name, r.TypeURL, r.Name)
			}
			told = told || bytes.Contains(marshal(t, r.Message), []byte(originsKey))
		}
		h.farm.close()
		if err := h.farm.group.Wait(); err != nil {
			t.Error(err)
		}
	}
	if !told {
		t.Errorf("no resource of the translator has the key %s: is it still called so?", originsKey)
	}
}

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
