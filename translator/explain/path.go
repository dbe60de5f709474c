package explain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/model"
)

// reading is what the gateway makes of a path before it matches it.
type reading struct {
	path string
	// query begins with ? where there is one; nothing in it is changed.
	query string
	// redirected says that the path had an escaped slash or backslash, which is answered by a redirect.
	redirected bool
	// refused is why the request is 400, empty where it is not.
	refused string
}

// normalise reads a path as Envoy 1.40 does with normalize_path, merge_slashes and path_with_escaped_slashes_action.
// Every line of its test was first asked of Envoy.
func normalise(raw string, slashes model.EscapedSlashes) reading {
	path, query, asked := strings.Cut(raw, "?")
	out := reading{path: path}
	if asked {
		out.query = "?" + query
	}
	if plain, had := unescapeSlashes(path); had && slashes != model.SlashesKeep {
		path, out.redirected = plain, slashes == model.SlashesRedirect
		if slashes == model.SlashesReject {
			out.refused = "the path has an escaped slash or backslash"
			return out
		}
	}
	path = withoutDotParameters(path)
	if out.refused = refuses(raw, path); out.refused != "" {
		return out
	}
	out.path = mergeSlashes(withoutDots(escape(strings.ReplaceAll(path, `\`, "/"))))
	return out
}

// refuses says why a request is 400: by what was sent, and by what is left of the path without dot parameters.
func refuses(raw, path string) string {
	switch {
	case strings.Contains(raw, "#"):
		return "the path has a #"
	case strings.Contains(path, "%00"):
		return "the path has an escaped zero byte"
	}
	for i := range len(raw) {
		if raw[i] <= ' ' || raw[i] >= 0x7f {
			return fmt.Sprintf("the path has the byte 0x%02x, which must be escaped", raw[i])
		}
	}
	return ""
}

func unescapeSlashes(path string) (string, bool) {
	plain := strings.NewReplacer("%2f", "/", "%2F", "/", "%5c", `\`, "%5C", `\`).Replace(path)
	return plain, plain != path
}

// escape escapes what must be and unescapes what need not be. Escaped dots stay, marked, until withoutDots has looked
// at them.
func escape(path string) string {
	out := make([]byte, 0, len(path))
	stray := -len(stillPercent) - 1 // where out last has a % that began no escape
	for i := 0; i < len(path); i++ {
		c := path[i]
		if decoded, ok := escapeAt(path[i:]); ok {
			switch {
			case decoded == '.':
				out = append(out, escapedDot)
			case unreserved(decoded):
				out = append(out, decoded)
				if len(out)-stray > len(stillPercent) {
					break
				}
				if _, now := escapeAt(string(out[stray:]) + path[i+3:]); now {
					out = slices.Replace(out, stray, stray+1, []byte(stillPercent)...)
				}
			default:
				out = append(out, path[i:i+3]...)
			}
			i += 2
			continue
		}
		switch {
		case c == '%':
			stray, out = len(out), append(out, c)
		case strings.IndexByte("\"<>`{}|^", c) >= 0:
			out = fmt.Appendf(out, "%%%02X", c)
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

// stillPercent is a % which began no escape in what was asked, and would begin one once the character behind it is
// unescaped: /%%36a must not become /%6a.
const stillPercent = "%25"

// escapeAt reads the escape that text begins with.
func escapeAt(text string) (byte, bool) {
	if len(text) < 3 || text[0] != '%' {
		return 0, false
	}
	return unhex(text[1], text[2])
}

// escapedDot stands for a dot that came as %2e; a path cannot hold it, see refuses.
const escapedDot = '\x01'

// withoutDotParameters takes the parameters off dot segments, as some frameworks do: /a/..;x/b is /b. Envoy looks for
// them before it makes slashes of backslashes, and knows plain dots only; see climbs for what it leaves.
func withoutDotParameters(path string) string {
	elements := strings.Split(path, "/")
	for i, e := range elements {
		if dots, _, found := strings.Cut(e, ";"); found && (dots == "." || dots == "..") {
			elements[i] = dots
		}
	}
	return strings.Join(elements, "/")
}

// withoutDots resolves . and .. elements.
func withoutDots(path string) string {
	var kept []string
	elements := strings.Split(path, "/")[1:]
	for i, e := range elements {
		last := i == len(elements)-1
		switch plain := strings.ReplaceAll(e, string(escapedDot), "."); plain {
		case ".":
		case "..":
			kept = kept[:max(len(kept)-1, 0)]
		default:
			kept = append(kept, plain)
			continue
		}
		if last {
			kept = append(kept, "")
		}
	}
	return "/" + strings.Join(kept, "/")
}

func mergeSlashes(path string) string {
	if strings.Trim(path, "/") == "" && len(path) > 1 {
		// Envoy leaves two slashes of a path of slashes.
		return "//"
	}
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}

func unreserved(c byte) bool { return isAlphanumeric(c) || strings.IndexByte("-._~", c) >= 0 }

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func unhex(hi, lo byte) (byte, bool) {
	digits := "0123456789abcdef"
	h, l := strings.IndexByte(digits, lower(hi)), strings.IndexByte(digits, lower(lo))
	return byte(h<<4 | l&0xf), h >= 0 && l >= 0
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// spelling is a normalised path in the one spelling that the model has: reserved characters plain, other escapes in
// upper case, a % that begins none as %25. To a backend all spellings are one path.
func spelling(path string) string {
	var b strings.Builder
	for path != "" {
		var one string
		one, path = firstCharacter(path)
		b.WriteString(one)
	}
	return b.String()
}

// firstCharacter is the first character of a path as the model spells it, and the rest of the path as it is.
func firstCharacter(path string) (string, string) {
	c, escaped := escapeAt(path)
	switch {
	case escaped && (unreserved(c) || strings.IndexByte("!$&'()*+,;=:@[]", c) >= 0):
		return string(rune(c)), path[3:]
	case escaped:
		return strings.ToUpper(path[:3]), path[3:]
	case path[0] == '%':
		return "%25", path[1:]
	default:
		return path[:1], path[1:]
	}
}

// takes says whether a route's match takes a normalised path, and why or why not. Where only a slash comes in the place
// of a string prefix, what follows that may not begin with a dot.
func takes(r model.Route, asked string) (bool, string) {
	ok, why := matchPath(r.Path, asked)
	if f, forwards := r.Action.(*model.Forward); ok && forwards && r.Path.Kind == model.PathStringPrefix && !strings.HasSuffix(r.Path.Value, "/") {
		change, replaces := r.Rewrite.(*model.ReplacePrefix)
		rest, _ := cutPrefix(asked, r.Path.Value)
		if strings.HasPrefix(rest, ".") && (f.Strip != nil || replaces && change.With == "") {
			return false, "without its prefix the path would begin with a dot"
		}
	}
	return ok, why
}

// matchPath says whether a normalised path matches, and why or why not.
func matchPath(m model.PathMatch, asked string) (bool, string) {
	path := spelling(asked)
	switch m.Kind {
	case model.PathExact:
		if path == m.Value {
			return true, "the path is " + m.Value
		}
		return false, "the path is not exactly " + m.Value
	case model.PathPrefix:
		if m.Value == "/" || path == m.Value || strings.HasPrefix(path, m.Value+"/") {
			return true, "the path is under " + m.Value
		}
		if strings.HasPrefix(path, m.Value) {
			return false, "the path begins with " + m.Value + " but not as an element of its own"
		}
		return false, "the path is not under " + m.Value
	case model.PathStringPrefix:
		if _, ok := cutPrefix(asked, m.Value); ok {
			return true, "the path begins with " + m.Value
		}
		return false, "the path does not begin with " + m.Value
	default:
		panic("explain: unknown kind of path")
	}
}

// stripped takes the prefix off a path (with query) that has it in some spelling, and leaves exactly one slash before
// the rest, which stays as it is spelt.
func stripped(path, prefix string) string {
	rest, ok := cutPrefix(path, prefix)
	if !ok {
		panic("explain: " + path + " was matched and has no prefix " + prefix)
	}
	return "/" + strings.TrimLeft(rest, "/")
}

// cutPrefix gives what follows a prefix of the model in a path, which may spell it otherwise. A % within two
// characters of the prefix's end is the beginning of any escape too.
func cutPrefix(path, prefix string) (string, bool) {
	for prefix != "" {
		if path == "" {
			return "", false
		}
		one, rest := firstCharacter(path)
		if path[0] == '%' && strings.HasPrefix(prefix, stillPercent) && len(prefix) < len(stillPercent)+2 {
			one, rest = stillPercent, strings.TrimPrefix(path[1:], stillPercent[1:])
		}
		var ok bool
		if prefix, ok = strings.CutPrefix(prefix, one); !ok {
			return "", false
		}
		path = rest
	}
	return path, true
}
