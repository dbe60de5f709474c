package resolve

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// credentials looks up what backends over TLS are verified by and shown, and remembers what it found.
type credentials struct {
	looked  *objects
	bundles map[string]model.Bundle
	clients map[string]model.ClientCertificate
}

// upstreamClaim is what the Ingress asks of TLS to its backend, and where it does not say, the Service that it names.
func (r *backendResolver) upstreamClaim(c reference, key ServiceKey) model.UpstreamTLSClaim {
	return c.Policies.UpstreamTLS.Over(r.in.Services[key].UpstreamTLS)
}

// upstreamTLS settles TLS to a backend over it. names are those that the Service is known by; what cannot be applied
// closes the route.
func (r *backendResolver) upstreamTLS(c reference, key ServiceKey, names []string) (model.UpstreamTLS, *model.Closed) {
	tls := r.usualTLS(names)
	claim := r.upstreamClaim(c, key)
	if claim.Closed != nil {
		return tls, claim.Closed
	}
	if claim.Name != nil {
		tls.Names = []string{claim.Name.Value}
	}
	if claim.MinVersion != nil {
		tls.MinVersion = claim.MinVersion.Value
	}
	if claim.SkipVerify != nil {
		tls.SkipVerify = claim.SkipVerify.Value
	}
	if claim.Client != nil {
		var closed *model.Closed
		if tls.Client, closed = r.clientCertificate(key, *claim.Client); closed != nil {
			return tls, closed
		}
	}
	if claim.CA == nil {
		return tls, nil
	}
	if claim.SkipVerify != nil && tls.SkipVerify {
		r.diagnostics = append(r.diagnostics, diag.New(diag.CodeUpstreamTLS, claim.SkipVerify.Origin,
			"the backend's certificate is to be verified by a CA, and not to be verified", "it is verified", "keep one of the two").With(claim.CA.Origin))
	}
	tls.SkipVerify = false
	var closed *model.Closed
	tls.Trust, closed = r.bundle(key, *claim.CA)
	return tls, closed
}

// usualTLS is TLS to a backend of which no annotation says anything.
func (r *backendResolver) usualTLS(names []string) model.UpstreamTLS {
	return model.UpstreamTLS{Names: names, SkipVerify: r.in.Settings.UpstreamSkipVerify, MinVersion: model.TLS12}
}

// variantBytes is how much of a hash tells variants apart: enough that nobody finds settings that pass for another's.
const variantBytes = 8

// variant tells apart the ways in which one Service port is spoken to over TLS; empty for the usual one. It changes
// with every setting, so that a changed backend is a new one, and the old serves until the new is ready.
func variant(tls, usual model.UpstreamTLS) string {
	text := func(t model.UpstreamTLS) string {
		return fmt.Sprintf("%q %t %q %q %q", t.Names, t.SkipVerify, t.Trust, t.Client, t.MinVersion)
	}
	if text(tls) == text(usual) {
		return ""
	}
	sum := sha256.Sum256([]byte(text(tls)))
	return "/" + hex.EncodeToString(sum[:variantBytes])
}

// bundle finds a bundle of CAs by its annotation and gives its name.
func (r *backendResolver) bundle(service ServiceKey, ref model.Word[model.Reference]) (string, *model.Closed) {
	key := ServiceKey{service.Cluster, service.Namespace, ref.Value.Name}
	name := strings.ToLower(ref.Value.Kind) + "/" + key.String()
	if _, known := r.credentials.bundles[name]; known {
		return name, nil
	}
	text, at, exists := r.credentials.authority(ref.Value.Kind, key)
	if !exists {
		return "", r.missing(ref.Origin, ref.Value.Kind, key)
	}
	certificates, err := readBundle(text)
	if err != nil {
		return "", r.closed(diag.New(diag.CodeUpstreamBroken, ref.Origin, fmt.Sprintf("%s %s has no usable %s: %s", ref.Value.Kind, key, caKey, err),
			"the path answers 503, because the backend cannot be verified", "store the CAs as PEM certificates under "+caKey).With(at))
	}
	r.credentials.bundles[name] = model.Bundle{Name: name, PEM: certificates, Origins: model.Origins{at}}
	return name, nil
}

// authority is the bundle of an object as it stands there, and its place.
func (c credentials) authority(kind string, key ServiceKey) ([]byte, diag.Origin, bool) {
	if kind == model.KindSecret {
		secret, ok := c.looked.secret(key)
		if !ok {
			return nil, diag.Origin{}, false
		}
		return secret.Data[caKey], secret.Origin("data"), true
	}
	configMap, ok := c.looked.configMap(key)
	if !ok {
		return nil, diag.Origin{}, false
	}
	if text, ok := configMap.Data[caKey]; ok {
		return []byte(text), configMap.Origin("data"), true
	}
	return configMap.BinaryData[caKey], configMap.Origin("binaryData"), true
}

// clientCertificate finds a client certificate by its annotation and gives its name.
func (r *backendResolver) clientCertificate(service ServiceKey, ref model.Word[string]) (string, *model.Closed) {
	key := ServiceKey{service.Cluster, service.Namespace, ref.Value}
	name := key.String()
	if _, known := r.credentials.clients[name]; known {
		return name, nil
	}
	secret, exists := r.credentials.looked.secret(key)
	if !exists {
		return "", r.missing(ref.Origin, model.KindSecret, key)
	}
	chain, private := secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey]
	if _, err := CheckKeyPair(chain, private); err != nil {
		return "", r.closed(diag.New(diag.CodeUpstreamBroken, ref.Origin, fmt.Sprintf("Secret %s has no usable tls.crt and tls.key: %s", key, err),
			"the path answers 503, because the backend is to be shown a client certificate", "store a certificate and the key that belongs to it").
			With(secret.Origin("data")))
	}
	r.credentials.clients[name] = model.ClientCertificate{Name: name, Chain: OnlyCertificates(chain), Key: private, Origins: model.Origins{secret.Origin("data")}}
	return name, nil
}

func (r *backendResolver) missing(at diag.Origin, kind string, key ServiceKey) *model.Closed {
	d := diag.New(diag.CodeUpstreamMissing, at, "", "the path answers 503", "")
	return r.closed(r.credentials.looked.told(absence{kind, key}, d))
}

// tellUnused warns of words about TLS to a backend that is spoken to without.
func (r *backendResolver) tellUnused(claim model.UpstreamTLSClaim, backend model.Backend) {
	for _, at := range claim.Origins() {
		r.diagnostics = append(r.diagnostics, diag.New(diag.CodeUpstreamUnused, at,
			fmt.Sprintf("backend %s is not spoken to over TLS", backend.Name), "the annotation has no effect on it",
			"remove it, or say backend-protocol: https"))
	}
}

// tellUnusedTarget warns of words that stand on the Service that an ExternalName points to, whose Secrets are another
// namespace's, where nothing says the same on this side.
func (r *backendResolver) tellUnusedTarget(e externalService, target ServiceKey) {
	external := e.service
	said := r.upstreamClaim(e.claim, ServiceKey{external.Cluster, external.Namespace, external.Name})
	at := r.in.Services[target].UpstreamTLS.Without(said).Origins()
	if len(at) == 0 {
		return
	}
	r.diagnostics = append(r.diagnostics, diag.New(diag.CodeUpstreamUnused, e.at(),
		fmt.Sprintf("what the annotations of Service %s say of TLS is not applied through an ExternalName", target),
		"they have no effect here", fmt.Sprintf("say it on Service %s/%s, or on the Ingress", external.Namespace, external.Name)).With(at...))
}

// ofBackends are the bundles and client certificates that backends name, sorted by name.
func (c credentials) ofBackends(backends []model.Backend) ([]model.Bundle, []model.ClientCertificate) {
	bundles, clients := map[string]model.Bundle{}, map[string]model.ClientCertificate{}
	for _, b := range backends {
		if b.TLS != nil && b.TLS.Trust != "" {
			bundles[b.TLS.Trust] = c.bundles[b.TLS.Trust]
		}
		if b.TLS != nil && b.TLS.Client != "" {
			clients[b.TLS.Client] = c.clients[b.TLS.Client]
		}
	}
	return sorted(bundles), sorted(clients)
}

// sorted are the values of a map in the order of its keys.
func sorted[T any](m map[string]T) []T {
	var out []T
	for _, key := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[key])
	}
	return out
}
