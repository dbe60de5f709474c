package explain

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// Story is what happens to a request, in the order in which it happens.
type Story struct {
	Request string     `json:"request"`
	From    netip.Addr `json:"from"`
	// Entry is empty where no entry of the URL's scheme is open.
	Entry   string `json:"entry,omitempty"`
	Address string `json:"address,omitempty"`
	// Certificate is nil without TLS.
	Certificate *CertificateChoice `json:"certificate,omitempty"`
	// Connection is nil where the host that the client names has no TLS settings of its own.
	Connection *Connection `json:"connection,omitempty"`
	// Path is the path as it is matched: normalised, without the query.
	Path string `json:"path,omitempty"`
	// Hosts are the tables of routes that were asked, in order.
	Hosts []HostTable `json:"hosts,omitempty"`
	// Candidates are the routes that were tried, in order, and those after the matching one that would match too.
	Candidates  []Candidate   `json:"candidates,omitempty"`
	Decision    Decision      `json:"decision"`
	Origins     model.Origins `json:"origins,omitempty"`
	Losers      []diag.Origin `json:"losers,omitempty"`
	Notes       []string      `json:"notes,omitempty"`
	Diagnostics []diag.D      `json:"diagnostics,omitempty"`
}

// CertificateChoice is the certificate that the handshake is served with.
type CertificateChoice struct {
	// Host is the name it is served for, empty for the default certificate.
	Host    string        `json:"host,omitempty"`
	Why     string        `json:"why"`
	Origins model.Origins `json:"origins,omitempty"`
	chain   []byte
}

// Connection is what a handshake asks of the client because of the host that it names.
type Connection struct {
	// ServerName is the SNI.
	ServerName string           `json:"serverName"`
	MinVersion model.TLSVersion `json:"minVersion"`
	// ClientCA is the Secret, as NAMESPACE/NAME, to which the client's certificate must chain, empty where none is asked for.
	ClientCA string        `json:"clientCA,omitempty"`
	Origins  model.Origins `json:"origins,omitempty"`
}

func (c Connection) text() string {
	text := fmt.Sprintf("by the name %s: TLS %s or later", c.ServerName, c.MinVersion)
	if c.ClientCA != "" {
		text += ", and a client certificate that chains to Secret " + c.ClientCA
	}
	return text
}

// Subject is the name that the certificate itself bears: its common name, else its first DNS name; empty where it
// does not parse.
func (c CertificateChoice) Subject() string {
	block, _ := pem.Decode(c.chain)
	if block == nil {
		return ""
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return ""
	}
	if leaf.Subject.CommonName == "" && len(leaf.DNSNames) > 0 {
		return leaf.DNSNames[0]
	}
	return leaf.Subject.CommonName
}

// HostTable is the routes of one host, and why they are asked or not there.
type HostTable struct {
	// Host is the host as the model writes it; "default backend" for the routes of those.
	Host   string `json:"host"`
	Why    string `json:"why"`
	Routes int    `json:"routes"`
}

// Outcome is what became of a candidate.
type Outcome string

// The outcomes.
const (
	Matched Outcome = "matched"
	Lost    Outcome = "lost"
	// Later is a route that would match but comes after the one that did.
	Later Outcome = "later"
)

// Candidate is a route that was tried.
type Candidate struct {
	Host    string      `json:"host"`
	Path    string      `json:"path"`
	Outcome Outcome     `json:"outcome"`
	Reason  string      `json:"reason"`
	Origin  diag.Origin `json:"origin"`
}

// Decision is the answer: of the gateway itself, where Status is not 0, else of the backend.
type Decision struct {
	// Status is 0 where the backend answers, and where nobody does: then Backend is empty too.
	Status   int    `json:"status,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Location string `json:"location,omitempty"`
	// Backend is the name of the model's Backend, Assignment that of its endpoints.
	Backend    string             `json:"backend,omitempty"`
	Assignment string             `json:"assignment,omitempty"`
	Protocol   model.Protocol     `json:"protocol,omitempty"`
	TLS        *model.UpstreamTLS `json:"tls,omitempty"`
	Endpoints  []string           `json:"endpoints,omitempty"`
	// Outside is the name outside of the cluster whose addresses the endpoints are. Where there are none, and Status is 0,
	// nobody has looked them up.
	Outside string `json:"outside,omitempty"`
	// Host, Path (with the query) and Headers are what the backend sees. Headers that belong to a connection, and what
	// a proxy adds of its own, such as X-Request-Id, are left out.
	Host    string      `json:"host,omitempty"`
	Path    string      `json:"path,omitempty"`
	Headers http.Header `json:"headers,omitempty"`
	// Ask is a server that is asked before all this, nil for none.
	Ask *Ask `json:"ask,omitempty"`
	// Response are the headers that the answer gets, in place of a backend's own; one without a value is taken off.
	Response http.Header `json:"response,omitempty"`
	// Prefix is what Location and cookie paths of the response are put under: see RewriteLocation.
	Prefix string `json:"prefix,omitempty"`
	// RewritesBase says that the base element of the backend's pages is put under Prefix: see LoosenPage.
	RewritesBase bool `json:"rewritesBase,omitempty"`
	// Affinity is how the client is kept at one endpoint: see SessionCookie. Endpoints is the one that its cookie names,
	// where it names one.
	Affinity *model.Affinity `json:"affinity,omitempty"`
	// ErrorPages take the place of answers with certain statuses; of several the first counts. See PageFor.
	ErrorPages []ErrorPage `json:"errorPages,omitempty"`
	// Shares are the decisions of which each request gets one, where the route has several backends. Status and Backend
	// say nothing then.
	Shares []Share `json:"shares,omitempty"`
}

// with is the decision with headers that the route puts on the answer, whichever share it is of. What the decision says
// itself, a challenge, stands.
func (d Decision) with(response http.Header) Decision {
	all := http.Header{}
	maps.Copy(all, response)
	maps.Copy(all, d.Response)
	d.Response, d.Shares = all, slices.Clone(d.Shares)
	for i := range d.Shares {
		d.Shares[i].Decision.Response = all
	}
	return d
}

// Share is one of several decisions, and its part of the requests.
type Share struct {
	// Weight is a part of the sum Of.
	Weight   uint32   `json:"weight"`
	Of       uint32   `json:"of"`
	Decision Decision `json:"decision"`
}

// candidatesShown bounds the candidates of one outcome in the text, so that it fits a screen; JSON has them all.
const candidatesShown = 4

// Text tells the story to people.
func (s Story) Text() string {
	t := &text{}
	t.line("", "%s from %s", s.Request, s.From)
	if s.Entry != "" {
		t.line("entry", "%s %s", s.Entry, s.Address)
	}
	if c := s.Certificate; c != nil {
		t.line("certificate", "%s%s", c.Why, margin(c.Origins))
	}
	if c := s.Connection; c != nil {
		t.line("connection", "%s%s", c.text(), margin(c.Origins))
	}
	var hosts []string
	for _, h := range s.Hosts {
		hosts = append(hosts, h.Host+": "+plural(h.Routes, "route"))
	}
	if len(hosts) > 0 {
		t.line("hosts", "%s", strings.Join(hosts, "; "))
	}
	s.candidates(t)
	s.decision(t)
	some(t, s.Origins, "because of", placed)
	some(t, s.Losers, "beats", func(o diag.Origin) string { return placed(o) + ", which asks for the same host and path" })
	some(t, s.Notes, "note", func(n string) string { return n })
	some(t, s.Diagnostics, "diagnostics", func(d diag.D) string {
		return fmt.Sprintf("%s %s %s: %s; %s", d.Severity, d.Code, d.Origin, d.Message, d.Effect)
	})
	return t.String()
}

// itemsShown bounds the items of a list in the text.
const itemsShown = 5

// some writes the first items of a list, the label before the first of them.
func some[T any](t *text, items []T, label string, words func(T) string) {
	for i, item := range items {
		if i == itemsShown {
			t.line("", "and %d more", len(items)-i)
			return
		}
		t.line(label, "%s", words(item))
		label = ""
	}
}

func (s Story) candidates(t *text) {
	shown := map[Outcome]int{}
	lost := 0
	for _, c := range s.Candidates {
		if c.Outcome == Lost {
			lost++
		}
	}
	// Of those that lost, the last ones came nearest; of those that come later, the first ones do.
	skip := max(lost-candidatesShown, 0)
	if skip > 0 {
		t.line(string(Lost), "%s before these", plural(skip, "route"))
	}
	for _, c := range s.Candidates {
		shown[c.Outcome]++
		if c.Outcome == Lost && shown[Lost] <= skip || c.Outcome == Later && shown[Later] > candidatesShown {
			continue
		}
		at := margin(model.Origins{c.Origin})
		if c.Outcome == Matched {
			at = "" // It stands below, with all that the route comes from.
		}
		t.line(string(c.Outcome), "%s %s: %s%s", c.Host, c.Path, c.Reason, at)
	}
}

func (s Story) decision(t *text) {
	d := s.Decision
	if a := d.Ask; a != nil {
		t.line("asks", "GET %s of %s; if it answers 2xx:", a.URL, a.Of.where())
	}
	switch {
	case len(d.Shares) > 0:
		d.shares(t)
	case d.Status == 0 && d.Backend == "":
		t.line("answer", "none: %s", d.Reason)
	case d.Location != "":
		t.line("answer", "%d to %s (%s)", d.Status, d.Location, d.Reason)
	case d.Status != 0:
		t.line("answer", "%d (%s)", d.Status, d.Reason)
	}
	if d.Backend != "" {
		s.backend(t)
	}
	for _, p := range d.ErrorPages {
		t.line("error page", "for %s: %s of %s", statusesText(p.Statuses), p.Page.Path, p.Page.Backend)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Response)) {
		if values := d.Response[name]; len(values) > 0 {
			t.line("answer has", "%s: %s", name, strings.Join(values, ", "))
		} else {
			t.line("answer has", "no %s", name)
		}
	}
}

func (s Story) backend(t *text) {
	d := s.Decision
	t.line("backend", "%s", d.where())
	t.line("it sees", "%s  Host: %s", d.Path, d.Host)
	d.headers(t)
}

// shares tells what a request may get, each with its part of all requests.
func (d Decision) shares(t *text) {
	t.line("answer", "by one of %d, by weight", len(d.Shares))
	for _, s := range d.Shares {
		part := fmt.Sprintf("%d of %d", s.Weight, s.Of)
		switch one := s.Decision; {
		case one.Backend == "":
			t.line(part, "%d (%s)", one.Status, one.Reason)
		case one.Status != 0:
			t.line(part, "%s: %d (%s)", one.Backend, one.Status, one.Reason)
		default:
			t.line(part, "%s  Host: %s", one.where(), one.Host)
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
	for _, name := range []string{"X-Forwarded-Prefix", "X-Forwarded-Proto", "X-Forwarded-For"} {
		if v := d.Headers.Values(name); len(v) > 0 {
			t.line("", "%s: %s", name, strings.Join(v, ", "))
		}
	}
}

// endpoints says what the backend is reached at.
func (d Decision) endpoints() string {
	endpoints := strings.Join(d.Endpoints, ", ")
	switch {
	case d.Outside == "":
		return orNone(endpoints)
	case endpoints == "" && d.Status == 0:
		return d.Outside + ", resolved when served"
	default:
		return orNone(endpoints) + ", of " + d.Outside
	}
}

// security says what the backend's certificate must show, and what it is shown.
func (d Decision) security() string {
	if d.TLS == nil {
		return ""
	}
	text := " over TLS"
	if d.TLS.MinVersion == model.TLS13 {
		text += " " + string(d.TLS.MinVersion)
	}
	if d.TLS.Client != "" {
		text += " with the client certificate of Secret " + d.TLS.Client
	}
	if d.TLS.SkipVerify {
		return text + ", not verified,"
	}
	text += ", verified for " + strings.Join(d.TLS.Names, " or ")
	if d.TLS.Trust != "" {
		text += " by the CAs of " + d.TLS.Trust
	}
	return text + ","
}

// text is lines with a label column.
type text struct{ strings.Builder }

func (t *text) line(label, format string, args ...any) {
	if t.Len() == 0 {
		fmt.Fprintf(t, format+"\n", args...)
		return
	}
	fmt.Fprintf(t, "  %-11s "+format+"\n", append([]any{label}, args...)...)
}

// margin is the first origin, for the end of a line.
func margin(origins model.Origins) string {
	if len(origins) == 0 || origins[0] == (diag.Origin{}) {
		return ""
	}
	return "  [" + placed(origins[0]) + "]"
}

func placed(o diag.Origin) string {
	if pos := o.Position(); pos != "" {
		return o.String() + " (" + pos + ")"
	}
	return o.String()
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

func orNone(s string) string {
	if s == "" {
		return "no endpoint"
	}
	return s
}
