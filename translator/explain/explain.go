// Package explain says what the gateway does with one request, and why: which entry, certificate, host, route, rewrite,
// backend and endpoints, which routes lost, and which object and field stand behind the answer.
//
// It asks the model, with matching code of its own. The data planes read Envoy's resources, so that where explain and
// a data plane agree, two independent readings do.
package explain

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// Request is what is asked about.
type Request struct {
	// Method is as it stands in the request line; empty is GET.
	Method string
	// URL is scheme://host[:port]/path?query, the scheme choosing the entry: http or https. Host, port, path and query
	// are those that the client sends, byte for byte; nothing is decoded.
	URL string
	// Fragment says that a # and what follows it were taken off the URL, which no client sends.
	Fragment bool
	// Header holds the client's headers; Host is the URL's.
	Header http.Header
	// From is the address of the peer; the zero value is 127.0.0.1.
	From netip.Addr
	// SNI is the host that the client names in its TLS handshake; empty is the URL's, NoSNI none.
	SNI string
	// TLSVersion is the highest version that the client speaks; empty is the latest.
	TLSVersion model.TLSVersion
	// ClientCertificate is what the client shows where it is asked for a certificate: PEM, its own first. Empty is none.
	ClientCertificate []byte
	// At is the moment for which the certificate must be valid; the zero value is that from which it is.
	At time.Time
	// HTTP2 says that the client speaks HTTP/2, in which a request has a scheme of its own.
	HTTP2 bool
	// User is who the client has shown to be wherever it is asked, with a password or an answer to digest's challenge that
	// counts as right. Empty leaves it to Authorization.
	User string
}

// Explain tells the story of a request. ds are the diagnostics of the translation that made the gateway. The error
// says what is wrong with the URL.
func Explain(g model.Gateway, ds []diag.D, r Request) (Story, error) {
	n, err := narrate(g, r)
	if err != nil {
		return Story{}, err
	}
	n.tellAbsence()
	n.story.Diagnostics = n.story.touching(ds)
	return n.story, nil
}

// Decide is Explain without diagnostics and without what is missing where nothing matches: all that an answer depends on.
func Decide(g model.Gateway, r Request) (Story, error) {
	n, err := narrate(g, r)
	if err != nil {
		return Story{}, err
	}
	return n.story, nil
}

func narrate(g model.Gateway, r Request) (*narrator, error) {
	asked, err := parseTarget(r.URL)
	if err != nil {
		return nil, err
	}
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	if !r.From.IsValid() {
		r.From = localhost
	}
	r.From = r.From.Unmap()
	n := narrator{gateway: g, request: r, target: asked}
	n.story.Request = r.Method + " " + r.URL
	n.story.From = r.From
	n.noteOnSpelling()
	n.tell()
	return &n, nil
}

// target is a URL in its parts, as the client sends them.
type target struct {
	tls bool
	// authority is host[:port], the value of the Host header.
	authority string
	// path holds the query too.
	path string
}

// parseTarget takes a URL apart without url.Parse, which would decode what the gateway is to be asked about.
func parseTarget(raw string) (target, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || (scheme != "http" && scheme != "https") {
		return target{}, fmt.Errorf("%q: write http://HOST/PATH or https://HOST/PATH", raw)
	}
	authority, path := rest, "/"
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
		if path[0] != '/' {
			path = "/" + path
		}
	}
	if authority == "" || strings.Contains(authority, "@") {
		return target{}, fmt.Errorf("%q: write a host, without user name", raw)
	}
	if _, err := url.Parse(scheme + "://" + authority); err != nil {
		return target{}, fmt.Errorf("%q: %q is not a host", raw, authority)
	}
	return target{tls: scheme == "https", authority: authority, path: path}, nil
}

// narrator follows one request through the gateway and writes down what it sees.
type narrator struct {
	gateway model.Gateway
	request Request
	target  target
	table   *model.Table
	// group is the TLS settings under which the connection is.
	group model.TLSGroup
	// headers are the request's as routing and the backend see them.
	headers http.Header
	// routed says that the gateway answers by itself where it has found a route already, whose headers its answer has.
	routed bool
	// routedBy are the headers by which that route is found.
	routedBy http.Header
	// filtered says that a filter of Envoy's answers, and not the route; bare that the answer is then without the headers
	// of the route.
	filtered, bare bool
	// answering is the policy of the route that gives the answer, empty for none.
	answering PolicyKind
	// unmatched says that no route was found for the request's own host: nothing matched, or what is for every host.
	unmatched bool
	story     Story
}

// tell asks each part in the order in which Envoy has them, until one answers.
func (n *narrator) tell() {
	for _, part := range []func() bool{n.enter, n.checkMethod, n.checkSize, n.checkHeaders, n.readPath, n.checkForm} {
		if answered := part(); answered {
			// Where there is no entry, or the handshake fails, nobody answers.
			n.unmatched = n.story.Decision.Status == 0 && (n.table == nil || !n.hasHost(n.table))
			n.addRouteHeaders()
			return
		}
	}
	n.headers = forwarded(n.gateway.Edge, n.table.Entry, n.request, n.target.authority)
	if n.refusesClient() {
		n.addRouteHeaders()
		return
	}
	if proto := n.headers.Values("X-Forwarded-Proto"); len(proto) > 0 && strings.Join(proto, "") == "" {
		n.story.Decision = Decision{Status: http.StatusNotFound, Reason: "a trusted proxy says an empty X-Forwarded-Proto, with which no route is looked for"}
		return
	}
	if why := n.misdirected(); why != "" {
		if !n.refusesUpgrade() {
			n.story.Decision = Decision{Status: http.StatusMisdirectedRequest, Reason: why}
		}
		return
	}
	route, of := n.choose()
	n.unmatched = route == nil || of == anyHost || of == defaultBackend
	if route == nil {
		n.story.Decision = Decision{Status: http.StatusNotFound, Reason: "no route matches"}
		return
	}
	n.story.Origins = slices.Clone(route.Origins)
	n.story.Losers = losersOf(*route)
	defer func() { n.story.Policies = n.policies(*route) }()
	if n.refusesUpgrade() {
		n.routed, n.routedBy = true, n.headers
		n.addRouteHeaders()
		return
	}
	if n.closedTo(of) {
		n.addOrigins(groupNamed(*n.table, of).Origins)
		n.story.Decision = Decision{Status: http.StatusMisdirectedRequest, Reason: "the rules of " + of + " are only for connections under its TLS settings"}
		return
	}
	asked := n.headers.Clone()
	if f, forwards := route.Action.(*model.Forward); forwards && n.refusesAccess(*route) {
		n.filtered, n.bare = true, n.answersItself(*route, f)
	} else {
		n.answer(*route)
	}
	if len(route.ErrorPages) > 0 {
		n.addErrorPages(*route, asked)
	}
	switch forwards := n.story.Decision.Backend != "" || len(n.story.Decision.Shares) > 0; {
	case n.bare:
	case forwards || n.filtered:
		n.story.Decision = n.story.Decision.with(responseOf(*route), annotated(route.ResponseHeaders))
	default:
		n.story.Decision = n.story.Decision.with(strictTransport(*route), nil)
	}
}

// enter finds the entry and, over TLS, the certificate.
func (n *narrator) enter() bool {
	for i := range n.gateway.Tables {
		if n.gateway.Tables[i].Entry.TLS == n.target.tls {
			n.table = &n.gateway.Tables[i]
		}
	}
	if n.table == nil {
		n.story.Decision.Reason = "no entry of this scheme is open"
		return true
	}
	n.story.Entry = n.table.Entry.Name
	n.story.Address = n.table.Entry.Address.String()
	n.noteOnPort()
	if !n.target.tls {
		return false
	}
	if why := n.shake(); why != "" {
		n.story.Decision.Reason = "the handshake fails: " + why
		return true
	}
	return false
}

// noteOnPort says where a URL's port is none that the entry has: it is answered as if it came there.
func (n *narrator) noteOnPort() {
	e := n.table.Entry
	if _, port := cutPort(n.target.authority); port != "" {
		if _, err := strconv.ParseUint(port[1:], 10, 16); err != nil {
			n.note("%s is no port that a client could connect to: they are up to 65535", port[1:])
			return
		}
		public := e.TLS && portOf(n.target) == n.gateway.Edge.HTTPSPublicPort
		if asked := portOf(n.target); asked != e.PublicPort && asked != e.Address.Port() && !public {
			n.note("port %d is not that of the entry %s, which is %d: this is what it would answer there", asked, e.Name, e.PublicPort)
		}
	}
}

// answer is what the chosen route does.
func (n *narrator) answer(r model.Route) {
	switch action := r.Action.(type) {
	case *model.Closed:
		// In other spellings of its path it is closed too, but redirects nothing.
		if ok, _ := matchPath(r.Path, n.story.Path); ok && n.redirectsToHTTPS(r) {
			return
		}
		n.answering = PolicyClosed
		n.story.Decision = Decision{Status: http.StatusServiceUnavailable, Reason: action.Reason}
		if action.Origin != (diag.Origin{}) && !slices.Contains(n.story.Origins, action.Origin) {
			n.story.Origins = append(n.story.Origins, action.Origin)
		}
	case *model.Forward:
		for _, answers := range forwardSteps {
			if answers(n, r, action) {
				return
			}
		}
		n.noteOnInFlight(action.InFlight)
		n.noteOnRateLimit(r)
		n.forward(r, action)
	default:
		panic(fmt.Sprintf("explain: unknown action %T", action))
	}
}

// forwardSteps are what may answer in a backend's place, in the order in which a request meets them.
var forwardSteps = []func(*narrator, model.Route, *model.Forward) bool{
	(*narrator).redirectsFromRoot,
	(*narrator).redirectsURL,
	func(n *narrator, r model.Route, _ *model.Forward) bool { return n.redirectsToHTTPS(r) },
	(*narrator).redirectsToHost,
	(*narrator).refusesDots,
	(*narrator).redirectsToSlash,
	(*narrator).asksWho,
}

// forward hands the request to the backend.
func (n *narrator) forward(r model.Route, f *model.Forward) {
	n.passCertificate(n.headers, r.ClientCertificate)
	before := n.headers.Clone()
	d := Decision{Path: n.target.path, Headers: n.headers}
	if tellsReplaced(r, f) {
		asked, _, _ := strings.Cut(d.Path, "?")
		d.Headers.Set("X-Replaced-Path", asked)
	}
	if f.Strip != nil {
		d.Path = stripped(d.Path, f.Strip.Prefix)
		d.Headers.Set("X-Forwarded-Prefix", f.Strip.Prefix)
		if r.Path.Kind != model.PathExact && r.Rewrite == nil && f.ReplacePath == "" {
			d.Prefix = f.Strip.Prefix
			n.noteOnPrefix(*f.Strip)
		}
		if f.Strip.RewriteBase {
			d.RewritesBase = true
		}
	}
	changeRequest(d.Headers, r.RequestHeaders)
	d.annotated = annotated(r.RequestHeaders)
	if d.RewritesBase {
		d.Headers.Set("Accept-Encoding", "identity")
	}
	d.Path = n.rewritten(r, f, d.Path)
	n.noteOnBody(f.Buffering)
	if upgrade(d.Headers) == webSocket && len(responseOf(r)) > 0 {
		n.note("a backend that answers less than 400 but not 101 takes no WebSocket; the headers of that answer stay, beside those of the route")
	}
	n.story.Decision = n.share(d, f.Targets)
	if r.Auth == nil || r.Auth.Forward == nil {
		return
	}
	ask := n.ask(*r.Auth, d.Path, before)
	if ask.Of.Status != 0 {
		n.filtered, n.answering = true, PolicyAuth
		n.story.Decision = Decision{Status: http.StatusServiceUnavailable, Reason: "who asks cannot be found out: " + ask.Of.Reason}
		return
	}
	n.story.Decision = n.story.Decision.asking(ask)
}

// share fills in the backend of a decision, or the decisions of several.
func (n *narrator) share(d Decision, targets []model.Target) Decision {
	if len(targets) == 1 {
		return n.to(d, targets[0])
	}
	var total uint32
	for _, t := range targets {
		total += t.Weight
	}
	shared := d
	for _, t := range targets {
		shared.Shares = append(shared.Shares, Share{Weight: t.Weight, Of: total, Decision: n.to(d, t)})
	}
	return shared
}

// to sends a decision's request to one target.
func (n *narrator) to(d Decision, t model.Target) Decision {
	if t.Closed != nil {
		n.addOrigins(model.Origins{t.Closed.Origin})
		return Decision{Status: http.StatusServiceUnavailable, Reason: t.Closed.Reason}
	}
	b, a := n.backend(t.Backend)
	d.Backend, d.Assignment, d.Protocol, d.TLS = b.Name, b.Assignment, b.Protocol, b.TLS
	d.Host = cmp.Or(t.Host, n.target.authority)
	for _, e := range a.Endpoints {
		d.Endpoints = append(d.Endpoints, e.String())
	}
	d.EndpointHealth = endpointsOf(a)
	n.addOrigins(b.Origins, a.Origins)
	n.noteOnBackend(b)
	d = n.keep(d, t)
	if b.TLS != nil && b.TLS.SkipVerify {
		n.note("the certificate of %s is not verified (upstream-insecure-skip-verify)", b.Name)
	}
	if a.Outside != nil {
		d.Outside = a.Outside.Name
	}
	switch {
	case len(a.Endpoints) > 0:
	case a.Outside == nil:
		d.Status, d.Reason = http.StatusServiceUnavailable, withoutEndpoints(d.EndpointHealth)
	case a.Outside.Asked:
		d.Status, d.Reason = http.StatusServiceUnavailable, d.Outside+" has no address that may be connected to"
	default:
		n.note("%s is outside of the cluster; its addresses are looked up when it is served, and were not for this answer", d.Outside)
	}
	return d
}

func (n *narrator) backend(name string) (model.Backend, model.Assignment) {
	i := slices.IndexFunc(n.gateway.Backends, func(b model.Backend) bool { return b.Name == name })
	if i < 0 {
		panic("explain: the model has no backend " + name)
	}
	b := n.gateway.Backends[i]
	return b, assignmentOf(n.gateway, b.Assignment)
}

func (n *narrator) addOrigins(more ...model.Origins) {
	for _, o := range slices.Concat(more...) {
		if !slices.Contains(n.story.Origins, o) {
			n.story.Origins = append(n.story.Origins, o)
		}
	}
}

func (n *narrator) note(format string, args ...any) {
	n.story.Notes = append(n.story.Notes, fmt.Sprintf(format, args...))
}

// noteOnPrefix says what a path prefix does to pages that do not know of it.
func (n *narrator) noteOnPrefix(strip model.Strip) {
	prefix := strip.Prefix
	if strip.RewriteBase {
		n.note("the backend does not see %s: in its HTML pages the base element is put under it (<base href=\"/\"> becomes <base href=\"%s/\">), "+
			"for which it is asked for uncompressed answers; links that begin with / such as /style.css still ask outside of it", prefix, prefix)
	} else {
		n.note("the backend does not see %s: its pages with <base href=\"/\"> or links such as /style.css ask outside of it and miss "+
			"this route; relative links work, and so does an app that honours X-Forwarded-Prefix; "+
			"postern.dev/rewrite-base: \"true\" changes such a base", prefix)
	}
	n.note("Location and the Path of Set-Cookie are put under %s, but for cookies without Path and __Host- cookies", prefix)
}
