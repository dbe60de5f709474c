package dialect

import (
	"slices"
	"strings"
)

// restricting are the beginnings of the keys, in either dialect, that limit who may use a route.
var restricting = []string{
	"auth-", "whitelist-", "allowlist-", "denylist-", "allowed-hosts", "max-conn-", "rate-limit", "limit-",
}

// MarkRestricting sets Restricts on the entries whose key limits who may use a route.
func MarkRestricting(annotations []Annotation) []Annotation {
	out := slices.Clone(annotations)
	for i := range out {
		for _, begin := range restricting {
			if strings.HasPrefix(out[i].Key, begin) {
				out[i].Restricts = true
			}
		}
	}
	return out
}
