// Package nginx knows the annotations of ingress-nginx, so that none of them is ignored in silence. None is applied
// yet; those that restrict access close their routes.
package nginx

import (
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/source"
)

// Table is every annotation of ingress-nginx 1.15, its last release.
var Table = &dialect.Table{
	Name:        "nginx",
	Prefixes:    []string{"nginx.ingress.kubernetes.io/"},
	Annotations: dialect.MarkRestricting(entries()),
}

// families are the keys by what they are about.
var families = []struct{ about, keys string }{
	{"rewrites and redirects", `app-root rewrite-target use-regex ssl-redirect force-ssl-redirect preserve-trailing-slash
		permanent-redirect permanent-redirect-code temporal-redirect temporal-redirect-code
		from-to-www-redirect proxy-redirect-from proxy-redirect-to x-forwarded-prefix enable-rewrite-log
		server-alias use-port-in-redirects relative-redirects`},
	{"backends", `backend-protocol service-upstream upstream-vhost default-backend load-balance upstream-hash-by
		upstream-hash-by-subset upstream-hash-by-subset-size proxy-http-version connection-proxy-header
		fastcgi-index fastcgi-params-configmap`},
	{"TLS to backends", `proxy-ssl-secret proxy-ssl-verify proxy-ssl-verify-depth proxy-ssl-name proxy-ssl-server-name
		proxy-ssl-ciphers proxy-ssl-protocols`},
	{"TLS of the entry", `ssl-passthrough ssl-ciphers ssl-prefer-server-ciphers auth-tls-secret auth-tls-verify-client
		auth-tls-verify-depth auth-tls-error-page auth-tls-pass-certificate-to-upstream auth-tls-match-cn`},
	{"authentication", `auth-type auth-secret auth-secret-type auth-realm auth-url auth-method auth-signin
		auth-signin-redirect-param auth-response-headers auth-proxy-set-headers auth-request-redirect
		auth-cache-key auth-cache-duration auth-always-set-cookie auth-keepalive auth-keepalive-requests
		auth-keepalive-timeout auth-keepalive-share-vars auth-snippet enable-global-auth satisfy`},
	{"access and rates", `whitelist-source-range allowlist-source-range denylist-source-range limit-connections limit-rps
		limit-rpm limit-burst-multiplier limit-rate limit-rate-after limit-whitelist limit-allowlist`},
	{"canaries", `canary canary-by-header canary-by-header-value canary-by-header-pattern canary-by-cookie
		canary-weight canary-weight-total`},
	{"affinity", `affinity affinity-mode affinity-canary-behavior session-cookie-name session-cookie-path
		session-cookie-domain session-cookie-expires session-cookie-max-age session-cookie-samesite
		session-cookie-secure session-cookie-conditional-samesite-none session-cookie-change-on-failure`},
	{"CORS", `enable-cors cors-allow-origin cors-allow-methods cors-allow-headers cors-expose-headers
		cors-allow-credentials cors-max-age`},
	{"timeouts, retries and buffers", `proxy-connect-timeout proxy-send-timeout proxy-read-timeout proxy-next-upstream
		proxy-next-upstream-timeout proxy-next-upstream-tries proxy-request-buffering proxy-body-size
		client-body-buffer-size proxy-buffering proxy-buffers-number proxy-buffer-size
		proxy-busy-buffers-size proxy-max-temp-file-size`},
	{"cookies, headers and errors", `proxy-cookie-domain proxy-cookie-path custom-headers custom-http-errors
		disable-proxy-intercept-errors mirror-target mirror-request-body mirror-host http2-push-preload`},
	{"observability", `enable-access-log enable-opentelemetry opentelemetry-trust-incoming-span
		opentelemetry-operation-name enable-opentracing`},
	{"firewall and snippets", `enable-modsecurity enable-owasp-core-rules modsecurity-transaction-id modsecurity-snippet
		configuration-snippet server-snippet stream-snippet`},
}

func entries() []dialect.Annotation {
	var out []dialect.Annotation
	for _, family := range families {
		for _, key := range strings.Fields(family.keys) {
			out = append(out, dialect.Annotation{
				Key: key, On: dialect.OnIngress, Type: "as in ingress-nginx", Support: dialect.NotYet,
				Doc: "About " + family.about + ".",
			})
		}
	}
	return out
}

// Annotate adds what the annotations of ingress-nginx say to the shape that an Ingress's dialect gave it.
func Annotate(ing source.Ingress, shape dialect.Shape) (dialect.Shape, []diag.D) {
	r := dialect.Read(Table, dialect.OnIngress, ing.Annotations, ing.AnnotationOrigin)
	if shape.Closed == nil {
		shape.Closed = r.Closed
	}
	shape.Annotated = append(shape.Annotated, r.Annotated...)
	return shape, r.Diagnostics
}
