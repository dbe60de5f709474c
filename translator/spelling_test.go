package translator_test

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/postern-gateway/postern/translator/envoy"
	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
)

// spellingsPerPath is how many paths a closed path is compared with, spellingsMin how many of them spell it and do not.
const (
	spellingsPerPath = 3000
	spellingsMin     = 100
)

// pieces are what paths of the law are made of: each is left alone by normalisation, and between them they spell the
// closed paths in every way.
var pieces = []string{"/", "/", "/", "a", "b", "+", "%2b", "%2B", ";", "%3b", "%3B", "%25", "%c3%a9", "=", "x"}

// TestSpellings: what the regex of a closed route matches is what explain takes for a spelling of its path; and the path
// as it is written is among them.
func TestSpellings(t *testing.T) {
	for _, slashes := range []model.EscapedSlashes{model.SlashesRedirect, model.SlashesKeep} {
		alphabet := pieces
		if slashes == model.SlashesKeep {
			alphabet = append([]string{"%2f", "%2F", "%5c"}, pieces...)
		}
		for _, path := range []model.PathMatch{
			{Kind: model.PathExact, Value: "/"}, {Kind: model.PathExact, Value: "/a/b"}, {Kind: model.PathExact, Value: "/a/"},
			model.Prefix("/a"), model.Prefix("/a/b"), model.Prefix("/a+b"), model.Prefix("/a%25b"), model.Prefix("/a;b/a"), model.Prefix("/%C3%A9"),
			{Kind: model.PathStringPrefix, Value: "/a"}, {Kind: model.PathStringPrefix, Value: "/a/"},
		} {
			g := closedGateway(path, slashes)
			re := closedRegexp(t, g)
			if !re.MatchString(path.Value) {
				t.Errorf("%s does not match %s", re, path)
			}
			r := rand.New(rand.NewPCG(uint64(slashes), uint64(len(path.Value))))
			both := map[bool]int{}
			for range spellingsPerPath {
				asked := misspell(r, path.Value, alphabet)
				both[re.MatchString(asked)]++
				compareSpelling(t, g, re, asked)
			}
			if both[true] < spellingsMin || both[false] < spellingsMin {
				t.Errorf("%s, %s: %d paths spell it and %d do not, want %d of each at least", path, slashes, both[true], both[false], spellingsMin)
			}
		}
	}
}

// misspell writes a path with pieces put in, left out and escaped.
func misspell(r *rand.Rand, path string, alphabet []string) string {
	out := ""
	for i := 0; i < len(path); i++ {
		token := path[i : i+1]
		if token == "%" {
			token = path[i : i+3]
			i += 2
		}
		for i > 0 && r.IntN(4) == 0 {
			out += alphabet[r.IntN(len(alphabet))]
		}
		switch other := map[string]string{"+": "%2b", ";": "%3B", "%25": "%", "%C3": "%c3"}[token]; {
		case i > 0 && r.IntN(15) == 0:
		case other != "" && r.IntN(2) == 0:
			out += other
		default:
			out += token
		}
	}
	for r.IntN(2) == 0 {
		out += alphabet[r.IntN(len(alphabet))]
	}
	return out
}

func closedGateway(path model.PathMatch, slashes model.EscapedSlashes) model.Gateway {
	host, err := model.ParseHost("h.test")
	if err != nil {
		panic(err)
	}
	return model.Gateway{
		Edge: model.Edge{EscapedSlashes: slashes},
		Tables: []model.Table{{
			Entry: model.Entry{Name: "http"},
			Exact: []model.HostRoutes{{Host: host, Routes: []model.Route{{Path: path, Action: &model.Closed{}, Origins: model.Origins{{Kind: "Ingress"}}}}}},
		}},
	}
}

func closedRegexp(t *testing.T, g model.Gateway) *regexp.Regexp {
	t.Helper()
	for _, r := range envoy.Render(g) {
		if rc, ok := r.Message.(*routev3.RouteConfiguration); ok {
			return regexp.MustCompile(`\A(?:` + rc.GetVirtualHosts()[0].GetRoutes()[0].GetMatch().GetSafeRegex().GetRegex() + `)\z`)
		}
	}
	t.Fatal("no routes")
	return nil
}

func compareSpelling(t *testing.T, g model.Gateway, re *regexp.Regexp, asked string) {
	t.Helper()
	story, err := explain.Explain(g, nil, explain.Request{URL: "http://h.test" + asked})
	if err != nil {
		t.Fatal(err)
	}
	// A path that normalisation changes is the cases' part.
	if story.Path != asked || story.Decision.Status == 400 {
		return
	}
	if closed := story.Decision.Status == 503; closed != re.MatchString(asked) {
		t.Errorf("closed %s, asked %s: explain says closed %v, the regex %v\n%s", g.Tables[0].Exact[0].Routes[0].Path, asked, closed, !closed, strings.TrimSpace(re.String()))
	}
}
