package model

import (
	"slices"
	"strings"
)

// SpoofablePrefixes and SpoofableHeaders are the headers, in lower case, by which some proxy, server or framework tells
// a backend who the client is, by which certificate, or what it asked for. An untrusted peer's are taken off before
// routing. The prefix client-cert is that of RFC 9440, ssl-client- that of ingress-nginx.
var (
	SpoofablePrefixes = []string{"x-forwarded-", "x-envoy-", "x-original-", "ssl-client-", "x-ssl-", "client-cert"}
	SpoofableHeaders  = []string{
		"forwarded", "x-forwarded", "x-forward-for", "forwarded-for", "x-real-ip", "true-client-ip", "client-ip",
		"x-client-ip", "x-cluster-client-ip", "cf-connecting-ip", "cf-connecting-ipv6", "cf-pseudo-ipv4",
		"cf-visitor", "fastly-client-ip", "fly-client-ip", "x-azure-clientip", "x-azure-socketip",
		"x-appengine-user-ip", "cloudfront-forwarded-proto", "cloudfront-viewer-address", "x-sucuri-clientip",
		"ali-cdn-real-ip", "cdn-src-ip", "x-originating-ip", "proxy-client-ip", "wl-proxy-client-ip",
		"x-proxyuser-ip", "x-remote-ip", "x-remote-addr", "x-host", "x-http-host-override", "x-rewrite-url",
		"x-override-url", "x-http-method-override", "x-http-method", "x-method-override", "x-scheme",
		"x-url-scheme", "front-end-https", "x-arr-ssl", "x-replaced-path", "x-client-cert", "x-client-verify",
		"proxy",
	}
)

// Spoofable says whether a header, in lower case, is taken off an untrusted peer's requests.
func Spoofable(name string) bool {
	return slices.Contains(SpoofableHeaders, name) ||
		slices.ContainsFunc(SpoofablePrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}
