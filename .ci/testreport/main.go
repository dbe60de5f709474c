// Command testreport reads the events of `go test -json` on stdin and prints
// what plain `go test` would, then the skipped and the slowest tests. Lines
// that are not events pass through.
//
// Given a file, it adds go test's closing line of each package to it, for the
// end of a longer run.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

const (
	slowestMax = 10

	// eventBytesMax bounds one line of input; a test's output comes line by line.
	eventBytesMax = 16 << 20
)

// event is one line of input; see `go doc cmd/test2json`.
type event struct {
	Action  string
	Package string
	Test    string
	Elapsed float64 // seconds
	Output  string
}

// timed is a finished top-level test.
type timed struct {
	name    string
	seconds float64
}

// report gathers the events of one run.
type report struct {
	out      io.Writer
	pending  map[string][]string // output of the tests that have not ended
	packages []string            // go test's closing line of each package
	skipped  []string            // why, in go test's words
	finished []timed
}

func main() {
	var packagesFile string
	switch len(os.Args) {
	case 1:
	case 2:
		packagesFile = os.Args[1]
	default:
		fmt.Fprintln(os.Stderr, "usage: go test -json PACKAGES | testreport [FILE]")
		os.Exit(2)
	}
	skipped, err := run(os.Stdin, os.Stdout, packagesFile)
	if err == nil && skipped > 0 && os.Getenv("CI") == "true" {
		err = fmt.Errorf("%d tests were skipped (see above): CI has all that they need", skipped)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
}

// run gives the number of tests that were skipped.
func run(in io.Reader, out io.Writer, packagesFile string) (int, error) {
	r := &report{out: out, pending: map[string][]string{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, eventBytesMax)
	for lines.Scan() {
		r.line(lines.Bytes())
	}
	if err := lines.Err(); err != nil {
		return 0, fmt.Errorf("read events: %w", err)
	}
	r.end()
	if packagesFile == "" {
		return len(r.skipped), nil
	}
	return len(r.skipped), appendTo(packagesFile, strings.Join(r.packages, ""))
}

func appendTo(name, text string) error {
	file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open the list of packages: %w", err)
	}
	_, err = io.WriteString(file, text)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write the list of packages: %w", err)
	}
	return nil
}

func (r *report) line(line []byte) {
	var e event
	if len(line) == 0 || line[0] != '{' || json.Unmarshal(line, &e) != nil || e.Action == "" {
		fmt.Fprintf(r.out, "%s\n", line)
		return
	}
	key := e.Package + "." + e.Test
	switch {
	case e.Action == "build-output":
		io.WriteString(r.out, e.Output)
	case e.Action == "output" && e.Test == "":
		r.packageOutput(e.Output)
	case e.Action == "output":
		r.pending[key] = append(r.pending[key], e.Output)
	case e.Test != "" && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip"):
		r.testEnd(key, e)
	case e.Action == "fail":
		r.flush() // a panic or a time-out leaves tests without an end
	}
}

// packageOutput prints what a package says outside its tests; "PASS" before
// the ok line is noise that plain go test leaves out too.
func (r *report) packageOutput(text string) {
	if text == "PASS\n" {
		return
	}
	io.WriteString(r.out, text)
	for _, closing := range []string{"ok  \t", "FAIL\t", "?   \t"} {
		if strings.HasPrefix(text, closing) {
			r.packages = append(r.packages, text)
		}
	}
}

func (r *report) testEnd(key string, e event) {
	output := r.pending[key]
	delete(r.pending, key)
	switch e.Action {
	case "fail":
		io.WriteString(r.out, strings.Join(output, ""))
	case "skip":
		r.skipped = append(r.skipped, skipReason(key, output))
	}
	if !strings.Contains(e.Test, "/") {
		r.finished = append(r.finished, timed{key, e.Elapsed})
	}
}

// skipReason is the test's name and what it gave to t.Skip.
func skipReason(key string, output []string) string {
	var said []string
	for _, line := range output {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	return key + ": " + strings.Join(said, " ")
}

func (r *report) flush() {
	keys := make([]string, 0, len(r.pending))
	for key := range r.pending {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		io.WriteString(r.out, strings.Join(r.pending[key], ""))
	}
	clear(r.pending)
}

func (r *report) end() {
	r.flush()
	if len(r.skipped) > 0 {
		fmt.Fprintf(r.out, "\nskipped tests:\n")
		for _, reason := range r.skipped {
			fmt.Fprintf(r.out, "  %s\n", reason)
		}
	}
	slices.SortFunc(r.finished, func(a, b timed) int {
		return cmp.Or(cmp.Compare(b.seconds, a.seconds), strings.Compare(a.name, b.name))
	})
	if len(r.finished) > 0 {
		fmt.Fprintf(r.out, "\nslowest tests:\n")
		for _, t := range r.finished[:min(slowestMax, len(r.finished))] {
			fmt.Fprintf(r.out, "  %7.2fs  %s\n", t.seconds, t.name)
		}
	}
}
