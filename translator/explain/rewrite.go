package explain

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/postern-gateway/postern/translator/model"
)

// rewritten is the path (with query) that the backend sees where no prefix is stripped, or of what is left once one is.
func (n *narrator) rewritten(r model.Route, f *model.Forward, path string) string {
	bare, query, asked := strings.Cut(path, "?")
	if asked {
		query = "?" + query
	}
	if f.ReplacePath != "" {
		return f.ReplacePath + query
	}
	switch change := r.Rewrite.(type) {
	case *model.AddPrefix:
		bare = change.Prefix + bare
	case *model.ReplacePrefix:
		bare = prefixReplaced(r.Path, change.With, bare)
	case *model.ReplaceRegex:
		bare = replaceAll(change.Pattern, change.With, bare)
	}
	return bare + query
}

// prefixReplaced puts with in the place of what a match took of a path.
func prefixReplaced(m model.PathMatch, with, path string) string {
	if m.Value == "/" && m.Kind != model.PathExact {
		return with + path
	}
	rest, ok := cutPrefix(path, strings.TrimSuffix(m.Value, "/"))
	if m.Kind == model.PathExact {
		rest, ok = "", true
	}
	if !ok {
		panic("explain: " + path + " was matched by " + m.String())
	}
	if strings.HasSuffix(m.Value, "/") && m.Kind == model.PathStringPrefix || with == "" {
		rest = "/" + strings.TrimLeft(rest, "/")
	}
	return with + rest
}

// replaceAll replaces all that a pattern matches in a text.
func replaceAll(pattern string, with model.Substitution, text string) string {
	var b strings.Builder
	end := 0
	for _, at := range regexp.MustCompile(pattern).FindAllStringSubmatchIndex(text, -1) {
		b.WriteString(text[end:at[0]])
		for _, part := range with {
			b.WriteString(part.Text)
			if from := at[2*part.Group]; part.Text == "" && from >= 0 {
				b.WriteString(text[from:at[2*part.Group+1]])
			}
		}
		end = at[1]
	}
	return b.String() + text[end:]
}

// tellsReplaced says whether the backend is told what the path was.
func tellsReplaced(r model.Route, f *model.Forward) bool {
	switch r.Rewrite.(type) {
	case *model.ReplacePrefix, *model.ReplaceRegex:
		return true
	}
	return f.ReplacePath != ""
}

// refusesDots answers a path in which a regex might make a climb of two dots.
func (n *narrator) refusesDots(r model.Route, _ *model.Forward) bool {
	if !n.hasDots(r) {
		return false
	}
	n.answering = PolicyDots
	n.story.Decision = Decision{Status: http.StatusBadRequest, Reason: "the path has two dots in a row, of which ReplacePathRegex may make a dot segment"}
	return true
}

func (n *narrator) hasDots(r model.Route) bool {
	_, byRegex := r.Rewrite.(*model.ReplaceRegex)
	path, _, _ := strings.Cut(n.target.path, "?")
	return byRegex && strings.Contains(path, "..")
}
