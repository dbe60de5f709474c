package explain

import (
	"net/http"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/model"
)

// methods are those that Envoy 1.40 knows over HTTP/1; over HTTP/2 any token is one.
var methods = strings.Fields("ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE MSEARCH " +
	"NOTIFY OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE")

func (n *narrator) checkMethod() bool {
	if plain := strings.ToUpper(n.request.Method); plain != n.request.Method && slices.Contains(methods, plain) {
		n.note("methods are case-sensitive, and %s is none that is usual; did you mean %s?", n.request.Method, plain)
	}
	if n.request.HTTP2 || slices.Contains(methods, n.request.Method) {
		return false
	}
	n.story.Decision = Decision{Status: http.StatusBadRequest, Reason: n.request.Method + " is no method that is known over HTTP/1.1"}
	return true
}

// checkHeaders refuses names with underscores, which some backends read as hyphens (Envoy:
// headers_with_underscores_action REJECT_REQUEST), and a Connection header that names what the gateway needs.
func (n *narrator) checkHeaders() bool {
	for name := range n.request.Header {
		if strings.Contains(name, "_") {
			n.story.Decision = Decision{Status: http.StatusBadRequest, Reason: "header " + name + " has an underscore"}
			return true
		}
	}
	names := nominated(n.request.Header)
	for _, name := range names {
		if slices.Contains(needed, name) {
			n.story.Decision = Decision{Status: http.StatusBadRequest, Reason: "Connection names " + name}
			return true
		}
	}
	if len(names) > namedMax {
		n.story.Decision = Decision{Status: http.StatusBadRequest, Reason: "Connection names more than nine headers"}
		return true
	}
	return false
}

func (n *narrator) readPath() bool {
	read := normalise(n.target.path, n.gateway.Edge.EscapedSlashes)
	n.story.Path = read.path
	if read.refused != "" {
		n.story.Decision = Decision{Status: http.StatusBadRequest, Reason: read.refused}
		return true
	}
	if read.redirected {
		n.target.path = read.path + read.query
		// Envoy looks for a route only where the client has sent X-Forwarded-Proto: it has not written its own yet.
		n.routed = strings.Join(n.request.Header.Values("X-Forwarded-Proto"), "") != ""
		n.routedBy = n.request.Header
		n.story.Decision = Decision{
			Status: http.StatusTemporaryRedirect, Location: read.path + read.query,
			Reason: "the path has an escaped slash or backslash; the client is asked to say it plainly",
		}
		return true
	}
	if raw, _, _ := strings.Cut(n.target.path, "?"); raw != read.path {
		n.note("the path is read as %s", read.path)
	}
	n.target.path = read.path + read.query
	return false
}

// checkForm refuses a host that is none and a path that still climbs, whatever the route.
func (n *narrator) checkForm() bool {
	n.target.authority = withoutHostDot(n.target.authority)
	path, _, _ := strings.Cut(n.target.path, "?")
	// On an upgrade Envoy leaves Connection to the backend, and it may name nothing else.
	odd := -1
	if upgrade(n.request.Header) != "" {
		odd = slices.IndexFunc(nominated(n.request.Header), func(name string) bool { return !slices.Contains(ownConnection, name) })
	}
	n.routed, n.filtered = true, true
	n.routedBy = forwarded(n.gateway.Edge, n.table.Entry, n.request, n.target.authority)
	switch {
	case odd >= 0:
		n.story.Decision = Decision{Status: http.StatusBadRequest, Reason: "Connection names " + nominated(n.request.Header)[odd]}
	case !wellFormed(n.target.authority):
		n.story.Decision = Decision{Status: http.StatusBadRequest, Reason: "the host is neither a name nor an address, with a port or without"}
	case climbs(path):
		n.story.Decision = Decision{Status: http.StatusBadRequest, Reason: "the path has a dot segment with parameters or beside an escaped slash"}
	default:
		n.routed, n.filtered = false, false
		return false
	}
	return true
}

// addRouteHeaders puts the headers of the route to a backend that a request would have on the gateway's own answer. Where
// there is a route, and a filter answers, an upgrade that is refused was refused before.
func (n *narrator) addRouteHeaders() {
	if !n.routed || n.table == nil {
		return
	}
	proto, said := n.routedBy["X-Forwarded-Proto"]
	if said && strings.Join(proto, "") == "" {
		return // No route is looked for.
	}
	quiet := *n
	quiet.story, quiet.headers = Story{}, n.routedBy
	if quiet.misdirected() != "" {
		n.refusesUpgradeFirst()
		return
	}
	route, of := quiet.choose()
	n.story.Hosts, n.story.Candidates = quiet.story.Hosts, quiet.story.Candidates
	if route == nil {
		return
	}
	n.refusesUpgradeFirst()
	if quiet.closedTo(of) {
		return
	}
	// Envoy has none of a redirect or a direct response.
	if f, forwards := route.Action.(*model.Forward); forwards && !quiet.answersItself(*route, f) {
		n.story.Decision = n.story.Decision.with(responseOf(*route), annotated(route.ResponseHeaders))
	}
}

// refusesUpgradeFirst answers in the place of a filter.
func (n *narrator) refusesUpgradeFirst() {
	if n.filtered {
		n.refusesUpgrade()
	}
}

// refusesUpgrade answers a request that asks to change to a protocol which the gateway does not pass. Envoy looks at it
// when it has found a route, whatever that does.
func (n *narrator) refusesUpgrade() bool {
	to := upgrade(n.request.Header)
	if to == "" || to == webSocket {
		return false
	}
	n.story.Decision = Decision{Status: http.StatusForbidden, Reason: "an upgrade to " + to + " is not allowed, only one to a WebSocket"}
	return true
}
