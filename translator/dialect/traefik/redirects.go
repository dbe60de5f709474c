package traefik

import (
	"fmt"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/model"
)

var redirects = []dialect.Annotation{
	{
		Key: "redirect-entry-point", Aliases: []string{"traefik.frontend.redirect.entrypoint"}, On: dialect.OnIngress,
		Type: "https", Support: dialect.Approximated,
		Note:    "The port in Location is left out when it is 443; Traefik wrote :443. Only https is a target.",
		Doc:     "Redirects plain requests to the HTTPS entry, keeping path and query: 302, or 307 for methods other than GET and HEAD.",
		Example: "https",
	},
	{
		Key: "redirect-permanent", On: dialect.OnIngress, Type: "true or false", Support: dialect.Applied,
		Doc:     "Makes the redirect permanent: 301, or 308 for methods other than GET and HEAD.",
		Example: "true",
	},
	{
		Key: "ssl-redirect", On: dialect.OnIngress, Type: "true or false", Support: dialect.Approximated,
		Note: "The path is kept with PathPrefixStrip too, where Traefik 1.7 lost the prefix (its issue 4085); the port becomes the HTTPS entry's; " +
			"methods other than GET and HEAD get 308, so that they stay what they are.",
		Doc:     "Redirects plain requests to the HTTPS entry with 301.",
		Example: "true",
	},
}

func readRedirects(r *dialect.Reader, shape *dialect.Shape) {
	permanent, permanentAt, isPermanent := r.Bool("redirect-permanent")
	if on, at, ok := r.Bool("ssl-redirect"); ok && on {
		shape.Policies.HTTPSRedirect = &model.HTTPSRedirect{Permanent: true, Origin: at}
		shape.Annotations = append(shape.Annotations, at)
	}
	// redirect-entry-point acts first in Traefik (server_middlewares.go), so its status wins.
	entry, at, ok := r.Value("redirect-entry-point")
	if !ok {
		if isPermanent && shape.Policies.HTTPSRedirect == nil {
			r.Say(diag.New(diag.CodeWithoutEffect, permanentAt, "there is no redirect that could be permanent", "it has no effect",
				"add redirect-entry-point: https, or remove it"))
		}
		return
	}
	if entry != "https" {
		r.Say(diag.New(diag.CodeNoSuchEntry, at, fmt.Sprintf("requests cannot be redirected to the entry point %q", entry),
			"they are not redirected", "write https"))
		return
	}
	shape.Policies.HTTPSRedirect = &model.HTTPSRedirect{Permanent: permanent, Origin: at}
	shape.Annotations = append(shape.Annotations, at)
	if isPermanent {
		shape.Annotations = append(shape.Annotations, permanentAt)
	}
}
