package traefik

import (
	"cmp"
	"fmt"
	"maps"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/model"
)

// What is common to the headers of answers.
const (
	headersFamily = "headers"
	ownAnswers    = "It is also on what the gateway answers in the backend's place, such as 503 where nothing is ready."
	ownSpelling   = "A value is one line: a line break in it is a space."
)

func header(key, valueType, doc, example, inCase string) dialect.Annotation {
	return dialect.Annotation{
		Key: key, On: dialect.OnIngress, Type: valueType, Support: dialect.Approximated, Note: ownAnswers, Doc: doc, Example: example,
		Family: headersFamily, Case: "headers/" + inCase,
	}
}

// noted is an annotation with another difference.
func noted(a dialect.Annotation, note string) dialect.Annotation {
	a.Note = note
	return a
}

var headers = []dialect.Annotation{
	noted(header("custom-request-headers", "NAME:VALUE, several separated by ||",
		"Sets headers of the request in place of the client's; an empty value takes the header off. "+ownSpelling,
		"X-Team:shop||X-Debug:", "request"),
		"An authentication server does not see them: they are set on the way to the backend. Headers that belong to the connection, to the body's length or to Envoy are left alone, and so is Host: see preserve-host."),
	noted(header("custom-response-headers", "NAME:VALUE, several separated by ||",
		"Sets headers of the response in place of the backend's; an empty value takes the header off. They count before the other annotations of this page. "+ownSpelling,
		"Server:||X-Served-By:postern", "response"),
		ownAnswers+" Headers that belong to the connection, to the body's length or to Envoy are left alone, and so is Location. Date cannot be taken off."),
	noted(header("hsts-max-age", "seconds",
		"The header Strict-Transport-Security on answers over HTTPS; 0 sends none. postern.dev/hsts counts before it.", "31536000", "hsts"),
		"It is on every answer of the routes over HTTPS, redirects and 503 of the gateway's own too."),
	noted(header("hsts-include-subdomains", "true or false", "Adds includeSubDomains to Strict-Transport-Security.", "true", "hsts"), "As hsts-max-age."),
	noted(header("hsts-preload", "true or false", "Adds preload to Strict-Transport-Security.", "true", "hsts"), "As hsts-max-age."),
	noted(header("force-hsts", "true or false", "Sends Strict-Transport-Security over plain HTTP too, where clients do not heed it.", "true", "hsts"),
		"Redirects over plain HTTP do not have it."),
	header("frame-deny", "true or false", "The header X-Frame-Options: DENY on answers.", "true", "security"),
	header("custom-frame-options-value", "a value", "The header X-Frame-Options on answers. It counts before frame-deny. "+ownSpelling, "SAMEORIGIN", "security-custom"),
	header("content-type-nosniff", "true or false", "The header X-Content-Type-Options: nosniff on answers.", "true", "security"),
	header("browser-xss-filter", "true or false", "The header X-XSS-Protection: 1; mode=block on answers.", "true", "security"),
	header("custom-browser-xss-value", "a value", "The header X-XSS-Protection on answers. It counts before browser-xss-filter. "+ownSpelling, "0", "security-custom"),
	noted(header("content-security-policy", "a value", "The header Content-Security-Policy on answers. "+ownSpelling, "default-src 'self'", "security-custom"),
		ownAnswers+" $NONCE is refused: the number that Traefik put in its place was told to no page."),
	header("public-key", "a value", "The header Public-Key-Pins on answers over HTTPS. No browser heeds it any more. "+ownSpelling, `pin-sha256="…"; max-age=5`, "security-custom"),
	header("referrer-policy", "a value", "The header Referrer-Policy on answers. "+ownSpelling, "same-origin", "security"),
	{
		Key: "is-development", On: dialect.OnIngress, Type: "true or false", Support: dialect.Applied,
		Doc:     "Switches off allowed-hosts, ssl-redirect, public-key and Strict-Transport-Security, but for what postern.dev/hsts and custom-response-headers say.",
		Example: "true", Family: headersFamily, Case: "headers/development",
	},
}

// securityHeaders are the headers that Traefik 1.7 leaves to unrolled/secure: of flag and custom, of which either may be
// empty, custom counts first.
var securityHeaders = []struct{ flag, value, custom, name string }{
	{flag: "frame-deny", value: "DENY", custom: "custom-frame-options-value", name: "X-Frame-Options"},
	{flag: "content-type-nosniff", value: "nosniff", name: "X-Content-Type-Options"},
	{flag: "browser-xss-filter", value: "1; mode=block", custom: "custom-browser-xss-value", name: "X-Xss-Protection"},
	{custom: "content-security-policy", name: "Content-Security-Policy"},
	{custom: "public-key", name: publicKeyPins},
	{custom: "referrer-policy", name: "Referrer-Policy"},
}

const (
	publicKeyPins   = "Public-Key-Pins"
	strictTransport = "Strict-Transport-Security"
)

// headerReader gathers what annotations say of headers.
type headerReader struct {
	*dialect.Reader
	shape       *dialect.Shape
	development bool
}

func readHeaders(r *dialect.Reader, shape *dialect.Shape) {
	h := headerReader{Reader: r, shape: shape}
	if on, at, ok := r.Bool("is-development"); ok {
		h.development = on
		h.applied(at)
	}
	response := map[string]model.HeaderChange{}
	for _, s := range securityHeaders {
		if c, ok := h.security(s.flag, s.value, s.custom, s.name); ok {
			response[s.name] = c
		}
	}
	shape.Policies.HSTS = h.hsts()
	custom := h.changes("custom-response-headers", unsettableInResponse)
	if c, said := custom[strictTransport]; said && shape.Policies.HSTS != nil {
		r.Say(diag.New(diag.CodeWithoutEffect, shape.Policies.HSTS.Origin, "custom-response-headers says what becomes of Strict-Transport-Security",
			"it has no effect", "keep one of the two").With(c.Origin))
		shape.Policies.HSTS = nil
	}
	maps.Copy(response, custom)
	shape.Policies.ResponseHeaders = byName(response)
	shape.Policies.RequestHeaders = byName(h.changes("custom-request-headers", unsettableInRequest))
}

func byName(changes map[string]model.HeaderChange) []model.HeaderChange {
	return slices.SortedFunc(maps.Values(changes), func(a, b model.HeaderChange) int { return cmp.Compare(a.Name, b.Name) })
}

func (h headerReader) applied(at diag.Origin) {
	h.shape.Annotations = append(h.shape.Annotations, at)
}

// security reads one of the security headers.
func (h headerReader) security(flag, value, custom, name string) (model.HeaderChange, bool) {
	c := model.HeaderChange{Name: name, OnlyTLS: name == publicKeyPins}
	flagged := false
	var flagAt diag.Origin
	if flag != "" {
		if on, at, ok := h.Bool(flag); ok && on {
			flagged, flagAt, c.Value, c.Origin = true, at, value, at
		}
	}
	if custom != "" {
		if text, at, ok := h.Text(custom); ok && h.usable(custom, text, at) {
			if flagged {
				h.Say(diag.New(diag.CodeWithoutEffect, flagAt, custom+" says the value of "+name, "it has no effect", "keep one of the two").With(at))
			}
			c.Value, c.Origin = oneLine(text), at
		}
	}
	if c.Value == "" {
		return c, false
	}
	h.applied(c.Origin)
	return c, name != publicKeyPins || !h.development
}

// usable says whether a text can be a header's value, and what is wrong with it where it cannot.
func (h headerReader) usable(key, text string, at diag.Origin) bool {
	wrong := valueFault(text)
	if key == "content-security-policy" && strings.Contains(text, "$NONCE") {
		wrong = "it holds $NONCE, in whose place Traefik put a number that it told no page"
	}
	if wrong != "" {
		h.Say(diag.New(diag.CodeBadValue, at, "it is no value of a header: "+wrong, "the header is not sent", "write a plain value"))
	}
	return wrong == ""
}

// hsts reads Strict-Transport-Security; nil where it is not asked for.
func (h headerReader) hsts() *model.HSTS {
	out := &model.HSTS{}
	var more []diag.Origin
	for key, set := range map[string]*bool{
		"hsts-include-subdomains": &out.IncludeSubDomains, "hsts-preload": &out.Preload, "force-hsts": &out.Plain,
	} {
		if on, at, ok := h.Bool(key); ok && on {
			*set = true
			more = append(more, at)
		}
	}
	slices.SortFunc(more, diag.Origin.Compare)
	text, at, ok := h.Value("hsts-max-age")
	if ok {
		age, err := strconv.ParseUint(text, 10, 64)
		if err != nil || age > hstsMaxAgeMax {
			h.Bad(at, text, fmt.Sprintf("a number of seconds up to %d", hstsMaxAgeMax), "Strict-Transport-Security is not sent")
			return nil
		}
		out.MaxAge, out.Origin = int64(age), at
	}
	if out.MaxAge == 0 {
		for _, one := range more {
			h.Say(diag.New(diag.CodeWithoutEffect, one, "without hsts-max-age above 0 there is no Strict-Transport-Security", "it has no effect",
				"add hsts-max-age, or remove it"))
		}
		return nil
	}
	if h.development {
		return nil
	}
	for _, one := range append([]diag.Origin{at}, more...) {
		h.applied(one)
	}
	return out
}

// hstsMaxAgeMax is 68 years, and what fits a signed 32-bit number wherever a client keeps it in one.
const hstsMaxAgeMax = 1<<31 - 1

// Bounds on what is sent to Envoy.
const (
	// changesMax is far below the 1,000 headers that Envoy takes on one route.
	changesMax = 100
	// valueMaxBytes is half of what Envoy takes for a value, in which % is doubled.
	valueMaxBytes = 8192
	nameMaxBytes  = 256
)

// changes reads a list of headers and values. What is wrong with an entry drops that entry alone.
func (h headerReader) changes(key string, unsettable []string) map[string]model.HeaderChange {
	text, at, ok := h.Value(key)
	if !ok {
		return nil
	}
	out := map[string]model.HeaderChange{}
	drop := func(entry, wrong string) {
		h.Say(diag.New(diag.CodeBadValue, at, entry+": "+wrong, "that entry has no effect", "write NAME:VALUE, several separated by ||"))
	}
	for i, entry := range strings.Split(text, "||") {
		name, value, found := strings.Cut(entry, ":")
		// A value is never quoted back: it may be a credential.
		which := fmt.Sprintf("entry %d", i+1)
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		name = textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case !found && strings.TrimSpace(entry) == "":
			continue // Traefik skipped it, and nothing is lost.
		case !found:
			drop(which, "it has no colon")
		case nameFault(name) != "":
			drop(which, nameFault(name))
		case isUnsettable(name, unsettable):
			drop(name, whyUnsettable(name))
		case valueFault(value) != "":
			drop(name, "its value cannot be sent: "+valueFault(value))
		case len(out) == changesMax:
			drop(name, fmt.Sprintf("there are more than %d of them", changesMax))
		default:
			if _, twice := out[name]; twice {
				drop(name, "it stands there twice, and the last one counts")
			}
			out[name] = model.HeaderChange{Name: name, Value: oneLine(value), Origin: at}
		}
	}
	if len(out) > 0 {
		h.applied(at)
	}
	return out
}

// isUnsettable says whether a header is one of those, or between Envoy and its neighbours.
func isUnsettable(name string, unsettable []string) bool {
	return slices.Contains(unsettable, name) || strings.HasPrefix(name, "X-Envoy-")
}

// Headers that Ingresses do not decide on: they say how a message is framed, or belong to one connection.
var (
	unsettable = []string{
		"Connection", "Content-Length", "Host", "Http2-Settings", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	}
	unsettableInRequest  = append([]string{"Expect"}, unsettable...)
	unsettableInResponse = append([]string{"Location"}, unsettable...)
)

func whyUnsettable(name string) string {
	switch {
	case name == "Host":
		return "Host is not a header to be set: preserve-host: \"false\" has the backend see its own name"
	case strings.HasPrefix(name, "X-Envoy-"):
		return "it would speak to Envoy"
	case name == "Location":
		return "it says where a redirect leads, and some are the gateway's own"
	default:
		return "it belongs to the connection or to the length of the body, which are the gateway's"
	}
}

// nameFault says why a text is no header's name, empty where it is one (RFC 9110, 5.1).
func nameFault(name string) string {
	switch {
	case name == "":
		return "the name is missing"
	case len(name) > nameMaxBytes:
		return fmt.Sprintf("the name is longer than %d bytes", nameMaxBytes)
	case !httpguts.ValidHeaderFieldName(name):
		return "that is no name of a header"
	}
	return ""
}

// valueFault says why a text cannot be a header's value, empty where it can (RFC 9110, 5.5).
func valueFault(value string) string {
	switch {
	case len(value) > valueMaxBytes:
		return fmt.Sprintf("it is longer than %d bytes", valueMaxBytes)
	case strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && !strings.ContainsRune("\t\r\n", c) || c == 0x7f }):
		return "it holds a control character"
	case !utf8.ValidString(value):
		return "it is not UTF-8"
	}
	return ""
}

// oneLine has spaces in place of line breaks, as Go's net/http sends them (net/http, headerNewlineToSpace).
func oneLine(value string) string {
	return strings.NewReplacer("\n", " ", "\r", " ").Replace(value)
}
