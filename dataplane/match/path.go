package match

import (
	"strings"

	"github.com/postern-gateway/postern/dataplane/config"
)

// A Verdict is what becomes of a request for its path alone.
type Verdict int

// Pass goes on to the routes; Redirect answers 307 to the normalised path; Reject answers 400.
const (
	Pass Verdict = iota
	Redirect
	Reject
)

const upperHex = "0123456789ABCDEF"

// Normalize gives the path and query of a request target as Envoy 1.40 leaves them with normalize_path, merge_slashes
// and path_with_escaped_slashes_action: escaped slashes (%2f, %5c) are kept, refused, or decoded and maybe answered by
// a redirect; backslashes are slashes; escapes of unreserved characters are decoded; dot segments, escaped or not, are
// resolved; runs of slashes become one. The query is left as it is. Measured on the binary: see TestNormalize.
func Normalize(target string, slashes config.EscapedSlashes) (string, Verdict) {
	if target == "" || target[0] != '/' || strings.IndexByte(target, '#') >= 0 || !visible(target) {
		return "", Reject
	}
	path, query := target, ""
	if i := strings.IndexByte(target, '?'); i >= 0 {
		path, query = target[:i], target[i:]
	}
	if plain(path) {
		return target, Pass
	}
	verdict := Pass
	if unescaped := unescapeSlashes(path); unescaped != path && slashes != config.KeepUnchanged {
		switch slashes {
		case config.RejectRequest:
			return "", Reject
		case config.UnescapeAndRedirect:
			verdict = Redirect
		}
		path = unescaped
	}
	canonical, ok := canonicalize(dropDotParameters(path))
	if !ok {
		return "", Reject
	}
	return mergeSlashes(canonical) + query, verdict
}

// visible reports whether the target has only the characters that may stand in a request line.
func visible(target string) bool {
	for i := range len(target) {
		if target[i] <= ' ' || target[i] >= 0x7f {
			return false
		}
	}
	return true
}

// plain reports whether normalisation would leave the path as it is: most paths are, and are not copied.
func plain(path string) bool {
	for i := range len(path) {
		switch c := path[i]; {
		case c == '%' || c == '\\' || escaped(c):
			return false
		case i > 0 && (c == '/' || c == '.') && path[i-1] == '/': // a dot segment, or maybe one
			return false
		}
	}
	return true
}

var slashes = strings.NewReplacer("%2f", "/", "%2F", "/", "%5c", `\`, "%5C", `\`)

func unescapeSlashes(path string) string { return slashes.Replace(path) }

// dropDotParameters makes "/..;x/" a plain "/../", which it is to some backends. Only a bare dot counts, and only a
// slash ends the segment.
func dropDotParameters(path string) string {
	if !strings.Contains(path, ".;") {
		return path
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if dots, _, found := strings.Cut(s, ";"); found && (dots == "." || dots == "..") {
			segments[i] = dots
		}
	}
	return strings.Join(segments, "/")
}

// canonicalize resolves dot segments and normalises escapes. It fails on an escaped NUL.
func canonicalize(path string) (string, bool) {
	out := make([]byte, 0, len(path))
	for i := 0; i < len(path); {
		if n, up := dotSegment(path, i, out); n > 0 {
			if up {
				out = parent(out)
			}
			i += n
			continue
		}
		c := path[i]
		switch value, isEscape := unescape(path[i:]); {
		case isEscape && value == 0:
			return "", false
		case isEscape && unreserved(value):
			out = append(out, value)
			i += 3
			continue
		case c == '\\':
			out = append(out, '/')
		case escaped(c):
			out = append(out, '%', upperHex[c>>4], upperHex[c&15])
		default:
			out = append(out, c)
		}
		i++
	}
	return string(out), true
}

// dotSegment tells how many bytes of path from i on are a segment "." or "..", with the slash that ends it, in any
// spelling; 0 where they are no such segment.
func dotSegment(path string, i int, out []byte) (n int, up bool) {
	if len(out) == 0 || out[len(out)-1] != '/' {
		return 0, false
	}
	first := dot(path[i:])
	if first == 0 {
		return 0, false
	}
	rest := path[i+first:]
	if end, ok := segmentEnd(rest); ok {
		return first + end, false
	}
	second := dot(rest)
	if second == 0 {
		return 0, false
	}
	if end, ok := segmentEnd(rest[second:]); ok {
		return first + second + end, true
	}
	return 0, false
}

// dot is the length of the dot that text begins with, plain or escaped; 0 where it begins with none.
func dot(text string) int {
	if strings.HasPrefix(text, ".") {
		return 1
	}
	if value, ok := unescape(text); ok && value == '.' {
		return 3
	}
	return 0
}

// segmentEnd tells whether a segment ends where text begins, and the length of the slash that ends it.
func segmentEnd(text string) (int, bool) {
	if text == "" {
		return 0, true
	}
	if text[0] == '/' || text[0] == '\\' {
		return 1, true
	}
	return 0, false
}

// parent drops the last segment of a path that ends with a slash.
func parent(path []byte) []byte {
	if len(path) <= 1 {
		return path
	}
	i := len(path) - 2
	for i > 0 && path[i] != '/' {
		i--
	}
	return path[:i+1]
}

// mergeSlashes leaves one slash of every run. A path of slashes only becomes two of them: Envoy joins no segments
// between a first and a last slash.
func mergeSlashes(path string) string {
	if !strings.Contains(path, "//") {
		return path
	}
	segments := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	merged := "/" + strings.Join(segments, "/")
	if strings.HasSuffix(path, "/") {
		merged += "/"
	}
	return merged
}

// unescape reads an escape at the start of text.
func unescape(text string) (byte, bool) {
	if len(text) < 3 || text[0] != '%' {
		return 0, false
	}
	high, low := hexValue(text[1]), hexValue(text[2])
	if high < 0 || low < 0 {
		return 0, false
	}
	return byte(high<<4 | low), true
}

func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// unreserved are RFC 3986's unreserved characters: their escapes mean the same as they do, and are decoded.
func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// escaped are the characters that may not stand bare in a path, and are escaped where they do.
func escaped(c byte) bool { return strings.IndexByte("\"<>^`{|}", c) >= 0 }
