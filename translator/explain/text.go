package explain

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// Text tells the story to people: the answer, and then why. Of long lists it has what matters most, and how many more.
func (s Story) Text() string { return s.text(false) }

// WholeText is Text with all of every list.
func (s Story) WholeText() string { return s.text(true) }

func (s Story) text(all bool) string {
	t := &text{all: all}
	t.title("%s from %s", s.Request, s.From)
	s.decision(t)
	some(t, s.apart(), "because of", located)
	t.blank()
	if s.Entry != "" {
		t.line("entry", "%s %s", s.Entry, s.Address)
	}
	if c := s.Certificate; c != nil {
		t.line("certificate", "%s%s", c.text(), margin(c.Origins))
	}
	if c := s.Connection; c != nil {
		t.line("connection", "%s%s", c.text(), margin(c.Origins))
	}
	var hosts []string
	for _, h := range s.Hosts {
		hosts = append(hosts, h.text())
	}
	if len(hosts) > 0 {
		t.line("hosts", "%s", strings.Join(hosts, "; "))
	}
	s.candidates(t)
	s.policies(t)
	some(t, s.Losers, "beats", func(l Loser) string { return located(l.Origin) + ": " + l.Reason })
	some(t, s.Notes, "note", func(n string) string { return n })
	some(t, s.Diagnostics, "diagnostics", func(d diag.D) string {
		words := fmt.Sprintf("%s %s %s: %s; %s", d.Severity, d.Code, d.Origin, d.Message, d.Effect)
		if d.Fix != "" {
			words += "; fix: " + d.Fix
		}
		return words
	})
	return t.String()
}

// Text tells the answers, and then the stories.
func (j Journey) Text() string { return j.text(false) }

// WholeText is Text with all of every list.
func (j Journey) WholeText() string { return j.text(true) }

func (j Journey) text(all bool) string {
	t := &text{all: all}
	for i, s := range j.Stories {
		if i == 0 {
			t.title("%s from %s", s.Request, s.From)
		}
		t.line(fmt.Sprintf("answer %d", i+1), "%s", s.Decision.answer())
	}
	t.line("end", "%s", j.Reason)
	for i, s := range j.Stories {
		t.blank()
		t.WriteString(fmt.Sprintf("%d. ", i+1) + s.text(all))
	}
	return t.String()
}

// answer is what the client gets, in a line.
func (d Decision) answer() string {
	switch {
	case len(d.Shares) > 0:
		return fmt.Sprintf("by one of %d, by weight", len(d.Shares))
	case d.Status == 0 && d.Backend == "":
		return "none: " + d.Reason
	case d.Location != "":
		return fmt.Sprintf("%d to %s (%s)", d.Status, d.Location, d.Reason)
	case d.Status != 0:
		return fmt.Sprintf("%d (%s)", d.Status, d.Reason)
	}
	return "by " + d.where()
}

// itemsShown bounds the items of a list in Text.
const itemsShown = 5

// some writes the first items of a list, the label before the first of them.
func some[T any](t *text, items []T, label string, words func(T) string) {
	for i, item := range items {
		if i == itemsShown && !t.all {
			t.line("", "and %d more", len(items)-i)
			return
		}
		t.line(label, "%s", words(item))
		label = ""
	}
}

// apart are the origins that no policy is told with.
func (s Story) apart() []diag.Origin {
	var out []diag.Origin
	for _, o := range s.Origins {
		if !slices.ContainsFunc(s.Policies, func(p Policy) bool { return p.told() && slices.Contains(p.Origins, o) }) {
			out = append(out, o)
		}
	}
	return out
}

// told says whether the text has the policy with all its origins. What a request does not come to is counted only.
func (p Policy) told() bool { return p.Outcome != Unreached && len(p.Origins) == 1 }

func (s Story) policies(t *text) {
	unreached := 0
	for _, p := range s.Policies {
		if p.Outcome == Unreached {
			unreached++
			continue
		}
		kind := string(p.Kind)
		if p.Backend != "" && len(s.Decision.Shares) > 0 {
			kind += " of " + p.Backend
		}
		t.line(string(p.Outcome), "%s: %s%s", kind, p.Text, margin(p.Origins))
	}
	if unreached > 0 {
		t.line(string(Unreached), "%s, since the answer comes before", plural(unreached, "thing")+" that the route asks for")
	}
}

// What bounds the candidates of one outcome in the text, so that it fits a screen; WholeText and JSON have them all.
const (
	lostShown = 4
	// laterShown counts lines.
	laterShown = 2
)

func (s Story) candidates(t *text) {
	count := map[Outcome]int{}
	for _, c := range s.Candidates {
		count[c.Outcome]++
	}
	// Of those that lost, the last ones came nearest; of those that come later, the first ones do.
	skip, later := max(count[Lost]-lostShown, 0), count[Later]
	if later > laterShown {
		later = laterShown - 1 // The line of the others is one too.
	}
	if t.all {
		skip, later = 0, count[Later]
	}
	if skip > 0 {
		t.line(string(Lost), "%s before these", plural(skip, "route"))
	}
	shown := map[Outcome]int{}
	for _, c := range s.Candidates {
		shown[c.Outcome]++
		if c.Outcome == Lost && shown[Lost] <= skip || c.Outcome == Later && shown[Later] > later {
			continue
		}
		at := margin(model.Origins{c.Origin})
		if c.Outcome == Matched {
			at = "" // It stands above, with all that the route comes from.
		}
		t.line(string(c.Outcome), "%s %s: %s%s", c.Host, c.Path, c.Reason, at)
	}
	if more := count[Later] - later; more > 0 {
		t.line(string(Later), "%s after this", plural(more, "route"))
	}
}

func (s Story) decision(t *text) {
	d := s.Decision
	if a := d.Ask; a != nil {
		t.line("asks", "GET %s of %s; if it answers 2xx:", a.URL, a.Of.where())
	}
	t.line("answer", "%s", d.answer())
	switch {
	case len(d.Shares) > 0:
		d.shares(t)
	case d.Backend != "":
		d.backend(t)
	}
	for _, p := range d.ErrorPages {
		t.line("error page", "for %s: %s of %s", model.StatusesText(p.Statuses), p.Page.ShownPath(), p.Page.Backend)
	}
	response := d.ShownResponse()
	for _, name := range slices.Sorted(maps.Keys(response)) {
		if values := response[name]; len(values) > 0 {
			t.line("answer has", "%s: %s", name, strings.Join(values, ", "))
		} else {
			t.line("answer has", "no %s", name)
		}
	}
}

func (d Decision) backend(t *text) {
	if d.Status != 0 {
		t.line("backend", "%s", d.where())
	}
	d.health(t)
	t.line("it sees", "%s  Host: %s", d.Path, d.Host)
	d.headers(t)
}

// health counts the endpoints that a Service has by their health, and tells those of which there is more to be said.
func (d Decision) health(t *text) {
	if !slices.ContainsFunc(d.EndpointHealth, func(e Endpoint) bool { return e.Health != HealthUnknown }) {
		return
	}
	t.line("endpoints", "%s", healthCounts(d.EndpointHealth))
	var odd []Endpoint
	for _, e := range d.EndpointHealth {
		if e.Cluster != "" || e.Health != HealthReady && e.Health != HealthUnknown {
			odd = append(odd, e)
		}
	}
	some(t, odd, "", func(e Endpoint) string {
		words := e.Address + " is " + string(e.Health)
		if !e.Serves {
			words += " and gets no requests"
		}
		if e.Cluster != "" {
			words += ", in cluster " + e.Cluster
		}
		if e.Origin != nil {
			words += margin(model.Origins{*e.Origin})
		}
		return words
	})
}

// shares tells what a request may get, each with its part of all requests.
func (d Decision) shares(t *text) {
	for _, s := range d.Shares {
		part := fmt.Sprintf("%d of %d", s.Weight, s.Of)
		switch one := s.Decision; {
		case one.Backend == "":
			t.line(part, "%d (%s)", one.Status, one.Reason)
		case one.Status != 0:
			t.line(part, "%s: %d (%s)", one.Backend, one.Status, one.Reason)
			one.health(t)
		default:
			t.line(part, "%s  Host: %s", one.where(), one.Host)
			one.health(t)
		}
	}
	t.line("it sees", "%s", d.Path)
	d.headers(t)
}

// where is the backend and its endpoints.
func (d Decision) where() string {
	return d.Backend + d.security() + " at " + d.endpoints()
}

func (d Decision) headers(t *text) {
	shown := d.Shown()
	for _, name := range []string{"X-Forwarded-Prefix", "X-Forwarded-Proto", "X-Forwarded-For"} {
		if v := shown.Values(name); len(v) > 0 {
			t.line("", "%s: %s", name, strings.Join(v, ", "))
		}
	}
}

// endpoints says what the backend is reached at.
func (d Decision) endpoints() string {
	endpoints := strings.Join(d.Endpoints, ", ")
	switch {
	case d.Outside == "":
		return orNone("endpoint", endpoints)
	case endpoints == "" && d.Status == 0:
		return d.Outside + ", resolved when served"
	default:
		return orNone("endpoint", endpoints) + ", of " + d.Outside
	}
}

// security says what the backend's certificate must show, and what it is shown.
func (d Decision) security() string {
	if d.TLS == nil {
		return ""
	}
	return " " + securityText(*d.TLS) + ","
}

func securityText(tls model.UpstreamTLS) string {
	text := "over TLS"
	if tls.MinVersion == model.TLS13 {
		text += " " + string(tls.MinVersion)
	}
	if tls.Client != "" {
		text += " with the client certificate of Secret " + tls.Client
	}
	if tls.SkipVerify {
		return text + ", not verified"
	}
	text += ", verified for " + strings.Join(tls.Names, " or ")
	if tls.Trust != "" {
		text += " by the CAs of " + tls.Trust
	}
	return text
}

// text is lines with a label column.
type text struct {
	strings.Builder
	// all has lists written whole.
	all bool
}

// What a line holds at most, where its words allow it, and what stands before its words.
const (
	columns     = 118
	labelColumn = 14
)

func (t *text) title(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) }

func (t *text) blank() { t.WriteByte('\n') }

// line writes a line, and goes on in further ones where it is too long. Neither words nor margins are broken.
func (t *text) line(label, format string, args ...any) {
	words := fmt.Sprintf(format, args...)
	for {
		first := words
		if len(words) > columns-labelColumn {
			at := strings.LastIndexByte(words[:columns-labelColumn+1], ' ')
			if at <= 0 {
				at = strings.IndexByte(words, ' ')
			}
			if at > 0 {
				first = words[:at]
			}
		}
		whole := strings.ReplaceAll(strings.TrimRight(first, " "), unbroken, " ")
		fmt.Fprintf(t, "  %-*s %s\n", labelColumn-3, label, whole)
		if words = strings.TrimLeft(words[len(first):], " "); words == "" {
			return
		}
		label = ""
	}
}

// unbroken stands for a blank at which no line is broken.
const unbroken = "\x00"

// margin is the first origin, for the end of a line.
func margin(origins model.Origins) string {
	if len(origins) == 0 || origins[0] == (diag.Origin{}) {
		return ""
	}
	place, position, found := strings.Cut(located(origins[0]), " (")
	if found {
		position = " (" + position
	}
	return "  [" + strings.ReplaceAll(place, " ", unbroken) + position + "]"
}

// located is an origin with its file and line. An annotation is written as @KEY.
func located(o diag.Origin) string {
	text := o.Object()
	switch {
	case o.Annotation != "":
		text += " @" + o.Annotation
	case o.Field != "":
		text += " " + o.Field
	}
	if pos := o.Position(); pos != "" {
		text += " (" + pos + ")"
	}
	return text
}

func plural(n int, noun string) string {
	switch n {
	case 0:
		return "no " + noun
	case 1:
		return "1 " + noun
	default:
		return fmt.Sprintf("%d %ss", n, noun)
	}
}

func orNone(noun, s string) string {
	if s == "" {
		return "no " + noun
	}
	return s
}
