package diff

import (
	"cmp"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
)

// options are the requests that are tried: base, and that with one of some choices each.
type options struct {
	base    explain.Request
	choices [][]variation
}

// variation is a request that differs in one point.
type variation func(explain.Request) explain.Request

func (o *options) choose(v ...variation) {
	if len(v) > 0 {
		o.choices = append(o.choices, v)
	}
}

// header sends a header.
func header(name, value string) variation {
	return func(r explain.Request) explain.Request {
		r.Header = r.Header.Clone()
		if r.Header == nil {
			r.Header = http.Header{}
		}
		r.Header.Set(name, value)
		return r
	}
}

// options are what the routes of both sides look at, and no more. They are the same from b to a.
func (c *comparison) options(ch change) options {
	o := options{base: explain.Request{Method: http.MethodGet, URL: ch.class.scheme + "://" + ch.class.asked + ch.path, From: localhost}}
	var routes []model.Route
	for _, v := range slices.Concat(ch.a, ch.b) {
		routes = append(routes, *v.route)
	}
	c.chooseClient(&o, routes)
	c.chooseProto(&o, routes)
	c.chooseHost(&o, ch, routes)
	c.chooseUser(&o, ch, routes)
	choosePath(&o, ch, routes)
	o.choose(func(r explain.Request) explain.Request {
		r.Method = http.MethodPost
		return r
	})
	chooseHeaders(&o, routes)
	c.chooseCertificate(&o, ch.class)
	return o
}

var localhost = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// chooseClient tries an address of each set that the lists of addresses tell apart.
func (c *comparison) chooseClient(o *options, routes []model.Route) {
	lists := [][]netip.Prefix{
		c.a.gateway.Edge.TrustedProxies, c.b.gateway.Edge.TrustedProxies, c.a.gateway.Edge.AllowedClients, c.b.gateway.Edge.AllowedClients,
	}
	for _, r := range routes {
		if r.Access != nil && r.Access.Sources != nil {
			lists = append(lists, r.Access.Sources.Ranges)
		}
	}
	addresses := distinct(lists)
	if len(addresses) == 0 {
		return
	}
	var peers, clients []variation
	for _, addr := range addresses {
		peers = append(peers, func(r explain.Request) explain.Request {
			r.From = addr
			return r
		})
		clients = append(clients, header("X-Forwarded-For", addr.String()))
	}
	o.choose(peers...)
	if c.trusts() {
		o.choose(append(clients, header("X-Forwarded-For", "unknown"))...)
	}
}

func (c *comparison) trusts() bool {
	return len(c.a.gateway.Edge.TrustedProxies)+len(c.b.gateway.Edge.TrustedProxies) > 0
}

// distinct are addresses of which each is in other lists: the borders of all ranges, and beside them.
func distinct(lists [][]netip.Prefix) []netip.Addr {
	var candidates []netip.Addr
	for _, list := range lists {
		for _, p := range list {
			first, last := p.Masked().Addr(), lastOf(p)
			candidates = append(candidates, first, last, first.Prev(), last.Next())
		}
	}
	candidates = append(candidates, netip.MustParseAddr("2001:db8:ffff::1"), netip.MustParseAddr("198.51.100.77"))
	slices.SortFunc(candidates, func(a, b netip.Addr) int { return cmp.Or(cmp.Compare(a.BitLen(), b.BitLen()), a.Compare(b)) })
	var out []netip.Addr
	seen := map[string]bool{membership(lists, localhost): true}
	for _, addr := range slices.Compact(candidates) {
		if !addr.IsValid() || addr.IsUnspecified() {
			continue
		}
		if key := membership(lists, addr); !seen[key] {
			seen[key] = true
			out = append(out, addr)
		}
	}
	return out
}

func membership(lists [][]netip.Prefix, addr netip.Addr) string {
	key := make([]byte, len(lists))
	for i, list := range lists {
		key[i] = '0'
		if slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(addr) }) {
			key[i] = '1'
		}
	}
	return string(key)
}

// lastOf is the highest address of a range.
func lastOf(p netip.Prefix) netip.Addr {
	bytes := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(bytes)*8; i++ {
		bytes[i/8] |= 0x80 >> (i % 8)
	}
	addr, _ := netip.AddrFromSlice(bytes)
	return addr
}

// chooseProto says that the client came over HTTPS, in each way that counts.
func (c *comparison) chooseProto(o *options, routes []model.Route) {
	said := map[[2]string]bool{}
	if c.trusts() {
		said[[2]string{"X-Forwarded-Proto", "https"}] = true
	}
	for _, r := range routes {
		if r.HTTPSRedirect == nil {
			continue
		}
		for _, h := range r.HTTPSRedirect.Unless {
			said[[2]string{http.CanonicalHeaderKey(h.Name), h.Value}] = true
		}
	}
	var out []variation
	for _, h := range slices.SortedFunc(maps.Keys(said), func(a, b [2]string) int { return cmp.Or(strings.Compare(a[0], b[0]), strings.Compare(a[1], b[1])) }) {
		out = append(out, header(h[0], h[1]))
	}
	o.choose(out...)
}

// chooseHost tries names of the same class that limits and redirects know, with their ports.
func (c *comparison) chooseHost(o *options, ch change, routes []model.Route) {
	names, headers := map[string]bool{}, map[[2]string]bool{}
	for _, r := range routes {
		if h := r.HostRedirect; h != nil {
			names[h.Host], names[ch.class.asked+":8443"] = true, true
		}
		if r.Access == nil || r.Access.Hosts == nil {
			continue
		}
		for _, name := range r.Access.Hosts.Names {
			names[name] = true
			for _, by := range r.Access.Hosts.Headers {
				headers[[2]string{by, name}] = true
			}
		}
		for _, by := range r.Access.Hosts.Headers {
			headers[[2]string{by, "none.invalid"}] = true
		}
	}
	var out []variation
	for _, name := range slices.Sorted(maps.Keys(names)) {
		host, port := name, ""
		if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, ']') {
			host, port = name[:i], name[i:]
		}
		host = strings.ToLower(host)
		of := c.classOf(ch.class.scheme, host)
		if of.kind != ch.class.kind || of.name != ch.class.name || host+port == ch.class.asked {
			continue
		}
		out = append(out, func(r explain.Request) explain.Request {
			scheme, rest, _ := strings.Cut(r.URL, "://")
			r.URL = scheme + "://" + host + port + rest[strings.IndexByte(rest, '/'):]
			return r
		})
	}
	o.choose(out...)
	var said []variation
	for _, h := range slices.SortedFunc(maps.Keys(headers), func(a, b [2]string) int { return cmp.Or(strings.Compare(a[0], b[0]), strings.Compare(a[1], b[1])) }) {
		said = append(said, header(h[0], h[1]))
	}
	o.choose(said...)
}

// chooseUser logs in as one user of each set that the sides tell apart, first as those whom only one side has: what they get
// can be told without their names.
func (c *comparison) chooseUser(o *options, ch change, routes []model.Route) {
	lines := map[string]map[string]bool{}
	asks := false
	for _, r := range routes {
		if r.Auth == nil || r.Auth.Forward != nil {
			continue
		}
		asks = true
		for _, s := range []*side{c.a, c.b} {
			u := s.reader.users[r.Auth.UsersName()]
			for _, e := range u.Entries {
				if lines[e.Name] == nil {
					lines[e.Name] = map[string]bool{}
				}
				lines[e.Name][u.Name+digest(e.Hash)] = true
			}
		}
	}
	if !asks {
		return
	}
	var out []variation
	seen := map[string]bool{}
	names := slices.Sorted(maps.Keys(lines))
	slices.SortStableFunc(names, func(x, y string) int {
		return cmp.Compare(sharedBy(c, ch, x), sharedBy(c, ch, y))
	})
	for _, name := range append(names, "somebody") {
		key := membershipOfUser(c, routes, name)
		if seen[key] {
			continue
		}
		seen[key] = true
		out = append(out, func(r explain.Request) explain.Request {
			r.User = name
			return r
		})
	}
	o.choose(out...)
}

// sharedBy is 0 for a user whom one side alone has, 1 for others.
func sharedBy(c *comparison, ch change, name string) int {
	has := func(s *side, views []view) bool {
		return slices.ContainsFunc(views, func(v view) bool {
			a := v.route.Auth
			return a != nil && a.Forward == nil && passwordOf(model.Gateway{Users: []model.Users{s.reader.users[a.UsersName()]}}, *a, name) != ""
		})
	}
	if has(c.a, ch.a) != has(c.b, ch.b) {
		return 0
	}
	return 1
}

// membershipOfUser tells which lists have a user, and with how many passwords.
func membershipOfUser(c *comparison, routes []model.Route, name string) string {
	key := ""
	passwords := map[string]int{}
	for _, r := range routes {
		if r.Auth == nil || r.Auth.Forward != nil {
			continue
		}
		for _, s := range []*side{c.a, c.b} {
			password := passwordOf(model.Gateway{Users: []model.Users{s.reader.users[r.Auth.UsersName()]}}, *r.Auth, name)
			if _, known := passwords[password]; !known && password != "" {
				passwords[password] = len(passwords) + 1
			}
			key += fmt.Sprint(passwords[password], " ")
		}
	}
	return key
}

// chooseHeaders sends every header that a route changes, at once.
func chooseHeaders(o *options, routes []model.Route) {
	names := map[string]bool{}
	for _, r := range routes {
		for _, change := range r.RequestHeaders {
			names[change.Name] = true
		}
		if a := r.Auth; a != nil {
			names["Authorization"] = true
			names[http.CanonicalHeaderKey(a.HeaderField)] = true
			if a.Forward != nil {
				names["X-Forwarded-Method"] = true
			}
		}
		if r.ClientCertificate != nil {
			names["X-Forwarded-Tls-Client-Cert"] = true
		}
	}
	for _, name := range []string{"", "Host", "Connection", "Upgrade", "Te", "Expect"} {
		delete(names, name)
	}
	if len(names) == 0 {
		return
	}
	o.choose(func(r explain.Request) explain.Request {
		for _, name := range slices.Sorted(maps.Keys(names)) {
			r = header(name, "x")(r)
		}
		return r
	})
}

// chooseCertificate shows a certificate that the other side takes: an authority's own chains to itself.
func (c *comparison) chooseCertificate(o *options, of hostClass) {
	if of.scheme != "https" {
		return
	}
	var out []variation
	for _, s := range []*side{c.a, c.b} {
		ca, asked := s.clientCAs[s.tables["https"].group(of).ClientCA]
		if !asked {
			continue
		}
		for block, rest := pem.Decode(ca.Bundle); block != nil; block, rest = pem.Decode(rest) {
			shown := pem.EncodeToMemory(block)
			out = append(out, func(r explain.Request) explain.Request {
				r.ClientCertificate = shown
				return r
			})
		}
	}
	o.choose(out...)
}
