package inspect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/envoy"
)

// Kind is a type of xDS resources by its words: Name as Envoy and istioctl have it, Short as its discovery service is called.
type Kind struct {
	Name, Short string
	TypeURL     string
}

var kindWords = map[string][2]string{
	envoy.TypeListener: {"listeners", "lds"}, envoy.TypeRoute: {"routes", "rds"}, envoy.TypeCluster: {"clusters", "cds"},
	envoy.TypeEndpoint: {"endpoints", "eds"}, envoy.TypeSecret: {"secrets", "sds"},
}

// Kinds are all types that are served, in the order in which they are sent.
func Kinds() []Kind {
	var out []Kind
	for _, typeURL := range xds.Types() {
		out = append(out, kindOf(typeURL))
	}
	return out
}

// kindOf is the kind of a type URL; a proxy may ask for types that nobody serves.
func kindOf(typeURL string) Kind {
	words, ok := kindWords[typeURL]
	if !ok {
		return Kind{Name: typeURL, Short: typeURL, TypeURL: typeURL}
	}
	return Kind{Name: words[0], Short: words[1], TypeURL: typeURL}
}

// ParseKind reads a word. The error lists all of them, and says which one may be meant.
func ParseKind(word string) (Kind, error) {
	var all, offered []string
	lower := strings.ToLower(word)
	for _, k := range Kinds() {
		if lower == k.Name || lower == k.Short || lower == strings.TrimSuffix(k.Name, "s") {
			return k, nil
		}
		all = append(all, k.Name, k.Short)
		offered = append(offered, k.Name+" ("+k.Short+")")
	}
	last := len(offered) - 1
	choice := strings.Join(offered[:last], ", ") + " or " + offered[last]
	if near, ok := diag.Nearest(lower, all); ok {
		return Kind{}, fmt.Errorf("%q is no type of resources; did you mean %s? There are %s", word, near, choice)
	}
	return Kind{}, fmt.Errorf("%q is no type of resources: write %s", word, choice)
}

// nearestName is the name among some that may be meant, as the end of a sentence.
func nearestName(name string, names []string) string {
	if near, ok := diag.Nearest(name, slices.Clone(names)); ok {
		return "; did you mean " + near + "?"
	}
	return ""
}
