package proxy

import (
	"net/http"
	"regexp"
)

// longestURL is from how many bytes on redirect-v1 takes no URL, and gets none from the filter before it.
const longestURL = 8 * 1024

// wholeURL is a URL with a scheme and a host that is nothing but one, with a port or without.
var wholeURL = regexp.MustCompile(`^[A-Za-z][0-9A-Za-z+.-]*://[0-9A-Za-z._~:\[\]-]+(?:[/?#][!-~]*)?$`)

// redirectsURL is the script redirect-v1 in Go: it answers a request whose URL the route's regex changes.
func (x *exchange) redirectsURL() bool {
	redirect := x.route.Filters.URLRedirect
	if redirect == nil {
		return false
	}
	asked := redirect.URL.Render(x.values(0))
	url := redirect.Regexp.ReplaceAllString(asked, redirect.Substitution)
	status := redirect.Other
	switch {
	case len(asked) >= longestURL:
		status = http.StatusRequestURITooLong
	case url == asked:
		return false
	case len(url) >= longestURL || !wholeURL.MatchString(url):
		status = http.StatusBadGateway
	case x.r.Method == http.MethodGet || x.r.Method == http.MethodHead:
		status = redirect.Reading
	}
	if status == redirect.Reading || status == redirect.Other {
		x.w.Header().Set("Location", url)
	}
	x.replyBeforeRoute(status)
	return true
}
