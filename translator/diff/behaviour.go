package diff

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
)

// Behaviour is what a gateway does with one request: all that explain tells of it but for why, where it is written and at
// which addresses endpoints are; and what one request cannot show of the route that answers, such as its rate limit.
type Behaviour struct {
	// connection is what the handshake shows, answer all that follows.
	connection, answer string
	// shaken says that there was a handshake, or none was needed.
	shaken bool
	// to are the Services that the request may go to, empty where the gateway answers.
	to string
	// Text is the answer in a few words.
	Text string
}

// Same says whether nobody can tell two behaviours apart.
func (b Behaviour) Same(o Behaviour) bool {
	return b.connection == o.connection && b.answer == o.answer
}

// Behave asks a gateway about a request. The error is explain's.
func Behave(g model.Gateway, r explain.Request) (Behaviour, error) {
	return beholder{gateway: g, request: r}.behave()
}

// told is a behaviour as far as explain shows it: without values that are nobody's business.
func told(g model.Gateway, r explain.Request) (Behaviour, error) {
	return beholder{gateway: g, request: r, shown: true}.behave()
}

func (b beholder) behave() (Behaviour, error) {
	g, r := b.gateway, b.request
	story, err := explain.Decide(g, r)
	if err != nil {
		return Behaviour{}, err
	}
	d := b.decision(story.Decision)
	out := Behaviour{
		shaken: story.Entry != "" && (d.Status != 0 || d.Backend != "" || len(d.Shares) > 0),
		Text:   answerText(story),
	}
	if d.Location == "" && (d.Backend != "" || len(d.Shares) > 0) {
		out.to = d.Backend
		for _, s := range d.Shares {
			out.to += s.Decision.Backend + " "
		}
	}
	out.connection = b.connection(story)
	out.answer = form(struct {
		Decision explain.Decision
		Settings string
	}{d, b.settings(story)})
	return out, nil
}

// form is a value as text that is equal for equal values.
func form(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic("diff: " + err.Error()) // Values of the model's own types.
	}
	return string(text)
}

// digest stands for text that is long, or is nobody's business.
func digest(text []byte) string {
	if len(text) == 0 {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:12])
}

// beholder reads a story without what makes no difference.
type beholder struct {
	gateway model.Gateway
	request explain.Request
	// shown says that only what may be shown counts.
	shown bool
}

func (b beholder) connection(s explain.Story) string {
	words := []string{s.Entry}
	if s.Certificate != nil {
		words = append(words, "certificate", b.chain(s.Certificate.Host))
	}
	if c := s.Connection; c != nil {
		words = append(words, string(c.MinVersion), c.ClientCA, bundleOf(b.gateway, c.ClientCA))
	}
	return strings.Join(words, " ")
}

// chain is the certificate that is served for a name of the model, empty for the default one.
func (b beholder) chain(host string) string {
	for _, c := range b.gateway.Certificates {
		if host != "" && c.Host.Name() == host {
			return digest(c.Chain)
		}
	}
	return defaultChain(b.gateway)
}

func defaultChain(g model.Gateway) string {
	if g.Default == nil {
		return ""
	}
	return digest(g.Default.Chain)
}

func bundleOf(g model.Gateway, name string) string {
	for _, ca := range g.ClientCAs {
		if ca.Name == name {
			return digest(ca.Bundle)
		}
	}
	return ""
}

// decision is a decision without its reason, and with what it names followed to what that is.
func (b beholder) decision(d explain.Decision) explain.Decision {
	d.Reason = ""
	if !b.shown {
		d = d.Whole()
	}
	if d.Backend != "" {
		d.TLS = b.security(d.TLS)
		d.Backend = serviceOf(d.Backend)
		// The status says whether there are any.
		d.Endpoints, d.EndpointHealth = nil, nil
	}
	if d.Ask != nil {
		ask := *d.Ask
		ask.Of = b.decision(ask.Of)
		d.Ask = &ask
	}
	d.ErrorPages = slices.Clone(d.ErrorPages)
	for i, p := range d.ErrorPages {
		d.ErrorPages[i].Page = b.decision(p.Page)
	}
	d.Shares = slices.Clone(d.Shares)
	for i, s := range d.Shares {
		part := commonDivisor(s.Weight, s.Of)
		d.Shares[i] = explain.Share{Weight: s.Weight / part, Of: s.Of / part, Decision: b.decision(s.Decision)}
	}
	slices.SortFunc(d.Shares, func(x, y explain.Share) int { return strings.Compare(form(x), form(y)) })
	return d
}

func commonDivisor(a, b uint32) uint32 {
	for b != 0 {
		a, b = b, a%b
	}
	return max(a, 1)
}

// serviceOf is a backend without the ways in which it is spoken to.
func serviceOf(backend string) string {
	parts := strings.SplitN(backend, "/", 4)
	return strings.Join(parts[:min(len(parts), 3)], "/")
}

// security is how a backend is spoken to over TLS, with the content of what is named.
func (b beholder) security(t *model.UpstreamTLS) *model.UpstreamTLS {
	if t == nil {
		return nil
	}
	out := secured(b.gateway, *t)
	return &out
}

func secured(g model.Gateway, t model.UpstreamTLS) model.UpstreamTLS {
	if !t.SkipVerify {
		trust := g.Edge.UpstreamTrust
		for _, bundle := range g.Bundles {
			if t.Trust == bundle.Name {
				trust = bundle.PEM
			}
		}
		t.Trust = "CAs " + digest(trust)
	}
	for _, c := range g.ClientCertificates {
		if t.Client == c.Name {
			t.Client = "certificate " + digest(c.Chain)
		}
	}
	return t
}

// settings are what the route that answered does beyond this one request.
func (b beholder) settings(s explain.Story) string {
	route := answering(b.gateway, s)
	if route == nil {
		return ""
	}
	if _, forwards := route.Action.(*model.Forward); !forwards {
		return ""
	}
	d := s.Decision
	var out []string
	if a := route.Auth; a != nil && a.Kind != model.AuthForward {
		if d.Status == 401 {
			return "asks who by " + string(a.Kind)
		}
		if !b.shown {
			out = append(out, "password "+passwordOf(b.gateway, *a, b.request.User))
		}
	}
	if d.Backend == "" && len(d.Shares) == 0 {
		return ""
	}
	view := describe(b.gateway, *route)
	for _, name := range []string{wordRate, wordInFlight, wordBody, wordBalance} {
		out = append(out, view.of(name).key)
	}
	if s.Connection != nil && s.Connection.ClientCA != "" {
		out = append(out, view.of(wordClient).key)
	}
	return strings.Join(out, "\n")
}

// passwordOf tells one line of a user from another, empty where the user has none that is known.
func passwordOf(g model.Gateway, a model.Auth, user string) string {
	for _, u := range g.Users {
		for _, e := range u.Entries {
			if u.Name == a.UsersName() && user != "" && e.Name == user {
				return digest(e.Hash)
			}
		}
	}
	return ""
}

// answering is the route that answered, nil where none did.
func answering(g model.Gateway, s explain.Story) *model.Route {
	before := map[string]int{}
	for _, c := range s.Candidates {
		if c.Outcome != explain.Matched {
			before[c.Host]++
			continue
		}
		for i := range g.Tables {
			if g.Tables[i].Entry.Name == s.Entry {
				return &routesNamed(g.Tables[i], c.Host)[before[c.Host]]
			}
		}
	}
	return nil
}

// routesNamed are the routes of a host as stories name it.
func routesNamed(t model.Table, host string) []model.Route {
	switch host {
	case "*":
		return t.Any
	case "default backend":
		return t.Default
	}
	for _, all := range [][]model.HostRoutes{t.Exact, t.Wildcard} {
		for _, h := range all {
			if h.Host.Name() == host {
				return h.Routes
			}
		}
	}
	panic("diff: there are no routes of " + host)
}

// answerText is what a request gets, in a few words.
func answerText(s explain.Story) string {
	d := s.Decision
	switch {
	case len(d.Shares) > 0:
		var parts []string
		for _, share := range d.Shares {
			to := serviceOf(share.Decision.Backend)
			if to == "" {
				to = fmt.Sprint(share.Decision.Status)
			}
			parts = append(parts, to)
		}
		return strings.Join(parts, " or ")
	case d.Location != "":
		return fmt.Sprintf("%d to %s", d.Status, d.Location)
	case d.Status != 0 && d.Backend != "":
		return fmt.Sprintf("%d (%s: %s)", d.Status, serviceOf(d.Backend), d.Reason)
	case d.Status != 0:
		return fmt.Sprintf("%d (%s)", d.Status, d.Reason)
	case d.Backend == "":
		return "no answer (" + d.Reason + ")"
	}
	return serviceOf(d.Backend) + " " + d.Path
}

// placed is an origin with its file and line.
func placed(o diag.Origin) string {
	if pos := o.Position(); pos != "" {
		return o.String() + " (" + pos + ")"
	}
	return o.String()
}
