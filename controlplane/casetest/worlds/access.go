package worlds

import (
	"net/netip"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/postern-gateway/postern/controlplane/casetest"
)

// insider is a peer that lists of addresses know, and no proxy.
const insider = "127.0.3.5"

// access limits who may use an Ingress's routes, most often to some of the peers and hosts of requests.
func access(d drawer, ing *networkingv1.Ingress) {
	if !d.oneIn(3) {
		set(d, ing, pick(d, []string{
			insider, "127.0.3.0/24, 203.0.113.0/24", "127.0.0.0/8", "127.9.0.0/16,2001:db8::/32", trustedPeer + "," + insider, "203.0.113.7,::ffff:127.0.3.5",
			"0.0.0.0/0", "::/0", "0.0.0.0/0,::/0", "100::/64", "10.0.0.0/8", "", "localhost",
		}), traefikKey("whitelist-source-range")...)
	}
	if d.oneIn(2) {
		set(d, ing, pick(d, []string{"true", "true", "true", "false", "maybe"}), traefikKey("whitelist-x-forwarded-for")...)
	}
	if !d.oneIn(3) {
		return
	}
	names := []string{"a.test", "q.b.test", "x.a.test:8080"}
	for _, rule := range ing.Spec.Rules {
		if rule.Host != "" {
			names = append(names, strings.Replace(rule.Host, "*", "q", 1), strings.Replace(rule.Host, "*", "www", 1)+":8080")
		}
	}
	set(d, ing, strings.Join(some(d, names, 1+d.IntN(4)), ", "), traefikKey("allowed-hosts")...)
	if d.oneIn(3) {
		set(d, ing, pick(d, []string{"X-Forwarded-Host", "x-original-host,X-Forwarded-Host", "X-Host", "Host"}), traefikKey("proxy-headers")...)
	}
	if d.oneIn(8) {
		set(d, ing, pick(d, []string{"true", "false"}), traefikKey("is-development")...)
	}
}

// hops are what proxies before us say of the client, legibly or not.
var hops = []string{
	insider, "203.0.113.7", "2001:db8::1", "127.9.1.1", insider + ", 127.9.0.9", "127.9.0.9, 127.9.0.8", "unknown, 203.0.113.7", insider + ", unknown", insider + ":80",
	insider + ", [2001:db8::1]", "203.0.113.7,", ", 203.0.113.7", "::ffff:127.0.3.5", "010.1.1.1", "203.0.113.7" + strings.Repeat(", 127.9.0.9", 18), insider + strings.Repeat(", 127.9.0.9", 19),
}

// clients are who limits of access know, and whom they do not.
func clients(d drawer, _ World, p *casetest.Probe) {
	if d.oneIn(3) {
		p.From = netip.MustParseAddr(pick(d, []string{insider, "127.9.0.8", trustedPeer}))
	}
	if d.oneIn(2) {
		p.Header.Set("X-Forwarded-For", pick(d, hops))
	}
	if d.oneIn(6) {
		p.Header.Set(pick(d, []string{"X-Forwarded-Host", "X-Original-Host", "X-Host"}), pick(d, []string{"a.test", "A.Test", "q.b.test", "evil.test"}))
	}
}

// rateLimits are never reached, or close their routes.
func rateLimits(d drawer, ing *networkingv1.Ingress) {
	by := pick(d, []string{"client.ip", "client.ip", "request.host", "request.header.X-Key", "request.header.x-forwarded-for", "request.header.Host", "request.cookie.a"})
	rate := pick(d, []string{
		"{a: {period: 3s, average: 100000, burst: 100000}}", "{a: {period: 1ms, average: 7, burst: 50000}, b: {period: 60, average: 1, burst: 100000}}",
		"{a: {period: 1h, average: 1, burst: 4294967295}}", "{}", "{a: {period: 3s, average: 0, burst: 9}}",
	})
	set(d, ing, "extractorfunc: "+by+"\nrateset: "+rate, traefikKey("rate-limit")...)
}
