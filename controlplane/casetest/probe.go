package casetest

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
)

// Probe is a request and what must become of it.
type Probe struct {
	// Position is file:line within the case, Line the text.
	Position, Line string
	// Method is as sent; a WebSocket probe has WebSocket set and method GET.
	Method    string
	WebSocket bool
	// HTTP2 has the client speak HTTP/2.
	HTTP2 bool
	// URL is sent byte for byte.
	URL    string
	Header http.Header
	From   netip.Addr
	// SNI is the host of the handshake; empty is the URL's, explain.NoSNI none.
	SNI string
	// TLSVersion is the highest that the client speaks; empty is the latest.
	TLSVersion model.TLSVersion
	// Client is the certificate that the client shows; the zero value is none.
	Client ClientCertificate
	// Times is how often the request is sent; 0 is once.
	Times int
	Want  Want
	// Or are further answers that a request may get. Of many requests, each answer must come to some.
	Or []Want
}

// NewProbe is a probe from 127.0.0.1 without headers of which nothing is expected yet. The method WS asks for a WebSocket.
func NewProbe(method, url string) Probe {
	p := Probe{Method: method, URL: url, Header: http.Header{}, From: loopback, Want: Want{Status: unstated}}
	if method == webSocketMethod {
		p.WebSocket, p.Method = true, http.MethodGet
		p.Header = webSocketHeaders()
	}
	return p
}

// webSocketMethod stands in the place of a method.
const webSocketMethod = "WS"

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

func webSocketHeaders() http.Header {
	return http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"cG9zdGVybiBwcm9iZSA6LQ=="},
	}
}

// Text is the probe's request as a line of a probes file.
func (p Probe) Text() string {
	method, own := p.Method, http.Header{}
	if p.WebSocket {
		method, own = webSocketMethod, webSocketHeaders()
	}
	words := []string{method + " " + p.URL}
	for _, name := range slices.Sorted(maps.Keys(p.Header)) {
		for _, v := range p.Header[name] {
			if !slices.Contains(own[name], v) {
				words = append(words, name+": "+v)
			}
		}
	}
	if p.From != loopback {
		words = append(words, "from "+p.From.String())
	}
	if p.HTTP2 {
		words = append(words, "h2")
	}
	if p.SNI != "" {
		words = append(words, "sni "+p.SNI)
	}
	if p.TLSVersion != "" {
		words = append(words, "tls "+string(p.TLSVersion))
	}
	if p.Client != (ClientCertificate{}) {
		words = append(words, "client-cert "+p.Client.Name+" "+p.Client.CA)
	}
	return strings.Join(words, "  ")
}

// Want is what a probe expects.
type Want struct {
	// Status is 0 where there must be no answer at all.
	Status int
	// Backend is the assignment that must be reached, empty where none may be; Path is what it must see, empty for any.
	Backend, Path string
	// Endpoint is the one that must be reached, by the address that the manifests give it; empty for any.
	Endpoint string
	// Share is the part of many requests that must get this answer.
	Share Share
	// TLS and HTTP2 are how the backend must be spoken to.
	TLS, HTTP2 bool
	// Seen are the headers that the backend must see, Response those of the answer.
	Seen, Response []HeaderWant
}

// HeaderWant is a header with all its values; none means that it must be absent.
type HeaderWant struct {
	Name   string
	Values []string
}

// certificateName stands among response headers for the certificate that the client is served.
const certificateName = "Tls"

// keptPlaceholder stands for the value of the cookie that keeps a client at an endpoint.
var keptPlaceholder = regexp.MustCompile(`\{\{kept-at ([0-9a-f.:\[\]]+)\}\}`)

// ParseProbes reads a probes file.
func ParseProbes(file string, data []byte) ([]Probe, error) {
	var out []Probe
	number := 0
	for raw := range strings.Lines(string(data)) {
		number++
		line := keptPlaceholder.ReplaceAllStringFunc(strings.TrimSpace(raw), func(found string) string {
			return explain.SessionValue(keptPlaceholder.FindStringSubmatch(found)[1])
		})
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var err error
		if !strings.ContainsAny(raw[:1], " \t") {
			var p Probe
			p, err = parseRequest(line)
			p.Position, p.Line = fmt.Sprintf("%s:%d", file, number), line
			out = append(out, p)
		} else if len(out) == 0 {
			err = fmt.Errorf("an expectation without a request")
		} else {
			err = out[len(out)-1].expect(line)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, number, err)
		}
	}
	for _, p := range out {
		if p.Want.Status == unstated {
			return nil, fmt.Errorf("%s: no -> line says what must become of it", p.Position)
		}
	}
	return out, nil
}

// unstated is the status before a -> line has stated it.
const unstated = -1

// parseRequest reads METHOD URL, then fields with two spaces before each.
func parseRequest(line string) (Probe, error) {
	request, rest, _ := strings.Cut(line, "  ")
	method, url, ok := strings.Cut(request, " ")
	p := NewProbe(method, url)
	if !ok || strings.Contains(url, " ") || !strings.Contains(url, "://") {
		return p, fmt.Errorf("write METHOD URL, and two spaces before each header")
	}
	for field := range strings.SplitSeq(rest, "  ") {
		field = strings.TrimSpace(field)
		name, value, isHeader := strings.Cut(field, ":")
		known, err := p.word(field)
		switch {
		case err != nil:
			return p, err
		case field == "" || known:
		case isHeader && !strings.Contains(name, " "):
			// The name is kept as written: an underscore is for the gateway to refuse.
			name = http.CanonicalHeaderKey(name)
			p.Header[name] = append(p.Header[name], strings.TrimSpace(value))
		default:
			return p, fmt.Errorf("%q is no header, and none of from ADDRESS, h2, times N, sni NAME, tls VERSION and client-cert NAME [CA]", field)
		}
	}
	shaken := p.SNI != "" || p.TLSVersion != "" || p.Client != ClientCertificate{}
	if shaken && !strings.HasPrefix(p.URL, "https://") {
		return p, fmt.Errorf("sni, tls and client-cert belong to https: here is no handshake")
	}
	return p, nil
}

// word reads a field that is no header; false where it is none of those.
func (p *Probe) word(field string) (bool, error) {
	words := strings.Fields(field)
	switch {
	case field == "h2":
		p.HTTP2 = true
	case len(words) == 2 && words[0] == "times":
		n, err := strconv.Atoi(words[1])
		if err != nil || n < 2 || n > timesMax {
			return false, fmt.Errorf("%q: write times and a number from 2 to %d", field, timesMax)
		}
		p.Times = n
	case len(words) == 2 && words[0] == "from":
		from, err := netip.ParseAddr(words[1])
		if err != nil {
			return false, err
		}
		p.From = from
	case len(words) == 2 && words[0] == "sni":
		p.SNI = words[1]
	case len(words) == 2 && words[0] == "tls":
		p.TLSVersion = model.TLSVersion(words[1])
		if p.TLSVersion != model.TLS12 && p.TLSVersion != model.TLS13 {
			return false, fmt.Errorf("%q: write tls 1.2 or tls 1.3", field)
		}
	case len(words) >= 2 && len(words) <= 3 && words[0] == "client-cert":
		p.Client = ClientCertificate{Name: words[1], CA: SignedByCA}
		if len(words) == 3 {
			p.Client.CA = words[2]
		}
	default:
		return false, nil
	}
	return true, nil
}

// expect reads one line of expectation.
func (p *Probe) expect(line string) error {
	sign, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	want := &p.Want
	if len(p.Or) > 0 {
		want = &p.Or[len(p.Or)-1]
	}
	switch sign {
	case "->":
		if want.Status == unstated {
			return want.expectAnswer(strings.Fields(rest))
		}
		if p.Times == 0 {
			return fmt.Errorf("a second -> line for one request")
		}
		p.Or = append(p.Or, Want{})
		return p.Or[len(p.Or)-1].expectAnswer(strings.Fields(rest))
	case ">":
		return addHeader(&want.Seen, rest)
	case "<":
		return addHeader(&want.Response, rest)
	default:
		return fmt.Errorf("%q: begin with -> (answer), > (what the backend sees) or < (response header)", line)
	}
}

// expectAnswer reads STATUS [LOCATION | BACKEND [PATH] [tls] [h2] [at ENDPOINT]] [share N/M], or none.
func (w *Want) expectAnswer(words []string) error {
	if len(words) == 1 && words[0] == "none" {
		w.Status = 0
		return nil
	}
	if len(words) == 0 {
		return fmt.Errorf("-> without a status")
	}
	status, err := strconv.Atoi(words[0])
	if err != nil || status < 100 || status > 599 {
		return fmt.Errorf("%q is no status", words[0])
	}
	w.Status = status
	before := ""
	for i, word := range words[1:] {
		switch {
		case before == "at":
			w.Endpoint = word
		case before == "share":
			if w.Share, err = parseShare(word); err != nil {
				return err
			}
		case i == 0 && (strings.HasPrefix(word, "/") || strings.Contains(word, "://")):
			w.Response = append(w.Response, HeaderWant{Name: "Location", Values: []string{word}})
		case i == 0 && strings.Count(word, "/") == 2:
			w.Backend = word
		case word == "tls":
			w.TLS = true
		case word == "h2":
			w.HTTP2 = true
		case word == "at", word == "share":
		case i == 1 && strings.HasPrefix(word, "/"):
			w.Path = word
		default:
			return fmt.Errorf("%q: write STATUS, then a Location, or NS/SERVICE/PORT, its path, tls, h2, at ENDPOINT; then share N/M", word)
		}
		before = word
	}
	if before == "at" || before == "share" {
		return fmt.Errorf("%q without a value", before)
	}
	return nil
}

// addHeader reads "Name: value", of which each line adds a value, or "Name -".
func addHeader(to *[]HeaderWant, text string) error {
	if name, ok := strings.CutSuffix(text, " -"); ok && !strings.Contains(name, ":") {
		*to = append(*to, HeaderWant{Name: http.CanonicalHeaderKey(strings.TrimSpace(name))})
		return nil
	}
	name, value, ok := strings.Cut(text, ":")
	if !ok || strings.Contains(name, " ") {
		return fmt.Errorf("%q: write Name: value, or Name - for one that must be absent", text)
	}
	name, value = http.CanonicalHeaderKey(name), strings.TrimSpace(value)
	i := slices.IndexFunc(*to, func(h HeaderWant) bool { return h.Name == name })
	if i < 0 {
		*to = append(*to, HeaderWant{Name: name, Values: []string{value}})
		return nil
	}
	(*to)[i].Values = append((*to)[i].Values, value)
	return nil
}
