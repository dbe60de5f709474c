package casetest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Disagreements are the points in which a judge's answer is not the first one's, each as Differences has it: status,
// backend and all that it saw, headers of the answer, certificate.
func Disagreements(first, other Answer) []string { return first.wantOf(other).Differences(other) }

// Want is the whole answer as a probe states it.
func (a Answer) Want() Want { return a.wantOf(a) }

// own are headers that a proxy or a server writes for itself and that tell nothing of what it was asked for.
var own = []string{"Content-Length", "Content-Type", "Date", "Server", "X-Request-Id"}

// wantOf is the whole answer as what is wanted of another one: it may have no header that this one lacks.
func (a Answer) wantOf(other Answer) Want {
	if a.Status == 0 && other.Status == 0 {
		// Whether a client saw the certificate of a connection that failed depends on the version of TLS.
		return Want{}
	}
	w := Want{Status: a.Status, Response: headerWants(a.Response, other.Response)}
	if a.Certificate != "" || other.Certificate != "" {
		w.Response = append(w.Response, HeaderWant{Name: certificateName, Values: []string{a.Certificate}})
	}
	if a.Seen == nil {
		return w
	}
	w.Backend, w.Path, w.TLS, w.HTTP2 = a.Seen.Backend, a.Seen.Path, a.Seen.TLS, a.Seen.HTTP2
	if other.Seen != nil {
		w.Seen = headerWants(a.Seen.Header, other.Seen.Header)
	}
	return w
}

// headerWants want every header of h and none that only other has.
func headerWants(h, other http.Header) []HeaderWant {
	names := slices.Collect(maps.Keys(h))
	for name := range other {
		if _, both := h[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out []HeaderWant
	for _, name := range names {
		if !slices.Contains(own, name) {
			out = append(out, HeaderWant{Name: name, Values: h[name]})
		}
	}
	return out
}

// Text is the expectation as the lines of a probes file.
func (w Want) Text() string {
	var b strings.Builder
	answer := "none"
	if w.Status != 0 {
		answer = strings.TrimSpace(fmt.Sprintf("%d %s %s", w.Status, w.Backend, w.Path))
	}
	if w.TLS {
		answer += " tls"
	}
	if w.HTTP2 {
		answer += " h2"
	}
	b.WriteString("  -> " + answer + "\n")
	write := func(sign string, hs []HeaderWant) {
		for _, h := range hs {
			if len(h.Values) == 0 {
				fmt.Fprintf(&b, "  %s %s -\n", sign, h.Name)
			}
			for _, v := range h.Values {
				fmt.Fprintf(&b, "  %s %s: %s\n", sign, h.Name, v)
			}
		}
	}
	write(">", w.Seen)
	write("<", w.Response)
	return b.String()
}
