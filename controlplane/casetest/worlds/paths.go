package worlds

import (
	"fmt"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/postern-gateway/postern/controlplane/casetest"
)

// pathChanges change the path on its way to the backend. None cuts an escape in two, which is the owner's own fault and
// no backend of ours would read.
func pathChanges(d drawer, ing *networkingv1.Ingress) {
	if d.oneIn(3) {
		set(d, ing, pick(d, []string{"/", "/", "/app", "/app/", "/a b", "/a/b/c", "app", "/../x", "/$1"}), traefikKey("rewrite-target")...)
	}
	if !d.oneIn(2) {
		return
	}
	set(d, ing, pick(d, []string{
		"AddPrefix: /users", "AddPrefix:/a/b/", "AddPrefix: users", "ReplacePath: /new", "ReplacePath: /a b?c", "ReplacePath: x",
		"ReplacePathRegex: ^/a(.*) /z$1", "ReplacePathRegex: ^/a(/.*)?$ /b/$1", "ReplacePathRegex: (.*)/b(.*) $1/c$2", "ReplacePathRegex: /b /c",
		"ReplacePathRegex: [g-z]+ x%", "ReplacePathRegex: [a-z]* -", "ReplacePathRegex: x+ /", "ReplacePathRegex: ^/(?P<first>[^/]*)/?(.*)$ /${2}/${first}", "ReplacePathRegex: (?i)%([0-9a-f]{2}) _$1",
		"ReplacePathRegex: ^(/[^/]+){2}/ /x$1/", "ReplacePathRegex: b+$ $$", "ReplacePathRegex: ^/k8s /", "ReplacePathRegex: . /x", "ReplacePathRegex: \\\\.|; ,", "ReplacePathRegex: ^/(", "Nothing: /x",
	}), traefikKey("request-modifier")...)
}

// urlRedirects redirect by the whole URL; some leave it as it is, some make no URL of it.
func urlRedirects(d drawer, ing *networkingv1.Ingress) {
	redirect := pick(d, [][2]string{
		{"^http://([^/:]+)(?::[0-9]+)?/(.*)", "https://$1/$2"}, {"^http:", "https:"}, {"^https?://a\\\\.test(.*)", "https://b.test$1"}, {"/a/", "/b/"},
		{"a+", "a"}, {"(.*)", "$1"}, {"^(.*)$", "$1?x"}, {"%2[0fF]", "+"}, {"[.]test", "."}, {"^.*/b.*$", "http://é x/"}, {"\\?.*", "/"},
		{"^(.*)://(.*)$", "$2"}, {"://", ":"}, {"^https?://[^/]+/\\?(.*)", "$1"}, {"/x", "#$$"}, {"^(https?)://(?P<host>.*?)/", "${1}://user@${host}/"}, {"(?i)TEST", "test"},
		{"b*", "-"}, {"^(", "x"}, {"a", "{{ .Request.Host }}"},
	})
	set(d, ing, redirect[0], append(traefikKey("redirect-regex"), "traefik.frontend.redirect.regex")...)
	if !d.oneIn(8) {
		set(d, ing, redirect[1], append(traefikKey("redirect-replacement"), "traefik.frontend.redirect.replacement")...)
	}
}

// longURLs are those around the longest that may be redirected.
func longURLs(d drawer, _ World, p *casetest.Probe) {
	const longest = 8 * 1024
	if d.oneIn(25) && !p.HTTP2 {
		separator := "?"
		if strings.Contains(p.URL, "?") {
			separator = "&"
		}
		p.URL += separator + strings.Repeat("z", max(longest-len(p.URL)-3+d.IntN(5), 1))
	}
}

func sslRedirects(d drawer, ing *networkingv1.Ingress) {
	if d.oneIn(2) {
		set(d, ing, pick(d, []string{"a.test", "www.a.test:8443", "A.Test:443", "10.0.0.9", "[::1]:8443", "https://x", "*.a.test"}), traefikKey("ssl-host")...)
		set(d, ing, pick(d, []string{"true", "true", "false"}), traefikKey("ssl-force-host")...)
	}
	if d.oneIn(3) {
		set(d, ing, pick(d, []string{"true", "false"}), traefikKey("ssl-temporary-redirect")...)
	}
	if d.oneIn(3) {
		set(d, ing, "true", traefikKey("ssl-redirect")...)
		set(d, ing, pick(d, []string{"X-Forwarded-Proto:wss", "Forwarded:for=203.0.113.7;proto=https||X-Real-Ip: 203.0.113.9", "X-Mine:yes", "X-Forwarded-Host:evil.test||X-Original-Url:/admin"}), traefikKey("ssl-proxy-headers")...)
	}
	if d.oneIn(8) {
		set(d, ing, pick(d, []string{"true", "false"}), traefikKey("is-development")...)
	}
}

func appRoots(d drawer, ing *networkingv1.Ingress) {
	if d.oneIn(2) {
		set(d, ing, pick(d, []string{"/app", "index.html", "//x/y", "/a?b=c", "/#/home", "/a?b#c", "/é x", "/", "https://evil.test/", "/a%20b"}), traefikKey("app-root")...)
	}
}

// serviceWeights weigh Services of the Ingress, and give some of its paths a second one.
func serviceWeights(d drawer, ing *networkingv1.Ingress) {
	var names []string
	for _, rule := range ing.Spec.Rules {
		if rule.HTTP == nil || len(rule.HTTP.Paths) == 0 {
			continue
		}
		if d.oneIn(2) {
			more := pick(d, rule.HTTP.Paths)
			more.Backend = *backend(d)
			rule.HTTP.Paths = append(rule.HTTP.Paths, more)
		}
		for _, path := range rule.HTTP.Paths {
			if path.Backend.Service != nil {
				names = append(names, path.Backend.Service.Name)
			}
		}
	}
	text := ""
	for _, name := range some(d, names, 1+d.IntN(3)) {
		if name != "" && !strings.Contains(text, fmt.Sprintf("%q", name)) {
			text += fmt.Sprintf("%q: %s\n", name, pick(d, []string{"50%", "25", "\"12.5%\"", "0", "33.333%", "100", "ten", "-1"}))
		}
	}
	if text != "" {
		set(d, ing, text, traefikKey("service-weights")...)
	}
}
