package explain

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// followsMax is how many redirects are followed.
const followsMax = 10

// Journey is a request and those to which the gateway's own redirects lead its client, in order.
type Journey struct {
	Stories []Story `json:"stories"`
	// End is why it ends with the last story.
	End JourneyEnd `json:"end"`
	// Reason says it in words.
	Reason string `json:"reason"`
}

// JourneyEnd is why a journey ends.
type JourneyEnd string

// The ends.
const (
	// EndAnswered is with an answer that is no redirect of the gateway's; a backend may redirect too.
	EndAnswered JourneyEnd = "answered"
	// EndLeft is with a redirect to a host or a port that is not the gateway's.
	EndLeft JourneyEnd = "left"
	// EndLoop is with a redirect to what was asked before.
	EndLoop JourneyEnd = "loop"
	// EndBroken is with a redirect that no client can follow.
	EndBroken JourneyEnd = "broken"
	// EndTooMany is with one redirect more than are followed.
	EndTooMany JourneyEnd = "too-many"
)

// Follow tells the stories of a request and of those that its client sends next, as long as the gateway redirects it to
// itself. A port is the gateway's where an entry has it; a host, where it has rules of its own, or was asked before. The
// error is as of Explain.
func Follow(g model.Gateway, ds []diag.D, r Request) (Journey, error) {
	var j Journey
	var urls []string
	asked := map[string]bool{}
	for {
		story, err := Explain(g, ds, r)
		if err != nil {
			return Journey{}, err
		}
		j.Stories = append(j.Stories, story)
		asked[r.Method+" "+r.URL] = true
		urls = append(urls, r.URL)
		if story.Decision.Location == "" {
			j.End, j.Reason = EndAnswered, "the last answer is no redirect of the gateway's"
			return j, nil
		}
		next, err := nextRequest(r, story.Decision)
		switch {
		case err != nil:
			j.End, j.Reason = EndBroken, "no client can follow the last redirect: "+err.Error()
		case !leadsBack(g, urls, next.URL):
			j.End, j.Reason = EndLeft, fmt.Sprintf("%s is not this gateway's", hostOf(next.URL))
		case asked[next.Method+" "+next.URL]:
			j.End, j.Reason = EndLoop, "that was asked before: a client is redirected for ever"
		case len(j.Stories) > followsMax:
			j.End, j.Reason = EndTooMany, fmt.Sprintf("%d redirects are followed, as browsers follow about twenty", followsMax)
		default:
			r = next
			continue
		}
		return j, nil
	}
}

// nextRequest is what a client sends upon a redirect. The error says why it can send nothing.
func nextRequest(r Request, d Decision) (Request, error) {
	next := r
	next.Fragment = false
	next.URL, _, _ = strings.Cut(absolute(r.URL, d.Location), "#")
	to, err := parseTarget(next.URL)
	if err != nil {
		return Request{}, err
	}
	from, err := parseTarget(r.URL)
	if err != nil {
		panic("explain: a URL that was explained does not parse: " + err.Error())
	}
	next.Header = r.Header.Clone()
	if hostName(to.authority) != hostName(from.authority) {
		// What is meant for one host is not for another (the Fetch standard, and curl without --location-trusted).
		for _, name := range credentialNames {
			next.Header.Del(name)
		}
		if next.SNI != NoSNI {
			next.SNI = ""
		}
	}
	if rereads := d.Status == http.StatusMovedPermanently || d.Status == http.StatusFound; rereads && r.Method != http.MethodHead {
		next.Method = http.MethodGet // RFC 9110, 15.4.2 and 15.4.3
	}
	return next, nil
}

// absolute is a Location as seen from a URL. Nothing is decoded.
func absolute(from, location string) string {
	scheme, rest, _ := strings.Cut(from, "://")
	switch {
	case strings.HasPrefix(location, "//"):
		return scheme + ":" + location
	case strings.HasPrefix(location, "/"):
		authority := rest
		if i := strings.IndexAny(rest, "/?#"); i >= 0 {
			authority = rest[:i]
		}
		return scheme + "://" + authority + location
	}
	return location
}

// leadsBack says whether a client comes back to the gateway with a URL, by those that it has asked for.
func leadsBack(g model.Gateway, before []string, url string) bool {
	to, err := parseTarget(url)
	if err != nil {
		panic("explain: a URL to be asked for does not parse: " + err.Error())
	}
	host, port := hostName(to.authority), portOf(to)
	visited := func(same func(target) bool) bool {
		return slices.ContainsFunc(before, func(url string) bool {
			of, err := parseTarget(url)
			return err == nil && same(of)
		})
	}
	opens := slices.ContainsFunc(g.Tables, func(t model.Table) bool {
		e := t.Entry
		return e.TLS == to.tls && (e.PublicPort == port || e.Address.Port() == port || e.TLS && g.Edge.HTTPSPublicPort == port)
	})
	if !opens && !visited(func(t target) bool { return t.tls == to.tls && portOf(t) == port }) {
		return false
	}
	return visited(func(t target) bool { return hostName(t.authority) == host }) || slices.ContainsFunc(g.Tables, func(t model.Table) bool {
		return named(t.Exact, host) || named(t.Wildcard, parentWildcard(host))
	})
}

// portOf is the port that a URL is asked at.
func portOf(t target) uint16 {
	_, port := cutPort(t.authority)
	if number, err := strconv.ParseUint(strings.TrimPrefix(port, ":"), 10, 16); err == nil {
		return uint16(number)
	}
	if t.tls {
		return httpsPort
	}
	return httpPort
}

const httpPort = 80

// hostOf is scheme, host and port of a URL, for people.
func hostOf(url string) string {
	scheme, rest, _ := strings.Cut(url, "://")
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		rest = rest[:i]
	}
	return scheme + "://" + rest
}
