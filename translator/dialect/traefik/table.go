// Package traefik reads the annotations of Traefik 1.7 (provider/kubernetes/annotations.go of its v1.7 branch).
//
// Each file holds one family: its entries in the table and the code that applies them.
package traefik

import (
	"slices"

	"github.com/postern-gateway/postern/translator/dialect"
)

// Table is every annotation of Traefik 1.7. Each may stand under either prefix; ingress.kubernetes.io/ is looked up
// first (getAnnotationName).
var Table = &dialect.Table{
	Name:        "traefik",
	Prefixes:    []string{"ingress.kubernetes.io/", "traefik.ingress.kubernetes.io/"},
	Annotations: dialect.MarkRestricting(slices.Concat(routing, redirects, backends, access, headers, rewriting, sslRedirects, rateLimits, concurrency, services, breakers, bufferings, errorPages, clientCertificates, auth, laterTraefik)),
}
