package live

import (
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/explain"
)

// cookies exchange the values of cookies that keep a client at an endpoint: pairs of the address that the manifests give
// it and that of its test backend.
type cookies [][2]string

// cookies are those of all endpoints, the wanted assignment's first: several may have one address in the manifests.
func (f *farm) cookies(wanted string) cookies {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out cookies
	for of, s := range f.servers {
		pair := [2]string{explain.SessionValue(of.address), explain.SessionValue(s.address.String())}
		if of.assignment == wanted {
			out = slices.Insert(out, 0, pair)
		} else {
			out = append(out, pair)
		}
	}
	return out
}

// back exchanges the other way.
func (c cookies) back() cookies {
	out := make(cookies, len(c))
	for i, pair := range c {
		out[i] = [2]string{pair[1], pair[0]}
	}
	return out
}

// replace exchanges the values within headers.
func (c cookies) replace(headers []string) {
	for i := range headers {
		for _, pair := range c {
			headers[i] = strings.ReplaceAll(headers[i], pair[0], pair[1])
		}
	}
}
