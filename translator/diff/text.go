package diff

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/explain"
)

// shown bounds the hosts, and the paths of one, that the text names.
const shown = 4

// originsInLine bounds the places in a line.
const originsInLine = 2

// Text tells people. It is the same for equal reports.
func (r Report) Text() string {
	var b strings.Builder
	for _, c := range r.Classes {
		c.write(&b)
	}
	for _, u := range r.Unseen {
		fmt.Fprintf(&b, "written otherwise, but no request was found that shows it: %s %s %s%s\n  - %s\n  + %s\n\n", u.Entry, u.Host, u.Asked, u.more(), u.Before, u.After)
	}
	b.WriteString(r.Summary() + "\n")
	return b.String()
}

func (u Unseen) more() string {
	if u.Count < 2 {
		return ""
	}
	return fmt.Sprintf(" and %s more", plural(u.Count-1, "path"))
}

// Summary is the report in a line.
func (r Report) Summary() string {
	if !r.Different() {
		return "no difference"
	}
	count := map[Kind]int{}
	for _, c := range r.Classes {
		count[c.Kind]++
	}
	var parts []string
	for _, kind := range kinds {
		if n := count[kind]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, kind))
		}
	}
	return fmt.Sprintf("%s: %s", plural(len(r.Classes), "change"), strings.Join(parts, ", "))
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func (c Class) write(b *strings.Builder) {
	title := string(c.Kind)
	if c.Kind == OtherPolicy || c.Kind == Elsewhere || c.Kind == OtherAnswer {
		title += ": " + strings.Join(c.Changed, ", ")
	}
	fmt.Fprintf(b, "%s\n", title)
	for i, h := range c.Hosts {
		if i == shown {
			fmt.Fprintf(b, "  and %s more, %s in all\n", plural(len(c.Hosts)-i, "host"), plural(c.Count, "host"))
			break
		}
		fmt.Fprintf(b, "  %s\n", h)
	}
	fmt.Fprintf(b, "  - %s%s\n", c.Before, written(c.BeforeOrigins))
	fmt.Fprintf(b, "  + %s%s\n", c.After, written(c.AfterOrigins))
	if w := c.Witness; w != nil {
		fmt.Fprintf(b, "  %s\n", w.Command)
		if w.Before != w.After {
			fmt.Fprintf(b, "    %s -> %s\n", w.Before, w.After)
		}
	}
	b.WriteByte('\n')
}

// String is a host with its paths in a line.
func (h Host) String() string {
	if h.Every {
		return "every host of " + h.Entry
	}
	name := h.Host
	if name == "*" {
		name = "* (no rule names it)"
	}
	if h.Connection {
		return h.Entry + " " + name
	}
	var paths []string
	for i, p := range h.Paths {
		if i == shown {
			paths = append(paths, fmt.Sprintf("and %s more", plural(len(h.Paths)-i, "path")))
			break
		}
		paths = append(paths, p.Pattern)
	}
	return h.Entry + " " + name + " " + strings.Join(paths, " ")
}

// written is where something is written, in a line.
func written(origins []diag.Origin) string {
	var out []string
	for i, o := range origins {
		if i == originsInLine {
			out = append(out, "and more")
			break
		}
		out = append(out, placed(o))
	}
	if out == nil {
		return ""
	}
	return "  [" + strings.Join(out, "; ") + "]"
}

// Command is the postern explain that asks about a request, but for the side that is asked. The request is shown as it is.
func Command(r explain.Request) string {
	out := []string{"postern explain"}
	if r.Method != "" && r.Method != http.MethodGet {
		out = append(out, "-X "+r.Method)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			out = append(out, "-H "+quoted(name+": "+value))
		}
	}
	if r.From.IsValid() && r.From != localhost {
		out = append(out, "--from "+r.From.String())
	}
	if r.SNI != "" {
		out = append(out, "--sni "+quoted(r.SNI))
	}
	if r.TLSVersion != "" {
		out = append(out, "--tls "+string(r.TLSVersion))
	}
	if len(r.ClientCertificate) > 0 {
		out = append(out, "--client-cert FILE")
	}
	if r.User != "" {
		out = append(out, "--logged-in "+quoted(r.User))
	}
	return strings.Join(append(out, quoted(r.URL)), " ")
}

// quoted is a word as a shell takes it.
func quoted(word string) string {
	if word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:%@+=,~") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
