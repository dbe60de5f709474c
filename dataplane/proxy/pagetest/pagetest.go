// Package pagetest holds the pages by which the two readings of the script base-v2 are judged, the Go data plane's and
// the Lua source on Envoy: a table with what must come of each, and random ones on which both must agree.
package pagetest

import (
	_ "embed"
	"fmt"
	"math/rand/v2"
	"strings"
)

// A Row is a page and what must come of it.
type Row struct {
	// Prefix is that of the filter context, as it is written in an attribute.
	Prefix string
	// Page is what the backend answers; Below is what comes of it below the prefix, Bare at the prefix itself.
	Page, Below, Bare string
}

//go:embed pages.txt
var pages string

var unescape = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\t`, "\t", `\f`, "\f", `\r`, "\r", `\xEF\xBB\xBF`, "\uFEFF")

// Rows are the table: pages.txt, which says how it is written.
func Rows() []Row {
	var out []Row
	prefix := ""
	for line := range strings.Lines(pages) {
		line = unescape.Replace(strings.TrimSuffix(line, "\n"))
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "@ "):
			prefix = line[len("@ "):]
		case strings.HasPrefix(line, "  = "):
			page := line[len("  = "):]
			out[len(out)-1].Below, out[len(out)-1].Bare = page, page
		case strings.HasPrefix(line, "  + "):
			out[len(out)-1].Bare = line[len("  + "):]
		case strings.HasPrefix(line, " "):
			panic(fmt.Sprintf("pagetest: %q is no line of the table", line))
		default:
			out = append(out, Row{Prefix: prefix, Page: line, Below: line, Bare: line})
		}
	}
	return out
}

// pieces are what random pages are made of: whole elements, and parts that make broken ones.
var pieces = []string{
	"<base href=\"/\">", "<base href='/app/'>", "<base href=/x/>", "<base href=\"/k8s/\">", "<base href=\"./\">", "<base href=\"\">",
	"<base target=_top>", "<base", "<BASE HREF", "base", " href", "href=", "=", "\"", "'", "/", "/k8s", "//", "k8s", ".", ">", "<", "</",
	"<!--", "-->", "--!>", "<!---->", "<!->", "-", "!", "<!doctype html>", "<?x ", "</", "<html>", "<head>", "</head>", "<body>",
	"<meta charset=utf-8>", "<title>", "</title>", "<style>", "</style>", "<textarea>", "</textarea", "<link href=a.css>", "<header>",
	"<p title=\"<base href='/'>\">", "text ", "\n", "\t", " ", "é",
}

// Random is a page of up to n pieces.
func Random(r *rand.Rand, n int) string {
	var b strings.Builder
	for range r.IntN(n) + 1 {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}

// Chunks cuts a page into up to n parts, none of them empty.
func Chunks(r *rand.Rand, page string, n int) []string {
	var out []string
	for len(page) > 0 && len(out) < n-1 {
		cut := r.IntN(len(page)) + 1
		out, page = append(out, page[:cut]), page[cut:]
	}
	if page != "" {
		out = append(out, page)
	}
	return out
}
