package proxy

import (
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/dataplane/config"
	"github.com/postern-gateway/postern/dataplane/match"
)

// An exchange is one request and its answer. It keeps the snapshot that was in force when the request came.
type exchange struct {
	proxy    *Proxy
	snapshot *snapshot
	manager  *config.ConnectionManager
	peer     string // address of the connection's other end
	w        http.ResponseWriter
	r        *http.Request

	scheme    string // by which the client came, as far as is known
	authority string // as the client sent it, but for a trailing dot of the host
	path      string // normalised, with the query
	upgrade   upgradeKind
	route     *config.Route
	// passedOn says that the request came to the scripts, which stand behind all filters that may answer by themselves.
	passedOn bool
	errors   errorPages
	seen     seen
	cluster  string // by which the request was forwarded
}

// serve answers the request: itself, or by a cluster.
func (x *exchange) serve() {
	defer x.logged()()
	if !x.read() {
		return
	}
	x.noteAsked()
	if !x.mayPass() {
		return
	}
	switch action := x.route.Action.(type) {
	case *config.Forward:
		x.serveBy(action)
	case *config.Redirect:
		x.w.Header().Set("Location", x.location(action))
		x.replyByRoute(action.Status, x.values(0))
	case *config.DirectResponse:
		x.replyByRoute(action.Status, x.values(0))
	}
}

// read takes the request apart, settles its headers and finds its route. It answers what cannot be read, and is false
// then.
func (x *exchange) read() bool {
	if x.r.ProtoMajor == 1 && len(x.r.TransferEncoding) > 0 {
		// net/http takes Content-Length off a request that is chunked too and does not tell. Envoy refuses it; here the
		// connection ends, so that nobody's next request depends on which of the two a proxy before us went by (RFC
		// 9112, 6.1).
		x.w.Header().Set("Connection", "close")
	}
	if status := x.admit(); status != 0 {
		x.reply(status)
		return false
	}
	var verdict match.Verdict
	switch x.path, verdict = match.Normalize(x.path, x.manager.EscapedSlashes); verdict {
	case match.Reject:
		x.reply(http.StatusBadRequest)
		return false
	case match.Redirect:
		x.w.Header().Set("Location", x.path)
		// Envoy has not written X-Forwarded-Proto yet, and looks for no route without it; nor has it taken a host's dot off.
		if strings.Join(x.r.Header["X-Forwarded-Proto"], "") != "" {
			x.authority = x.r.Host
			x.findRoute()
		}
		x.replyBeforeRoute(http.StatusTemporaryRedirect)
		return false
	}
	h := x.r.Header
	mutate(h, x.manager.EarlyMutations, x.values(0))
	if x.manager.UseRemoteAddress || h.Get("X-Request-Id") == "" {
		h.Set("X-Request-Id", requestID())
	}
	if x.scheme == "" {
		x.scheme = x.impliedScheme()
	}
	// Envoy looks for no route where a peer's X-Forwarded-Proto is empty.
	if proto, named := h["X-Forwarded-Proto"]; !named || strings.Join(proto, "") != "" {
		x.findRoute()
	}
	return true
}

// mayPass asks what answers in a route's place, in the order of Envoy's filters. Where something does, it is false.
func (x *exchange) mayPass() bool {
	// Where there is a route, Envoy refuses an upgrade before its first filter.
	if x.route != nil && (x.upgrade == otherUpgrade || x.upgrade == webSocket && !x.manager.WebSocket) {
		x.replyBeforeRoute(http.StatusForbidden)
		return false
	}
	for _, denial := range x.manager.Denials {
		if match.Denies(denial, x.asked()) {
			x.replyBeforeRoute(denial.Status)
			return false
		}
	}
	if clients := x.manager.Clients; clients != nil && !match.Admits(clients, x.asked(), x.sender()) {
		x.replyBeforeRoute(http.StatusForbidden)
		return false
	}
	if x.route == nil {
		x.reply(http.StatusNotFound)
		return false
	}
	x.watchErrors()
	if !x.admitted() {
		x.replyBeforeRoute(http.StatusForbidden)
		return false
	}
	return !x.redirectsURL()
}

// serveBy sends the request on, unless who asks, or how often, stands against it.
func (x *exchange) serveBy(f *config.Forward) {
	h := x.r.Header
	if passed := x.route.Filters.Certificate; passed != nil {
		passCertificate(h, *passed, x.shown())
	}
	if x.route.Filters.Authorize != nil && !x.authorize() {
		return
	}
	if most := x.route.Filters.RequestBytesMax; most > 0 && !x.hold(most) {
		return
	}
	done := x.enter()
	if done == nil {
		return
	}
	defer done()
	if !x.withinLimits() {
		x.replyByRoute(http.StatusTooManyRequests, x.values(0))
		return
	}
	change(h, x.route.RequestHeadersToRemove, x.route.RequestHeadersToAdd, x.values(0))
	change(h, x.table().RequestHeadersToRemove(), nil, config.Values{})
	x.forward(f)
}

// asked is what routes and denials look at.
func (x *exchange) asked() match.Request {
	return match.Request{Method: x.r.Method, Authority: x.authority, Path: x.path, Header: x.r.Header}
}

func (x *exchange) table() *match.Table { return x.snapshot.routes[x.manager.RouteConfig] }

// findRoute finds the request's route where there is one.
func (x *exchange) findRoute() {
	if table := x.table(); table != nil {
		x.route = table.Route(x.asked())
	}
}

// admit takes the request target apart and settles what needs no route: it returns the status of the answer, or 0.
// What it refuses, and how, was measured on Envoy 1.40.
func (x *exchange) admit() int {
	r := x.r
	switch {
	case !knownMethod(r):
		return http.StatusBadRequest
	case r.ProtoMajor == 1 && r.ProtoMinor != 1:
		return http.StatusUpgradeRequired
	case r.ProtoMajor > 1 && !wellFormedHTTP2(r):
		return http.StatusBadRequest
	case count(r.Header) > x.manager.MaxHeadersCount:
		return http.StatusRequestHeaderFieldsTooLarge
	case underscored(r.Header), r.Host == "":
		// net/http cannot send an empty Host, as Envoy does: it would send the endpoint's address.
		return http.StatusBadRequest
	case r.Method == http.MethodConnect, r.Method == http.MethodOptions && r.RequestURI == "*":
		return http.StatusNotFound
	}
	var ok bool
	if x.upgrade, ok = clean(r.Header); !ok {
		return http.StatusBadRequest
	}
	x.authority, x.path = match.TrimHostDot(r.Host), r.RequestURI
	if !strings.HasPrefix(x.path, "/") {
		return x.absolute()
	}
	return 0
}

// absolute reads a request target that is a whole URL. Its host is in r.Host already.
func (x *exchange) absolute() int {
	scheme, rest, found := strings.Cut(x.path, "://")
	x.scheme = strings.ToLower(scheme)
	switch {
	case !found || x.scheme != "http" && x.scheme != "https" || rest == "":
		return http.StatusBadRequest
	case x.scheme == "https" && x.r.TLS == nil:
		return http.StatusForbidden
	}
	slash := strings.IndexAny(rest, "/?")
	switch {
	case slash == 0 || !x.validPort():
		return http.StatusBadRequest
	case slash < 0:
		x.path = "/"
	case rest[slash] == '?':
		return http.StatusNotFound // a query without a path matches no route
	default:
		x.path = rest[slash:]
	}
	return 0
}

// validPort tells whether the port in the authority, if it has one, is one.
func (x *exchange) validPort() bool {
	_, port, err := net.SplitHostPort(x.authority)
	if err != nil {
		return true // it has none
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// impliedScheme is the scheme of a request that names none: HTTP/2 does name one, which net/http keeps to itself, and
// which is the connection's. Otherwise X-Forwarded-Proto says, where it says http or https.
func (x *exchange) impliedScheme() string {
	if proto := strings.ToLower(strings.Join(x.r.Header["X-Forwarded-Proto"], ",")); x.r.ProtoMajor < 2 && (proto == "http" || proto == "https") {
		return proto
	}
	if x.r.TLS != nil {
		return "https"
	}
	return "http"
}

// values are what format strings may speak of; status is 0 before there is one.
func (x *exchange) values(status int) config.Values {
	return config.Values{Authority: x.authority, Path: x.path, DirectPeer: x.peer, ForwardedProto: x.r.Header.Get("X-Forwarded-Proto"), Status: status}
}

// location is the URL that a redirect leads to (route_components.proto, RedirectAction).
func (x *exchange) location(a *config.Redirect) string {
	scheme, host, port, path := x.scheme, a.Host, "", x.path
	if a.Scheme != "" {
		scheme = a.Scheme
	}
	if a.Port != 0 {
		port = ":" + strconv.Itoa(int(a.Port))
	}
	if host == "" {
		host = x.hostFor(scheme, port)
	}
	if a.Path != "" {
		path = a.Path
		if _, query, found := strings.Cut(x.path, "?"); found && !strings.Contains(a.Path, "?") {
			path += "?" + query
		}
	}
	return scheme + "://" + host + port + path
}

// hostFor is the client's authority, without its port where a redirect names another, or where the port is the default
// of a scheme that the redirect leaves.
func (x *exchange) hostFor(scheme, port string) string {
	colon := strings.LastIndexByte(x.authority, ':')
	if colon < 0 || strings.LastIndexByte(x.authority, ']') > colon {
		return x.authority
	}
	own := x.authority[colon:]
	came := x.r.Header.Get("X-Forwarded-Proto")
	if port != "" || scheme != came && (strings.EqualFold(came, "https") && own == ":443" || strings.EqualFold(came, "http") && own == ":80") {
		return x.authority[:colon]
	}
	return x.authority
}

// replyBeforeRoute answers before the route does what it is there for. Envoy gives such an answer the response headers of
// a route to a cluster, and of no other.
func (x *exchange) replyBeforeRoute(status int) {
	if x.route != nil {
		if _, forwards := x.route.Action.(*config.Forward); forwards {
			x.replyByRoute(status, x.values(0))
			return
		}
	}
	x.reply(status)
}

// replyByRoute answers in the route's place: its response headers and its script apply. v is the request as it was
// when it came to this.
func (x *exchange) replyByRoute(status int, v config.Values) {
	v.Status = status
	x.respond(x.w.Header(), v)
	x.reply(status)
}

// respond changes the headers of an answer as the route says, then runs its script: the order of Envoy's filters.
func (x *exchange) respond(h http.Header, v config.Values) {
	x.changeResponse(h, v)
	x.putUnderPrefix(h)
}

func (x *exchange) changeResponse(h http.Header, v config.Values) {
	change(h, x.route.ResponseHeadersToRemove, x.route.ResponseHeadersToAdd, v)
}

// putUnderPrefix runs the route's script, which leaves alone what did not come to it as a request.
func (x *exchange) putUnderPrefix(h http.Header) {
	if prefix := x.route.Filters.Scripts.Prefix; prefix != "" && x.passedOn {
		prefixV2(h, prefix, x.authority)
	}
}

// reply answers with a status and the body that local_reply_config gives for it: the reason is for the log only.
func (x *exchange) reply(status int) {
	if page := x.errors.of(status); page != nil {
		x.replyPage(*page, status)
		return
	}
	h := x.w.Header()
	body := x.manager.LocalReply.Render(x.values(status))
	h.Set("Content-Type", "text/plain")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if x.r.ProtoMajor == 1 && x.r.ProtoMinor != 1 {
		h.Set("Connection", "close")
	}
	x.w.WriteHeader(status)
	x.w.Write([]byte(body)) // an error is a client that has gone
}
