package casetest

import (
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
)

// Judge answers probes by a translation.
type Judge interface {
	// Publish makes a step's translation the one to answer by, and returns when it is.
	Publish(translator.Result) error
	// Ask is called for one probe after another. Its error is a fault of the judge, not of the answer.
	Ask(Probe) (Answer, error)
}

// Checker is a Judge that has, besides answers, something to say of a published step: step is its index.
type Checker interface {
	Check(step int, results []translator.Result) []string
}

// Wire is a Judge that can be sent any bytes at all.
type Wire interface {
	Judge
	// Dial connects from an address to an entry, over TLS where the entry is.
	Dial(entry string, from netip.Addr) (net.Conn, error)
	// TakeSeen is what backends have seen since the last call.
	TakeSeen() []Seen
}

// Many is a Judge that gives every answer that a request may get where several backends share it.
type Many interface {
	Judge
	Answers(Probe) ([]Answer, error)
}

// Court makes the judge of one case; what it starts, the test's end ends.
type Court struct {
	Name string
	Open func(*testing.T, *Case) Judge
}

// Run has the judge ask all probes of the cases below root.
func Run(t *testing.T, root string, court Court) {
	for _, c := range Load(t, root) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			results, err := c.Translate()
			if err != nil {
				t.Fatal(err)
			}
			court.Hear(t, c, results)
		})
	}
}

// Hear has the judge ask all probes of a case, by a translation of each of its steps.
func (court Court) Hear(t *testing.T, c *Case, results []translator.Result) {
	t.Helper()
	judge := court.Open(t, c)
	for i, step := range c.Steps {
		if err := judge.Publish(results[i]); err != nil {
			t.Fatalf("%s, %s, step %d: %v", court.Name, c.Name, i+1, err)
		}
		if checker, ok := judge.(Checker); ok {
			for _, complaint := range checker.Check(i, results) {
				t.Errorf("%s, %s, step %d: %s", court.Name, c.Name, i+1, complaint)
			}
		}
		for _, p := range step.Probes {
			differences, err := try(judge, p)
			if err != nil {
				t.Fatalf("%s, %s, %s %s: %v", court.Name, c.Name, p.Position, p.Line, err)
			}
			if len(differences) > 0 {
				t.Errorf("%s, %s, %s %s\n  %s", court.Name, c.Name, p.Position, p.Line, strings.Join(differences, "\n  "))
			}
		}
	}
}

// Explain is the first judge: the explain engine, and what a test backend would do with the request.
var Explain = Court{Name: "explain", Open: func(t *testing.T, c *Case) Judge {
	return &explainJudge{test: c, turns: map[string]int{}}
}}

type explainJudge struct {
	test   *Case
	result translator.Result
	// turns counts the requests by what is to be chosen for them: the URL of a share, the assignment of an endpoint.
	turns map[string]int
}

// turn is the number of a choice among n, one after the other.
func (j *explainJudge) turn(of string, n int) int {
	j.turns[of]++
	return (j.turns[of] - 1) % n
}

// chosen is the decision that a request gets: of several, each in turn as often as its weight says.
func (j *explainJudge) chosen(url string, d explain.Decision) explain.Decision {
	if len(d.Shares) == 0 {
		return d
	}
	at := j.turn(url, int(d.Shares[0].Of))
	for _, s := range d.Shares {
		if at -= int(s.Weight); at < 0 {
			return s.Decision
		}
	}
	panic("casetest: shares of " + url + " without a sum")
}

func (j *explainJudge) Publish(r translator.Result) error {
	j.result = r
	return nil
}

func (j *explainJudge) Ask(p Probe) (Answer, error) {
	story, err := j.tell(p)
	if err != nil {
		return Answer{}, err
	}
	return j.final(p, story, j.chosen(p.URL, story.Decision)), nil
}

// Answers implements Many.
func (j *explainJudge) Answers(p Probe) ([]Answer, error) {
	story, err := j.tell(p)
	if err != nil {
		return nil, err
	}
	if len(story.Decision.Shares) == 0 {
		return []Answer{j.final(p, story, story.Decision)}, nil
	}
	var out []Answer
	for _, s := range story.Decision.Shares {
		out = append(out, j.final(p, story, s.Decision))
	}
	return out, nil
}

func (j *explainJudge) tell(p Probe) (explain.Story, error) {
	return explain.Explain(j.result.Gateway, j.result.Diagnostics, explain.Request{
		Method: p.Method, URL: p.URL, Header: maps.Clone(p.Header), From: p.From, HTTP2: p.HTTP2,
		SNI: p.SNI, TLSVersion: p.TLSVersion, ClientCertificate: p.Client.Pair().Certificate, At: time.Now(),
	})
}

// final is the answer to a decision, or the error page in its place.
func (j *explainJudge) final(p Probe, story explain.Story, d explain.Decision) Answer {
	a := j.answer(p, story, d)
	page, replaced := d.PageFor(a.Status)
	if !replaced {
		return a
	}
	kept := a.Response["Strict-Transport-Security"]
	backend, way := j.test.Backend(page.Assignment), j.approach(page)
	if page.Status != 0 || len(page.Endpoints) == 0 || backend.failure(way) != "" {
		a.Response = http.Header{"Content-Type": {"text/plain"}}
	} else {
		_, a.Response = Respond(page.Headers)
		a.Seen = seen(page, way, backend, page.Endpoints[j.turn(page.Assignment, len(page.Endpoints))])
	}
	delete(a.Response, "Strict-Transport-Security")
	if kept != nil {
		a.Response["Strict-Transport-Security"] = kept
	}
	return a
}

// answer is what comes of a decision.
func (j *explainJudge) answer(p Probe, story explain.Story, d explain.Decision) (a Answer) {
	a = Answer{Status: d.Status, Why: d.Reason, Response: http.Header{}}
	if story.Certificate != nil {
		a.Certificate = story.Certificate.Subject()
	}
	if d.Location != "" {
		a.Response.Set("Location", d.Location)
	}
	if d.Ask != nil {
		if d = j.asked(*d.Ask, d, &a); d.Ask != nil {
			d.ChangeRefusal(a.Response)
			return a
		}
	}
	if d.Status != 0 || d.Backend == "" {
		return ownAnswer(a, d)
	}
	if len(d.Endpoints) == 0 {
		a.Status, a.Why = http.StatusServiceUnavailable, "nobody has looked up "+d.Outside
		return ownAnswer(a, d)
	}
	backend, way := j.test.Backend(d.Assignment), j.approach(d)
	endpoint := d.Endpoints[j.turn(d.Assignment, len(d.Endpoints))]
	defer func() { keep(d, p, endpoint, a.Response) }()
	if why := backend.failure(way); why != "" {
		a.Status, a.Why = http.StatusServiceUnavailable, why
		return ownAnswer(a, d)
	}
	a.Status, a.Response = Respond(d.Headers)
	switch {
	case p.WebSocket && d.Protocol == model.ProtocolH2C:
		a.Status, a.Response, a.Why = http.StatusBadGateway, http.Header{}, "test backends take no WebSocket over HTTP/2 (RFC 8441)"
		return ownAnswer(a, d)
	case p.WebSocket && d.Headers.Get("Respond") == "":
		a.Status, a.Response = http.StatusSwitchingProtocols, http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
	}
	d.ChangeResponse(a.Status, a.Response)
	rewriteResponse(d, authorityOf(p.URL), a.Response)
	if d.RewritesBase {
		explain.LoosenPage(a.Status, a.Response)
	}
	a.Why, a.Seen = "", seen(d, way, backend, endpoint)
	return a
}

// ownAnswer is the gateway's, with its route's headers. Of an error it writes the body, and says what that is.
func ownAnswer(a Answer, d explain.Decision) Answer {
	d.ChangeResponse(a.Status, a.Response)
	if a.Status >= http.StatusBadRequest {
		a.Response.Set("Content-Type", "text/plain")
	}
	return a
}

// asked asks the test backend that stands for an auth server. Where it admits, the decision goes on, with the headers that
// its answer gives the request; else it is the answer, and Ask stays.
func (j *explainJudge) asked(ask explain.Ask, d explain.Decision, a *Answer) explain.Decision {
	of := ask.Of
	if len(of.Endpoints) == 0 {
		return unasked(d, a, "nobody has looked up "+of.Outside)
	}
	backend, way := j.test.Backend(of.Assignment), j.approach(of)
	if why := backend.failure(way); why != "" {
		return unasked(d, a, why)
	}
	status, header := Respond(of.Headers)
	a.Seen = seen(of, way, backend, of.Endpoints[j.turn(of.Assignment, len(of.Endpoints))])
	if status < 200 || status > 299 {
		a.Status, a.Why, a.Response = status, "", header
		return resolveLocation(ask, d, a)
	}
	headers := http.Header{} // A decision of a closed target has none.
	maps.Copy(headers, d.Headers)
	d.Ask, d.Headers = nil, headers
	for _, name := range append(slices.Clone(ask.Copied), ask.Dropped) {
		d.Headers.Del(name)
		if values := header.Values(name); len(values) > 0 && name != ask.Dropped {
			d.Headers.Set(name, strings.Join(values, ", "))
		}
	}
	return d
}

// unasked is the authorizer's answer where the server gives none.
func unasked(d explain.Decision, a *Answer, why string) explain.Decision {
	a.Status, a.Why, a.Response = http.StatusServiceUnavailable, why, http.Header{"Content-Type": {"text/plain"}}
	return d
}

// resolveLocation has the Location of an auth server's answer be relative to what was asked; one that is no URL makes 503.
func resolveLocation(ask explain.Ask, d explain.Decision, a *Answer) explain.Decision {
	location := a.Response.Get("Location")
	if location == "" {
		return d
	}
	server, _, _ := strings.Cut(ask.URL, "?") // The story leaves the query out.
	_, query, _ := strings.Cut(ask.Of.Path, "?")
	base, err := url.Parse(server + "?" + query)
	if err != nil {
		panic(err) // It was read by the dialect.
	}
	to, err := base.Parse(location)
	if err != nil {
		return unasked(d, a, "the Location of the auth server is no URL")
	}
	a.Response.Set("Location", to.String())
	return d
}

// seen is what a backend sees of a request.
func seen(d explain.Decision, way approach, backend Backend, endpoint string) *Seen {
	out := &Seen{
		Backend: d.Assignment, Endpoint: endpoint,
		Path: d.Path, Header: maps.Clone(d.Headers), TLS: d.TLS != nil, HTTP2: d.Protocol == model.ProtocolH2C,
	}
	out.Header.Set("Host", d.Host)
	if d.TLS != nil {
		out.Header.Set(serverNameHeader, d.TLS.Names[0])
	}
	if leaf := leafOf(way.client); leaf != nil && backend.DemandsClient {
		out.Header.Set(clientHeader, leaf.Subject.CommonName)
	}
	return out
}

// keep sets the cookie by which a client is kept at an endpoint, whatever became of the request there.
func keep(d explain.Decision, p Probe, endpoint string, h http.Header) {
	if d.Affinity == nil {
		return
	}
	if cookie := explain.SessionCookie(*d.Affinity, p.Header, endpoint); cookie != "" {
		h["Set-Cookie"] = append(slices.Clone(h["Set-Cookie"]), cookie)
	}
}

// approach is how the gateway comes to the backend of a decision.
func (j *explainJudge) approach(d explain.Decision) approach {
	g := j.result.Gateway
	out := approach{tls: d.TLS, bundle: g.Edge.UpstreamTrust}
	if d.TLS == nil {
		return out
	}
	for _, b := range g.Bundles {
		if b.Name == d.TLS.Trust {
			out.bundle = b.PEM
		}
	}
	for _, c := range g.ClientCertificates {
		if c.Name == d.TLS.Client {
			out.client = c.Chain
		}
	}
	return out
}

// rewriteResponse does to a backend's response what the gateway does on a stripped prefix.
func rewriteResponse(d explain.Decision, host string, h http.Header) {
	if d.Prefix == "" {
		return
	}
	for i, v := range h["Location"] {
		h["Location"][i] = explain.RewriteLocation(d.Prefix, host, v)
	}
	for i, v := range h["Set-Cookie"] {
		h["Set-Cookie"][i] = explain.RewriteSetCookie(d.Prefix, v)
	}
}

// authorityOf is the host and port of a URL, as the client sends them.
func authorityOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		return rest[:i]
	}
	return rest
}
