package casetest

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Answer is what became of a probe.
type Answer struct {
	// Status is 0 where there was no answer; Why may say why.
	Status int
	Why    string
	// Response has the answer's headers.
	Response http.Header
	// Body is the beginning of the answer's body, where the judge has one.
	Body string
	// Certificate is the common name of the certificate that the client was served, else its first DNS name.
	Certificate string
	// Seen is nil where no backend was reached.
	Seen *Seen
}

// Seen is what a backend saw of a probe.
type Seen struct {
	Backend string
	// Endpoint is the address that the manifests give the backend.
	Endpoint string
	Method   string
	// Path is the request target as it came, with the query.
	Path string
	// Header holds Host too.
	Header     http.Header
	Body       string
	Trailer    http.Header
	TLS, HTTP2 bool
}

// What a backend saw of the connection stands among the headers that it saw.
const (
	serverNameHeader = "Tls-Sni"
	clientHeader     = "Tls-Client"
)

// SawTLS notes the SNI that came to a backend, and the name of the client certificate that it demanded.
func (s Seen) SawTLS(state *tls.ConnectionState) {
	if state.ServerName != "" {
		s.Header.Set(serverNameHeader, state.ServerName)
	}
	if len(state.PeerCertificates) > 0 {
		s.Header.Set(clientHeader, state.PeerCertificates[0].Subject.CommonName)
	}
}

// Differences are the points in which an answer is not what was wanted, each "what: want, got".
func (w Want) Differences(a Answer) []string {
	var out []string
	differ := func(what, want, got string) {
		if want != got {
			out = append(out, fmt.Sprintf("%s: want %s, got %s", what, orNothing(want), orNothing(got)))
		}
	}
	if w.Status != a.Status {
		differ("status", strconv.Itoa(w.Status), strings.TrimSpace(strconv.Itoa(a.Status)+" "+a.Why))
	}
	seen := a.Seen
	if seen == nil {
		seen = &Seen{}
	}
	differ("backend", w.Backend, seen.Backend)
	if w.Backend != "" && a.Seen != nil {
		if w.Endpoint != "" {
			differ("endpoint", w.Endpoint, seen.Endpoint)
		}
		if w.Path != "" {
			differ("path at the backend", w.Path, seen.Path)
		}
		differ("TLS to the backend", strconv.FormatBool(w.TLS), strconv.FormatBool(seen.TLS))
		differ("HTTP/2 to the backend", strconv.FormatBool(w.HTTP2), strconv.FormatBool(seen.HTTP2))
		for _, h := range w.Seen {
			differ("header "+h.Name+" at the backend", lists(h.Values), lists(seen.Header.Values(h.Name)))
		}
	}
	for _, h := range w.Response {
		got := a.Response.Values(h.Name)
		if h.Name == certificateName && a.Certificate != "" {
			got = []string{a.Certificate}
		}
		differ("response header "+h.Name, strings.Join(h.Values, " | "), strings.Join(got, " | "))
	}
	// A proxy's own error says nothing but its number.
	if a.Seen == nil && a.Status >= http.StatusBadRequest && a.Body != "" {
		differ("body of the gateway's own answer", fmt.Sprintf("%q", strconv.Itoa(a.Status)+"\n"), fmt.Sprintf("%q", a.Body))
	}
	return out
}

// lists makes one value of a header's: several are one list (RFC 9110, 5.3), and spaces around commas mean nothing.
func lists(values []string) string {
	var out []string
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			out = append(out, strings.TrimSpace(part))
		}
	}
	return strings.Join(out, ", ")
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// respondPrefix begins the request headers that steer the test backend.
const respondPrefix = "Respond-"

// Respond is how a test backend answers a request: with the status of the header Respond, 200 where there is none, and
// each Respond-X as the header X.
func Respond(request http.Header) (int, http.Header) {
	status := http.StatusOK
	if n, err := strconv.Atoi(request.Get("Respond")); err == nil {
		status = n
	}
	h := http.Header{}
	for name, values := range request {
		if name, ok := strings.CutPrefix(name, respondPrefix); ok {
			h[name] = slices.Clone(values)
		}
	}
	return status, h
}
