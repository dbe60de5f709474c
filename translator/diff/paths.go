package diff

import (
	"maps"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/model"
)

// freshElement is in no path of either side; see clean.
const freshElement = "~any"

// witnesses are paths such that every path which a request of a class may have comes to the same routes of both sides as one
// of them does.
//
// That these are enough: a path matches by three kinds, each of which compares a value with the path's beginning. Let v be
// the longest value of either side that the path begins with (there is one, since each begins with / and so does "/"). Every
// value that matches is v or a shorter one, which v begins with itself. Whether a shorter one matches depends on the byte
// behind it, which is a byte of v. So of the path nothing counts but v, and whether it ends there (exact, prefix and string
// prefix match), a slash follows (prefix and string prefix), or anything else (string prefix). These are value, value/~any
// and value~any: no value begins with one of the last two, as none has a ~any. value/ stands beside them because a rewrite
// or a redirect may end with the slash, and value.~any because nothing may follow a string prefix that is taken off and
// begins with a dot. Of a path that is under no value but "/" nothing counts either.
//
// Closed routes are also found by other spellings of their path, with parameters behind any element.
func witnesses(all ...level) []string {
	out := map[string]bool{}
	add := func(values ...string) {
		for _, v := range values {
			out[v] = true
		}
	}
	freshly := freshElement
	for containsValue(all, freshly) {
		freshly += "~"
	}
	add("/", "/"+freshly)
	for _, l := range all {
		for _, v := range l.views {
			value := v.path.Value
			bare := strings.TrimSuffix(value, "/")
			add(value, bare, bare+"/", bare+"/"+freshly, value+freshly)
			if v.path.Kind == model.PathStringPrefix {
				add(value + "." + freshly)
				if bare, stray := strings.CutSuffix(value, "%25"); stray {
					add(bare + "%C3%A9" + freshly)
				}
			}
			if v.closed || l.misdirected {
				add("/;x"+value, bare+";x", "/;x"+bare+"/"+freshly, bare+";x/"+freshly)
				if i := strings.LastIndexByte(bare, '/'); i > 0 {
					add(bare[:i] + ";x" + bare[i:])
				}
			}
		}
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(out)), func(path string) bool { return !strings.HasPrefix(path, "/") })
}

func containsValue(all []level, text string) bool {
	for _, l := range all {
		for _, v := range l.views {
			if strings.Contains(v.path.Value, text) {
				return true
			}
		}
	}
	return false
}
