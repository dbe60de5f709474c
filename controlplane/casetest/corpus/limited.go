package corpus

import (
	"strings"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/translator/model"
)

// closedIngress is the name of the world's Ingress whose routes are closed.
const closedIngress = "closed"

// insiders are peers and clients that no request of the corpus comes from, nor says that it comes from.
const insiders = "198.51.100.0/24"

// limits are annotations that keep everyone out of the closed routes but insiders. Such routes are served, so that it is
// their own match which must stand, and what is closed behind it.
var limits = map[string]map[string]string{
	"peers":   {"ingress.kubernetes.io/whitelist-source-range": insiders},
	"clients": {"ingress.kubernetes.io/whitelist-source-range": insiders, "ingress.kubernetes.io/whitelist-x-forwarded-for": "true"},
}

// RunLimited sends the corpus to a data plane in the same world, but that the closed routes are open to insiders: those
// with a path are asked under every value of --escaped-slashes. Only what must never be is looked for.
func RunLimited(t *testing.T, dir string, court casetest.Court) {
	requests, err := parse(dir)
	if err != nil {
		t.Fatal(err)
	}
	restricted, err := restrictions(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, annotations := range limits {
		t.Run(name, func(t *testing.T) {
			ask(t, everySlashes(requests), func(r request) casetest.Wire { return openLimited(t, dir, court, r, annotations) }, restricted)
		})
	}
}

// everySlashes has requests that differ by their path only under each value of --escaped-slashes.
func everySlashes(requests []request) []request {
	var out []request
	for _, r := range requests {
		if !strings.HasPrefix(r.form, "GET {}") {
			out = append(out, r)
			continue
		}
		for _, slashes := range []model.EscapedSlashes{model.SlashesRedirect, model.SlashesForward, model.SlashesReject, model.SlashesKeep} {
			r.slashes = slashes
			out = append(out, r)
		}
	}
	return out
}
