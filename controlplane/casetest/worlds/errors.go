package worlds

import networkingv1 "k8s.io/api/networking/v1"

// errorPages name Services: one that named another Ingress's rule would go with that rule.
func errorPages(d drawer, ing *networkingv1.Ingress) {
	set(d, ing, pick(d, []string{
		`{a: {status: ["500-599"], backend: "web:80", query: "/{status}.html"}}`,
		`{a: {status: ["404"], backend: web, query: "e?s={status}"}, b: {status: ["200-599"], backend: "known:443"}}`,
		`{a: {status: ["300-399", "400"], backend: "multi:http"}, b: {status: ["500-599"], backend: nobody}}`,
		`{a: {status: ["100-999"], backend: "missing:80", query: /x}}`,
		`{a: {status: ["400-499"], backend: "alias-tls"}}`,
		`{a: {status: ["404-403"], backend: web}}`, `{a: [`,
	}), traefikKey("error-pages")...)
}
