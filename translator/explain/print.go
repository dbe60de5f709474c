package explain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// Print is the whole gateway as text, one line for each route, backend and certificate, with origins in the margin. It
// is the same for equal models, and holds no key and no certificate.
func Print(g model.Gateway) string {
	var p printer
	before := ""
	for i, t := range g.Tables {
		title := t.Entry.Name + " " + t.Entry.Address.String()
		if clients := g.Edge.AllowedClients; len(clients) > 0 {
			title += "  client in " + rangeList(clients)
		}
		body := tableLines(t)
		if text := strings.Join(flat(body), "\n"); i > 0 && text == before {
			p.add(title + "  as " + g.Tables[i-1].Entry.Name)
		} else {
			p.add(title)
			p.lines = append(p.lines, body...)
			before = text
		}
	}
	p.connections(g)
	if len(g.Backends) > 0 {
		p.add("backends")
	}
	for _, b := range g.Backends {
		p.add("  "+backendText(b, assignmentOf(g, b.Assignment)), b.Origins...)
	}
	if len(g.Certificates) > 0 || g.Default != nil {
		p.add("certificates")
	}
	for _, c := range g.Certificates {
		p.add("  "+c.Host.String(), c.Origins...)
	}
	if g.Default != nil {
		p.add("  default", g.Default.Origins...)
	}
	return p.text()
}

// connections are the TLS settings of hosts, and the CAs that they name.
func (p *printer) connections(g model.Gateway) {
	for _, t := range g.Tables {
		if len(t.Groups) > 0 {
			p.add(t.Entry.Name + " connections")
		}
		for _, group := range t.Groups {
			words := []string{"TLS " + string(group.MinVersion)}
			if group.ClientCA != "" {
				words = append(words, "client CA "+group.ClientCA)
			}
			for _, h := range group.Hosts {
				words = append(words, h.String())
			}
			p.add("  "+strings.Join(words, "  "), group.Origins...)
		}
		for _, h := range t.Apart {
			p.add("  apart  " + h.String())
		}
	}
	if len(g.ClientCAs) > 0 {
		p.add("client CAs")
	}
	for _, ca := range g.ClientCAs {
		p.add("  "+ca.Name, ca.Origins...)
	}
}

// line is one line and its margin.
type line struct {
	text    string
	origins model.Origins
	losers  []diag.Origin
}

type printer struct{ lines []line }

func (p *printer) add(text string, origins ...diag.Origin) {
	p.lines = append(p.lines, line{text: text, origins: origins})
}

func (p *printer) text() string {
	var b strings.Builder
	for _, l := range p.lines {
		b.WriteString(l.text)
		if note := l.margin(); note != "" {
			b.WriteString("  # " + note)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (l line) margin() string {
	var parts []string
	for i, o := range l.origins {
		if i > 0 && o.Object() == l.origins[0].Object() {
			parts = append(parts, shortPlace(o))
			continue
		}
		parts = append(parts, placedShort(o))
	}
	for _, o := range l.losers {
		parts = append(parts, "beats "+placedShort(o))
	}
	return strings.Join(parts, "; ")
}

func placedShort(o diag.Origin) string {
	return strings.Join(strings.Fields(o.Object()+" "+shortPlace(o)+" "+o.Position()), " ")
}

// shortPlace is the field, or the annotation without its prefix.
func shortPlace(o diag.Origin) string {
	if o.Annotation != "" {
		return "@" + o.Annotation[strings.LastIndexByte(o.Annotation, '/')+1:]
	}
	return o.Field
}

func flat(lines []line) []string {
	var out []string
	for _, l := range lines {
		out = append(out, l.text+l.margin())
	}
	return out
}

func tableLines(t model.Table) []line {
	var out []line
	group := func(title string, routes []model.Route) {
		if len(routes) == 0 {
			return
		}
		out = append(out, line{text: "  " + title})
		for _, r := range routes {
			out = append(out, line{text: "    " + routeText(r), origins: r.Origins, losers: r.Losers})
		}
	}
	for _, h := range slices.Concat(t.Exact, t.Wildcard) {
		group(h.Host.String(), h.Routes)
	}
	group("*", t.Any)
	group("default backend", t.Default)
	return out
}

func routeText(r model.Route) string {
	words := []string{r.Path.String()}
	if r.Weight > 0 {
		words = append(words, fmt.Sprintf("weight %d", r.Weight))
	}
	words = append(words, accessWords(r.Access)...)
	words = append(words, redirectWords(r)...)
	if r.Auth != nil {
		words = append(words, authText(*r.Auth))
	}
	words = append(words, rateLimitWords(r.RateLimit)...)
	if r.HSTS != nil {
		words = append(words, "hsts "+r.HSTS.String())
	}
	switch action := r.Action.(type) {
	case *model.Closed:
		words = append(words, "→ 503 "+string(action.Code))
	case *model.Forward:
		if action.Strip != nil {
			words = append(words, "strip "+action.Strip.Prefix)
			if action.Strip.RewriteBase {
				words = append(words, "base")
			}
		}
		if action.ReplacePath != "" {
			words = append(words, "path "+action.ReplacePath)
		}
		words = append(words, rewriteWords(r.Rewrite)...)
		for _, p := range r.ErrorPages {
			words = append(words, fmt.Sprintf("errors %s %s of %s", model.StatusesText(p.Statuses), p.ShownPath(), p.Backend))
		}
		if r.ClientCertificate != nil {
			words = append(words, "client certificate")
		}
		words = append(words, headersText("request", r.RequestHeaders)...)
		words = append(words, headersText("response", r.ResponseHeaders)...)
		words = append(words, bufferingWords(action.Buffering)...)
		words = append(words, inFlightWords(action.InFlight)...)
		words = append(words, targetsText(action.Targets))
	}
	return strings.Join(words, "  ")
}

// headersText names the headers that are changed, without their values, which may be credentials.
func headersText(of string, changes []model.HeaderChange) []string {
	var names []string
	for _, c := range changes {
		sign := "+"
		if c.Value == "" {
			sign = "-"
		}
		names = append(names, sign+c.Name)
	}
	if names == nil {
		return nil
	}
	return []string{of + " " + strings.Join(names, " ")}
}

// redirectWords are a route's redirects, in the order in which they are tried.
func redirectWords(r model.Route) []string {
	var words []string
	status := func(s model.RedirectStatus) int {
		reading, _ := s.Statuses()
		return reading
	}
	if root := r.RootRedirect; root != nil {
		words = append(words, fmt.Sprintf("root %d %s", status(root.Status), root.Path))
	}
	if u := r.URLRedirect; u != nil {
		words = append(words, fmt.Sprintf("url %d %s %s", status(u.Status), u.Pattern, u.With.String()))
	}
	if s := r.HTTPSRedirect; s != nil {
		words = append(words, strings.TrimSpace(fmt.Sprintf("https %d %s", status(s.Status), s.Host)))
		for _, h := range s.Unless {
			words = append(words, "unless "+h.Name)
		}
	}
	if h := r.HostRedirect; h != nil {
		words = append(words, fmt.Sprintf("only %d %s", status(h.Status), h.Host))
	}
	return words
}

func rewriteWords(r model.Rewrite) []string {
	switch r := r.(type) {
	case *model.AddPrefix:
		return []string{"add " + r.Prefix}
	case *model.ReplacePrefix:
		return []string{"prefix to " + r.With + "/"}
	case *model.ReplaceRegex:
		return []string{"path " + r.Pattern + " to " + r.With.String()}
	default:
		return nil
	}
}

// targetsText is where requests go: a backend, or each backend with its part of them.
func targetsText(targets []model.Target) string {
	var total uint32
	for _, t := range targets {
		total += t.Weight
	}
	var parts []string
	for _, t := range targets {
		text := "→ " + t.Backend
		if t.Closed != nil {
			text = "→ 503 " + string(t.Closed.Code)
		}
		if t.Weight != total {
			text += fmt.Sprintf(" %d/%d", t.Weight, total)
		}
		if t.Affinity != nil {
			text += " " + affinityWords(*t.Affinity)
		}
		if t.Host != "" {
			text = "host " + t.Host + "  " + text
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "  ")
}

func backendText(b model.Backend, a model.Assignment) string {
	words := []string{b.Name}
	if b.TLS != nil {
		words = append(words, tlsWords(*b.TLS)...)
	}
	if b.LeastRequest {
		words = append(words, "by least requests")
	}
	if b.Breaker != nil {
		words = append(words, "breaks where "+breakerText(*b.Breaker))
	}
	if !strings.HasPrefix(b.Name, b.Assignment) {
		words = append(words, "by "+b.Assignment)
	}
	var endpoints []string
	for _, e := range a.Endpoints {
		endpoints = append(endpoints, e.String())
	}
	words = append(words, "at "+orNone("endpoint", strings.Join(endpoints, " ")))
	if a.Outside != nil {
		words = append(words, "of "+a.Outside.Name)
	}
	return strings.Join(words, "  ")
}

// tlsWords says how a backend is spoken to over TLS, what is usual left out.
func tlsWords(t model.UpstreamTLS) []string {
	words := []string{"verified as " + strings.Join(t.Names, " ")}
	if t.SkipVerify {
		words = []string{"not verified, sni " + t.Names[0]}
	}
	if t.Trust != "" {
		words = append(words, "ca "+t.Trust)
	}
	if t.Client != "" {
		words = append(words, "client "+t.Client)
	}
	if t.MinVersion == model.TLS13 {
		words = append(words, "tls "+string(t.MinVersion))
	}
	return words
}

// assignmentOf is the assignment of a name, the zero value where the model has none.
func assignmentOf(g model.Gateway, name string) model.Assignment {
	for _, a := range g.Assignments {
		if a.Name == name {
			return a
		}
	}
	return model.Assignment{}
}

// authText is how a route asks who the user is.
func authText(a model.Auth) string {
	words := []string{"auth " + string(a.Kind)}
	if f := a.Forward; f != nil {
		words = append(words, f.ShownURL(), "by "+f.Backend)
		if f.TrustHeaders {
			words = append(words, "trusting")
		}
		if len(f.ResponseHeaders) > 0 {
			words = append(words, "copies "+strings.Join(f.ResponseHeaders, " "))
		}
	} else {
		words = append(words, a.UsersName())
	}
	if a.HeaderField != "" {
		words = append(words, "header "+a.HeaderField)
	}
	if a.RemoveHeader {
		words = append(words, "removed")
	}
	return strings.Join(words, " ")
}
