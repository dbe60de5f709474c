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
	PrefixScript = "prefix-v2"
	// BaseScript puts the base element of a page under a prefix.
	BaseScript = "base-v2"
	// ErrorPagesScript puts another backend's page in an error's place, once ErrorBodyScript has emptied it.
	ErrorPagesScript = "error-pages-v2"
	ErrorBodyScript  = "error-body-v1"
	// CertificateScript tells the backend of the client's certificate.
	CertificateScript = "client-certificate-v1"
)

// The lua filters. A route may name one script for each, so each script has a filter of its own.
const (
	prefixFilterName = "envoy.filters.http.lua"
	baseFilterName   = "envoy.filters.http.lua.base"

	errorPagesFilterName = "envoy.filters.http.lua.error-pages"
	errorBodyFilterName  = "envoy.filters.http.lua.error-body"

	certificateFilterName = "envoy.filters.http.lua.client-certificate"
)

// A script is constant: what a route adds to it travels in that route's filter context. A changed script gets a new
// name, so that a data plane which knows the old one by its hash refuses the new one rather than guess.
//
//go:embed scripts/prefix-v2.lua
var prefixScript string

//go:embed scripts/base-v2.lua
var baseScript string

//go:embed scripts/redirect-v1.lua
var redirectScript string

//go:embed scripts/error-pages-v2.lua
var errorPagesScript string

//go:embed scripts/error-body-v1.lua
var errorBodyScript string

//go:embed scripts/client-certificate-v1.lua
var certificateScript string

// scriptFilters are the lua filters in front of the router; a route's runScript switches one on.
func scriptFilters() []*hcmv3.HttpFilter {
	return []*hcmv3.HttpFilter{
		scriptFilter(prefixFilterName, PrefixScript, prefixScript),
		scriptFilter(baseFilterName, BaseScript, baseScript),
	}
}

func scriptFilter(name, script, source string) *hcmv3.HttpFilter {
	return disabled(name, &luav3.Lua{SourceCodes: map[string]*corev3.DataSource{
		script: {Specifier: &corev3.DataSource_InlineString{InlineString: source}},
	}})
}

// runScript is a route's configuration of the lua filter of a script: its name and what it reads.
func runScript(name string, context map[string]*structpb.Value) *luav3.LuaPerRoute {
	return &luav3.LuaPerRoute{
		Override: &luav3.LuaPerRoute_Name{Name: name}, FilterContext: &structpb.Struct{Fields: context},
	}
}
