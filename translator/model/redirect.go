package model

import "github.com/postern-gateway/postern/translator/diag"

// RedirectStatus is the status of a redirect, which depends on the method: upon 301 and 302 a client may turn any method
// but GET and HEAD into GET.
type RedirectStatus int

const (
	// RedirectFound is 302, and 307 for other methods than GET and HEAD.
	RedirectFound RedirectStatus = iota
	// RedirectMoved is 301, and 308 for other methods.
	RedirectMoved
	// RedirectTemporary is 307, whatever the method.
	RedirectTemporary
)

// Statuses are the one for GET and HEAD, and the one for other methods.
func (s RedirectStatus) Statuses() (reading, other int) {
	switch s {
	case RedirectMoved:
		return 301, 308
	case RedirectTemporary:
		return 307, 307
	default:
		return 302, 307
	}
}

// HTTPSRedirect asks that requests on a plain entry be sent to the HTTPS entry.
type HTTPSRedirect struct {
	Status RedirectStatus
	// Host is where to, as HOST or HOST:PORT; empty is the client's host and the HTTPS entry's public port.
	Host string
	// Unless are headers of which each, with its value, has a request count as one that came over HTTPS.
	Unless []HeaderIs
	Origin diag.Origin
}

// HeaderIs is a header with a value, which is not empty. Its name is in lower case.
type HeaderIs struct{ Name, Value string }

// HostRedirect sends requests for any other host to one, over HTTPS.
type HostRedirect struct {
	// Host is HOST or HOST:PORT; without a port the one that a client names makes no difference.
	Host   string
	Status RedirectStatus
	Origin diag.Origin
}

// RootRedirect sends requests for exactly / to another path of the host that was asked for.
type RootRedirect struct {
	// Path begins with one /, and may have a query and a fragment.
	Path   string
	Status RedirectStatus
	Origin diag.Origin
}

// URLRedirect sends requests to what a regex makes of their URL, scheme://host[:port]/path?query as the client asked
// for it, where that is another URL.
type URLRedirect struct {
	// Pattern is RE2's, ASCII, and within Envoy's limit. All that matches in the URL is replaced.
	Pattern string
	With    Substitution
	Status  RedirectStatus
	Origin  diag.Origin
}

// RedirectURLMax is below how many bytes the URL asked for must be for a URLRedirect, or the answer is 414, and what becomes
// of it, or the answer is 502: Envoy's header_to_metadata takes no longer value.
const RedirectURLMax = 8 * 1024
