package native

import (
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

var rewrites = []dialect.Annotation{
	{
		Key: "strip-prefix", On: dialect.OnIngress, Type: "true or false", Support: dialect.Applied,
		Family: "paths", Case: "native/strip-prefix",
		Doc: "Whether the backends see the paths without the prefix that matched. Exact paths, and /, are left as they are. " +
			"GET and HEAD of the prefix itself are redirected to its directory form, X-Forwarded-Prefix is sent, and Location and cookie paths are put under the prefix.",
		Example: "true",
	},
	{
		Key: "rewrite-base", On: dialect.OnIngress, Type: "true or false", Support: dialect.Applied,
		Family: "paths", Case: "prefix/base",
		Doc: "Whether, where a prefix is stripped, the base element of HTML pages is put under it: `<base href=\"/\">` becomes `<base href=\"/k8s/\">`. " +
			"The backends are asked for uncompressed answers.",
		Example: "true",
	},
}

// pathReading is how a dialect reads the path of a rule.
type pathReading = func(networkingv1.HTTPIngressPath, diag.Origin) ([]dialect.PathClaim, []diag.D)

func annotateRewrites(r *dialect.Reader, ing source.Ingress, shape dialect.Shape) dialect.Shape {
	if strip, at, ok := r.Bool("strip-prefix"); ok && strip {
		shape.Path = each(shape.Path, func(c *dialect.PathClaim) { stripPrefix(c, at) })
		shape.Annotations = append(shape.Annotations, at)
		if !stripsPrefix(ing, shape) {
			r.Say(diag.New(diag.CodeWithoutEffect, at, "there is no prefix to strip", "it has no effect",
				"give a rule a path of type Prefix, other than /"))
		}
	}
	if rewrite, at, ok := r.Bool("rewrite-base"); ok && rewrite {
		if !stripsPrefix(ing, shape) {
			r.Say(diag.New(diag.CodeWithoutEffect, at, "no prefix is stripped under which a base could be put", "it has no effect",
				"strip one by postern.dev/strip-prefix: \"true\", or by Traefik's rule-type PathPrefixStrip"))
			return shape
		}
		shape.Path = each(shape.Path, func(c *dialect.PathClaim) { rewriteBase(c, at) })
		shape.Annotations = append(shape.Annotations, at)
	}
	return shape
}

// each changes every claim of a reading.
func each(read pathReading, change func(*dialect.PathClaim)) pathReading {
	return func(rule networkingv1.HTTPIngressPath, at diag.Origin) ([]dialect.PathClaim, []diag.D) {
		claims, ds := read(rule, at)
		for i := range claims {
			change(&claims[i])
		}
		return claims, ds
	}
}

// stripPrefix takes off what the path matched, as Traefik's PathPrefixStrip does. A path that replaces every other
// takes the place of a strip, and so does a rewriting that replaces what matched, or a part of it.
func stripPrefix(c *dialect.PathClaim, at diag.Origin) {
	if _, adds := c.Rewrite.(*model.AddPrefix); c.Rewrite != nil && !adds {
		return
	}
	if c.Match.Kind != model.PathExact && c.Match.Value != "/" && c.Replace == "" && c.Strip == nil {
		c.Strip = &model.Strip{Prefix: strings.TrimRight(c.Match.Value, "/"), Origin: at}
	}
}

func rewriteBase(c *dialect.PathClaim, at diag.Origin) {
	if c.Strip != nil && c.Match.Kind != model.PathExact {
		c.Strip = &model.Strip{Prefix: c.Strip.Prefix, RewriteBase: true, Origin: c.Strip.Origin, BaseOrigin: at}
	}
}

// stripsPrefix says whether a path of the Ingress loses its prefix.
func stripsPrefix(ing source.Ingress, shape dialect.Shape) bool {
	for _, rule := range ing.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for _, path := range rule.HTTP.Paths {
			claims, _ := shape.Path(path, diag.Origin{})
			if slices.ContainsFunc(claims, func(c dialect.PathClaim) bool { return c.Strip != nil && c.Match.Kind != model.PathExact }) {
				return true
			}
		}
	}
	return false
}
