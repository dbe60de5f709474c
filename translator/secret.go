package translator

import (
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/postern-gateway/postern/translator/envoy"
)

// Secret is the secret that a handshake asked for by name, the SNI as the client wrote it or envoy.DefaultSecretName;
// nil where there is no certificate for it.
func (r Result) Secret(name string) proto.Message {
	sni := name
	if name == envoy.DefaultSecretName {
		sni = ""
	}
	if strings.Contains(name, "/") {
		// No host name has a slash; names of secrets that are no one's SNI do.
		return nil
	}
	certificate := CertificateFor(r.Gateway, sni)
	if certificate == nil {
		return nil
	}
	return envoy.CertificateSecret(name, *certificate)
}
