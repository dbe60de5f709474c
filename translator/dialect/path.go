package dialect

import (
	"fmt"
	"path"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// pathMax is the longest path of a rule, in bytes: an order above what rules need, and small enough that a regex made
// of it stays within Envoy's limit on a regex's program.
const pathMax = 512

// CleanPath puts a rule's path into the form that requests have once the data plane has normalised them: unreserved
// characters decoded, others that a URL cannot hold encoded. The second result says what is wrong with the path,
// empty for nothing; the first is then the nearest path that can be matched, to be closed.
func CleanPath(p string) (string, string) {
	wrong := ""
	if !strings.HasPrefix(p, "/") {
		wrong, p = "it does not begin with /", "/"+p
	}
	if i := strings.IndexAny(p, "?#"); i >= 0 {
		wrong, p = fmt.Sprintf("it holds %q, which no path of a request does", p[i:i+1]), p[:i]
	}
	if lower := strings.ToLower(p); strings.Contains(lower, "%2f") || strings.Contains(lower, "%5c") || strings.Contains(p, `\`) {
		wrong = "it holds an escaped or a backward slash"
		p = strings.NewReplacer("%2f", "/", "%2F", "/", "%5c", "/", "%5C", "/", `\`, "/").Replace(p)
	}
	p = encodePath(p)
	if len(p) > pathMax {
		wrong, p = fmt.Sprintf("it is longer than %d bytes", pathMax), p[:pathMax]
	}
	if clean := cleanSegments(p); clean != p {
		wrong, p = "it holds // or a dot segment, which requests do not have once they are normalised", clean
	}
	return p, wrong
}

// cleanSegments resolves dot segments and repeated slashes but keeps a slash at the end.
func cleanSegments(p string) string {
	clean := path.Clean(p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

const upperHex = "0123456789ABCDEF"

// encodePath decodes %XX of unreserved characters and encodes what may not stand in a path (RFC 3986, section 3.3).
func encodePath(p string) string {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		c := p[i]
		if c == '%' && i+2 < len(p) && isHex(p[i+1]) && isHex(p[i+2]) {
			if d := unhex(p[i+1])<<4 | unhex(p[i+2]); isUnreserved(d) {
				b.WriteByte(d)
			} else {
				b.WriteString(p[i : i+3])
			}
			i += 2
			continue
		}
		if isUnreserved(c) || strings.IndexByte("!$&'()*+,;=:@/%[]|", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(upperHex[c>>4])
		b.WriteByte(upperHex[c&15])
	}
	return b.String()
}

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
		c.Match, c.RuleType = model.Prefix(c.Match.Value), "PathPrefix"
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
// be once cleaned is closed in its place.
func CheckPath(p string, at diag.Origin) (PathClaim, []diag.D) {
	if p == "" {
		p = "/"
	}
	value, wrong := CleanPath(p)
	c := PathClaim{Match: model.PathMatch{Kind: model.PathExact, Value: value}}
	if wrong != "" {
		d := diag.New(diag.CodeBadPath, at, fmt.Sprintf("the path %q cannot be matched: %s", p, wrong),
			value+" answers 503 in its place, unless another rule means that path", "write a plain absolute path")
		c.StandIn, c.Closed = true, &model.Closed{Reason: d.Message, Code: d.Code, Origin: at}
		return c, []diag.D{d}
	}
	if strings.Contains(value, "*") {
		return c, []diag.D{diag.New(diag.CodeStar, at, fmt.Sprintf("the * in the path %q is a plain character", p),
			"only requests that hold a * there match", "leave the * out: a prefix takes what is below it")}
	}
	if strings.ContainsAny(value, "%!$&'()+;=:@") {
		return c, []diag.D{diag.New(diag.CodeSpellings, at,
			fmt.Sprintf("the path %q has other spellings, with characters as %%XX, that mean the same to a backend", p),
			"only requests that spell it as "+value+" match; others go by a broader rule, if there is one",
			"do not rely on such a path to restrict access")}
	}
	return c, nil
}
