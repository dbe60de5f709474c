package model

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// Redacted stands wherever something is left out.
const Redacted = "[redacted]"

// Who may look at a gateway need not be one who may read its Ingresses, so that of these no value is shown, by this one rule:
//
//   - the value of a header that an annotation sets, in a request or in an answer, or that it accepts (HeaderChange, HeaderIs);
//   - the query of a URL that the gateway itself asks for (ForwardAuth, ErrorPage): WithoutQuery;
//   - the lines of users, their names included, and private keys (Sensitive).
//
// Names of headers, URLs without their query and Secrets' names are shown. Where a client is redirected to everybody is told.

// WithoutQuery is a URL or path that the gateway itself asks for as it may be shown: with Redacted in the place of its query.
func WithoutQuery(url string) string {
	before, _, has := strings.Cut(url, "?")
	if has {
		before += "?" + Redacted
	}
	return before
}

// ShownURL is URL as it may be shown.
func (f ForwardAuth) ShownURL() string { return WithoutQuery(f.URL()) }

// ShownPath is Path as it may be shown.
func (p ErrorPage) ShownPath() string { return WithoutQuery(p.Path) }

// Is says whether a header's value is this one. A digest in its place is that of one text in 65,536.
func (h HeaderIs) Is(value string) bool {
	return value == h.Value || isDigest(h.Value) && digest(h.Name, value) == h.Value
}

// digestMark begins a digest. It is a character that neither a header nor a URL has, so that nothing written is taken for one.
const digestMark = "\x01"

// digestBytes are what of a hash is kept: see Concealed.
const digestBytes = 2

func isDigest(value string) bool { return strings.HasPrefix(value, digestMark) }

// digest stands for a value of something that has a name. It is its own digest.
func digest(name, value string) string {
	if isDigest(value) {
		return value
	}
	sum := sha256.Sum256([]byte(strings.ToLower(name) + "\x00" + value))
	return digestMark + hex.EncodeToString(sum[:digestBytes])
}

// Concealed is the gateway with digests in the place of the values that annotations give and nobody is shown. It is what
// Encode writes: equal values of one header are equal there too, so that two gateways can be compared by them.
//
// Who reads a digest can try guesses on it. No key can hinder that, since any two that compare would have to share it, and a
// slow hash would cost a live server more for its thousands of values than whoever guesses one. So what is kept is short: 16
// bits of SHA-256. They tell 16 bits of a value at the very most, however many guesses are tried: of 65,536 guesses one fits
// that is wrong, so that a random token keeps its strength, and of a dictionary's words many remain. The price is that one
// change in 65,536 goes unnoticed where one of the two sides was written by Encode. The header's name is hashed too: that
// two headers have one value is not told.
func (g Gateway) Concealed() Gateway {
	g.Tables = slices.Clone(g.Tables)
	for i := range g.Tables {
		t := &g.Tables[i]
		t.Exact, t.Wildcard = concealedHosts(t.Exact), concealedHosts(t.Wildcard)
		t.Any, t.Default = mapped(t.Any, Route.concealed), mapped(t.Default, Route.concealed)
	}
	return g
}

// Comparable are two gateways of which both are concealed where one is.
func Comparable(a, b Gateway) (Gateway, Gateway) {
	if a.conceals() || b.conceals() {
		return a.Concealed(), b.Concealed()
	}
	return a, b
}

// conceals says whether a gateway has a digest, as one that was read has.
func (g Gateway) conceals() bool {
	for _, t := range g.Tables {
		for _, h := range slices.Concat(t.Exact, t.Wildcard, []HostRoutes{{Routes: t.Any}, {Routes: t.Default}}) {
			if slices.ContainsFunc(h.Routes, Route.conceals) {
				return true
			}
		}
	}
	return false
}

func (r Route) conceals() bool {
	set := func(c HeaderChange) bool { return isDigest(c.Value) }
	digested := func(url string) bool { return strings.Contains(url, "?"+digestMark) }
	return slices.ContainsFunc(r.RequestHeaders, set) || slices.ContainsFunc(r.ResponseHeaders, set) ||
		r.HTTPSRedirect != nil && slices.ContainsFunc(r.HTTPSRedirect.Unless, func(h HeaderIs) bool { return isDigest(h.Value) }) ||
		r.Auth != nil && r.Auth.Forward != nil && digested(r.Auth.Forward.Target) ||
		slices.ContainsFunc(r.ErrorPages, func(p ErrorPage) bool { return digested(p.Path) })
}

func (r Route) concealed() Route {
	r.RequestHeaders, r.ResponseHeaders = mapped(r.RequestHeaders, HeaderChange.concealed), mapped(r.ResponseHeaders, HeaderChange.concealed)
	if s := r.HTTPSRedirect; s != nil && len(s.Unless) > 0 {
		redirect := *s
		redirect.Unless = mapped(s.Unless, func(h HeaderIs) HeaderIs { return HeaderIs{Name: h.Name, Value: digest(h.Name, h.Value)} })
		r.HTTPSRedirect = &redirect
	}
	if a := r.Auth; a != nil && a.Forward != nil {
		auth, forward := *a, *a.Forward
		forward.Target = concealedQuery(forward.Target)
		auth.Forward, r.Auth = &forward, &auth
	}
	r.ErrorPages = mapped(r.ErrorPages, func(p ErrorPage) ErrorPage {
		p.Path = concealedQuery(p.Path)
		return p
	})
	return r
}

// concealed leaves a header that is taken off as it is.
func (c HeaderChange) concealed() HeaderChange {
	if c.Value != "" {
		c.Value = digest(c.Name, c.Value)
	}
	return c
}

func concealedHosts(of []HostRoutes) []HostRoutes {
	return mapped(of, func(h HostRoutes) HostRoutes {
		h.Routes = mapped(h.Routes, Route.concealed)
		return h
	})
}

func concealedQuery(url string) string {
	before, query, has := strings.Cut(url, "?")
	if !has {
		return url
	}
	return before + "?" + digest(before, query)
}

// mapped is nil for nil.
func mapped[T any](of []T, change func(T) T) []T {
	of = slices.Clone(of)
	for i := range of {
		of[i] = change(of[i])
	}
	return of
}
