package match

import (
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/dataplane/config"
)

type row struct {
	slashes      config.EscapedSlashes
	target, want string
	verdict      Verdict
}

// normalized reads testdata/paths.txt, which says where its rows come from.
func normalized(t testing.TB) []row {
	text, err := os.ReadFile("testdata/paths.txt")
	if err != nil {
		t.Fatal(err)
	}
	verdicts := map[string]Verdict{"pass": Pass, "redirect": Redirect, "reject": Reject}
	actions := map[string]config.EscapedSlashes{
		"forward": config.UnescapeAndForward, "reject": config.RejectRequest, "keep": config.KeepUnchanged,
	}
	var rows []row
	var slashes config.EscapedSlashes
	for line := range strings.Lines(string(text)) {
		f := append(strings.Fields(line), "")
		switch f[0] {
		case "#":
		case "slashes":
			slashes = actions[f[1]]
		default:
			rows = append(rows, row{slashes, f[1], f[2], verdicts[f[0]]})
		}
	}
	return rows
}

func TestNormalize(t *testing.T) {
	for _, tc := range normalized(t) {
		got, verdict := Normalize(tc.target, tc.slashes)
		if got != tc.want || verdict != tc.verdict {
			t.Errorf("Normalize(%q, %v) = %q, %v; Envoy: %q, %v", tc.target, tc.slashes, got, verdict, tc.want, tc.verdict)
		}
	}
}

// On Envoy 1.40 each byte was sent bare and escaped between two letters; these are those that did not come out as they
// went in.
func TestNormalizeBytes(t *testing.T) {
	const hex = "0123456789ABCDEF"
	for c := range 256 {
		b := byte(c)
		bare := "/x" + string([]byte{b}) + "y"
		want, verdict := bare, Pass
		switch {
		case b <= ' ' || b >= 0x7f || b == '#':
			want, verdict = "", Reject
		case b == '\\':
			want = "/x/y"
		case strings.ContainsRune("\"<>^`{|}", rune(b)):
			want = "/x%" + hex[b>>4:b>>4+1] + hex[b&15:b&15+1] + "y"
		}
		if got, v := Normalize(bare, config.UnescapeAndRedirect); got != want || v != verdict {
			t.Errorf("Normalize(%q) = %q, %v; Envoy: %q, %v", bare, got, v, want, verdict)
		}
		escape := "/x%" + hex[b>>4:b>>4+1] + hex[b&15:b&15+1] + "y"
		for _, sent := range []string{escape, strings.ToLower(escape)} {
			want, verdict := sent, Pass
			switch {
			case b == 0:
				want, verdict = "", Reject
			case b == '/' || b == '\\':
				want, verdict = "/x/y", Redirect
			case strings.ContainsRune("-.~_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", rune(b)) && b < 0x80:
				want = "/x" + string([]byte{b}) + "y"
			}
			if got, v := Normalize(sent, config.UnescapeAndRedirect); got != want || v != verdict {
				t.Errorf("Normalize(%q) = %q, %v; Envoy: %q, %v", sent, got, v, want, verdict)
			}
		}
	}
}

// What is normalised stays as it is: a backend never sees a path that a second proxy would read otherwise.
func FuzzNormalize(f *testing.F) {
	for _, tc := range normalized(f) {
		f.Add(tc.target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		path, verdict := Normalize(target, config.UnescapeAndRedirect)
		if _, err := url.PathUnescape(target); verdict == Reject || err != nil {
			return // net/http refuses broken escapes before they come here
		}
		plain, _, _ := strings.Cut(path, "?")
		for _, bad := range []string{"/../", "/./", `\`, "%2e", "%2E", "%2f", "%2F", "%5c", "%5C"} {
			if strings.Contains(plain, bad) {
				t.Errorf("Normalize(%q) = %q has %q", target, path, bad)
			}
		}
		if plain != "//" && strings.Contains(plain, "//") {
			t.Errorf("Normalize(%q) = %q has //", target, path)
		}
		if strings.Contains(plain, ";") {
			return // Envoy drops a dot segment's parameters before it decodes dots, so %2e%2e;x comes out as ..;x
		}
		if again, verdict := Normalize(path, config.UnescapeAndRedirect); plain != "//" && (again != path || verdict != Pass) {
			t.Errorf("Normalize(%q) = %q, again %q", target, path, again)
		}
	})
}
