package diff

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
)

// setting is what flags decide for every request of an entry. Take gives a gateway that of another one.
type setting struct {
	name, a, b string
	take       func(edge *model.Edge, entry *model.Entry, from model.Edge, at model.Entry)
}

// settingsOf are those of an entry that differ.
func (c *comparison) settingsOf(scheme string) []setting {
	ta, tb := c.a.tables[scheme], c.b.tables[scheme]
	if ta == nil || tb == nil {
		return nil
	}
	a, b := c.a.gateway.Edge, c.b.gateway.Edge
	ea, eb := ta.model.Entry, tb.model.Entry
	all := []setting{
		{"trusted proxies", prefixes(a.TrustedProxies), prefixes(b.TrustedProxies), func(edge *model.Edge, _ *model.Entry, from model.Edge, _ model.Entry) {
			edge.TrustedProxies = from.TrustedProxies
		}},
		{"allowed clients", prefixes(a.AllowedClients), prefixes(b.AllowedClients), func(edge *model.Edge, _ *model.Entry, from model.Edge, _ model.Entry) {
			edge.AllowedClients = from.AllowedClients
		}},
		{"escaped slashes", a.EscapedSlashes.String(), b.EscapedSlashes.String(), func(edge *model.Edge, _ *model.Entry, from model.Edge, _ model.Entry) {
			edge.EscapedSlashes = from.EscapedSlashes
		}},
		{"redirects to a stripped prefix's folder", fmt.Sprint(a.SlashRedirect), fmt.Sprint(b.SlashRedirect), func(edge *model.Edge, _ *model.Entry, from model.Edge, _ model.Entry) {
			edge.SlashRedirect = from.SlashRedirect
		}},
		{"public port of HTTPS", fmt.Sprint(a.HTTPSPublicPort), fmt.Sprint(b.HTTPSPublicPort), func(edge *model.Edge, _ *model.Entry, from model.Edge, _ model.Entry) {
			edge.HTTPSPublicPort = from.HTTPSPublicPort
		}},
		{"public port", fmt.Sprint(ea.PublicPort), fmt.Sprint(eb.PublicPort), func(_ *model.Edge, entry *model.Entry, _ model.Edge, at model.Entry) {
			entry.PublicPort = at.PublicPort
		}},
	}
	if scheme == "https" {
		all = append(all, setting{"lowest TLS version", leastOf(a), leastOf(b), func(edge *model.Edge, _ *model.Entry, from model.Edge, _ model.Entry) {
			edge.TLSMinVersion = from.TLSMinVersion
		}})
	}
	return slices.DeleteFunc(all, func(s setting) bool { return s.a == s.b })
}

func leastOf(e model.Edge) string { return string(max(model.TLS12, e.TLSMinVersion)) }

func prefixes(all []netip.Prefix) string {
	if len(all) == 0 {
		return "none"
	}
	var out []string
	for _, p := range all {
		out = append(out, p.String())
	}
	return strings.Join(out, ",")
}

// gatewaySettings compares what flags decide. It holds for every request of an entry, so each setting is one class, and its
// witness the first request that is found over the entry's hosts.
func (c *comparison) gatewaySettings() {
	for _, scheme := range []string{"http", "https"} {
		for _, s := range c.settingsOf(scheme) {
			what := Class{Kind: OtherPolicy, Changed: []string{s.name}, Before: s.name + ": " + s.a, After: s.name + ": " + s.b}
			m := member{class: hostClass{scheme: scheme, kind: model.HostAny}, pattern: "/*", path: "/", every: true}
			m.request, m.pair, m.found = c.witnessOf(s, scheme)
			c.add(what, m)
		}
	}
	if a, b := c.a.gateway.Edge.AccessLog, c.b.gateway.Edge.AccessLog; a != b {
		what := Class{Kind: OtherPolicy, Changed: []string{"access log"}, Before: "access log: " + model.AccessLogs[a], After: "access log: " + model.AccessLogs[b]}
		c.add(what, member{class: hostClass{scheme: "http", kind: model.HostAny}, pattern: "/*", every: true})
	}
}

// settingHostsMax and settingPathsMax are at how many hosts, and paths of each, a witness of a setting is looked for.
const settingHostsMax, settingPathsMax = 20, 6

// triesSettings bounds the requests that are tried at one path for a setting.
const triesSettings = 40

// differs says whether a request is treated otherwise, and also by a gateway of which nothing but the setting is the other's.
func (s setting) differs(p pair, r explain.Request) bool {
	x, y, ok := behave(p.a, p.b, r)
	if !ok || x.Same(y) {
		return false
	}
	alone := func(g, other model.Gateway) bool {
		edge, entry := g.Edge, g.Tables[0].Entry
		s.take(&edge, &entry, other.Edge, other.Tables[0].Entry)
		x, y, ok := behave(g, under(g, edge, entry), r)
		return ok && !x.Same(y)
	}
	return alone(p.a, p.b) || alone(p.b, p.a)
}

// witnessOf is a request that a setting has treated otherwise, whatever else differs.
func (c *comparison) witnessOf(s setting, scheme string) (explain.Request, pair, bool) {
	ta, tb := c.a.tables[scheme], c.b.tables[scheme]
	classes := c.classes(scheme, false)
	slices.Reverse(classes)
	for _, of := range classes[:min(len(classes), settingHostsMax)] {
		la, lb := ta.levels(of), tb.levels(of)
		paths := witnesses(append(slices.Clone(la), lb...)...)
		for _, path := range append([]string{"/%2Fx"}, paths[:min(len(paths), settingPathsMax)]...) {
			ch := change{class: of, path: path, la: la, lb: lb, a: sequence(la, path), b: sequence(lb, path)}
			p := c.pair(ch)
			o := c.options(ch)
			o.choose(func(r explain.Request) explain.Request {
				r.TLSVersion = model.TLS12
				return r
			})
			if r, found := p.search(o, triesSettings, s.differs); found {
				return r, p, true
			}
		}
	}
	return explain.Request{}, pair{}, false
}

// opened is an entry that one side has and the other has not.
func (c *comparison) opened(scheme string) {
	what := Class{Kind: Added, Before: "no entry", After: "entry " + scheme}
	if c.b.tables[scheme] == nil {
		what = Class{Kind: Removed, Before: "entry " + scheme, After: "no entry"}
	}
	what.Changed = []string{"entry"}
	m := member{
		class: hostClass{scheme: scheme, kind: model.HostAny}, path: "/", pattern: "/*", every: true,
		request: explain.Request{Method: "GET", URL: scheme + "://any.host.invalid/", From: localhost},
		pair:    pair{a: bare(c.a, scheme), b: bare(c.b, scheme)}, found: true,
	}
	c.add(what, m)
}

// bare is a gateway with its entry and certificates, and no routes.
func bare(s *side, scheme string) model.Gateway {
	out := model.Gateway{Edge: s.gateway.Edge, Default: s.gateway.Default}
	if t := s.tables[scheme]; t != nil {
		out.Tables = []model.Table{{Entry: t.model.Entry}}
	}
	return out
}

// connection compares the handshakes for a class of hosts.
func (c *comparison) connection(of hostClass) {
	a, b := c.a.handshake(of), c.b.handshake(of)
	ch := change{class: of, path: "/", la: c.a.tables["https"].levels(of), lb: c.b.tables["https"].levels(of)}
	m := member{class: of, path: "/", pattern: "/*", connection: true}
	if a.chain != b.chain {
		what := Class{Kind: OtherCertificate, Changed: []string{"certificate"}, Before: a.text, After: b.text}
		if a.text == b.text {
			what.After += " (another certificate)"
			what.Before += " (another certificate)"
		}
		m := m
		m.a, m.b = a.origins, b.origins
		c.addConnection(what, ch, m)
	}
	ga, gb := c.a.demand(of), c.b.demand(of)
	if ga != gb {
		what := Class{Kind: OtherPolicy, Changed: []string{"TLS of clients"}, Before: ga.String(), After: gb.String()}
		m.a, m.b = c.a.tables["https"].group(of).Origins, c.b.tables["https"].group(of).Origins
		c.addConnection(what, ch, m)
	}
}

func (c *comparison) addConnection(what Class, ch change, m member) {
	m.pair = c.pair(ch)
	o := options{base: explain.Request{Method: "GET", URL: "https://" + ch.class.asked + "/", From: localhost}}
	c.chooseCertificate(&o, ch.class)
	o.choose(func(r explain.Request) explain.Request {
		r.TLSVersion = model.TLS12
		return r
	})
	if m.request, m.found = m.pair.search(o, triesFew, differInConnection); m.found {
		c.add(what, m)
	}
}

// demand is what a handshake asks of the client.
type demand struct {
	version          model.TLSVersion
	clientCA, bundle string
	// grouped says that the host has settings of its own, whose connections are for no other.
	grouped bool
}

func (d demand) String() string {
	text := "TLS of clients: " + string(d.version) + " or later"
	if d.clientCA != "" {
		text += ", a certificate by Secret " + d.clientCA + " (" + d.bundle[:min(8, len(d.bundle))] + ")"
	}
	return text
}

func (s *side) demand(of hostClass) demand {
	group := s.tables["https"].group(of)
	return demand{
		version:  max(model.TLS12, s.gateway.Edge.TLSMinVersion, group.MinVersion),
		clientCA: group.ClientCA, bundle: digest(s.clientCAs[group.ClientCA].Bundle), grouped: group.Name != "",
	}
}

// handshake is the certificate that a class of hosts is served.
type handshake struct {
	chain, text string
	origins     []diag.Origin
}

func (s *side) handshake(of hostClass) handshake {
	named := func(c model.Certificate, as string) handshake {
		return handshake{digest(c.Chain), as + " (" + subject(c.Chain) + ")", c.Origins}
	}
	// Equal changes are told once, so the words name no host.
	for _, own := range []struct{ name, as string }{{of.name, "its own"}, {of.wildcard(), "that of its wildcard"}} {
		if c, there := s.certificates[own.name]; there && own.name != "" && of.hasServerName() {
			return named(c, own.as)
		}
	}
	if s.gateway.Default == nil {
		return handshake{text: "none"}
	}
	return named(*s.gateway.Default, "the default one")
}

// subject says in a few words which certificate it is.
func subject(chain []byte) string {
	block, _ := pem.Decode(chain)
	if block == nil {
		return "no PEM"
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "it does not parse"
	}
	name := leaf.Subject.CommonName
	if name == "" && len(leaf.DNSNames) > 0 {
		name = leaf.DNSNames[0]
	}
	return fmt.Sprintf("%s, until %s, %s", name, leaf.NotAfter.UTC().Format(time.DateOnly), digest(chain)[:8])
}
