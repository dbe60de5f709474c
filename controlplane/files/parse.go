package files

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

const (
	// fileSizeMax is the largest manifest that is read, in bytes.
	fileSizeMax = 16 << 20
	// depthMax is how deep the values of a document may nest. The deepest Kubernetes objects, the schemas of
	// CustomResourceDefinitions, stay below 100.
	depthMax = 200
)

// ParseError says why a file is not manifests, in plain words. It never holds a value of the file, which may be a
// secret; it may name a key.
type ParseError struct {
	File string
	// Line is 1-based; 0 where the fault is not in one line.
	Line int
	Err  error
}

// Error is file:line: message.
func (e *ParseError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.File, e.Err)
}

// Unwrap gives the message without the place.
func (e *ParseError) Unwrap() error { return e.Err }

// lineError is a fault at a line, before the name of the file is known.
type lineError struct {
	line    int
	message string
}

func (e *lineError) Error() string { return e.message }

func failure(line int, format string, args ...any) error {
	return &lineError{line, fmt.Sprintf(format, args...)}
}

// parse gives the top values of all documents of a file. Empty documents are left out.
func parse(data []byte) ([]*yaml.Node, error) {
	if len(data) > fileSizeMax {
		return nil, failure(0, "the file is larger than %d MiB, the most that is read", fileSizeMax>>20)
	}
	if err := checkText(data); err != nil {
		return nil, err
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	// YAML is not quite a superset of JSON: go-yaml knows no surrogate pairs and forbids some tabs.
	if text := bytes.TrimLeft(data, " \t\r\n"); len(text) > 0 && text[0] == '{' {
		if docs, err := parseJSON(data); err == nil {
			return docs, nil
		}
	}
	return parseYAML(data)
}

// checkText refuses what no YAML reader takes, as those readers do not say where it stands.
func checkText(data []byte) error {
	if bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) {
		return failure(1, "the file is in UTF-16; save it as UTF-8")
	}
	line := 1
	for i := 0; i < len(data); {
		c := data[i]
		if c < utf8.RuneSelf {
			if c == '\n' {
				line++
			}
			if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f {
				return failure(line, "there is a control character (0x%02x) in the line", c)
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return failure(line, "the line is not UTF-8")
		}
		i += size
	}
	return nil
}

func parseYAML(data []byte) ([]*yaml.Node, error) {
	in := &lineReader{rest: data}
	dec := yaml.NewDecoder(in)
	var docs []*yaml.Node
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, plainError(err, in.lines, data)
		}
		if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 || isNull(doc.Content[0]) {
			continue
		}
		docs = append(docs, doc.Content[0])
	}
}

// lineReader hands over one line at a time, so that what was read when the parser gave up tells the line of the fault:
// go-yaml itself names the line where the surrounding list or object begins.
type lineReader struct {
	rest  []byte
	lines int
}

func (r *lineReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	end := bytes.IndexByte(r.rest, '\n') + 1
	if end == 0 {
		end = len(r.rest)
	}
	n := copy(p, r.rest[:end])
	if r.rest[n-1] == '\n' || n == len(r.rest) {
		r.lines++
	}
	r.rest = r.rest[n:]
	return n, nil
}

var (
	yamlError   = regexp.MustCompile(`(?s)^yaml: (?:line (\d+): )?(.*)$`)
	noSuchAlias = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// plainWords are go-yaml's messages and what they mean to someone who writes manifests.
var plainWords = []struct{ yaml, plain string }{
	{"did not find expected key", "the line does not continue the object above it: its indentation differs, or a ':' or a quote is missing"},
	{"did not find expected '-' indicator", "the line does not continue the list above it: its indentation differs, or a '-' is missing"},
	{"did not find expected ',' or '", "a list in [ ] or an object in { } is not closed, or lacks a comma"},
	{"did not find expected node content", "a value is missing before a bracket or comma, or before the end"},
	{"did not find expected <document start>", "there is something left after the end of the document"},
	{"could not find expected ':'", "there is no ':' after the key"},
	{"mapping values are not allowed in this context", "a ':' where no key can stand: the indentation differs from the lines above, or the value needs quotes"},
	{"found character that cannot start any token", "a value begins with a character that YAML reserves (a tab, @, ` or %): use spaces to indent, and quotes around the value"},
	{"found a tab character", "a tab is used to indent; YAML takes only spaces"},
	{"found unexpected end of stream", "a quote is opened and never closed"},
	{"found unknown escape character", "there is an unknown escape in a string in double quotes; single quotes take it as it is"},
	{"block sequence entries are not allowed in this context", "a '-' where no list can begin: put it in a line of its own"},
	{"found undefined tag handle", "there is a tag (!…) that is not known"},
	{"exceeded max depth", "the document is nested too deep"},
}

// plainError places an error of go-yaml and says it in plain words. read is the number of lines that the parser saw.
func plainError(err error, read int, data []byte) error {
	m := yamlError.FindStringSubmatch(err.Error())
	if m == nil {
		return failure(read, "%s", err)
	}
	line, _ := strconv.Atoi(m[1]) // Without a number it is the first line; see below.
	message := m[2]
	if alias := noSuchAlias.FindStringSubmatch(message); alias != nil {
		// The name is left out: it may be a password that was written without quotes.
		return failure(lastLineWith("*"+alias[1], data, read), "the value begins with '*', which refers to an anchor (&) that the document does not have; put it in quotes if it is meant as text")
	}
	line = cmp.Or(line, 1)
	if strings.HasPrefix(message, "did not find expected") || strings.HasPrefix(message, "found undefined tag") {
		line = read
	}
	for _, w := range plainWords {
		if strings.HasPrefix(message, w.yaml) {
			message = w.plain
			break
		}
	}
	return failure(min(line, max(read, 1)), "%s%s", message, templateHint(data, line))
}

// lastLineWith is the last of the first lines that holds the text.
func lastLineWith(text string, data []byte, first int) int {
	lines := bytes.SplitN(data, []byte("\n"), first+1)
	for i := min(first, len(lines)) - 1; i >= 0; i-- {
		if bytes.Contains(lines[i], []byte(text)) {
			return i + 1
		}
	}
	return first
}

const templateAdvice = "; the file looks like a template ({{ }}): render it first, for example with helm template"

// templateHint is for files that are input of a template engine: the fault is at, or right after, a {{.
func templateHint(data []byte, line int) string {
	lines := bytes.SplitN(data, []byte("\n"), line+2)
	near := lines[min(max(line-2, 0), len(lines)-1):min(line+1, len(lines))]
	if bytes.Contains(bytes.Join(near, []byte("\n")), []byte("{{")) {
		return templateAdvice
	}
	return ""
}

// checkTree refuses what YAML allows and JSON does not, and duplicate keys. It follows no aliases, so it takes time in
// proportion to the file.
func checkTree(n *yaml.Node, depth int) error {
	if depth > depthMax {
		return failure(n.Line, "the document is nested deeper than %d levels", depthMax)
	}
	var seen map[string]int
	for i, c := range n.Content {
		var err error
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			if seen == nil {
				seen = make(map[string]int, len(n.Content)/2)
			}
			err = checkKey(c, seen)
		} else {
			err = checkTree(c, depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func checkKey(key *yaml.Node, seen map[string]int) error {
	if isMerge(key) {
		return nil
	}
	name, err := keyName(key)
	if err != nil {
		return err
	}
	if first, twice := seen[name]; twice {
		return failure(key.Line, "the key %q is already set in line %d", name, first)
	}
	seen[name] = key.Line
	return nil
}
