package worlds

import networkingv1 "k8s.io/api/networking/v1"

// headerAnnotations are Traefik's on headers, with values of which some are none.
var headerAnnotations = []struct {
	key    string
	values []string
}{
	{"custom-request-headers", []string{
		"X-Team:shop||X-Many:", "X-Forwarded-Proto:https", "X-Forwarded-For:192.0.2.1||X-Forwarded-Prefix:/p", "X-Forwarded-Prefix:||Accept-Encoding:br",
		"Host:evil.test", "Cookie:||Authorization:Basic eDp5", "X-Percent:100%REQ(:PATH)%%", "X-Real-Ip:||X-Forwarded-Host:", "nothing||X A:1||X-B:2", "User-Agent:||Accept:*/*",
		"Respond:404", "Te:trailers", "X-Envoy-Max-Retries:5",
	}},
	{"custom-response-headers", []string{
		"X-Served-By:us||Server:", "Set-Cookie:z=9; Path=/||X-A:100%", "Set-Cookie:||Location:", "X-Frame-Options:||Vary:Accept", "Strict-Transport-Security:max-age=9",
		"Strict-Transport-Security:", "Transfer-Encoding:x||Via:1.1 us", ":", "Location:/x", "Etag:\"1\"||Accept-Ranges:none",
	}},
	{"hsts-max-age", []string{"31536000", "0", "-1", "5"}},
	{"hsts-include-subdomains", []string{"true", "maybe"}},
	{"force-hsts", []string{"true", "false"}},
	{"frame-deny", []string{"true", "false"}},
	{"custom-frame-options-value", []string{"SAMEORIGIN", ""}},
	{"content-type-nosniff", []string{"true"}},
	{"custom-browser-xss-value", []string{"0", "1; report=%2f"}},
	{"browser-xss-filter", []string{"true", "false"}},
	{"content-security-policy", []string{"default-src 'self';\n img-src *", "script-src $NONCE"}},
	{"public-key", []string{`pin-sha256="x"`}},
	{"referrer-policy", []string{"same-origin"}},
	{"is-development", []string{"true", "false", "2"}},
}

func annotateHeaders(d drawer, ing *networkingv1.Ingress) {
	for range 1 + d.IntN(4) {
		one := pick(d, headerAnnotations)
		set(d, ing, pick(d, one.values), traefikKey(one.key)...)
	}
}
