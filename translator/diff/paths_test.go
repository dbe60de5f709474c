package diff

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/translator/model"
)

// TestWitnessesCoverPaths: whatever the routes, every path comes to the same of them as one of the witnesses does.
func TestWitnessesCoverPaths(t *testing.T) {
	const tables, routesMax, pathsAsked = 2000, 6, 60
	elements := []string{"/", "/a", "/ab", "/b", "a", "b", "ab"}
	draw := func(r *rand.Rand) string {
		var b strings.Builder
		b.WriteByte('/')
		for range r.IntN(4) {
			b.WriteString(elements[r.IntN(len(elements))])
		}
		text := b.String()
		for strings.Contains(text, "//") {
			text = strings.ReplaceAll(text, "//", "/")
		}
		return text
	}
	for seed := range uint64(tables) {
		r := rand.New(rand.NewPCG(seed, 3))
		var all []model.Route
		for range 1 + r.IntN(routesMax) {
			path := model.PathMatch{Kind: model.PathKind(r.IntN(3)), Value: draw(r)}
			if path.Kind == model.PathPrefix {
				path = model.Prefix(path.Value)
			}
			all = append(all, model.Route{Path: path, Action: &model.Forward{}})
		}
		matching := func(path string) string {
			var out []string
			for _, route := range all {
				out = append(out, fmt.Sprint(route.Path.Matches(path)))
			}
			return strings.Join(out, " ")
		}
		covered := map[string]bool{}
		rs := reader{}.routes(all)
		for _, path := range witnesses(level{routes: rs}) {
			covered[matching(path)] = true
		}
		for range pathsAsked {
			path := draw(r)
			if !covered[matching(path)] {
				t.Errorf("seed %d: of %v no witness comes to what %s comes to", seed, all, path)
			}
			// The first that a path is said to come to is the first that matches.
			first := slices.IndexFunc(all, func(route model.Route) bool { return route.Path.Matches(path) })
			if taking := rs.taking(path); (first < 0) != (len(taking) == 0) || first >= 0 && taking[0] != first {
				t.Errorf("seed %d: %s comes to %v of %v, not to %d", seed, path, taking, all, first)
			}
		}
	}
}
