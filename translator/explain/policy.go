package explain

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// Policy is one thing that the route asks for beyond its backend, and where that is written.
type Policy struct {
	Kind PolicyKind `json:"kind"`
	// Text says what is asked for. Values that may be credentials are left out.
	Text    string  `json:"text"`
	Outcome Outcome `json:"outcome"`
	// Backend is the backend that it is of, empty where it is of the route.
	Backend string        `json:"backend,omitempty"`
	Origins model.Origins `json:"origins,omitempty"`
}

// The outcomes of a policy.
const (
	// Answers is what gives the answer.
	Answers Outcome = "answers"
	// Applies is what holds for the request, or changes it or its answer.
	Applies Outcome = "applies"
	// Passes is what lets the request go on, or is not for it.
	Passes Outcome = "passes"
	// Unreached is what the request does not come to, since something before it answers.
	Unreached Outcome = "unreached"
)

// PolicyKind is what a policy is about.
type PolicyKind string

// The kinds, in the order in which a request meets them.
const (
	PolicyClosed          PolicyKind = "closed"
	PolicySources         PolicyKind = "allowed-sources"
	PolicyHosts           PolicyKind = "allowed-hosts"
	PolicyRootRedirect    PolicyKind = "redirect-root"
	PolicyURLRedirect     PolicyKind = "redirect-url"
	PolicyHTTPSRedirect   PolicyKind = "redirect-https"
	PolicyHostRedirect    PolicyKind = "redirect-host"
	PolicyDots            PolicyKind = "refuse-dots"
	PolicySlashRedirect   PolicyKind = "redirect-slash"
	PolicyAuth            PolicyKind = "auth"
	PolicyInFlight        PolicyKind = "in-flight"
	PolicyRateLimit       PolicyKind = "rate-limit"
	PolicyCertificate     PolicyKind = "client-certificate"
	PolicyStrip           PolicyKind = "strip-prefix"
	PolicyRequestHeader   PolicyKind = "request-header"
	PolicyRewrite         PolicyKind = "rewrite"
	PolicyBody            PolicyKind = "body"
	PolicyRetries         PolicyKind = "retries"
	PolicyBackendHost     PolicyKind = "backend-host"
	PolicyBackendProtocol PolicyKind = "backend-protocol"
	PolicyBackendTLS      PolicyKind = "backend-tls"
	PolicyBalancing       PolicyKind = "balancing"
	PolicyBreaker         PolicyKind = "circuit-breaker"
	PolicyAffinity        PolicyKind = "affinity"
	PolicyBase            PolicyKind = "rewrite-base"
	PolicyResponseHeader  PolicyKind = "response-header"
	PolicyStrictTransport PolicyKind = "hsts"
	PolicyErrorPage       PolicyKind = "error-page"
)

// policyList gathers the policies of a route, in the order in which a request meets them.
type policyList struct {
	n   *narrator
	all []Policy
}

func (l *policyList) add(kind PolicyKind, text string, origins ...diag.Origin) {
	l.all = append(l.all, Policy{Kind: kind, Text: text, Outcome: Applies, Origins: known(origins)})
}

// known are the places that are one.
func known(origins []diag.Origin) model.Origins {
	var out model.Origins
	for _, o := range origins {
		if o != (diag.Origin{}) {
			out = append(out, o)
		}
	}
	return out
}

// policies are those of a route, and what became of each.
func (n *narrator) policies(r model.Route) []Policy {
	l := &policyList{n: n}
	switch action := r.Action.(type) {
	case *model.Closed:
		l.redirects(r)
		l.add(PolicyClosed, action.Reason, action.Origin)
	case *model.Forward:
		l.access(r.Access)
		l.redirects(r)
		l.slash(r, action)
		l.limits(r, action)
		l.request(r, action)
		for _, t := range action.Targets {
			l.target(t)
		}
		if s := action.Strip; s != nil && s.RewriteBase {
			l.add(PolicyBase, "the base element of HTML pages is put under "+s.Prefix, s.BaseOrigin)
		}
	}
	reached := len(l.all)
	for _, c := range r.ResponseHeaders {
		l.add(PolicyResponseHeader, edit(c), c.Origin)
	}
	if r.HSTS != nil {
		l.add(PolicyStrictTransport, "Strict-Transport-Security: "+r.HSTS.String(), r.HSTS.Origin)
	}
	for _, p := range r.ErrorPages {
		l.add(PolicyErrorPage, fmt.Sprintf("%s of %s in place of %s", p.ShownPath(), p.Backend, model.StatusesText(p.Statuses)), p.Origin)
	}
	l.judgeRequest(reached)
	l.judgeAnswer(r, reached)
	return l.all
}

// judgeRequest says what became of those that a request meets on its way in.
func (l *policyList) judgeRequest(count int) {
	by := slices.IndexFunc(l.all[:count], func(p Policy) bool { return p.Kind == l.n.answering })
	forwards := l.n.story.Decision.Backend != "" || len(l.n.story.Decision.Shares) > 0
	for i := range l.all[:count] {
		p := &l.all[i]
		switch {
		case i == by:
			p.Outcome = Answers
		case by >= 0 && i > by, by < 0 && !forwards:
			p.Outcome = Unreached
		case p.Outcome == Applies && slices.Contains(gates, p.Kind):
			p.Outcome = Passes
		}
	}
}

// gates are the policies that either answer or let the request go on.
var gates = []PolicyKind{
	PolicySources, PolicyHosts, PolicyRootRedirect, PolicyURLRedirect, PolicyHTTPSRedirect, PolicyHostRedirect, PolicyDots, PolicySlashRedirect,
	PolicyAuth,
}

// judgeAnswer says what became of those that an answer meets.
func (l *policyList) judgeAnswer(r model.Route, from int) {
	d := l.n.story.Decision
	firstPage := len(l.all) - len(r.ErrorPages)
	for i, p := range l.all[from:] {
		has := len(d.ErrorPages) > 0
		switch p.Kind {
		case PolicyResponseHeader:
			_, has = d.Response[r.ResponseHeaders[i].Name]
		case PolicyStrictTransport:
			_, has = d.Response["Strict-Transport-Security"]
		}
		if !has {
			l.all[from+i].Outcome = Unreached
		}
	}
	if page := d.pageOf(d.Status); page >= 0 {
		l.all[firstPage+page].Outcome = Answers
	}
}

func (l *policyList) access(a *model.Access) {
	if a == nil {
		return
	}
	if s := a.Sources; s != nil {
		who := "peers"
		if s.Forwarded {
			who = "clients"
		}
		l.add(PolicySources, "only for "+who+" in "+rangeList(s.Ranges), s.Origin)
	}
	if h := a.Hosts; h != nil {
		l.add(PolicyHosts, "only by the names "+strings.Join(h.Names, ", "), h.Origin)
	}
}

func (l *policyList) redirects(r model.Route) {
	status := func(s model.RedirectStatus) string { return fmt.Sprintf(" (%d)", l.n.status(s)) }
	if root := r.RootRedirect; root != nil {
		l.add(PolicyRootRedirect, "/ is redirected to "+root.Path+status(root.Status), root.Origin)
	}
	if u := r.URLRedirect; u != nil {
		l.add(PolicyURLRedirect, fmt.Sprintf("what %s matches in the URL becomes %s%s", u.Pattern, u.With.String(), status(u.Status)), u.Origin)
	}
	if s := r.HTTPSRedirect; s != nil && !l.n.table.Entry.TLS {
		text := strings.TrimSpace("redirect to HTTPS " + s.Host)
		for _, h := range s.Unless {
			text += ", but for a known " + http.CanonicalHeaderKey(h.Name)
		}
		l.add(PolicyHTTPSRedirect, text+status(s.Status), s.Origin)
	}
	if h := r.HostRedirect; h != nil {
		l.add(PolicyHostRedirect, "other hosts are redirected to https://"+h.Host+status(h.Status), h.Origin)
	}
}

func (l *policyList) slash(r model.Route, f *model.Forward) {
	if change, ok := r.Rewrite.(*model.ReplaceRegex); ok {
		l.add(PolicyDots, "paths with two dots in a row are refused (400)", change.Origin)
	}
	if l.n.gateway.Edge.SlashRedirect && f.Strip != nil && r.Path.Kind != model.PathExact {
		l.add(PolicySlashRedirect, fmt.Sprintf("GET and HEAD of %s are redirected to %s/ (%d)", f.Strip.Prefix, f.Strip.Prefix, http.StatusFound), f.Strip.Origin)
	}
}

func (l *policyList) limits(r model.Route, f *model.Forward) {
	if a := r.Auth; a != nil {
		l.add(PolicyAuth, authWords(*a), a.Origins...)
	}
	for _, limit := range f.InFlight.Limits {
		l.add(PolicyInFlight, fmt.Sprintf("%d requests at once, by %s", limit.Most, keyWord(limit.By)), limit.Origins...)
	}
	if limit := r.RateLimit; limit != nil {
		l.add(PolicyRateLimit, strings.Join(rates(limit.Rates), " and ")+", by "+keyWord(limit.By), limit.Origin)
	}
}

// authWords says how a route asks who the user is.
func authWords(a model.Auth) string {
	var text string
	switch a.Kind {
	case model.AuthForward:
		text = "asks " + a.Forward.ShownURL()
	default:
		text = fmt.Sprintf("%s, by the users of Secret %s/%s", a.Kind, a.Users.Namespace, a.Users.Name)
	}
	if a.HeaderField != "" {
		text += "; the backend gets the user's name as " + a.HeaderField
	}
	if a.RemoveHeader {
		text += "; Authorization is taken off"
	}
	return text
}

// request are the changes on the way to the backend.
func (l *policyList) request(r model.Route, f *model.Forward) {
	if p := r.ClientCertificate; p != nil {
		l.add(PolicyCertificate, "the backend is told of the client's certificate", p.Origin)
	}
	if f.Strip != nil {
		l.add(PolicyStrip, f.Strip.Prefix+" is taken off the path", f.Strip.Origin)
	}
	for _, c := range r.RequestHeaders {
		l.add(PolicyRequestHeader, edit(c), c.Origin)
	}
	if f.ReplacePath != "" {
		l.add(PolicyRewrite, "the path becomes "+f.ReplacePath, f.ReplacePathOrigin)
	}
	switch change := r.Rewrite.(type) {
	case *model.AddPrefix:
		l.add(PolicyRewrite, change.Prefix+" is put before the path", change.Origin)
	case *model.ReplacePrefix:
		l.add(PolicyRewrite, fmt.Sprintf("%s of the path becomes %s", r.Path.Value, cmp.Or(change.With, "/")), change.Origin)
	case *model.ReplaceRegex:
		l.add(PolicyRewrite, fmt.Sprintf("what %s matches in the path becomes %s", change.Pattern, change.With.String()), change.Origin)
	}
	if limit := f.Buffering.MaxRequest; limit != nil {
		l.add(PolicyBody, fmt.Sprintf("the body is held until it is whole, up to %d bytes", limit.Value), limit.Origin)
	}
	if retries := f.Buffering.Retries; retries != nil {
		l.add(PolicyRetries, fmt.Sprintf("a request that no endpoint has begun to take is sent up to %d times", retries.Value+1), retries.Origin)
	}
}

// target are the policies of the way to one backend.
func (l *policyList) target(t model.Target) {
	if t.Closed != nil {
		l.add(PolicyClosed, "its share: "+t.Closed.Reason, t.Closed.Origin)
		return
	}
	first := len(l.all)
	b, _ := l.n.backend(t.Backend)
	if t.Host != "" {
		l.add(PolicyBackendHost, "the backend sees the host "+t.Host, t.Because.Host)
	}
	if t.Because.Protocol != (diag.Origin{}) {
		l.add(PolicyBackendProtocol, "the backend is spoken to over "+string(b.Protocol), t.Because.Protocol)
	}
	if len(t.Because.TLS) > 0 {
		l.add(PolicyBackendTLS, securityText(*b.TLS), t.Because.TLS...)
	}
	if b.LeastRequest {
		l.add(PolicyBalancing, "to the endpoint with fewer requests in flight", t.Because.Balancing)
	}
	if b.Breaker != nil {
		l.add(PolicyBreaker, fmt.Sprintf("an endpoint is left alone for %d seconds where %s", model.BreakerSeconds, breakerText(*b.Breaker)), b.Breaker.Origin)
	}
	if t.Affinity != nil {
		l.add(PolicyAffinity, affinityWords(*t.Affinity), t.Because.Affinity...)
	}
	for i := range l.all[first:] {
		l.all[first+i].Backend = b.Name
	}
}

// edit names a header that is changed, without its value, which may be a credential.
func edit(c model.HeaderChange) string {
	if c.Value == "" {
		return "takes off " + c.Name
	}
	return "sets " + c.Name
}
