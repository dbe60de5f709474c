package dialect

import (
	"slices"
	"strings"
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

// MarkRestricting sets Restricts on the entries whose key limits who may use a route.
func MarkRestricting(annotations []Annotation) []Annotation {
	out := slices.Clone(annotations)
	for i := range out {
		out[i].Restricts = out[i].Restricts || hasAnyPrefix(out[i].Key, restricting)
	}
	return out
}
