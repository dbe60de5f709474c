package envoy

import (
	_ "embed"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	luav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// The names of the scripts.
const (
	// PrefixScript puts Location and cookie paths of a response under a prefix.
	PrefixScript = "prefix-v1"
	// BaseScript puts the base element of a page under a prefix.
	BaseScript = "base-v1"
)

// The lua filters. A route may name one script for each, so each script has a filter of its own.
const (
	prefixFilterName = "envoy.filters.http.lua"
	baseFilterName   = "envoy.filters.http.lua.base"
)

// A script is constant: what a route adds to it travels in that route's filter context. A changed script gets a new
// name, so that a data plane which knows the old one by its hash refuses the new one rather than guess.
//
//go:embed scripts/prefix-v1.lua
var prefixScript string

//go:embed scripts/base-v1.lua
var baseScript string

//go:embed scripts/redirect-v1.lua
var redirectScript string

// scriptFilters are the lua filters; a route's runScript switches one on.
func scriptFilters() []*hcmv3.HttpFilter {
	filter := func(name, script, source string) *hcmv3.HttpFilter {
		lua := &luav3.Lua{SourceCodes: map[string]*corev3.DataSource{
			script: {Specifier: &corev3.DataSource_InlineString{InlineString: source}},
		}}
		return disabled(name, lua)
	}
	return []*hcmv3.HttpFilter{
		filter(prefixFilterName, PrefixScript, prefixScript),
		filter(baseFilterName, BaseScript, baseScript),
	}
}

// runScript is a route's configuration of the lua filter of a script: its name and what it reads.
func runScript(name string, context map[string]*structpb.Value) *luav3.LuaPerRoute {
	return &luav3.LuaPerRoute{
		Override: &luav3.LuaPerRoute_Name{Name: name}, FilterContext: &structpb.Struct{Fields: context},
	}
}
