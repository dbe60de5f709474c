package inspect

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/explain"
)

// explainPage is the form that asks about a request, and the answer.
type explainPage struct {
	Asked asked
	// Error is what is wrong with the question, empty where nothing is.
	Error string
	// Told is the story of the request; where redirects are followed, those of the next ones come after it, and End says why
	// the last one is that.
	Told []*told
	End  string
}

// status is that of the answer: a question that cannot be read is still shown in its form.
func (p explainPage) status() int {
	if p.Error != "" {
		return http.StatusBadRequest
	}
	return http.StatusOK
}

func (p explainPage) Title() string {
	if p.Asked.URL == "" {
		return "Explain"
	}
	return "Explain " + p.Asked.URL
}

// asked are the fields of the form as they were filled in.
type asked struct {
	URL, Method, Header, From, SNI, TLS, Certificate, User string
	HTTP2, Follow                                          bool
}

// More says whether a field is filled in that is folded away else.
func (a asked) More() bool {
	return a.Header != "" || a.From != "" || a.SNI != "" || a.TLS != "" || a.Certificate != "" || a.User != "" || a.HTTP2 || a.Follow
}

// told is a story as the page shows it.
type told struct {
	explain.Story
	// Verdict is the answer and why in one sentence, Answer the same without why, Health how well that is and what the
	// sentence does not say of it.
	Verdict, Answer string
	Health          condition
	Hosts           []hostTold
	// Before and After are how many candidates are left out at either end.
	Before, After int
	Candidates    []candidate
	Sees          []headerTold
	Answers       []headerTold
	Backends      []backendTold
	Origins       []place
	Losers        []loserTold
	Policies      []policyTold
	Diagnostics   []diagnosticRow
}

type hostTold struct {
	explain.HostTable
	Link string
}

type loserTold struct {
	Place  place
	Reason string
}

type policyTold struct {
	explain.Policy
	Places []place
}

type candidate struct {
	explain.Candidate
	Place place
	Link  string
}

// headerTold is a header; Value is empty where it is not told, because it may be a credential.
type headerTold struct {
	Name, Value string
	Removed     bool
}

type backendTold struct {
	Name, Link, Share, Text string
	Health                  condition
}

// candidatesShown bounds the candidates before and after the one that matched.
const candidatesShown = 10

func explainView(v View, r *http.Request) (any, error) {
	query, err := question(r)
	if err != nil {
		return nil, badRequest{err}
	}
	p := explainPage{Asked: asked{
		URL: strings.TrimSpace(query.Get(explain.KeyURL)), Method: query.Get(explain.KeyMethod), Header: strings.Join(query[explain.KeyHeader], "\n"),
		From: query.Get(explain.KeyFrom), SNI: query.Get(explain.KeySNI), TLS: query.Get(explain.KeyTLS), User: query.Get(explain.KeyUser),
		Certificate: query.Get(explain.KeyCertificate), HTTP2: query.Get(explain.KeyHTTP2) == "true",
		Follow: query.Get(explain.KeyFollow) == "true",
	}}
	if p.Asked.URL == "" {
		return p, nil
	}
	journey, err := v.explain(query)
	if err != nil {
		p.Error = err.Error()
		return p, nil
	}
	for _, story := range journey.Stories {
		told := v.told(story)
		told.Sees = withAsked(told.Sees, story.Decision, p.Asked.Header)
		p.Told = append(p.Told, told)
	}
	p.End = journey.Reason
	return p, nil
}

// explain asks about the request of a query, and about those that follow where they are asked for.
func (v View) explain(query url.Values) (explain.Journey, error) {
	query[explain.KeyURL] = []string{strings.TrimSpace(query.Get(explain.KeyURL))}
	request, err := explain.ParseQuery(query)
	if err != nil {
		return explain.Journey{}, err
	}
	request.At = v.Now
	if follow, err := explain.Follows(query); err != nil || follow {
		if err != nil {
			return explain.Journey{}, err
		}
		return explain.Follow(v.Result.Gateway, v.Result.Diagnostics, request)
	}
	story, err := explain.Explain(v.Result.Gateway, v.Result.Diagnostics, request)
	return explain.Journey{Stories: []explain.Story{story}}, err
}

func (v View) told(s explain.Story) *told {
	t := &told{
		Story: s, Origins: placesOf(s.Origins), Diagnostics: diagnosticRows(s.Diagnostics),
		Answers: headersTold(s.Decision.ShownResponse()), Sees: headersTold(s.Decision.Shown()),
	}
	for _, l := range s.Losers {
		t.Losers = append(t.Losers, loserTold{placeOf(l.Origin), l.Reason})
	}
	for _, p := range s.Policies {
		t.Policies = append(t.Policies, policyTold{p, placesOf(p.Origins)})
	}
	for _, h := range s.Hosts {
		told := hostTold{HostTable: h}
		if h.Routes > 0 {
			told.Link = hostID{s.Entry, h.Host}.link()
		}
		t.Hosts = append(t.Hosts, told)
	}
	t.candidates(s)
	t.Backends = v.backendsTold(s.Decision)
	var why string
	t.Answer, why, t.Health = v.verdict(s.Decision)
	t.Verdict = t.Answer + "."
	if why != "" {
		t.Verdict = t.Answer + ": " + why + "."
	}
	t.Answer += "."
	return t
}

// candidates keeps those next to the one that matched.
func (t *told) candidates(s explain.Story) {
	matched := slices.IndexFunc(s.Candidates, func(c explain.Candidate) bool { return c.Outcome == explain.Matched })
	if matched < 0 {
		matched = len(s.Candidates)
	}
	from, to := max(matched-candidatesShown, 0), min(matched+1+candidatesShown, len(s.Candidates))
	t.Before, t.After = from, len(s.Candidates)-to
	for _, c := range s.Candidates[from:to] {
		one := candidate{Candidate: c, Link: hostID{s.Entry, c.Host}.link()}
		if c.Origin != (diag.Origin{}) {
			one.Place = placeOf(c.Origin)
		}
		t.Candidates = append(t.Candidates, one)
	}
}

// plainHeaders are those whose values are told: what the gateway itself says of a request, and of an answer. Others may be
// set by annotations, to credentials.
var plainHeaders = []string{
	"Location", "Strict-Transport-Security", "Www-Authenticate", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix",
	"X-Forwarded-Proto", "X-Forwarded-Server", "X-Real-Ip", "X-Replaced-Path",
}

func headersTold(h http.Header) []headerTold {
	var out []headerTold
	for _, name := range slices.Sorted(maps.Keys(h)) {
		told := headerTold{Name: name, Removed: len(h[name]) == 0}
		if slices.Contains(plainHeaders, name) {
			told.Value = strings.Join(h[name], ", ")
		}
		out = append(out, told)
	}
	return out
}

// withAsked tells the values of the headers that the asker has sent, as far as they are still those, and no annotation sets
// them, or whoever guesses one would be told so.
func withAsked(headers []headerTold, seen explain.Decision, asked string) []headerTold {
	for i, h := range headers {
		for line := range strings.Lines(asked) {
			name, value, _ := strings.Cut(line, ":")
			if http.CanonicalHeaderKey(strings.TrimSpace(name)) == h.Name && slices.Equal(seen.Headers[h.Name], []string{strings.TrimSpace(value)}) && !seen.Annotated(h.Name) {
				headers[i].Value = strings.TrimSpace(value)
			}
		}
	}
	return headers
}

func (v View) backendsTold(d explain.Decision) []backendTold {
	decisions := []explain.Share{{Decision: d}}
	if len(d.Shares) > 0 {
		decisions = d.Shares
	}
	var out []backendTold
	for _, s := range decisions {
		one := backendTold{Name: s.Decision.Backend, Text: s.Decision.Reason}
		if s.Of > 0 {
			one.Share = fmt.Sprintf("%d of %d", s.Weight, s.Of)
		}
		if one.Name == "" && s.Of == 0 {
			continue
		}
		if one.Name != "" {
			one.Link, one.Health = link("service", "backend", one.Name), v.backendHealth(one.Name)
			one.Text = "at " + listed(s.Decision.Endpoints, func(s string) string { return s })
			if len(s.Decision.Endpoints) == 0 {
				one.Text = s.Decision.Reason
			}
			if s.Decision.Outside != "" {
				one.Text += " of " + s.Decision.Outside
			}
		} else {
			one.Health = condition{}.and(stateFailing, "")
		}
		out = append(out, one)
	}
	return out
}

// verdict is a decision in a few words, why it is so, and how well that is.
func (v View) verdict(d explain.Decision) (answer, why string, h condition) {
	switch {
	case len(d.Shares) > 0:
		for _, s := range d.Shares {
			if s.Decision.Status >= http.StatusInternalServerError {
				h = h.and(stateFailing, s.Decision.Reason)
			}
		}
		return "Goes to one of " + plural(len(d.Shares), "backend") + ", by weight", "", h
	case d.Status == 0 && d.Backend == "":
		return "Nobody answers", d.Reason, h.and(stateFailing, "")
	case d.Location != "":
		return statusText(d.Status) + " to " + d.Location, d.Reason, h
	case d.Status >= http.StatusInternalServerError:
		return "The gateway answers " + statusText(d.Status), d.Reason, h.and(stateFailing, "")
	case d.Status != 0:
		return "The gateway answers " + statusText(d.Status), d.Reason, h.and(stateDegraded, "")
	}
	return "Goes to " + d.Backend, "", v.backendHealth(d.Backend)
}

func statusText(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}
