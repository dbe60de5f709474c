package native

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/model"
)

var entry = []dialect.Annotation{
	{
		Key: "client-ca-secret", On: dialect.OnIngress, Type: "name of a Secret of the Ingress's namespace, with ca.crt", Support: dialect.Applied, Restricts: true,
		Family: "clients", Case: "entry-tls/client-ca",
		Doc:     "HTTPS connections to the hosts of the Ingress must show a certificate that chains to one of these authorities. It holds for all HTTPS routes of the hosts, whoever wrote them. Over plain HTTP the Ingress's routes redirect to HTTPS where that is asked for, else they answer 503.",
		Example: "client-ca",
	},
	{
		Key: "tls-min-version", On: dialect.OnIngress, Type: tlsVersionForms, Support: dialect.Applied, Restricts: true,
		Family: "clients", Case: "entry-tls/min-version",
		Doc:     "The lowest version of TLS that clients of the hosts of the Ingress may speak, where it is above --tls-min-version. It holds for all HTTPS routes of the hosts, whoever wrote them.",
		Example: "1.3",
	},
	{
		Key: "hsts", On: dialect.OnIngress, Type: hstsForms, Support: dialect.Applied,
		Family: "clients", Case: "entry-tls/hsts",
		Doc:     "The header Strict-Transport-Security on every answer of the Ingress's routes over HTTPS, in place of the backend's own.",
		Example: "max-age=31536000; includeSubDomains",
	},
}

const (
	tlsVersionForms = "1.2 or 1.3"
	hstsForms       = "max-age=SECONDS, optionally with includeSubDomains and preload, separated by semicolons"
	// hstsMaxAgeMax is 68 years, and what fits a signed 32-bit number wherever a client keeps it in one.
	hstsMaxAgeMax = 1<<31 - 1
)

// annotateEntry reads what an Ingress asks of the connections to its hosts, and of the answers over HTTPS.
func annotateEntry(r *dialect.Reader, namespace string, shape dialect.Shape) dialect.Shape {
	connection := &shape.Policies.Connection
	unusable := func(d diag.D) {
		r.Close(d)
		if connection.Closed == nil {
			connection.Closed = &model.Closed{Reason: d.Message, Code: d.Code, Origin: d.Origin}
		}
	}
	if secret, at, ok := r.Value("client-ca-secret"); ok {
		connection.Origins = append(connection.Origins, at)
		connection.ClientCA = model.SecretRef{Namespace: namespace, Name: secret, Origin: at}
		if len(validation.IsDNS1123Subdomain(secret)) > 0 {
			unusable(diag.New(diag.CodeNoClientCA, at, fmt.Sprintf("%q is not the name of a Secret", secret),
				"its routes answer 503", "name a Secret of the Ingress's namespace, without the namespace"))
		}
		shape.Annotations = append(shape.Annotations, at)
	}
	if version, at, ok := r.Value("tls-min-version"); ok {
		connection.Origins = append(connection.Origins, at)
		connection.MinVersion = model.TLSVersion(version)
		if connection.MinVersion != model.TLS12 && connection.MinVersion != model.TLS13 {
			unusable(diag.New(diag.CodeTLSVersion, at, fmt.Sprintf("%q is not a version of TLS that can be asked for", version),
				"its routes answer 503", "write "+tlsVersionForms))
		}
		shape.Annotations = append(shape.Annotations, at)
	}
	if text, at, ok := r.Value("hsts"); ok {
		hsts, err := parseHSTS(text)
		if err != nil {
			r.Say(diag.New(diag.CodeBadValue, at, fmt.Sprintf("%q is no Strict-Transport-Security: %s", text, err),
				"it has no effect", "write "+hstsForms))
			return shape
		}
		hsts.Origin = at
		replaceHSTS(r, &shape.Policies)
		shape.Policies.HSTS = &hsts
		shape.Annotations = append(shape.Annotations, at)
	}
	return shape
}

// replaceHSTS takes off what another dialect says of the header: Postern's own annotation counts in its place.
func replaceHSTS(r *dialect.Reader, p *model.Policies) {
	instead := func(at diag.Origin) {
		r.Say(diag.New(diag.CodeWithoutEffect, at, "postern.dev/hsts counts in place of what it says of Strict-Transport-Security",
			"that has no effect", "keep one of the two"))
	}
	if p.HSTS != nil {
		instead(p.HSTS.Origin)
	}
	p.ResponseHeaders = slices.DeleteFunc(slices.Clone(p.ResponseHeaders), func(h model.HeaderChange) bool {
		if h.Name == "Strict-Transport-Security" {
			instead(h.Origin)
			return true
		}
		return false
	})
}

// parseHSTS reads the header's value by RFC 6797, 6.1: directives in any order and case, each once. What the RFC has
// clients skip, a directive that they do not know, is an error here: most often it is a misspelt one.
func parseHSTS(text string) (model.HSTS, error) {
	var out model.HSTS
	seen := map[string]bool{}
	for directive := range strings.SplitSeq(text, ";") {
		name, value, valued := strings.Cut(directive, "=")
		name, value = strings.ToLower(strings.Trim(name, " \t")), strings.Trim(value, " \t")
		if name == "" && !valued {
			continue
		}
		if seen[name] {
			return out, fmt.Errorf("%s stands there twice", name)
		}
		seen[name] = true
		switch name {
		case "max-age":
			seconds, err := parseMaxAge(value)
			if err != nil {
				return out, err
			}
			out.MaxAge = seconds
		case "includesubdomains":
			out.IncludeSubDomains = true
		case "preload":
			out.Preload = true
		default:
			return out, fmt.Errorf("there is no directive %q", name)
		}
		if valued && name != "max-age" {
			return out, fmt.Errorf("%s takes no value", name)
		}
	}
	if !seen["max-age"] {
		return out, errors.New("max-age is missing")
	}
	return out, nil
}

// parseMaxAge reads digits and nothing else, which may stand in quotes.
func parseMaxAge(text string) (int64, error) {
	if inside, ok := strings.CutPrefix(text, `"`); ok && strings.HasSuffix(inside, `"`) {
		text = strings.TrimSuffix(inside, `"`)
	}
	seconds, err := strconv.ParseUint(text, 10, 64)
	if err != nil || seconds > hstsMaxAgeMax {
		return 0, fmt.Errorf("max-age is not a number of seconds up to %d", hstsMaxAgeMax)
	}
	return int64(seconds), nil
}
