package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	luav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// The scripts that the Go data plane implements.
const (
	PrefixScript = "prefix-v2"
	BaseScript   = "base-v2"
	// RedirectScript is one of the filters of a URLRedirect.
	RedirectScript = "redirect-v1"

	ErrorPagesScript = "error-pages-v2"
	ErrorBodyScript  = "error-body-v1"

	CertificateScript = "client-certificate-v1"
)

// scriptSHA256 is each script's source, so that a changed script is refused, not guessed.
var scriptSHA256 = map[string]string{
	PrefixScript:      "2ab5d7b20bd4e0fca3028a3c765fedf7eb024145845b888e91d126d87c0ad694",
	RedirectScript:    "e49f85c28e8914255f2d0566b4a169014cee3bed9dcec40bdce453d16e97b1b7",
	BaseScript:        "6dd80d29943766747da48197a3a0839cea84579f8202990c2dbb51e2518aa2bb",
	ErrorPagesScript:  "b4c0df43e3c433784593a318be0fc476bb62a1143bac596b6cd441c402addcac",
	ErrorBodyScript:   "b0aa9d9b5c157c467426f9240621b4fb0e244462e8bdb240449d1636f4240dd5",
	CertificateScript: "4e67b93a5655bcd8cc6fba8c3b5afb7f7836db13b7d80c4603a40e754edba5e6",
}

// Scripts are what a route gives the scripts that it runs.
type Scripts struct {
	// Prefix is the filter context of prefix-v2; empty where the route does not run it.
	Prefix string
	// Base is the filter context of base-v2; nil where the route does not run it.
	Base *Base
}

// Base is the filter context of base-v2.
type Base struct {
	// Prefix is as it stands in an HTML attribute.
	Prefix string
	// Insert has a page without a base element get one.
	Insert bool
}

// checkScripts knows a script by its name and the hash of its source.
func checkScripts(lua *luav3.Lua, at string) error {
	for _, name := range slices.Sorted(maps.Keys(lua.GetSourceCodes())) {
		sum := sha256.Sum256(inline(lua.GetSourceCodes()[name]))
		hash := hex.EncodeToString(sum[:])
		if scriptSHA256[name] != hash {
			return fmt.Errorf("%s: script %q of SHA-256 %s is not known to the Go data plane",
				join(at, "source_codes"), name, hash)
		}
	}
	return nil
}

// runScript reads the filter context that a route gives the script which it runs.
func runScript(script string, body *anypb.Any, at string) (map[string]*structpb.Value, string, error) {
	perRoute := &luav3.LuaPerRoute{}
	at, err := unpack(body, perRoute, at)
	if err == nil && perRoute.GetName() != script {
		err = only(at, "name", script)
	}
	return perRoute.GetFilterContext().GetFields(), at, err
}

func decodePrefix(out *Filters, body *anypb.Any, at string) error {
	context, at, err := runScript(PrefixScript, body, at)
	if err != nil {
		return err
	}
	out.Scripts.Prefix = context["prefix"].GetStringValue()
	if len(context) != 1 || !strings.HasPrefix(out.Scripts.Prefix, "/") {
		return only(at, "filter_context", "one string, prefix, that begins with a slash,")
	}
	return nil
}

func decodeBase(out *Filters, body *anypb.Any, at string) error {
	context, at, err := runScript(BaseScript, body, at)
	if err != nil {
		return err
	}
	base := &Base{Prefix: context["prefix"].GetStringValue(), Insert: context["insert"].GetBoolValue()}
	fields := 1
	if base.Insert {
		fields++
	}
	if len(context) != fields || !strings.HasPrefix(base.Prefix, "/") || strings.ContainsAny(base.Prefix, "\"'<>") {
		return only(at, "filter_context",
			"prefix, a string that begins with a slash and is escaped for HTML, and insert, which is true or absent,")
	}
	out.Scripts.Base = base
	return nil
}
