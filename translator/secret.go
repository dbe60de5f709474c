package translator

import (
	"slices"
	"strings"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/envoy"
	"github.com/postern-gateway/postern/translator/model"
)

// Secret is the secret that a handshake asked for by name, the SNI as the client wrote it or envoy.DefaultSecretName;
// nil where there is no certificate for it. One certificate is one message, whatever name it is asked by, so that it
// is marshalled once; the message names no secret. The origins are the tls block and the Secret object behind it.
func (r Result) Secret(name string) (proto.Message, []diag.Origin) {
	sni := name
	if name == envoy.DefaultSecretName {
		sni = ""
	}
	if !envoy.IsServerName(name) {
		return nil, nil
	}
	if certificate := certificateFor(r.Gateway, sni); certificate != nil {
		return r.secrets[certificate.Host], certificate.Origins
	}
	return nil, nil
}

// certificateSecrets are the secrets of a gateway's certificates by host, the default one under the zero Host.
func certificateSecrets(g model.Gateway) map[model.Host]*tlsv3.Secret {
	out := map[model.Host]*tlsv3.Secret{}
	for _, c := range g.Certificates {
		out[c.Host] = envoy.CertificateSecret(c)
	}
	if g.Default != nil {
		out[model.Host{}] = envoy.CertificateSecret(*g.Default)
	}
	return out
}

// certificateFor is the certificate that a handshake for a name gets: its own, that of the wildcard one label up, or
// the default one; nil where there is none. The name is empty where the client sends none.
func certificateFor(g model.Gateway, sni string) *model.Certificate {
	host, err := model.ParseHost(sni)
	if err != nil || host.Kind() != model.HostExact {
		return g.Default
	}
	wanted := []model.Host{host}
	if _, parent, ok := strings.Cut(host.Name(), "."); ok {
		if wildcard, err := model.ParseHost("*." + parent); err == nil {
			wanted = append(wanted, wildcard)
		}
	}
	for _, want := range wanted {
		i, found := slices.BinarySearchFunc(g.Certificates, want, func(c model.Certificate, h model.Host) int { return c.Host.Compare(h) })
		if found {
			return &g.Certificates[i]
		}
	}
	return g.Default
}
