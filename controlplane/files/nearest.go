package files

import (
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
)

// editsMax is how many letters may be wrong in a name for it to be taken for a misspelt one.
const editsMax = 2

// renamed are fields that became others between the versions of Ingress: the commonest mistake in old manifests that
// were given a new apiVersion by hand, and the other way round.
var renamed = map[string]string{
	"serviceName":    "service.name",
	"servicePort":    "service.port.number or service.port.name",
	"backend":        "defaultBackend",
	"defaultBackend": "backend",
	"service":        "serviceName and servicePort",
}

// nearest is the known name that was probably meant, or empty.
func nearest[V any](name string, known map[string]V) string {
	if to, ok := renamed[name]; ok {
		first, _, _ := strings.Cut(to, ".")
		first, _, _ = strings.Cut(first, " ")
		if _, ok := known[first]; ok {
			return to
		}
	}
	names := make([]string, 0, len(known))
	for k := range known {
		names = append(names, k)
	}
	slices.Sort(names)
	best, bestEdits := "", min(editsMax, len(name)/3)+1
	for _, k := range names {
		if strings.EqualFold(k, name) {
			return k
		}
		if e := diag.Distance(strings.ToLower(k), strings.ToLower(name)); e < bestEdits {
			best, bestEdits = k, e
		}
	}
	return best
}
