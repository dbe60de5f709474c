package dialect

import (
	"fmt"
	"path"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

const (
	// pathMax is the longest path of a rule, in bytes: an order above what rules need, and small enough that a regex made
	// of it stays within Envoy's limit on a regex's program.
	pathMax = 512
	// reservedMax bounds the reserved characters in it, of which a regex takes several spellings.
	reservedMax = 64
)

// Cleaned is a rule's path as the model has it, or the nearest path to one that cannot be matched.
type Cleaned struct {
	Path string
	// Wrong is why the path cannot be matched, empty where it can.
	Wrong string
	// Cut says that Path is only the beginning of it.
	Cut bool
}

// CleanPath gives a rule's path in the one spelling that the model has for it: characters that a path may hold stand
// plain, all others as %XX.
func CleanPath(p string) Cleaned {
	var c Cleaned
	if !strings.HasPrefix(p, "/") {
		c.Wrong, p = "it does not begin with /", "/"+p
	}
	if i := strings.IndexAny(p, "?#"); i >= 0 {
		c.Wrong, p = fmt.Sprintf("it holds %q, which no path of a request does", p[i:i+1]), p[:i]
	}
	if lower := strings.ToLower(p); strings.Contains(lower, "%2f") || strings.Contains(lower, "%5c") || strings.Contains(p, `\`) {
		c.Wrong = "it holds an escaped or a backward slash"
		p = strings.NewReplacer("%2f", "/", "%2F", "/", "%5c", "/", "%5C", "/", `\`, "/").Replace(p)
	}
	c.Path = encodePath(p, isPlain)
	if before, _, found := strings.Cut(c.Path, "%00"); found {
		c.Wrong, c.Path = "it holds a zero byte, which no request may", before
	}
	if clean := cleanSegments(c.Path); clean != c.Path {
		c.Wrong, c.Path = "it holds // or a dot segment, which requests do not have once they are normalised", clean
	}
	if at := wholeUntil(c.Path, pathMax); at < len(c.Path) {
		c.Wrong, c.Path, c.Cut = fmt.Sprintf("it is longer than %d bytes", pathMax), c.Path[:at], true
	}
	if at := reservedUntil(c.Path, reservedMax); at < len(c.Path) {
		c.Wrong, c.Path, c.Cut = fmt.Sprintf("it holds more than %d of the characters %s", reservedMax, reserved), c.Path[:at], true
	}
	return c
}

// cleanSegments resolves dot segments, with parameters too, and repeated slashes but keeps a slash at the end.
func cleanSegments(p string) string {
	elements := strings.Split(p, "/")
	for i, e := range elements {
		if name, _, _ := strings.Cut(e, ";"); name == "." || name == ".." {
			elements[i] = name
		}
	}
	clean := path.Clean(strings.Join(elements, "/"))
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

const upperHex = "0123456789ABCDEF"

// encodePath encodes what may not stand in a path (RFC 3986, section 3.3), a % that begins no escape too, and decodes
// the escapes that it is asked to.
func encodePath(p string, decodes func(byte) bool) string {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		c, escaped := p[i], false
		if c == '%' && i+2 < len(p) && isHex(p[i+1]) && isHex(p[i+2]) {
			c, escaped = unhex(p[i+1])<<4|unhex(p[i+2]), true
			i += 2
		}
		if escaped && decodes(c) || !escaped && (isPlain(c) || c == '/') {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(upperHex[c>>4])
		b.WriteByte(upperHex[c&15])
	}
	return b.String()
}

// wholeUntil is a place in a path, n bytes from its beginning or a little before, that is within no escape.
func wholeUntil(p string, n int) int {
	if len(p) <= n {
		return len(p)
	}
	if i := strings.LastIndexByte(p[:n], '%'); i > n-len("%XX") {
		return i
	}
	return n
}

// reservedUntil is the place in a path behind its nth reserved character, its length where it has not more.
func reservedUntil(p string, n int) int {
	for i := range len(p) {
		if strings.IndexByte(reserved, p[i]) < 0 {
			continue
		}
		if n == 0 {
			return i
		}
		n--
	}
	return len(p)
}

// reserved are the characters that may stand in a path plain or as %XX: RFC 3986's sub-delims, : and @, and the brackets
// that Envoy lets pass.
const reserved = "!$&'()*+,;=:@[]"

// isPlain says whether a character stands plain in the model's paths.
func isPlain(c byte) bool { return isUnreserved(c) || strings.IndexByte(reserved, c) >= 0 }

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// SentPath is a rule's path as a backend is sent it: escapes stay, since to a backend they may mean something else.
func SentPath(p string) string { return encodePath(p, isUnreserved) }

// SentURL is a URL, or a part of one, as it stands in a Location: what may not stand in a URL is escaped, and what is
// escaped stays as it is.
func SentURL(u string) string {
	var b strings.Builder
	for i := range len(u) {
		if c := u[i]; c > ' ' && c < 0x7f && strings.IndexByte("\"<>\\^`{|}", c) < 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// NativePath reads a path as networking.k8s.io/v1 says: Exact, Prefix by element; ImplementationSpecific and none
// are Prefix.
func NativePath(p networkingv1.HTTPIngressPath, at diag.Origin) ([]PathClaim, []diag.D) {
	kind := networkingv1.PathTypeImplementationSpecific
	if p.PathType != nil {
		kind = *p.PathType
	}
	c, ds := CheckPath(p.Path, at)
	c.RuleType = "Path"
	if kind != networkingv1.PathTypeExact {
		c.RuleType = "PathPrefix"
	}
	if kind != networkingv1.PathTypeExact && c.Match.Kind == model.PathExact {
		c.Match = model.Prefix(c.Match.Value)
	}
	switch kind {
	case networkingv1.PathTypeExact, networkingv1.PathTypePrefix, networkingv1.PathTypeImplementationSpecific:
	default:
		bad := diag.New(diag.CodeBadValue, at, fmt.Sprintf("%q is not a pathType", kind), "the path answers 503",
			"write Exact, Prefix or ImplementationSpecific")
		c.Closed = &model.Closed{Reason: bad.Message, Code: bad.Code, Origin: at}
		ds = append(ds, bad)
	}
	return []PathClaim{c}, ds
}

// CheckPath reads a path, empty being /, as an exact match. One that cannot be matched is diagnosed, and what it would
// be once cleaned is closed in its place: all that begins like it, where it had to be cut.
func CheckPath(p string, at diag.Origin) (PathClaim, []diag.D) {
	if p == "" {
		p = "/"
	}
	clean := CleanPath(p)
	c := PathClaim{Match: model.PathMatch{Kind: model.PathExact, Value: clean.Path}}
	if clean.Wrong != "" {
		if clean.Cut {
			c.Match.Kind = model.PathStringPrefix
		}
		d := diag.New(diag.CodeBadPath, at, fmt.Sprintf("the path %q cannot be matched: %s", p, clean.Wrong),
			clean.Path+" answers 503 in its place, unless another rule means that path", "write a plain absolute path")
		c.StandIn, c.Closed = true, &model.Closed{Reason: d.Message, Code: d.Code, Origin: at}
		return c, []diag.D{d}
	}
	if strings.Contains(p, "*") {
		return c, []diag.D{diag.New(diag.CodeStar, at, fmt.Sprintf("the * in the path %q is a plain character", p),
			"only requests that hold a * there match", "leave the * out: a prefix takes what is below it")}
	}
	return c, nil
}
