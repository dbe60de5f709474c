package explain

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/model"
)

// redirects choose their status by the method: a client may turn any method but GET and HEAD into GET on 301 and 302.
func (n *narrator) reading() bool {
	return n.request.Method == http.MethodGet || n.request.Method == http.MethodHead
}

func (n *narrator) status(s model.RedirectStatus) int {
	reading, other := s.Statuses()
	if n.reading() {
		return reading
	}
	return other
}

func (n *narrator) countsAsHTTPS(r *model.HTTPSRedirect) bool {
	if strings.EqualFold(strings.Join(n.headers["X-Forwarded-Proto"], ","), "https") {
		return true
	}
	return r != nil && slices.ContainsFunc(r.Unless, func(h model.HeaderIs) bool {
		return h.Is(strings.Join(n.headers.Values(h.Name), ","))
	})
}

// redirectsToHTTPS answers by the route's redirect, where it has one for this request.
func (n *narrator) redirectsToHTTPS(r model.Route) bool {
	if r.HTTPSRedirect == nil || n.table.Entry.TLS {
		return false
	}
	if n.countsAsHTTPS(r.HTTPSRedirect) {
		n.note("peer %s is a trusted proxy and says that the client came over HTTPS, so there is no redirect to HTTPS", n.request.From)
		return false
	}
	n.answering = PolicyHTTPSRedirect
	n.redirectToHTTPS(*r.HTTPSRedirect)
	return true
}

func (n *narrator) redirectToHTTPS(r model.HTTPSRedirect) {
	host, _ := cutPort(n.target.authority)
	if port := n.gateway.Edge.HTTPSPublicPort; port != httpsPort {
		host = fmt.Sprintf("%s:%d", host, port)
	}
	if r.Host != "" {
		host = r.Host
	}
	n.story.Decision = Decision{
		Status: n.status(r.Status), Location: "https://" + host + n.target.path, Reason: "redirect to HTTPS",
	}
	n.addOrigins(model.Origins{r.Origin})
}

const httpsPort = 443

// redirectsToHost answers requests for another host than the one that the route is for.
func (n *narrator) redirectsToHost(r model.Route, _ *model.Forward) bool {
	if !n.otherHost(r) {
		return false
	}
	n.answering = PolicyHostRedirect
	n.story.Decision = Decision{
		Status: n.status(r.HostRedirect.Status), Location: "https://" + r.HostRedirect.Host + n.target.path, Reason: "redirect to the one host",
	}
	n.addOrigins(model.Origins{r.HostRedirect.Origin})
	return true
}

func (n *narrator) otherHost(r model.Route) bool {
	if r.HostRedirect == nil {
		return false
	}
	asked := n.target.authority
	if _, port := cutPort(r.HostRedirect.Host); port == "" {
		if host, own := cutPort(asked); strings.Trim(own, "0123456789") == ":" && own != ":" {
			asked = host
		}
	}
	return !strings.EqualFold(asked, r.HostRedirect.Host)
}

// redirectsFromRoot answers requests for the root by another path.
func (n *narrator) redirectsFromRoot(r model.Route, _ *model.Forward) bool {
	if !n.atRoot(r) {
		return false
	}
	n.answering = PolicyRootRedirect
	n.redirectToPath(r.RootRedirect.Path, n.status(r.RootRedirect.Status), "the root of the app is elsewhere")
	n.addOrigins(model.Origins{r.RootRedirect.Origin})
	return true
}

func (n *narrator) atRoot(r model.Route) bool { return r.RootRedirect != nil && n.target.path == "/" }

// wholeURL is what a URL must be to be redirected to.
var wholeURL = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9._~:\[\]-]+([/?#][!-~]*)?$`)

// redirectsURL answers requests whose URL the route's regex changes.
func (n *narrator) redirectsURL(r model.Route, f *model.Forward) bool {
	if r.URLRedirect == nil {
		return false
	}
	scheme := "http"
	if n.table.Entry.TLS || strings.Join(n.headers["X-Forwarded-Proto"], ",") == "https" {
		scheme = "https"
	}
	asked := scheme + "://" + n.target.authority + n.target.path
	url := replaceAll(r.URLRedirect.Pattern, r.URLRedirect.With, asked)
	d := Decision{Status: n.status(r.URLRedirect.Status), Location: url, Reason: "redirect by the whole URL"}
	switch {
	case len(asked) >= model.RedirectURLMax:
		d = Decision{Status: http.StatusRequestURITooLong, Reason: "the URL is too long for redirect-regex"}
	case url == asked:
		return false
	case len(url) >= model.RedirectURLMax:
		d = Decision{Status: http.StatusBadGateway, Reason: "what redirect-regex makes is too long for a URL"}
	case !wholeURL.MatchString(url):
		d = Decision{Status: http.StatusBadGateway, Reason: "what redirect-regex makes is no whole URL: " + url}
	}
	n.answering, n.story.Decision = PolicyURLRedirect, d
	n.addOrigins(model.Origins{r.URLRedirect.Origin})
	// Envoy puts the headers of a route to a backend on this answer, and of no other.
	n.filtered, n.bare = true, n.answersItself(r, f)
	return true
}

// answersItself says whether Envoy's route for this request is one that answers in a backend's place.
func (n *narrator) answersItself(r model.Route, f *model.Forward) bool {
	toHTTPS := r.HTTPSRedirect != nil && !n.table.Entry.TLS && !n.countsAsHTTPS(r.HTTPSRedirect)
	return toHTTPS || n.atRoot(r) || n.otherHost(r) || n.hasDots(r) || n.wantsSlash(r, f)
}

// wantsSlash says whether the request is for the prefix itself, where a page's relative links would miss the prefix.
func (n *narrator) wantsSlash(r model.Route, f *model.Forward) bool {
	path, _, _ := strings.Cut(n.target.path, "?")
	return n.gateway.Edge.SlashRedirect && f.Strip != nil && r.Path.Kind != model.PathExact &&
		n.reading() && spelling(path) == f.Strip.Prefix
}

func (n *narrator) redirectsToSlash(r model.Route, f *model.Forward) bool {
	if !n.wantsSlash(r, f) {
		return false
	}
	n.answering = PolicySlashRedirect
	n.redirectToPath(f.Strip.Prefix+"/", http.StatusFound, "a stripped prefix is asked for as a folder, so that relative links stay under it")
	return true
}

// redirectToPath answers by another path of the host that was asked for; a query is kept where the path has none.
func (n *narrator) redirectToPath(path string, status int, reason string) {
	scheme := "http"
	if n.target.tls {
		scheme = "https"
	}
	said := strings.Join(n.headers["X-Forwarded-Proto"], ",")
	lower := strings.ToLower(said)
	if !n.request.HTTP2 && (lower == "http" || lower == "https") {
		scheme = lower
	}
	authority := n.target.authority
	host, port := cutPort(authority)
	// The default port of the scheme that a trusted proxy tells of is left out where that is not the URL's.
	if said != scheme && (lower == "https" && port == ":443" || lower == "http" && port == ":80") {
		authority = host
	}
	location := scheme + "://" + authority + path
	if _, query, asked := strings.Cut(n.target.path, "?"); asked && !strings.Contains(path, "?") {
		location += "?" + query
	}
	n.story.Decision = Decision{Status: status, Location: location, Reason: reason}
}
