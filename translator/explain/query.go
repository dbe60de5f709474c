package explain

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// The keys of a Request in a query. Each is there once at most, but for KeyHeader.
const (
	KeyURL    = "url"
	KeyMethod = "method"
	// KeyHeader is 'Name: value'; a value may hold several, each on a line of its own.
	KeyHeader = "header"
	KeyFrom   = "from"
	KeySNI    = "sni"
	KeyTLS    = "tls"
	KeyHTTP2  = "http2"
	// KeyCertificate is PEM.
	KeyCertificate = "cert"
	// KeyUser is Request.User.
	KeyUser = "logged-in"
	// KeyFollow asks for Follow in place of Explain; it is no part of a Request.
	KeyFollow = "follow"
)

var keys = []string{KeyURL, KeyMethod, KeyHeader, KeyFrom, KeySNI, KeyTLS, KeyHTTP2, KeyCertificate, KeyUser, KeyFollow}

// PrivateHeader is the header of a question over HTTP that carries, written as a query, what may not stand in the URL.
const PrivateHeader = "Postern-Question"

// Split parts a query into what may stand in a URL and what belongs into PrivateHeader: whoever passes a URL on may log it,
// and headers and certificates can be credentials.
func Split(q url.Values) (open, private url.Values) {
	open, private = url.Values{}, url.Values{}
	for key, values := range q {
		into := open
		if key == KeyHeader || key == KeyCertificate {
			into = private
		}
		into[key] = values
	}
	return open, private
}

// Mistake is what is wrong with one value of a query.
type Mistake struct {
	// Key is one of the keys, or the one that is none.
	Key string
	// Text is a sentence without the key before it.
	Text string
}

// Error is the sentence with its key.
func (m *Mistake) Error() string { return m.Key + " " + m.Text }

func mistake(key, format string, args ...any) *Mistake {
	return &Mistake{Key: key, Text: fmt.Sprintf(format, args...)}
}

// ParseQuery reads a request out of the query of a URL or out of a form, where an empty value is none. At is left to the
// caller, who has a clock. Every error is a *Mistake.
func ParseQuery(q url.Values) (Request, error) {
	for _, key := range slices.Sorted(maps.Keys(q)) {
		if !slices.Contains(keys, key) {
			if near, ok := diag.Nearest(key, keys); ok {
				return Request{}, mistake(key, "is no part of a request; did you mean %s?", near)
			}
			return Request{}, mistake(key, "is no part of a request: there are %s", strings.Join(keys, ", "))
		}
		if key != KeyHeader && len(q[key]) > 1 {
			return Request{}, mistake(key, "is given %d times", len(q[key]))
		}
	}
	r := Request{
		Method: q.Get(KeyMethod), URL: q.Get(KeyURL), Header: http.Header{}, From: localhost,
		SNI: q.Get(KeySNI), TLSVersion: model.TLSVersion(q.Get(KeyTLS)), User: q.Get(KeyUser),
	}
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	// A URL that is copied from a browser has what no browser sends.
	r.URL, _, r.Fragment = strings.Cut(r.URL, "#")
	if err := checkURL(r.URL); err != nil {
		return Request{}, err
	}
	if v := r.TLSVersion; v != "" && v != model.TLS12 && v != model.TLS13 {
		return Request{}, mistake(KeyTLS, "%s: write %s or %s", v, model.TLS12, model.TLS13)
	}
	if from := q.Get(KeyFrom); from != "" {
		var err error
		if r.From, err = netip.ParseAddr(from); err != nil {
			return Request{}, mistake(KeyFrom, "%s: it is not an IP address", from)
		}
	}
	for _, lines := range q[KeyHeader] {
		for line := range strings.Lines(lines) {
			if err := addHeader(r.Header, strings.TrimSpace(line)); err != nil {
				return Request{}, err
			}
		}
	}
	var err error
	if r.HTTP2, err = truth(q, KeyHTTP2); err != nil {
		return Request{}, err
	}
	if r.ClientCertificate, err = certificates(q.Get(KeyCertificate)); err != nil {
		return Request{}, err
	}
	return r, nil
}

// Query is the request as ParseQuery reads it, without what is the default.
func (r Request) Query() url.Values {
	q := url.Values{KeyURL: {r.URL}}
	if r.Fragment {
		q.Set(KeyURL, r.URL+"#")
	}
	set := func(key, value, usual string) {
		if value != usual && value != "" {
			q.Set(key, value)
		}
	}
	set(KeyMethod, r.Method, http.MethodGet)
	set(KeySNI, r.SNI, "")
	set(KeyTLS, string(r.TLSVersion), "")
	set(KeyCertificate, string(r.ClientCertificate), "")
	set(KeyUser, r.User, "")
	if r.From.IsValid() {
		set(KeyFrom, r.From.String(), localhost.String())
	}
	if r.HTTP2 {
		q.Set(KeyHTTP2, "true")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			q.Add(KeyHeader, name+": "+value)
		}
	}
	return q
}

// Follows says whether a query asks for Follow. The error is a *Mistake.
func Follows(q url.Values) (bool, error) { return truth(q, KeyFollow) }

// localhost is the peer where none is named.
var localhost = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// webSockets are the schemes of WebSockets, and those by which they are asked for.
var webSockets = map[string]string{"ws": "http", "wss": "https"}

// checkURL says what is wrong with a URL, and which one was most likely meant.
func checkURL(raw string) error {
	if raw == "" {
		return mistake(KeyURL, "is missing: name one, as http://HOST/PATH")
	}
	_, err := parseTarget(raw)
	if err == nil {
		return nil
	}
	scheme, rest, whole := strings.Cut(raw, "://")
	meant := "http://" + strings.TrimLeft(raw, "/")
	if !whole {
		if name, behind, ok := strings.Cut(raw, ":"); ok && (name == "http" || name == "https") && strings.HasPrefix(behind, "/") {
			meant = name + "://" + strings.TrimLeft(behind, "/")
		}
	} else if plain := webSockets[strings.ToLower(scheme)]; plain != "" {
		if _, other := parseTarget(plain + "://" + rest); other == nil {
			return mistake(KeyURL, "%s; a WebSocket is %s with the headers Connection: Upgrade and Upgrade: websocket", err, plain+"://"+rest)
		}
	} else {
		near, ok := diag.Nearest(scheme, []string{"http", "https"})
		if meant = near + "://" + rest; !ok {
			meant = strings.ToLower(scheme) + "://" + rest
		}
	}
	if _, other := parseTarget(meant); other != nil || strings.HasPrefix(raw, "/") {
		return &Mistake{KeyURL, err.Error()}
	}
	return mistake(KeyURL, "%s; did you mean %s?", err, meant)
}

// addHeader adds a line to a header; an empty line is nothing.
func addHeader(h http.Header, line string) error {
	if line == "" {
		return nil
	}
	name, value, ok := strings.Cut(line, ":")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	switch {
	case !ok:
		return mistake(KeyHeader, "%q: write 'Name: value'", line)
	case strings.EqualFold(name, "host"):
		return mistake(KeyHeader, "%q: name the host in the URL", line)
	case !httpguts.ValidHeaderFieldName(name):
		return mistake(KeyHeader, "%q: %q is no name of a header", line, name)
	case !httpguts.ValidHeaderFieldValue(value):
		return mistake(KeyHeader, "%s: its value has a character that no header may have", name)
	}
	h.Add(name, value)
	return nil
}

func truth(q url.Values, key string) (bool, error) {
	switch text := q.Get(key); text {
	case "true":
		return true, nil
	case "", "false":
		return false, nil
	default:
		return false, mistake(key, "%s: write true or false", text)
	}
}

// certificates are those of a PEM text. A key beside them, as many files have one, is left out: nothing is done with it,
// and nobody else is to have it.
func certificates(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	var out bytes.Buffer
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			out.Write(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
		}
	}
	if out.Len() == 0 {
		return nil, mistake(KeyCertificate, "holds no certificate in PEM")
	}
	return out.Bytes(), nil
}
