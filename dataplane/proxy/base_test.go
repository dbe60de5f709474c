package proxy

import (
	"errors"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/postern-gateway/postern/dataplane/config"
	"github.com/postern-gateway/postern/dataplane/proxy/pagetest"
)

// chunkReader gives one chunk with each Read.
type chunkReader struct{ chunks []string }

func (r *chunkReader) Read(p []byte) (int, error) {
	if len(r.chunks) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.chunks[0])
	if r.chunks[0] = r.chunks[0][n:]; r.chunks[0] == "" {
		r.chunks = r.chunks[1:]
	}
	return n, nil
}

func rewritten(t testing.TB, b config.Base, chunks ...string) string {
	t.Helper()
	body := &pageBody{source: io.NopCloser(&chunkReader{slices.Clone(chunks)}), page: newPage(&b)}
	out, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestPages cuts every page of the table in two at every byte, and into its bytes.
func TestPages(t *testing.T) {
	for _, row := range pagetest.Rows() {
		for _, insert := range []bool{false, true} {
			want := row.Below
			if insert {
				want = row.Bare
			}
			base := config.Base{Prefix: row.Prefix, Insert: insert}
			for cut := range len(row.Page) {
				if got := rewritten(t, base, row.Page[:cut], row.Page[cut:]); got != want {
					t.Fatalf("%q, insert %v, cut at %d:\n got %q\nwant %q", row.Page, insert, cut, got, want)
				}
			}
			if got := rewritten(t, base, strings.Split(row.Page, "")...); got != want {
				t.Errorf("%q, insert %v, byte by byte: got %q, want %q", row.Page, insert, got, want)
			}
		}
	}
}

// TestRandomPages compares with what another reader of HTML sees: the tokens of the page that came and of the one that
// goes are the same but for the base.
func TestRandomPages(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	changed := 0
	for range 20000 {
		page := pagetest.Random(r, 12) + `"'">--></style></title></textarea><p>` // so that nothing is left open
		if withoutValue.MatchString(page) {
			continue
		}
		for _, insert := range []bool{false, true} {
			base := config.Base{Prefix: "/k8s", Insert: insert}
			got := rewritten(t, base, page)
			if again := rewritten(t, base, pagetest.Chunks(r, page, 5)...); again != got {
				t.Fatalf("%q, insert %v: %q at once, %q in chunks", page, insert, got, again)
			}
			if want := expected(tokens(page), insert); !slices.Equal(tokens(got), want) {
				t.Fatalf("%q, insert %v, became %q:\n got %q\nwant %q", page, insert, got, tokens(got), want)
			}
			if got != page {
				changed++
			}
		}
	}
	if changed < 5000 {
		t.Errorf("only %d pages were changed: the pages are no good", changed)
	}
}

// withoutValue finds <base href>, which the other reader does not tell from <base href="">: the first is left alone.
var withoutValue = regexp.MustCompile(`(?i)href\s*[^\s=]`)

// tokens are the tags of a page with their attributes, and all else as one text each.
func tokens(page string) []string {
	var out []string
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			return out
		}
		token := z.Token()
		line := kind.String() + " " + token.Data
		if kind == html.SelfClosingTagToken {
			line = html.StartTagToken.String() + " " + token.Data
		}
		for _, a := range token.Attr {
			line += "\x00" + a.Key + "=" + a.Val
		}
		out = append(out, line)
	}
}

// expected is what must become of the tokens of a page behind /k8s.
func expected(all []string, insert bool) []string {
	for i, line := range all {
		kind, rest, _ := strings.Cut(line, " ")
		if kind != html.StartTagToken.String() {
			continue
		}
		parts := strings.Split(rest, "\x00")
		if !slices.Contains([]string{"html", "head", "meta", "title", "base"}, parts[0]) && insert {
			return slices.Insert(slices.Clone(all), i, "StartTag base\x00href=/k8s/")
		}
		at := slices.IndexFunc(parts, func(p string) bool { return strings.HasPrefix(p, "href=") })
		if parts[0] != "base" || at < 0 {
			continue
		}
		parts[at] = "href=" + address(strings.TrimPrefix(parts[at], "href="), insert)
		out := slices.Clone(all)
		out[i] = kind + " " + strings.Join(parts, "\x00")
		return out
	}
	return all
}

// address is what a base's href must become.
func address(value string, insert bool) string {
	bare := strings.TrimLeft(value, "\t\n\f\r ")
	lead := value[:len(value)-len(bare)]
	switch {
	case strings.HasPrefix(bare, "//"):
		return value
	case bare == "/k8s" || len(bare) > 4 && bare[:4] == "/k8s" && strings.IndexByte("/?#\t\n\f\r ", bare[4]) >= 0:
		return value
	case strings.HasPrefix(bare, "/"):
		return lead + "/k8s" + bare
	case insert && (bare == "" || bare[0] == '.'):
		return lead + "/k8s/" + bare
	default:
		return value
	}
}

// TestPageFlows: what comes goes on at once, but for the name of a tag that a base may have to stand before.
func TestPageFlows(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		for _, insert := range []bool{false, true} {
			p := newPage(&config.Base{Prefix: "/k8s", Insert: insert})
			came, went := 0, 0
			for _, chunk := range pagetest.Chunks(r, pagetest.Random(r, 30), 8) {
				came += len(chunk)
				went += len(p.rewrite([]byte(chunk)))
				limit := 0
				if insert {
					limit = len("<title")
				}
				if came-went > limit {
					t.Fatalf("%d bytes came, %d went, %q is held back", came, went, p.held)
				}
			}
		}
	}
}

// TestPageLimit: a base that is complete within the first 64 KiB counts, and nothing beyond.
func TestPageLimit(t *testing.T) {
	const tag = `<base href="/">`
	for _, c := range []struct {
		room int // for the tag before the limit
		want bool
	}{{len(tag), true}, {len(tag) - 1, true}, {len(tag) - 2, false}, {0, false}} {
		page := strings.Repeat(" ", pageLookedAtMax-c.room) + tag + strings.Repeat("x", 1<<20)
		got := rewritten(t, config.Base{Prefix: "/k8s"}, page)
		if (got != page) != c.want {
			t.Errorf("with room for %d bytes of the tag it was changed: %v", c.room, got != page)
		}
	}
}

// TestPageFails passes on the failure of a backend, behind what it sent.
func TestPageFails(t *testing.T) {
	broken := errors.New("broken")
	body := &pageBody{
		source: io.NopCloser(io.MultiReader(strings.NewReader("<p"), &failingReader{broken})),
		page:   newPage(&config.Base{Prefix: "/k8s", Insert: true}),
	}
	out, err := io.ReadAll(body)
	if string(out) != "<p" || !errors.Is(err, broken) {
		t.Errorf("got %q, %v", out, err)
	}
}

type failingReader struct{ err error }

func (r *failingReader) Read([]byte) (int, error) { return 0, r.err }
