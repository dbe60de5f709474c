// Package corpus sends raw requests to a data plane, byte for byte, in a world with closed routes beside open ones, and
// judges what reaches a backend by how a lenient one would read it. README.md describes the files.
package corpus

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/translator/model"
)

// The files of a corpus.
const (
	requestsFile   = "requests.txt"
	restrictedFile = "restricted.txt"
	answersFile    = "answers.txt"
	exceptionsFile = "exceptions.txt"
)

// A request is one entry of the corpus.
type request struct {
	// group and line name it: they are as in the file.
	group, line string
	// mark takes the place of {n} in the form: by it a backend's late word on an earlier request is known.
	mark string
	// bytes are what is sent; for HTTP/2, fields and frames are.
	bytes  string
	fields [][2]string
	frames []frame
	options
}

// options are what a group's directives say.
type options struct {
	form    string
	http2   bool
	https   bool
	from    netip.Addr
	slashes model.EscapedSlashes
	// answers is how many are to come before the connection must be in step again.
	answers int
	// broken has bodies that come to no good end: whether a backend sees anything of them is a matter of time.
	broken bool
}

// frame follows the header block of an HTTP/2 request: data, trailers, or a reset.
type frame struct{ kind, text string }

// name is the request as golden files and failures write it.
func (r request) name() string { return r.group + ": " + r.line }

// trustedPeer is the peer that the world's --trusted-proxies name.
const trustedPeer = "127.0.0.5"

func (r request) trusted() bool { return r.from.String() == trustedPeer }

// markBegin begins every mark.
const markBegin = "line="

// late says whether a backend saw something of another request.
func (r request) late(path string) bool {
	_, mark, marked := strings.Cut(path, markBegin)
	return marked && markBegin+mark != r.mark
}

// parse reads requests.txt.
func parse(dir string) ([]request, error) {
	text, err := os.ReadFile(filepath.Join(dir, requestsFile))
	if err != nil {
		return nil, err
	}
	var out []request
	var group string
	var o options
	seen := map[string]bool{}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "" || strings.HasPrefix(line, "# "):
		case strings.TrimSpace(line) != line:
			err = errors.New(`a space at an end of a line is written \x20`)
		case strings.HasPrefix(line, "== "):
			group, o = strings.TrimPrefix(line, "== "), options{form: "{}", from: netip.MustParseAddr("127.0.0.1"), answers: 1}
		case strings.HasPrefix(line, "@"):
			err = o.direct(line)
		default:
			r := request{group: group, line: line, mark: fmt.Sprintf("%s%d", markBegin, number), options: o}
			if err = r.read(); err == nil && seen[r.name()] {
				err = fmt.Errorf("%s stands there twice", r.name())
			}
			seen[r.name()] = true
			out = append(out, r)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", requestsFile, number, err)
		}
	}
	return out, nil
}

// direct reads a directive: it holds for the rest of the group.
func (o *options) direct(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	var err error
	switch word {
	case "@form":
		o.form = rest
	case "@http2":
		o.http2 = true
	case "@https":
		o.https = true
	case "@broken":
		o.broken = true
	case "@from":
		o.from, err = netip.ParseAddr(rest)
	case "@slashes":
		o.slashes, err = model.ParseEscapedSlashes(rest)
	case "@answers":
		o.answers, err = strconv.Atoi(rest)
	default:
		err = fmt.Errorf("%s is no directive", word)
	}
	return err
}

func (r *request) read() error {
	text := strings.NewReplacer("{}", r.line, "{n}", r.mark).Replace(r.form)
	if !r.http2 {
		var err error
		r.bytes, err = unescape(text)
		return err
	}
	for part := range strings.SplitSeq(text, " | ") {
		part, err := unescape(part)
		if err != nil {
			return err
		}
		if kind, ok := strings.CutPrefix(part, "!"); ok {
			kind, text, _ := strings.Cut(kind, " ")
			r.frames = append(r.frames, frame{kind, text})
			continue
		}
		name, value, ok := strings.Cut(part[1:], ":") // the first may be that of a pseudo-header
		if !ok {
			return fmt.Errorf("%q is no header field", part)
		}
		r.fields = append(r.fields, [2]string{part[:1] + name, strings.TrimPrefix(value, " ")})
	}
	return nil
}

// unescape reads \r, \n, \t, \\, \xNN and \{N*text}, which is text N times.
func unescape(text string) (string, error) {
	var out strings.Builder
	for text != "" {
		before, rest, found := strings.Cut(text, `\`)
		out.WriteString(before)
		if !found {
			break
		}
		if many, ok := strings.CutPrefix(rest, "{"); ok {
			inside, after, ok := strings.Cut(many, "}")
			count, repeated, ok2 := strings.Cut(inside, "*")
			n, err := strconv.Atoi(count)
			if !ok || !ok2 || err != nil {
				return "", fmt.Errorf(`%q: write \{N*text}`, rest)
			}
			repeated, err = unescape(repeated)
			if err != nil {
				return "", err
			}
			out.WriteString(strings.Repeat(repeated, n))
			text = after
			continue
		}
		value, _, after, err := strconv.UnquoteChar(`\`+rest, '"')
		if err != nil || value > 0xff {
			return "", fmt.Errorf(`%q is no escape`, `\`+rest)
		}
		out.WriteByte(byte(value))
		text = after
	}
	return out.String(), nil
}
