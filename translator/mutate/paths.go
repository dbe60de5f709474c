package mutate

import (
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/postern-gateway/postern/translator/dialect/traefik"
)

// patterns and replacements are regexes, and what their matches become, that some regex engine has refused or read
// otherwise than another.
var (
	patterns = []string{
		"^(.*)$", "(a", "a**", "(?i)k+", "x{1000}", "x{1001}", "((x{30}){30}){2}", "[a-z]{0,200}", ".{999}", `\pL+`, `\p{Greek}`, `\x{e9}`, "é", `\C`, `\Qa`, `(?P<n>.)(?P<m>/)`,
		"(?<n>a)", "(?=a)", `\_\-\/`, `\8`, `\z`, "(?m)^/$", "(?U)a*", "[[:alpha:]]", "[^\x00]", "()", "|", "a|", "(?:)", `\\.`, `\\`, "(((((((((((a)))))))))))", "[acegikmoqsuwy]{60}",
	}
	replacements = []string{"$1", "/${1}", "/$n", "$$", "$", "/$10", "/$9", "/${1", "/$1x", `/\1`, `/\`, `/\\`, "https://x/$1", "{{x}}", "/%", "/a b", "/é", "/\n", "/..", "/$1.$1", "x"}
)

// paths has an Ingress change paths and redirect by regexes.
func (m *mutator) paths(ing *networkingv1.Ingress) {
	set := func(key, value string) {
		if ing.Annotations == nil {
			ing.Annotations = map[string]string{}
		}
		ing.Annotations[traefik.Table.Prefixes[m.rand.IntN(2)]+key] = value
	}
	one := func(from []string) string { return from[m.rand.IntN(len(from))] }
	switch m.rand.IntN(4) {
	case 0:
		set("request-modifier", []string{"AddPrefix:", "ReplacePath: ", "ReplacePathRegex: "}[m.rand.IntN(3)]+m.text())
	case 1:
		set("request-modifier", "ReplacePathRegex: "+one(patterns)+" "+one(replacements))
	case 2:
		set("redirect-regex", one(patterns))
		set("redirect-replacement", one(replacements))
	default:
		set("ssl-redirect", "true")
		set("ssl-host", m.text())
		set("ssl-force-host", "true")
		set("ssl-proxy-headers", m.text()+":"+m.text()+"||x-forwarded-proto:"+m.text())
	}
}
