package native

import (
	"slices"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/model"
)

// PreserveHost is the whole key of preserve-host.
const PreserveHost = "postern.dev/preserve-host"

var backends = []dialect.Annotation{
	{
		Key: "preserve-host", On: dialect.OnIngress, Type: "true or false", Support: dialect.Applied,
		Family: "backends", Case: "native/backend-protocol",
		Doc:     "Whether the backend sees the client's Host; it does by default. With false it sees the name of its Service, or the ExternalName.",
		Example: "false",
	},
	{
		Key: "backend-protocol", On: dialect.OnIngress, Type: protocolForms, Support: dialect.Applied,
		Family: "backends", Case: "native/backend-protocol",
		Doc:     "How the backends of the Ingress are spoken to, whatever their Services say.",
		Example: "https",
	},
	{
		Key: "backend-protocol", On: dialect.OnService, Type: protocolForms, Support: dialect.Applied,
		Family: "backends", Case: "native/backend-protocol",
		Doc:     "How the Service is spoken to. Without it, its port's appProtocol says; without that, the Ingress's dialect.",
		Example: "https",
	},
}

const protocolForms = "http, https or h2c"

func annotateBackends(r *dialect.Reader, shape dialect.Shape) dialect.Shape {
	if keep, at, ok := r.Bool("preserve-host"); ok {
		shape.Policies.ReplaceHost, shape.Policies.ReplaceHostOrigin = !keep, at
		shape.Annotations = append(shape.Annotations, at)
	}
	if protocol, at, ok := readProtocol(r); ok {
		shape.Policies.Protocol, shape.Policies.ProtocolOrigin = protocol, at
		shape.Annotations = append(shape.Annotations, at)
	}
	return shape
}

func serviceBackends(r *dialect.Reader, traits model.ServiceTraits) model.ServiceTraits {
	if protocol, at, ok := readProtocol(r); ok {
		traits.Protocol, traits.ProtocolOrigin = protocol, at
	}
	return traits
}

// readProtocol closes the routes for a value that is no protocol: a wrong guess could send in clear what was meant to
// be encrypted.
func readProtocol(r *dialect.Reader) (model.Protocol, diag.Origin, bool) {
	text, at, ok := r.Value("backend-protocol")
	if !ok {
		return "", at, false
	}
	protocol := model.Protocol(text)
	if !slices.Contains([]model.Protocol{model.ProtocolHTTP, model.ProtocolHTTPS, model.ProtocolH2C}, protocol) {
		r.Close(diag.New(diag.CodeBadProtocol, at, text+" is not a backend protocol", "its routes answer 503", "write "+protocolForms))
		return "", at, false
	}
	return protocol, at, true
}
