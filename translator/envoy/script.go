package envoy

import (
	_ "embed"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// PrefixScript is the name of the script that puts Location and cookie paths of a response under a prefix.
const PrefixScript = "prefix-v1"

// A script is constant: what a route adds to it travels in that route's filter context. A changed script gets a new
// name, so that a data plane which knows the old one by its hash refuses the new one rather than guess.
//
//go:embed scripts/prefix-v1.lua
var prefixScript string

func scripts() map[string]*corev3.DataSource {
	return map[string]*corev3.DataSource{
		PrefixScript: {Specifier: &corev3.DataSource_InlineString{InlineString: prefixScript}},
	}
}
