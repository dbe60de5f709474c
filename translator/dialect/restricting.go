package dialect

import (
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
)

// restricting are the beginnings of the keys, in either dialect, that limit who may use a route.
var restricting = []string{
	"auth-", "whitelist-", "allowlist-", "denylist-", "allowed-hosts", "max-conn-", "rate-limit", "limit-",
}

// looksRestricting says whether a key, known or not, reads as if it limited who may use a route.
func looksRestricting(key string) bool {
	key = strings.ToLower(key)
	return hasAnyPrefix(key, restricting) || hasAnyPrefix(key, []string{"auth", "whitelist", "allowlist", "denylist", "blacklist", "basic-auth", "forward-auth", "client-ca", "client-cert", "mtls", "tls-min"})
}

func hasAnyPrefix(s string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}

// Restrictions are those of an object's annotations that have, or read as if they had, a say in who may use its routes or
// in how a backend is verified, whoever they are meant for: by whole key, without regard to what they say.
func Restrictions(annotations map[string]string, tables ...*Table) map[string]string {
	out := map[string]string{}
	for whole, value := range annotations {
		_, key, _ := strings.Cut(whole, "/")
		says := looksRestricting(key) || strings.Contains(key, "entry-point")
		for _, t := range tables {
			says = says || t.restricts(whole)
		}
		if says {
			out[whole] = strings.TrimSpace(value)
		}
	}
	return out
}

// restricts says whether the entry that a whole key is, or one that it nearly is, restricts access or protects a connection.
func (t *Table) restricts(whole string) bool {
	key, ours := t.split(whole)
	if !ours {
		return false
	}
	known := slices.ContainsFunc(t.Annotations, func(a Annotation) bool { return a.Key == key })
	return slices.ContainsFunc(t.Annotations, func(a Annotation) bool {
		near := a.Key == key || !known && diag.Distance(strings.ToLower(key), a.Key) <= max(1, len(a.Key)/4)
		return near && (a.Restricts || a.Protects)
	})
}

// MarkRestricting sets Restricts on the entries whose key limits who may use a route.
func MarkRestricting(annotations []Annotation) []Annotation {
	out := slices.Clone(annotations)
	for i := range out {
		out[i].Restricts = out[i].Restricts || hasAnyPrefix(out[i].Key, restricting)
	}
	return out
}
