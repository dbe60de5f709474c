package diff

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// The words for what a route does.
const (
	wordAnswer   = "answer"
	wordBackend  = "backend"
	wordTLS      = "connection to the backend"
	wordPath     = "path at the backend"
	wordRedirect = "redirects"
	wordAccess   = "access"
	wordAuth     = "authentication"
	wordRate     = "rate limit"
	wordInFlight = "requests in flight"
	wordBody     = "request bodies and retries"
	wordBalance  = "balancing"
	wordErrors   = "error pages"
	wordClient   = "client certificate in headers"
	wordRequest  = "request headers"
	wordResponse = "response headers"
	wordHSTS     = "HSTS"
)

// words are in the order in which they are told.
var words = []string{
	wordAnswer, wordBackend, wordTLS, wordPath, wordRedirect, wordAccess, wordAuth, wordRate, wordInFlight, wordBody, wordBalance, wordErrors, wordClient,
	wordRequest, wordResponse, wordHSTS,
}

// part is one thing that a route does: key tells it from others, text is for people and holds no header's value. Its origins
// are where it is asked for, none where that is not known of it alone.
type part struct {
	text, key string
	// names is a digest of the names of users, empty where the part has none.
	names   string
	origins []diag.Origin
}

// others says what another part of the same text has otherwise.
func (p part) others(o part) string {
	switch {
	case p.names == "" && o.names == "":
		return "other values"
	case p.names == o.names:
		return "other passwords"
	default:
		return "other users"
	}
}

// view is a route by its structure: what it does, and neither why nor where that is written.
type view struct {
	parts map[string]part
	// key is all parts.
	key     string
	origins []diag.Origin
	pattern string
	// closed says that other spellings of its path are taken too.
	closed bool
	path   model.PathMatch
	// unlessDot is set for a string prefix behind which no dot may come.
	unlessDot bool
	// sure says that the route takes the path of a sequence, whatever else the request says.
	sure  bool
	route *model.Route
}

func (v view) of(word string) part { return v.parts[word] }

func (v *view) set(word, text string, key ...any) {
	if text == "" && len(key) == 0 {
		return
	}
	v.parts[word] = part{text: text, key: text + form(key)}
}

// from says where a part is asked for.
func (v *view) from(word string, origins ...diag.Origin) {
	if p, there := v.parts[word]; there {
		p.origins = append(p.origins, origins...)
		v.parts[word] = p
	}
}

// originsOf are where a route is written, and what of it is meant.
func (v *view) originsOf(changed []string) []diag.Origin {
	if v == nil || len(v.origins) == 0 {
		return nil
	}
	out := []diag.Origin{v.origins[0]}
	for _, word := range changed {
		p, there := v.parts[word]
		if there && len(p.origins) == 0 {
			return v.origins
		}
		out = append(out, p.origins...)
	}
	return out
}

// describe reads a route of a gateway.
func describe(g model.Gateway, r model.Route) view { return newReader(g).view(r) }

// reader finds what routes name.
type reader struct {
	gateway     model.Gateway
	backends    map[string]model.Backend
	assignments map[string]model.Assignment
	users       map[string]model.Users
}

func newReader(g model.Gateway) reader {
	out := reader{
		gateway: g, backends: make(map[string]model.Backend, len(g.Backends)), assignments: make(map[string]model.Assignment, len(g.Assignments)),
		users: map[string]model.Users{},
	}
	for _, b := range g.Backends {
		out.backends[b.Name] = b
	}
	for _, a := range g.Assignments {
		out.assignments[a.Name] = a
	}
	for _, u := range g.Users {
		out.users[u.Name] = u
	}
	return out
}

func (rd reader) view(r model.Route) view {
	v := view{parts: map[string]part{}, origins: r.Origins, pattern: r.Path.String(), path: r.Path, route: &r}
	rd.redirects(&v, r)
	if r.HSTS != nil {
		v.set(wordHSTS, r.HSTS.String(), r.HSTS.Plain)
		v.from(wordHSTS, r.HSTS.Origin)
	}
	switch action := r.Action.(type) {
	case *model.Closed:
		v.closed = true
		v.set(wordAnswer, "503", "closed")
		v.from(wordAnswer, action.Origin)
	case *model.Forward:
		rd.forward(&v, r, action)
	}
	for _, word := range words {
		if p, there := v.parts[word]; there {
			v.key += word + "\x00" + p.key + "\x00"
		}
	}
	return v
}

func (rd reader) redirects(v *view, r model.Route) {
	var texts []string
	var origins []diag.Origin
	status := func(s model.RedirectStatus) int {
		reading, _ := s.Statuses()
		return reading
	}
	if root := r.RootRedirect; root != nil {
		texts, origins = append(texts, fmt.Sprintf("%d of the root to %s", status(root.Status), root.Path)), append(origins, root.Origin)
	}
	if u := r.URLRedirect; u != nil {
		texts, origins = append(texts, fmt.Sprintf("%d of %s to %s", status(u.Status), u.Pattern, u.With.String())), append(origins, u.Origin)
	}
	if s := r.HTTPSRedirect; s != nil {
		text := fmt.Sprintf("%d to HTTPS%s", status(s.Status), before(" of ", s.Host))
		for _, h := range s.Unless {
			text += " unless " + h.Name
		}
		texts, origins = append(texts, text), append(origins, s.Origin)
	}
	if h := r.HostRedirect; h != nil {
		texts, origins = append(texts, fmt.Sprintf("%d of other hosts to %s", status(h.Status), h.Host)), append(origins, h.Origin)
	}
	if texts != nil {
		var unless []model.HeaderIs
		if r.HTTPSRedirect != nil {
			unless = r.HTTPSRedirect.Unless
		}
		v.set(wordRedirect, strings.Join(texts, ", "), unless)
		v.from(wordRedirect, origins...)
	}
}

func (rd reader) forward(v *view, r model.Route, f *model.Forward) {
	rd.targets(v, r, f)
	rd.rewrites(v, r, f)
	rd.access(v, r)
	rd.auth(v, r)
	if l := r.RateLimit; l != nil {
		texts := []string{"by " + keyText(l.By)}
		for _, rate := range l.Rates {
			texts = append(texts, fmt.Sprintf("%d every %s, %d at once", rate.Average, rate.Period, rate.Burst))
		}
		v.set(wordRate, strings.Join(texts, ", "))
		v.from(wordRate, l.Origin)
	}
	var limits []string
	for _, l := range f.InFlight.Limits {
		limits = append(limits, fmt.Sprintf("%d by %s", l.Most, keyText(l.By)))
	}
	slices.Sort(limits)
	v.set(wordInFlight, strings.Join(limits, ", "))
	v.from(wordInFlight, f.InFlight.Origins()...)
	var body []string
	if m := f.Buffering.MaxRequest; m != nil {
		body = append(body, fmt.Sprintf("held, up to %d bytes", m.Value))
	}
	if n := f.Buffering.Retries; n != nil && n.Value != 1 {
		body = append(body, fmt.Sprintf("%d retries", n.Value))
	}
	v.set(wordBody, strings.Join(body, ", "))
	v.from(wordBody, f.Buffering.Origins()...)
	var pages []string
	for _, p := range r.ErrorPages {
		pages = append(pages, fmt.Sprintf("%s: %s of %s", model.StatusesText(p.Statuses), p.ShownPath(), rd.backendText(p.Backend)))
	}
	if pages != nil {
		var keys []any
		for _, p := range r.ErrorPages {
			keys = append(keys, p.Path, p.Host, rd.backendKey(p.Backend))
		}
		v.set(wordErrors, strings.Join(pages, ", "), keys...)
	}
	if p := r.ClientCertificate; p != nil {
		v.set(wordClient, certificateText(*p))
		v.from(wordClient, p.Origin)
	}
	rd.headers(v, wordRequest, r.RequestHeaders)
	rd.headers(v, wordResponse, r.ResponseHeaders)
}

func (rd reader) targets(v *view, r model.Route, f *model.Forward) {
	var names, connections, assignments, balance []string
	var total uint32
	for _, t := range f.Targets {
		total += t.Weight
	}
	for _, t := range slices.SortedFunc(slices.Values(f.Targets), func(a, b model.Target) int {
		return cmp.Or(strings.Compare(a.Backend, b.Backend), cmp.Compare(a.Weight, b.Weight), strings.Compare(a.Host, b.Host))
	}) {
		name := rd.targetText(t)
		if len(f.Targets) > 1 {
			part := commonDivisor(t.Weight, total)
			name = fmt.Sprintf("%s %d/%d", name, t.Weight/part, total/part)
		}
		names = append(names, name)
		if t.Closed != nil {
			continue
		}
		b := rd.backends[t.Backend]
		assignments = append(assignments, b.Assignment)
		connections = append(connections, connectionText(b)+" "+rd.backendKey(t.Backend))
		if text := balanceText(b, t); text != "" {
			balance = append(balance, text)
		}
	}
	v.set(wordBackend, strings.Join(names, ", "), assignments)
	for _, t := range f.Targets {
		v.from(wordBackend, t.Origin)
	}
	v.set(wordBalance, strings.Join(balance, ", "))
	var texts []string
	for _, c := range connections {
		text, _, _ := strings.Cut(c, " {")
		texts = append(texts, text)
	}
	if texts != nil {
		v.set(wordTLS, strings.Join(texts, ", "), connections)
		for _, t := range f.Targets {
			v.from(wordTLS, rd.backends[t.Backend].Origins...)
		}
	}
}

func (rd reader) targetText(t model.Target) string {
	if t.Closed != nil {
		return "503"
	}
	return rd.backendText(t.Backend) + before(" as Host ", t.Host)
}

// backendText names a backend, and says where it has nobody who would answer.
func (rd reader) backendText(name string) string {
	a := rd.assignments[rd.backends[name].Assignment]
	text := serviceOf(name)
	if a.Outside != nil {
		text += " (" + a.Outside.Name + ")"
	}
	if len(a.Endpoints) == 0 && (a.Outside == nil || a.Outside.Asked) {
		text += withoutEndpoints
	}
	return text
}

// backendKey is how a backend is spoken to.
func (rd reader) backendKey(name string) string {
	b := rd.backends[name]
	key := struct {
		Protocol model.Protocol
		TLS      *model.UpstreamTLS
	}{b.Protocol, nil}
	if b.TLS != nil {
		t := secured(rd.gateway, *b.TLS)
		key.TLS = &t
	}
	return form(key)
}

// withoutEndpoints stands behind a Service with nobody who would answer.
const withoutEndpoints = " without endpoints (503)"

func connectionText(b model.Backend) string {
	if b.TLS == nil {
		return string(b.Protocol)
	}
	text := "https"
	if b.TLS.SkipVerify {
		text += ", not verified"
	} else {
		text += " verified for " + strings.Join(b.TLS.Names, " or ") + before(" by ", b.TLS.Trust)
	}
	return text + before(", with the certificate ", b.TLS.Client) + before(", TLS ", string(b.TLS.MinVersion))
}

func balanceText(b model.Backend, t model.Target) string {
	var out []string
	if b.LeastRequest {
		out = append(out, "least requests")
	}
	if p := b.Breaker; p != nil {
		text := fmt.Sprintf("left alone at %d%% of %s", p.Percent, model.StatusesText(p.Failures))
		if p.Connections {
			text += " and no answer"
		}
		out = append(out, text)
	}
	if a := t.Affinity; a != nil {
		out = append(out, strings.TrimSpace(fmt.Sprintf("kept by the cookie %s %s", a.Cookie, a.SameSite))+secureText(*a))
	}
	return strings.Join(out, ", ")
}

func secureText(a model.Affinity) string {
	if a.Secure {
		return " secure"
	}
	return ""
}

func (rd reader) rewrites(v *view, r model.Route, f *model.Forward) {
	var texts []string
	var key []any
	if s := f.Strip; s != nil {
		text := "without " + s.Prefix
		if s.RewriteBase {
			text += ", base rewritten"
		}
		texts, key = append(texts, text), append(key, r.Path.Kind == model.PathExact)
		v.unlessDot = true
	}
	if f.ReplacePath != "" {
		texts = append(texts, f.ReplacePath)
	}
	switch change := r.Rewrite.(type) {
	case *model.AddPrefix:
		texts = append(texts, "under "+change.Prefix)
	case *model.ReplacePrefix:
		texts, key = append(texts, r.Path.String()+" as "+change.With+"/"), append(key, r.Path.Kind)
		v.unlessDot = v.unlessDot || change.With == ""
	case *model.ReplaceRegex:
		texts = append(texts, change.Pattern+" as "+change.With.String())
	}
	v.unlessDot = v.unlessDot && r.Path.Kind == model.PathStringPrefix && !strings.HasSuffix(r.Path.Value, "/")
	v.set(wordPath, strings.Join(texts, ", "), key...)
}

func (rd reader) access(v *view, r model.Route) {
	if r.Access == nil {
		return
	}
	var texts []string
	if s := r.Access.Sources; s != nil {
		who := "peers in "
		if s.Forwarded {
			who = "clients in "
		}
		var ranges []string
		for _, p := range s.Ranges {
			ranges = append(ranges, p.String())
		}
		texts = append(texts, who+strings.Join(ranges, ","))
	}
	if h := r.Access.Hosts; h != nil {
		texts = append(texts, "hosts "+strings.Join(h.Names, ",")+before(" by ", strings.Join(h.Headers, ",")))
	}
	v.set(wordAccess, strings.Join(texts, ", "))
	if s := r.Access.Sources; s != nil {
		v.from(wordAccess, s.Origin)
	}
	if h := r.Access.Hosts; h != nil {
		v.from(wordAccess, h.Origin)
	}
}

func (rd reader) auth(v *view, r model.Route) {
	a := r.Auth
	if a == nil {
		return
	}
	text := string(a.Kind)
	var key any
	names := ""
	if a.Forward == nil {
		text += " by Secret " + a.Users.Namespace + "/" + a.Users.Name
		var lines []string
		for _, e := range rd.users[a.UsersName()].Entries {
			names += e.Name + "\n"
			lines = append(lines, digest([]byte(e.Name+":"+string(e.Hash))))
		}
		key = lines
	} else {
		f := *a.Forward
		text += " by " + f.ShownURL()
		if f.TrustHeaders {
			text += ", which is told what hops say"
		}
		text += before(", copying ", strings.Join(f.ResponseHeaders, " "))
		key = []string{f.URL(), rd.backendKey(f.Backend), rd.backendText(f.Backend), rd.backends[f.Backend].Assignment, f.Authority}
	}
	if a.RemoveHeader {
		text += ", without Authorization"
	}
	v.set(wordAuth, text+before(", the name in ", a.HeaderField), key)
	p := v.parts[wordAuth]
	p.names = digest([]byte(names))
	v.parts[wordAuth] = p
	v.from(wordAuth, a.Origins...)
}

func (rd reader) headers(v *view, word string, changes []model.HeaderChange) {
	var texts []string
	var key []any
	for _, c := range changes {
		sign := "+"
		if c.Value == "" {
			sign = "-"
		}
		texts, key = append(texts, sign+c.Name), append(key, digest([]byte(c.Value)))
	}
	v.set(word, strings.Join(texts, " "), key...)
	for _, c := range changes {
		v.from(word, c.Origin)
	}
}

func certificateText(p model.PassedCertificate) string {
	var texts []string
	if p.PEM {
		texts = append(texts, "PEM")
	}
	if i := p.Infos; i != nil {
		texts = append(texts, strings.TrimSpace(fmt.Sprintf("infos %s%s%s", flag("NB ", i.NotBefore), flag("NA ", i.NotAfter), flag("SAN ", i.SANs))+
			before(" subject ", strings.Join(i.Subject, ","))+before(" issuer ", strings.Join(i.Issuer, ","))))
	}
	if texts == nil {
		return "taken off"
	}
	return strings.Join(texts, ", ")
}

func flag(word string, set bool) string {
	if set {
		return word
	}
	return ""
}

// before puts words before a text that is not empty.
func before(words, text string) string {
	if text == "" {
		return ""
	}
	return words + text
}

func keyText(by model.RateKey) string {
	switch key := by.(type) {
	case model.RateByHost:
		return "host"
	case model.RateByHeader:
		return http.CanonicalHeaderKey(key.Name)
	}
	return "client"
}
