package laws

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest"
)

// exception allows a judge to disagree with explain.
type exception struct {
	line  int
	judge string
	// rare is one that not every run's worlds need.
	rare bool
	// request matches within the request as a probe has it, points within the points of disagreement.
	request, points *regexp.Regexp
}

func (e exception) allows(judge string, p casetest.Probe, points string) bool {
	return e.judge == judge && e.request.MatchString(p.Text()) && e.points.MatchString(points)
}

func readExceptions(t *testing.T, file string) []exception {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out, err := parseExceptions(string(text))
	if err != nil {
		t.Fatalf("%s:%v", file, err)
	}
	return out
}

// parseExceptions reads lines of JUDGE  REQUEST  POINTS, the last two being regular expressions, with two spaces
// between. Above each exception stands a comment, its reason. With "rarely " before the judge, a run need not meet it.
func parseExceptions(text string) ([]exception, error) {
	var out []exception
	number, reason := 0, false
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			reason = line != ""
			continue
		}
		words := strings.Split(line, "  ")
		if len(words) != 3 {
			return nil, fmt.Errorf("%d: write JUDGE, REQUEST and POINTS with two spaces between", number)
		}
		if !reason {
			return nil, fmt.Errorf("%d: the exception has no comment above it: say why it is right", number)
		}
		request, err := regexp.Compile(words[1])
		if err != nil {
			return nil, fmt.Errorf("%d: %w", number, err)
		}
		points, err := regexp.Compile(words[2])
		if err != nil {
			return nil, fmt.Errorf("%d: %w", number, err)
		}
		judge, rare := strings.CutPrefix(words[0], "rarely ")
		out = append(out, exception{line: number, judge: judge, rare: rare, request: request, points: points})
	}
	return out, nil
}

func TestParseExceptions(t *testing.T) {
	found, err := parseExceptions("# The file.\n\n# Why.\ngo  %zz  ^status: .*, got 400\nrarely envoy  ^WS  .\n")
	if err != nil || len(found) != 2 || found[0].line != 4 || found[0].rare || !found[1].rare || found[1].judge != "envoy" {
		t.Fatalf("%+v, %v", found, err)
	}
	p := casetest.NewProbe("GET", "http://a.test/%zz")
	if e := found[0]; !e.allows("go", p, "status: want 200, got 400") {
		t.Error("it does not allow what it says")
	}
	for _, other := range []struct{ judge, url, points string }{
		{"envoy", p.URL, "status: want 200, got 400"},
		{"go", "http://a.test/", "status: want 200, got 400"},
		{"go", p.URL, "backend: want a, got b\n  status: want 200, got 400"},
	} {
		if found[0].allows(other.judge, casetest.NewProbe("GET", other.url), other.points) {
			t.Errorf("it allows %+v", other)
		}
	}
	for text, reason := range map[string]string{
		"go  a  b":            "no comment",
		"# Why.\n\ngo  a  b":  "no comment",
		"# Why.\ngo  a":       "two spaces",
		"# Why.\ngo  (  b":    "missing closing",
		"# Why.\ngo  a  (":    "missing closing",
		"# Why.\ngo a b\n#\n": "two spaces",
	} {
		if _, err := parseExceptions(text); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: %v, want an error with %q", text, err, reason)
		}
	}
}
