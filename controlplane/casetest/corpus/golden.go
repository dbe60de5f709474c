package corpus

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// answers are what judges said of requests: request name to judge to answer.
type answers map[string]map[string]string

// The words of answers.txt. An answer that both judges give is written once.
const (
	both     = "both"
	judgeGap = "  "
)

// answer is an outcome as the golden has it: the statuses, then each request that a backend saw.
func (o outcome) answer(r request) string {
	out := o.status
	if r.broken {
		return out
	}
	for _, s := range o.seen {
		out += fmt.Sprintf(" > %s %s %s", s.Backend, s.Method, strings.Replace(s.Path, r.mark, "{n}", 1))
		if host := s.Header.Get("Host"); host != "" {
			out += " at " + host
		}
		h := telling(r, s)
		for _, name := range slices.Sorted(maps.Keys(h)) {
			out += fmt.Sprintf(" [%s: %s]", name, strings.Join(h[name], ", "))
		}
		for _, name := range slices.Sorted(maps.Keys(s.Trailer)) {
			out += fmt.Sprintf(" {%s: %s}", name, strings.Join(s.Trailer[name], ", "))
		}
		if s.Body != "" {
			out += fmt.Sprintf(" %.40q", s.Body)
		}
	}
	return out
}

// readAnswers reads answers.txt; there is none at first.
func readAnswers(dir string) (answers, error) {
	out := answers{}
	text, err := os.ReadFile(filepath.Join(dir, answersFile))
	if os.IsNotExist(err) {
		return out, nil
	}
	var group, name string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "== "); ok {
			group = rest
			continue
		}
		rest, ok := strings.CutPrefix(line, judgeGap)
		if !ok {
			name = group + ": " + line
			out[name] = map[string]string{}
			continue
		}
		judge, answer, _ := strings.Cut(rest, " ")
		for _, j := range named(judge) {
			out[name][j] = answer
		}
	}
	return out, err
}

// judges are those whose answers the golden holds, by the names of their courts.
var judges = []string{"go", "envoy"}

func named(word string) []string {
	if word == both {
		return judges
	}
	return []string{word}
}

// replace has a judge's answers be these and no others.
func (a answers) replace(judge string, got map[string]string) {
	for _, said := range a {
		delete(said, judge)
	}
	for name, answer := range got {
		if a[name] == nil {
			a[name] = map[string]string{}
		}
		a[name][judge] = answer
	}
}

// text is answers.txt, in the order of the requests.
func (a answers) text(requests []request) string {
	var out strings.Builder
	group := ""
	for _, r := range requests {
		if r.group != group {
			group = r.group
			fmt.Fprintf(&out, "== %s\n", group)
		}
		fmt.Fprintf(&out, "%s\n", r.line)
		said := a[r.name()]
		if first := said[judges[0]]; first == said[judges[1]] {
			fmt.Fprintf(&out, "%s%s %s\n", judgeGap, both, first)
			continue
		}
		for _, j := range judges {
			fmt.Fprintf(&out, "%s%s %s\n", judgeGap, j, said[j])
		}
	}
	return out.String()
}

// agree says whether two answers to a request are of one class of status and have backends see the same.
func agree(r request, a, b string) bool {
	statusA, seenA, _ := strings.Cut(a, " > ")
	statusB, seenB, _ := strings.Cut(b, " > ")
	return seenA == seenB && class(r, statusA) == class(r, statusB)
}

// class is a status with its last two digits left out: 4xx. Over HTTP/2 a malformed request may be refused by an answer,
// by the end of the stream or by the end of the connection (RFC 9113, 8.1.1), and which of them is no difference.
func class(r request, status string) string {
	words := strings.Fields(status)
	for i, w := range words {
		if len(w) == len("200") && w[0] >= '1' && w[0] <= '5' {
			words[i] = w[:1] + "xx"
		}
	}
	if r.http2 && (words[0] == "4xx" || words[0] == "reset" || words[0] == "goaway" || words[0] == ended) {
		return "refused"
	}
	return strings.Join(words, " ")
}

// readExceptions reads exceptions.txt: a reason behind #, then the names of the requests that it is about.
func readExceptions(dir string) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, exceptionsFile))
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	reason, begun := "", false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		switch comment, ok := strings.CutPrefix(line, "# "); {
		case line == "":
		case ok && begun:
			reason, begun = comment, false
		case ok:
			reason = strings.TrimSpace(reason + " " + comment)
		default:
			out[line], begun = reason, true
		}
	}
	return out, nil
}
