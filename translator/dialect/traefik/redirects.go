package traefik

import (
	"fmt"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

var redirects = []dialect.Annotation{
	{
		Key: "redirect-entry-point", Aliases: []string{"traefik.frontend.redirect.entrypoint"}, On: dialect.OnIngress,
		Type: "https", Support: dialect.Approximated,
		Note:    "The port in Location is left out when it is 443; Traefik wrote :443. Only https is a target.",
		Doc:     "Redirects plain requests to the HTTPS entry, keeping path and query: 302, or 307 for methods other than GET and HEAD.",
		Example: "https", Family: "redirects", Case: "redirect/https",
	},
	{
		Key: "redirect-permanent", On: dialect.OnIngress, Type: "true or false", Support: dialect.Applied,
		Doc:     "Makes the redirects of redirect-entry-point, redirect-regex and app-root permanent: 301, or 308 for methods other than GET and HEAD.",
		Example: "true", Family: "redirects", Case: "redirect/permanent",
	},
	{
		Key: "redirect-regex", Aliases: []string{"traefik.frontend.redirect.regex"}, On: dialect.OnIngress,
		Type: "a regular expression of Go, ASCII", Support: dialect.Approximated,
		Note: "The URL is the one that the client asked for, normalised, whatever is stripped or replaced of its path; Traefik 1.7 put the client's path into Location then. " +
			"A URL of 8192 bytes or more answers 414. What becomes of it must be a whole URL and shorter, too, or the answer is 502.",
		Doc: "With redirect-replacement, redirects requests whose URL, scheme://host[:port]/path?query, it changes: " +
			"302, or 307 for methods other than GET and HEAD. Without effect beside redirect-entry-point.",
		Example: "^http://old\\\\.test/(.*)", Family: "redirects", Case: "redirect/regex",
	},
	{
		Key: "redirect-replacement", Aliases: []string{"traefik.frontend.redirect.replacement"}, On: dialect.OnIngress,
		Type: "a URL in which $1 or ${1} is the first group", Support: dialect.Approximated,
		Note:    "Templates with {{ }} are refused, and a group that the regex does not have is an error.",
		Doc:     "What all that redirect-regex matches in the URL is replaced by.",
		Example: "https://new.test/$1", Family: "redirects", Case: "redirect/regex",
	},
	{
		Key: "app-root", On: dialect.OnIngress, Type: "a path", Support: dialect.Approximated,
		Note:    "It holds for rules of any host, where Traefik 1.7 failed on a wildcard, on a port in Host, and without a host took every path that ends with a slash.",
		Doc:     "Redirects / (without a query) to another path, for rules whose path is / or empty: 302, or 307 for methods other than GET and HEAD. These rules redirect by nothing else but ssl-redirect and ssl-force-host.",
		Example: "/index.html", Family: "redirects", Case: "redirect/app-root",
	},
}

func readRedirects(r *dialect.Reader, ing source.Ingress, shape *dialect.Shape) {
	shape.Policies.HTTPSRedirect, shape.Policies.HostRedirect = readSSL(r, shape)
	byTLS := shape.Policies.HTTPSRedirect
	permanent, permanentAt, isPermanent := r.Bool("redirect-permanent")
	redirects := redirectReader{r, shape, model.RedirectFound}
	if permanent {
		redirects.status = model.RedirectMoved
	}
	root := redirects.appRoot(ing)
	entry, toEntry := redirects.entryPoint()
	if toEntry != nil {
		// It acts before ssl-redirect in Traefik (server_middlewares.go), so its status wins.
		shape.Policies.HTTPSRedirect = toEntry
	}
	shape.Policies.URLRedirect = redirects.url(entry)
	if root != nil {
		redirects.aboutRoot(toEntry)
		shape.AtRoot = func(p model.Policies) model.Policies {
			p.RootRedirect, p.URLRedirect, p.HTTPSRedirect = root, nil, byTLS
			return p
		}
	}
	switch {
	case !isPermanent:
	case root != nil || toEntry != nil || shape.Policies.URLRedirect != nil:
		shape.Annotations = append(shape.Annotations, permanentAt)
	case byTLS == nil && !entry:
		r.Say(diag.New(diag.CodeWithoutEffect, permanentAt, "there is no redirect that could be permanent", "it has no effect",
			"add redirect-entry-point: https, or remove it"))
	}
}

type redirectReader struct {
	*dialect.Reader
	shape  *dialect.Shape
	status model.RedirectStatus
}

// entryPoint reads redirect-entry-point; given says that it is there, whatever it says.
func (r redirectReader) entryPoint() (given bool, out *model.HTTPSRedirect) {
	entry, at, ok := r.Value("redirect-entry-point")
	if !ok {
		return false, nil
	}
	if entry != "https" {
		r.Say(diag.New(diag.CodeNoSuchEntry, at, fmt.Sprintf("requests cannot be redirected to the entry point %q", entry),
			"they are not redirected", "write https"))
		return true, nil
	}
	r.shape.Annotations = append(r.shape.Annotations, at)
	return true, &model.HTTPSRedirect{Status: r.status, Origin: at}
}

// url reads redirect-regex and redirect-replacement, which count where there is no redirect-entry-point.
func (r redirectReader) url(toEntry bool) *model.URLRedirect {
	regex, at, isRegex := r.Value("redirect-regex")
	replacement, withAt, replaces := r.Value("redirect-replacement")
	if !isRegex && !replaces {
		return nil
	}
	without := func(why, fix string) {
		for _, place := range []struct {
			given bool
			at    diag.Origin
		}{{isRegex, at}, {replaces, withAt}} {
			if place.given {
				r.Say(diag.New(diag.CodeWithoutEffect, place.at, why, "it has no effect", fix))
			}
		}
	}
	switch {
	case toEntry:
		without("redirect-entry-point takes the place of redirect-regex", "remove one of the two")
		return nil
	case !isRegex || !replaces || regex == "" || replacement == "":
		without("redirect-regex and redirect-replacement need each other", "give both, or remove it")
		return nil
	case strings.Contains(replacement, "{{"):
		r.Say(diag.New(diag.CodeBadValue, withAt, "redirect-replacement holds a template, and templates are not applied",
			"requests are not redirected by it", "write a URL in which $1 is the first group of redirect-regex"))
		return nil
	}
	const effect = "requests are not redirected by it"
	pattern, err := dialect.ParsePattern(templated(regex))
	if err != nil {
		r.Say(diag.New(diag.CodeBadValue, at, fmt.Sprintf("the regex %s cannot be used: %s", regex, err), effect, "write one in the syntax of RE2, over ASCII"))
		return nil
	}
	if strings.ContainsFunc(replacement, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		r.Say(diag.New(diag.CodeBadValue, withAt, fmt.Sprintf("the replacement %q holds a control character", replacement), effect, "write a URL"))
		return nil
	}
	with, err := pattern.ParseSubstitution(templated(replacement), dialect.SentURL)
	if err != nil {
		r.Say(diag.New(diag.CodeBadValue, withAt, fmt.Sprintf("the replacement %s cannot be used: %s", replacement, err), effect, "write a URL in which $1 is the first group"))
		return nil
	}
	r.shape.Annotations = append(r.shape.Annotations, at, withAt)
	return &model.URLRedirect{Pattern: pattern.String(), With: with, Status: r.status, Origin: at}
}

// appRoot reads app-root, nil where it is not there or leads nowhere else.
func (r redirectReader) appRoot(ing source.Ingress) *model.RootRedirect {
	text, at, ok := r.Value("app-root")
	if !ok {
		return nil
	}
	path := "/" + strings.TrimLeft(text, "/")
	switch {
	case !hasRoot(ing):
		r.Say(diag.New(diag.CodeWithoutEffect, at, "no rule has the path /", "it has no effect", "give a rule the path /, or remove it"))
		return nil
	case path == "/":
		r.Say(diag.New(diag.CodeWithoutEffect, at, "app-root leads to / itself", "it has no effect", "name another path, or remove it"))
		return nil
	case strings.ContainsAny(text, "$\\") || strings.Contains(text, "://") || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f }):
		r.Bad(at, text, "a path", "requests for / are not redirected by it")
		return nil
	}
	r.shape.Annotations = append(r.shape.Annotations, at)
	return &model.RootRedirect{Path: dialect.SentURL(path), Status: r.status, Origin: at}
}

// aboutRoot tells of redirects that app-root has taken the place of.
func (r redirectReader) aboutRoot(toEntry *model.HTTPSRedirect) {
	tell := func(at diag.Origin) {
		_, root, _ := r.Value("app-root")
		r.Say(diag.New(diag.CodeWithoutEffect, at, "app-root is the only redirect of the rules whose path is /",
			"requests under these rules are not redirected by it", "use ssl-redirect, which stands beside app-root, or remove one of the two").With(root))
	}
	if toEntry != nil {
		tell(toEntry.Origin)
	}
	if u := r.shape.Policies.URLRedirect; u != nil {
		tell(u.Origin)
	}
}

// hasRoot says whether app-root has a rule to hold for.
func hasRoot(ing source.Ingress) bool {
	for _, rule := range ing.Spec.Rules {
		if rule.HTTP == nil || len(rule.HTTP.Paths) == 0 {
			if ing.Spec.DefaultBackend != nil {
				return true
			}
			continue
		}
		for _, path := range rule.HTTP.Paths {
			if path.Path == "" || path.Path == "/" {
				return true
			}
		}
	}
	return false
}
