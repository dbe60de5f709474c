package nginx

import (
	"regexp"
	"slices"
	"testing"
)

// keyCount is the number of annotations of ingress-nginx 1.15, those that only its sources name included.
const keyCount = 139

func TestTable(t *testing.T) {
	form := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	seen := map[string]bool{}
	for _, a := range Table.Annotations {
		if !form.MatchString(a.Key) || seen[a.Key] {
			t.Errorf("%q is no key, or stands there twice", a.Key)
		}
		seen[a.Key] = true
	}
	if len(seen) != keyCount {
		t.Errorf("%d keys, want %d", len(seen), keyCount)
	}
	for _, key := range []string{"permanent-redirect", "auth-signin-redirect-param", "auth-keepalive-timeout", "canary-weight", "proxy-ssl-ciphers", "limit-rps"} {
		if !slices.Contains(keys(), key) {
			t.Errorf("%s is missing", key)
		}
	}
}

func keys() []string {
	var out []string
	for _, a := range Table.Annotations {
		out = append(out, a.Key)
	}
	return out
}
