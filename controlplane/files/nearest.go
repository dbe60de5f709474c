package files

import (
	"slices"
	"strings"
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
		if e := edits(strings.ToLower(k), strings.ToLower(name), bestEdits); e < bestEdits {
			best, bestEdits = k, e
		}
	}
	return best
}

// edits is how many letters must be put in, taken out, changed or swapped with their neighbour to make b of a; numbers
// of limit and more are all given as limit.
func edits(a, b string, limit int) int {
	if max(len(a)-len(b), len(b)-len(a)) >= limit {
		return limit
	}
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(row[j]+1, last[j+1]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return min(last[len(b)], limit)
}
