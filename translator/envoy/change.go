package envoy

import (
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
)

// changeHeaders has a route to a backend change the headers that its policies name. Envoy takes headers off before it
// sets any, so that a header of ours which is to be taken off must not be set.
func (b *routeBuilder) changeHeaders(r *routev3.Route) {
	own := r.RequestHeadersToAdd
	for _, c := range b.route.RequestHeaders {
		name := strings.ToLower(c.Name)
		if name == encodingHeader && slices.ContainsFunc(own, sets(name)) {
			continue // The script reads only what is not compressed.
		}
		own = slices.DeleteFunc(own, sets(name))
		if c.Value == "" {
			r.RequestHeadersToRemove = append(r.RequestHeadersToRemove, name)
		} else {
			own = append(own, overwriteHeader(name, c.Value))
		}
	}
	r.RequestHeadersToAdd = own
	for _, c := range b.route.ResponseHeaders {
		if name := strings.ToLower(c.Name); c.Value == "" {
			r.ResponseHeadersToRemove = append(r.ResponseHeadersToRemove, name)
		} else {
			r.ResponseHeadersToAdd = append(r.ResponseHeadersToAdd, overwriteHeader(name, c.Value))
		}
	}
}

func sets(name string) func(*corev3.HeaderValueOption) bool {
	return func(o *corev3.HeaderValueOption) bool { return o.GetHeader().GetKey() == name }
}
