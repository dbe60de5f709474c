package explain

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/translator/model"
)

// What an untrusted peer may not say of itself (docs/design/xds.md, early header mutation).
var (
	untrustedPrefixes = []string{"X-Forwarded-", "X-Envoy-", "X-Original-", "Ssl-Client-", "X-Ssl-", "Client-Cert"}
	untrustedNames    = []string{
		"Ali-Cdn-Real-Ip", "Cdn-Src-Ip", "Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Cf-Pseudo-Ipv4", "Cf-Visitor",
		"Client-Ip", "Cloudfront-Forwarded-Proto", "Cloudfront-Viewer-Address", "Fastly-Client-Ip", "Fly-Client-Ip",
		"Forwarded", "Forwarded-For", "Front-End-Https", "Proxy", "Proxy-Client-Ip", "True-Client-Ip",
		"Wl-Proxy-Client-Ip", "X-Appengine-User-Ip", "X-Arr-Ssl", "X-Azure-Clientip", "X-Azure-Socketip",
		"X-Client-Cert", "X-Client-Ip", "X-Client-Verify", "X-Cluster-Client-Ip", "X-Forward-For", "X-Forwarded",
		"X-Host", "X-Http-Host-Override", "X-Http-Method", "X-Http-Method-Override", "X-Method-Override",
		"X-Originating-Ip", "X-Override-Url", "X-Proxyuser-Ip", "X-Real-Ip", "X-Remote-Addr", "X-Remote-Ip",
		"X-Replaced-Path", "X-Rewrite-Url", "X-Scheme", "X-Sucuri-Clientip", "X-Url-Scheme",
	}
	// connectionNames belong to the connection to the client and never reach a backend.
	connectionNames = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade", "Expect", "Http2-Settings"}
	// needed may not be named by Connection, by which a client could have the gateway's own word taken off on the way
	// (Envoy 1.40 answers 400).
	needed = []string{"Host", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}
	// ownConnection is what Connection names of itself.
	ownConnection = []string{"Upgrade", "Keep-Alive", "Close"}
)

// namedMax is how many names Connection may have (Envoy 1.40 answers 400 to ten).
const namedMax = 9

// nominated are the headers that Connection names: they belong to the connection too (RFC 9110, 7.6.1).
func nominated(h http.Header) []string {
	var out []string
	for _, v := range h.Values("Connection") {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.TrimSpace(name); name != "" {
				out = append(out, http.CanonicalHeaderKey(name))
			}
		}
	}
	return out
}

// upgrade is the protocol that a request asks to change to, empty for none. One to h2c may be left aside, and is.
func upgrade(h http.Header) string {
	values := h.Values("Upgrade")
	to := strings.ToLower(strings.Join(values, ","))
	if len(values) == 0 || to == "h2c" || !slices.Contains(nominated(h), "Upgrade") {
		return ""
	}
	return cmp.Or(to, "nothing")
}

const webSocket = "websocket"

// dropConnectionHeaders takes off what is between the client and the gateway only. TE may say trailers, and an upgrade to
// WebSocket passes.
func dropConnectionHeaders(h http.Header) {
	toWebSocket := upgrade(h) == webSocket
	trailers := false
	for token := range strings.SplitSeq(strings.Join(h.Values("Te"), ","), ",") {
		trailers = trailers || strings.TrimSpace(token) == "trailers"
	}
	for _, name := range slices.Concat(nominated(h), connectionNames, []string{"Te"}) {
		if !toWebSocket || (name != "Connection" && name != "Upgrade") {
			h.Del(name)
		}
	}
	if trailers {
		h.Set("Te", "trailers")
	}
}

// forwarded are the client's headers as the backend gets them, with what the gateway says of the client.
func forwarded(edge model.Edge, entry model.Entry, r Request, authority string) http.Header {
	h := http.Header{}
	for name, values := range r.Header {
		h[http.CanonicalHeaderKey(name)] = append(h[http.CanonicalHeaderKey(name)], values...)
	}
	dropConnectionHeaders(h)
	h.Del("Host")
	if cookies := h.Values("Cookie"); r.HTTP2 && len(cookies) > 0 {
		h.Set("Cookie", strings.Join(cookies, "; ")) // RFC 9113, 8.2.3
	}
	scheme := "http"
	if entry.TLS {
		scheme = "https"
	}
	own := [][2]string{
		{"X-Real-Ip", r.From.String()}, {"X-Forwarded-Proto", scheme}, {"X-Forwarded-Host", authority},
		{"X-Forwarded-Port", strconv.Itoa(int(entry.PublicPort))},
	}
	if trusts(edge.TrustedProxies, r.From) {
		for name := range h {
			if strings.HasPrefix(name, "X-Envoy-") {
				delete(h, name)
			}
		}
		// Of a client's certificate nobody is believed (Envoy: forward_client_cert_details SANITIZE).
		h.Del("X-Forwarded-Client-Cert")
		list := append(h.Values("X-Forwarded-For"), r.From.String())
		h.Set("X-Forwarded-For", strings.Join(list, ", "))
		for _, kv := range own {
			if len(h.Values(kv[0])) == 0 {
				h.Set(kv[0], kv[1])
			}
		}
		return h
	}
	for name := range h {
		if slices.Contains(untrustedNames, name) ||
			slices.ContainsFunc(untrustedPrefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			delete(h, name)
		}
	}
	h.Set("X-Forwarded-For", r.From.String())
	for _, kv := range own {
		h.Set(kv[0], kv[1])
	}
	return h
}

func trusts(proxies []netip.Prefix, peer netip.Addr) bool {
	return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(peer) })
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}
