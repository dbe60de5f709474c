package envoy

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/postern-gateway/postern/translator/model"
)

// passCertificate has the script tell the backend of the client's certificate.
func passCertificate(r *routev3.Route, p model.PassedCertificate) {
	context := map[string]*structpb.Value{}
	flag := func(name string, on bool) {
		if on {
			context[name] = structpb.NewBoolValue(true)
		}
	}
	list := func(name string, items []string) {
		var values []*structpb.Value
		for _, item := range items {
			values = append(values, structpb.NewStringValue(item))
		}
		if values != nil {
			context[name] = structpb.NewListValue(&structpb.ListValue{Values: values})
		}
	}
	flag("pem", p.PEM)
	if i := p.Infos; i != nil {
		flag("infos", true)
		flag("notbefore", i.NotBefore)
		flag("notafter", i.NotAfter)
		flag("sans", i.SANs)
		list("subject", i.Subject)
		list("issuer", i.Issuer)
	}
	switchOn(r, certificateFilterName, runScript(CertificateScript, context))
}
