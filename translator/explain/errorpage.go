package explain

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/translator/model"
)

// ErrorPage is a page that takes the place of answers with certain statuses; those stay.
type ErrorPage struct {
	Statuses []model.StatusRange `json:"statuses"`
	// Page is who is asked for it, and for what. Where that has a status of its own there is no page, and the answer is the
	// status and nothing else.
	Page Decision `json:"page"`
}

// notAskedWith are the headers of a request that do not go along when a page is asked for, beside Envoy's own: what is the
// connection's or the body's, and what asks for a part of a page or none.
var notAskedWith = []string{
	"Connection", "Content-Length", "Expect", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Keep-Alive", "Range",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// addErrorPages says which pages stand by for the answer of a route.
func (n *narrator) addErrorPages(r model.Route, asked http.Header) {
	for name := range asked {
		if slices.Contains(notAskedWith, name) || strings.HasPrefix(name, "X-Envoy-") {
			delete(asked, name)
		}
	}
	// As Envoy says of requests that are its own.
	asked.Set("X-Envoy-Internal", "true")
	asked.Set("X-Envoy-Expected-Rq-Timeout-Ms", "5000")
	for _, p := range r.ErrorPages {
		quiet := *n
		quiet.story = Story{}
		page := quiet.to(Decision{Path: p.Path, Headers: asked, ownPath: true}, model.Target{Backend: p.Backend, Host: p.Host})
		n.story.Decision.ErrorPages = append(n.story.Decision.ErrorPages, ErrorPage{Statuses: p.Statuses, Page: page})
	}
	for i := range n.story.Decision.Shares {
		n.story.Decision.Shares[i].Decision.ErrorPages = n.story.Decision.ErrorPages
	}
	if page, replaced := n.story.Decision.PageFor(n.story.Decision.Status); replaced && page.Status == 0 {
		n.note("the page of the answer comes from %s, asked for %s", page.Backend, page.ShownPath())
	}
}

// PageFor is the page that takes the place of an answer with a status: one without a body has none. Its path is the one
// that is asked for.
func (d Decision) PageFor(status int) (Decision, bool) {
	i := d.pageOf(status)
	if i < 0 {
		return Decision{}, false
	}
	page := d.ErrorPages[i].Page
	page.Path = strings.ReplaceAll(page.Path, model.StatusPlace, strconv.Itoa(status))
	page.Headers = page.Headers.Clone()
	return page, true
}

// pageOf is the place of the page for a status, -1 for none.
func (d Decision) pageOf(status int) int {
	if status < http.StatusOK || status == http.StatusNoContent || status == http.StatusNotModified {
		return -1
	}
	return slices.IndexFunc(d.ErrorPages, func(p ErrorPage) bool {
		return slices.ContainsFunc(p.Statuses, func(s model.StatusRange) bool { return s.From <= status && status <= s.To })
	})
}
