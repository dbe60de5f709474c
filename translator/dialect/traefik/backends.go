package traefik

import (
	"slices"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// preserveHost is the whole key of preserve-host, in its most usual spelling.
const preserveHost = "traefik.ingress.kubernetes.io/preserve-host"

var backends = []dialect.Annotation{
	{
		Key: "preserve-host", Aliases: []string{"traefik.frontend.passHostHeader"}, On: dialect.OnIngress,
		Type: "true or false", Support: dialect.Approximated,
		Note:    "With false, the backend sees the name of its Service (or the ExternalName), where Traefik sent the pod's address.",
		Doc:     "Whether the backend sees the client's Host; it does by default.",
		Example: "false", Family: "backends", Case: "traefik/preserve-host",
	},
	{
		Key: "protocol", On: dialect.OnIngress, Type: "http, https or h2c", Support: dialect.Applied,
		Doc:     "How the backend is spoken to. Without it: https where the Service port is 443 or its name begins with https, else http.",
		Example: "https", Family: "backends", Case: "backend/protocol",
	},
}

func readBackends(r *dialect.Reader, shape *dialect.Shape) {
	if keep, at, ok := r.Bool("preserve-host"); ok {
		shape.Policies.ReplaceHost, shape.Policies.ReplaceHostOrigin = !keep, at
		shape.Annotations = append(shape.Annotations, at)
	}
	text, at, ok := r.Value("protocol")
	if !ok {
		return
	}
	shape.Annotations = append(shape.Annotations, at)
	protocol := model.Protocol(text)
	if slices.Contains([]model.Protocol{model.ProtocolHTTP, model.ProtocolHTTPS, model.ProtocolH2C}, protocol) {
		shape.Policies.Protocol, shape.Policies.ProtocolOrigin = protocol, at
		return
	}
	r.Close(diag.New(diag.CodeBadProtocol, at, text+" is not a backend protocol", "its routes answer 503", "write http, https or h2c"))
}

// Service reads the annotations of a Service.
func Service(s source.Service) model.ServiceTraits {
	r := dialect.Read(Table, dialect.OnService, s.Annotations, s.AnnotationOrigin)
	policies := readServices(r)
	return model.ServiceTraits{Diagnostics: r.Diagnostics, Closed: r.Closed, Annotated: r.Annotated, ServicePolicies: policies}
}
