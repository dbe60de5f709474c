package traefik

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/model"
)

const authFamily = "authentication"

var auth = []dialect.Annotation{
	{
		Key: "auth-type", On: dialect.OnIngress, Type: "basic, digest or forward, in any case", Support: dialect.Approximated,
		Family: authFamily, Case: "auth/basic",
		Note: "Where it cannot be applied, or another auth- annotation stands without it, the routes answer 503; Traefik served them without a word, or not at all. " +
			"It holds for the default backend of the Ingress too, which Traefik left open.",
		Doc:     "Asks who the user is, after redirects and before the backend.",
		Example: "basic",
	},
	{
		Key: "auth-secret", On: dialect.OnIngress, Type: "a Secret's name", Support: dialect.Approximated,
		Family: authFamily, Case: "auth/hashes",
		Note:    "A line that cannot be used keeps only its user out. Of basic, {SHA}, $apr1$, $1$ and bcrypt of a cost up to 14 are read; Traefik took any other line for an MD5 hash.",
		Doc:     "The users of basic and digest: a Secret of the Ingress's namespace with exactly one key, whatever its name, that holds the lines of htpasswd, or of htdigest.",
		Example: "users",
	},
	{
		Key: "auth-realm", On: dialect.OnIngress, Type: "traefik", Support: dialect.Approximated,
		Family: authFamily, Case: "auth/realm",
		Note:    "Any other realm closes the routes; Traefik dropped them.",
		Doc:     "The realm that clients are shown. There is only one.",
		Example: "traefik",
	},
	{
		Key: "auth-header-field", On: dialect.OnIngress, Type: "a header's name", Support: dialect.Approximated,
		Family: authFamily, Case: "auth/header-field",
		Note:    "A client's own header of the name is never passed on, with forward too, where Traefik passed it.",
		Doc:     "The header by which the backend is told the user's name, with basic and digest.",
		Example: "X-User",
	},
	{
		Key: "auth-remove-header", On: dialect.OnIngress, Type: "true or false", Support: dialect.Applied,
		Family: authFamily, Case: "auth/header-field",
		Doc:     "Takes Authorization off before the backend, with basic and digest.",
		Example: "true",
	},
	{
		Key: "auth-url", On: dialect.OnIngress, Type: "an http or https URL", Support: dialect.Approximated,
		Family: authFamily, Case: "auth/forward",
		Note: "The server is a Service of the cluster, or a name that --external-name allows, as of an ExternalName; never an address. " +
			"Where it cannot be asked, or answers more than 64 KiB, the request is answered 503, where Traefik said 500. " +
			"Of the route's response headers an answer of the server gets those that it lacks, where Traefik gave it none; its own stand, and none is taken off.",
		Doc:     "The server that forward asks: always by GET, of this URL, with the request's headers and X-Forwarded-Method, -Proto, -Host, -Uri and -For. 2xx admits; whatever else is the client's answer.",
		Example: "http://auth.default.svc/check",
	},
	{
		Key: "auth-trust-headers", On: dialect.OnIngress, Type: "true or false", Support: dialect.Approximated,
		Family: authFamily, Case: "auth/forward-trust",
		Note:    "What is trusted is what the peers of --trusted-proxies said, and nobody else; Traefik passed on anybody's.",
		Doc:     "Tells the server what proxies in front of this one said of the client; else it is told of the peer.",
		Example: "true",
	},
	{
		Key: "auth-response-headers", On: dialect.OnIngress, Type: "a list of header names", Support: dialect.Applied,
		Family: authFamily, Case: "auth/forward",
		Doc:     "Headers of an answer that admits, to be set on the request in place of the client's own.",
		Example: "X-Auth-User, X-Auth-Groups",
	},
	{
		Key: "auth-tls-secret", On: dialect.OnIngress, Type: "a Secret's name", Support: dialect.Applied,
		Family: authFamily, Case: "auth/forward-tls",
		Doc:     "The client certificate that the server is shown: a Secret of the Ingress's namespace with exactly tls.crt and tls.key.",
		Example: "auth-client",
	},
	{
		Key: "auth-tls-insecure", On: dialect.OnIngress, Type: "true or false", Support: dialect.Applied,
		Family: authFamily, Case: "auth/forward-tls",
		Doc:     "Takes any certificate of the server.",
		Example: "true",
	},
}

// The keys that mean something with one kind only.
var (
	userKeys    = []string{"auth-secret", "auth-realm", "auth-header-field", "auth-remove-header"}
	forwardKeys = []string{"auth-url", "auth-trust-headers", "auth-response-headers", "auth-tls-secret", "auth-tls-insecure"}
)

const authClosed = "its routes answer 503, because it restricts access"

// authReader reads the family for one Ingress. Whatever of it cannot be read closes the routes.
type authReader struct {
	*dialect.Reader
	namespace string
	out       *model.Auth
}

func readAuth(r *dialect.Reader, namespace string, shape *dialect.Shape) {
	a := authReader{Reader: r, namespace: namespace, out: &model.Auth{}}
	text, at, ok := r.Value("auth-type")
	if !ok {
		a.withoutType()
		return
	}
	a.note(at)
	a.out.Kind = model.AuthKind(strings.ToLower(text))
	switch a.out.Kind {
	case model.AuthBasic, model.AuthDigest:
		a.users(at)
		a.unused(forwardKeys, "it belongs to auth-type forward")
	case model.AuthForward:
		a.forward(at)
		a.headerField()
		a.unused(slices.DeleteFunc(slices.Clone(userKeys), func(key string) bool { return key == "auth-header-field" }), "it belongs to auth-type basic and digest")
		if a.out.HeaderField != "" {
			_, at, _ := r.Value("auth-header-field")
			r.Say(diag.New(diag.CodeWithoutEffect, at, "auth-type forward finds no user's name", "a client's own header is taken off, and none is set",
				"use auth-response-headers").At(diag.Warning))
		}
	default:
		a.bad(at, text, "basic, digest or forward")
	}
	shape.Annotations = append(shape.Annotations, a.out.Origins...)
	if r.Closed == nil {
		shape.Policies.Auth = a.out
		shape.Policies.Restricted = append(shape.Policies.Restricted, at)
	}
}

func (a authReader) note(at diag.Origin) { a.out.Origins = append(a.out.Origins, at) }

// bad closes the routes because of a value.
func (a authReader) bad(at diag.Origin, value, accepted string) {
	d := diag.New(diag.CodeBadValue, at, fmt.Sprintf("%q is not %s", value, accepted), authClosed, "write "+accepted)
	if near, ok := diag.Nearest(value, strings.FieldsFunc(accepted, func(c rune) bool { return c == ',' || c == ' ' })); ok {
		d.Fix = "did you mean " + near + "?"
	}
	a.Close(d)
}

// withoutType closes what was to be restricted in a way that is not said.
func (a authReader) withoutType() {
	for _, key := range slices.Concat(userKeys, forwardKeys) {
		if _, at, ok := a.Value(key); ok {
			a.Close(diag.New(diag.CodeWithoutEffect, at, "there is no auth-type", authClosed, "add auth-type: basic, digest or forward, or remove it").At(diag.Error))
		}
	}
}

func (a authReader) unused(keys []string, why string) {
	for _, key := range keys {
		if _, at, ok := a.Value(key); ok {
			a.Say(diag.New(diag.CodeWithoutEffect, at, why, "it has no effect", "remove it"))
		}
	}
}

// flag reads a truth value; another closes the routes.
func (a authReader) flag(key string) (*model.Word[bool], bool) {
	text, at, ok := a.Value(key)
	if !ok {
		return nil, false
	}
	a.note(at)
	value, err := strconv.ParseBool(text)
	if err != nil {
		a.bad(at, text, "true or false")
		return nil, false
	}
	return &model.Word[bool]{Value: value, Origin: at}, value
}

// missing closes the routes for want of an annotation.
func (a authReader) missing(at diag.Origin, key, value string) {
	a.Close(diag.New(diag.CodeWithoutEffect, at, fmt.Sprintf("auth-type %s needs %s", a.out.Kind, key), authClosed, "add "+key+": "+value).At(diag.Error))
}

func (a authReader) users(typeAt diag.Origin) {
	if realm, at, ok := a.Value("auth-realm"); ok {
		a.note(at)
		if realm != model.AuthRealm {
			a.bad(at, realm, model.AuthRealm)
		}
	}
	a.headerField()
	_, a.out.RemoveHeader = a.flag("auth-remove-header")
	name, at, ok := a.Value("auth-secret")
	if !ok || name == "" {
		a.missing(typeAt, "auth-secret", "NAME")
		return
	}
	a.note(at)
	a.out.Users = model.SecretRef{Namespace: a.namespace, Name: name, Origin: at}
}

func (a authReader) headerField() {
	name, at, ok := a.Text("auth-header-field")
	if !ok {
		return
	}
	a.note(at)
	if !settable(name) {
		a.bad(at, name, "the name of a header that may be set")
		return
	}
	a.out.HeaderField = http.CanonicalHeaderKey(name)
}

// settable says whether a name is that of a header which may be set. A name with an underscore is refused where clients send
// one, and to some backends it is another spelling of a name with a hyphen.
func settable(name string) bool {
	return nameFault(name) == "" && !strings.Contains(name, "_") && !isUnsettable(http.CanonicalHeaderKey(name), unsettableInRequest)
}

func (a authReader) forward(typeAt diag.Origin) {
	f := &model.ForwardAuth{}
	a.out.Forward = f
	_, f.TrustHeaders = a.flag("auth-trust-headers")
	f.SkipVerify, _ = a.flag("auth-tls-insecure")
	if name, at, ok := a.Text("auth-tls-secret"); ok {
		a.note(at)
		f.Client = &model.Word[string]{Value: name, Origin: at}
	}
	if list, at, ok := a.Value("auth-response-headers"); ok {
		a.note(at)
		for name := range strings.SplitSeq(list, ",") {
			name = strings.TrimSpace(name)
			switch {
			case name == "":
			case !settable(name):
				a.bad(at, name, "the name of a header that may be set")
			case !slices.Contains(f.ResponseHeaders, http.CanonicalHeaderKey(name)):
				f.ResponseHeaders = append(f.ResponseHeaders, http.CanonicalHeaderKey(name))
			}
		}
	}
	text, at, ok := a.Value("auth-url")
	if !ok || text == "" {
		a.missing(typeAt, "auth-url", "URL")
		return
	}
	a.note(at)
	f.URLOrigin = at
	if fault := readURL(f, text); fault != "" {
		// The URL may hold a password, so that it is not repeated.
		a.Close(diag.New(diag.CodeBadValue, at, "the URL cannot be asked: "+fault, authClosed, "write http://NAME.NAMESPACE.svc/PATH"))
	}
}

// urlBytesMax bounds a URL that is asked.
const urlBytesMax = 2048

// readURL takes a URL apart and says what is wrong with it.
func readURL(f *model.ForwardAuth, text string) string {
	u, err := url.Parse(text)
	switch {
	case len(text) > urlBytesMax:
		return fmt.Sprintf("it is longer than %d bytes", urlBytesMax)
	case err != nil:
		return "it is no URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return "its scheme is neither http nor https"
	case u.User != nil:
		return "it holds a user"
	case u.Fragment != "" || u.RawFragment != "":
		return "it has a fragment"
	case u.Hostname() == "":
		return "it has no host"
	}
	f.HTTPS, f.Host, f.Authority, f.Target = u.Scheme == "https", u.Hostname(), u.Host, u.RequestURI()
	if !httpguts.ValidHostHeader(u.Host) || strings.ContainsFunc(f.Target, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		return "it holds a character that no request does"
	}
	f.Port = 80
	if f.HTTPS {
		f.Port = 443
	}
	if text := u.Port(); text != "" {
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil || port == 0 {
			return "its port is none"
		}
		f.Port = uint16(port)
	}
	return ""
}
