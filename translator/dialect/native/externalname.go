package native

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

const allowExternalNameFrom = "allow-external-name-from"

var externalNames = []dialect.Annotation{
	{
		Key: allowExternalNameFrom, On: dialect.OnService, Type: "a list of namespaces", Support: dialect.Applied,
		Family: "external names", Case: "externalname/same-namespace",
		Doc: "With --external-name same-namespace, the other namespaces whose ExternalName Services may lead to this Service. " +
			"There is no wildcard.",
		Example: "shop,blog",
	},
	{
		Key: allowExternalNameFrom, On: dialect.OnNamespace, Type: "a list of namespaces", Support: dialect.Applied,
		Family: "external names", Case: "externalname/same-namespace",
		Doc: "With --external-name same-namespace, the other namespaces whose ExternalName Services may lead to any Service of this one. " +
			"There is no wildcard.",
		Example: "shop,blog",
	},
}

// namespaceName is the form of a namespace's name, an RFC 1123 label.
var namespaceName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// readExternalNames reads the namespaces that an object lets in. What is no name of one lets nobody in.
func readExternalNames(r *dialect.Reader) []string {
	text, at, ok := r.Value(allowExternalNameFrom)
	if !ok {
		return nil
	}
	var out []string
	for _, name := range strings.Split(text, ",") {
		name = strings.TrimSpace(name)
		if !namespaceName.MatchString(name) {
			r.Say(diag.New(diag.CodeBadValue, at, fmt.Sprintf("%q is not the name of a namespace", name),
				"it lets no namespace in", "name each namespace; there is no wildcard"))
			continue
		}
		out = append(out, name)
	}
	return out
}

// Namespace reads Postern's own annotations of a Namespace.
func Namespace(n source.Namespace) model.NamespaceTraits {
	r := dialect.Read(Table, dialect.OnNamespace, n.Annotations, n.AnnotationOrigin)
	from := readExternalNames(r)
	return model.NamespaceTraits{Diagnostics: r.Diagnostics, Annotated: r.Annotated, Closed: r.Closed, ExternalNameFrom: from}
}
