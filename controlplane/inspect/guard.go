package inspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

const (
	// urlBytesMax bounds the target of a request; explain takes a whole URL and headers in it.
	urlBytesMax = 8 << 10
	// requestsMax is how many requests are answered at once, streamsMax how many of those that do not end by themselves.
	requestsMax = 32
	streamsMax  = 32
	// bodyWaitMax bounds how long the body of a request that should have none is read.
	bodyWaitMax = time.Second
)

// eventsPath is where pages listen for what changes. It and the stream of CSDS do not end by themselves.
const eventsPath = "/events"

// securityPolicy lets a page load and run what is served here, and nothing written into it; nobody frames it.
const securityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// guard is what every request passes before anything answers it.
type guard struct {
	hosts hosts
	// credentials are nil where everyone on this machine may look.
	credentials       *credentials
	requests, streams chan struct{}
	next              http.Handler
}

func newGuard(h hosts, c *credentials, next http.Handler) *guard {
	return &guard{hosts: h, credentials: c, requests: make(chan struct{}, requestsMax), streams: make(chan struct{}, streamsMax), next: next}
}

// ServeHTTP implements http.Handler.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	if r.ContentLength != 0 && !isGRPC(r) {
		// What is left of it is read behind the answer; that must not last.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyWaitMax))
	}
	if status, err := g.check(r); err != nil {
		if status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", "GET, HEAD")
		}
		refuse(w, r, status, err.Error())
		return
	}
	if g.credentials != nil && !g.credentials.admit(w, r) {
		return
	}
	slots := g.requests
	if isStream(r) {
		slots = g.streams
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	default:
		w.Header().Set("Retry-After", "1")
		refuse(w, r, http.StatusServiceUnavailable, "too many requests are being answered")
		return
	}
	g.next.ServeHTTP(w, r)
}

// refuse answers in the form that is asked for.
func refuse(w http.ResponseWriter, r *http.Request, status int, words string) {
	switch {
	case isGRPC(r):
		refuseCall(w, status, words)
		return
	case !wantsJSON(r):
		http.Error(w, words, status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// A failed write is the asker's loss.
	_ = json.NewEncoder(w).Encode(failure{Error: words})
}

// refuseCall ends a call in gRPC's own words: an answer of trailers alone. The status of HTTP would say the same, but a call that
// is still being sent is reset behind it, which gRPC's C core takes for an internal error.
func refuseCall(w http.ResponseWriter, status int, words string) {
	// https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
	code := codes.Unavailable
	switch status {
	case http.StatusUnauthorized:
		code = codes.Unauthenticated
	case http.StatusForbidden:
		code = codes.PermissionDenied
	case http.StatusRequestURITooLong:
		code = codes.Internal
	}
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Grpc-Status", strconv.Itoa(int(code)))
	w.Header().Set("Grpc-Message", words)
	w.WriteHeader(http.StatusOK)
}

// protect sets what is on every answer. Nothing here sets a cookie.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", securityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

// check refuses what no reader sends, with the status and a sentence for who sent it.
func (g *guard) check(r *http.Request) (int, error) {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead && !isGRPC(r):
		return http.StatusMethodNotAllowed, errors.New("inspection is read-only: it answers GET and HEAD")
	case r.ContentLength != 0 && !isGRPC(r):
		return http.StatusBadRequest, errors.New("a question has no body")
	case len(r.RequestURI) > urlBytesMax:
		return http.StatusRequestURITooLong, fmt.Errorf("the URL is longer than %d bytes", urlBytesMax)
	}
	if err := g.hosts.check(r.Host); err != nil {
		return http.StatusForbidden, err
	}
	return http.StatusForbidden, checkSite(r)
}

// checkSite refuses what a page of another site asks for by itself (Fetch Metadata). That somebody follows a link to here is
// no such thing: the page is then alone in its window.
func checkSite(r *http.Request) error {
	if origins := r.Header.Values("Origin"); len(origins) > 0 {
		from, err := url.Parse(origins[0])
		if len(origins) > 1 || err != nil || !strings.EqualFold(from.Host, r.Host) {
			return errors.New("pages of another origin are not answered")
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return nil
	}
	if r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" {
		return nil
	}
	return errors.New("pages of another site are not answered")
}

func isStream(r *http.Request) bool {
	return r.URL.Path == eventsPath || isGRPC(r) && r.URL.Path == csdsStreamPath
}

// isGRPC says whether a request is one of gRPC. No page of another origin can send it without asking by OPTIONS first, which
// is refused.
func isGRPC(r *http.Request) bool {
	return r.ProtoMajor == 2 && r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// hosts are the names that a request may be sent to.
//
// A page in a browser may have its own name resolve to the address listened on (DNS rebinding), and would then read the
// answers as its own. So where nothing else is asked for, only names that no DNS decides, and those of --inspect-host, are
// answered. With a credential a browser sends it to the name that it was typed for, and to no other, so that without
// --inspect-host every name is taken: who runs it need not know by which proxies and ports people come. Where names were
// given, they count there too.
type hosts struct {
	names []string
	any   bool
}

func newHosts(given []string, credential bool) (hosts, error) {
	h := hosts{any: credential && len(given) == 0}
	for _, name := range given {
		name = strings.TrimSuffix(strings.ToLower(name), ".")
		u, err := url.Parse("//" + name)
		if name == "" || err != nil || u.Host != name || u.Port() != "" {
			return hosts{}, fmt.Errorf("--inspect-host %q: write a host without port, as inspect.example.com", name)
		}
		h.names = append(h.names, strings.Trim(name, "[]"))
	}
	return h, nil
}

// check looks at the host without its port: a tunnel may have another.
func (h hosts) check(authority string) error {
	host := authority
	if name, _, err := net.SplitHostPort(authority); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.String()
	}
	if h.any || isLocalName(host) || slices.Contains(h.names, host) {
		return nil
	}
	return errors.New("inspection is not asked for by this name: come by localhost, or start with --inspect-host and the name")
}
