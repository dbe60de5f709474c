package resolve

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// certificates are what the HTTPS entry serves.
type certificates struct {
	own       []model.Certificate
	byDefault *model.Certificate
}

// resolveCertificates looks up the Secrets of tls blocks. A Secret that is missing or broken leaves its hosts on the
// default certificate.
func resolveCertificates(in Input, looked *objects) (certificates, []diag.D) {
	if !slices.ContainsFunc(in.Settings.Entries, func(e model.Entry) bool { return e.TLS }) {
		return certificates{}, nil
	}
	claims := slices.Clone(in.TLS)
	slices.SortStableFunc(claims, func(a, b model.TLSClaim) int { return compareObjects(a.Object, b.Object) })
	byHost := map[model.Host]model.Certificate{}
	secretOf := map[model.Host]string{}
	var ds []diag.D
	for _, c := range claims {
		key := ServiceKey{c.Object.Cluster, c.Object.Namespace, c.SecretName}
		pair, d := keyPair(looked, key, c.Origin)
		if d != nil {
			ds = append(ds, *d)
			continue
		}
		hosts := certificateHosts(c, pair)
		if len(hosts) == 0 {
			ds = append(ds, diag.New(diag.CodeBadHost, c.Origin, fmt.Sprintf("neither the tls block nor the certificate of Secret %s names a host", key),
				"the certificate is not served", "name hosts in the tls block").At(diag.Warning))
		}
		for _, host := range hosts {
			if other, taken := byHost[host]; taken {
				if secretOf[host] != key.String() {
					ds = append(ds, diag.New(diag.CodeCertificateTwice, c.Origin,
						fmt.Sprintf("%s already has the certificate of Secret %s", host, secretOf[host]),
						"the certificate of "+key.String()+" is not served for it", "name one Secret").With(other.Origins[0]))
				}
				continue
			}
			secretOf[host] = key.String()
			byHost[host] = model.Certificate{Host: host, Chain: pair.chain, Key: pair.key, Origins: model.Origins{c.Origin, pair.origin}}
		}
	}
	out := certificates{byDefault: in.Settings.DefaultCertificate}
	for _, host := range slices.SortedFunc(maps.Keys(byHost), model.Host.Compare) {
		out.own = append(out.own, byHost[host])
	}
	if name := in.Settings.DefaultTLSSecret; name.Name != "" {
		pair, d := keyPair(looked, name, diag.Origin{Kind: "flag", Name: "--default-tls-secret " + name.String()})
		if d != nil {
			return out, append(ds, *d)
		}
		out.byDefault = &model.Certificate{Chain: pair.chain, Key: pair.key, Origins: model.Origins{pair.origin}}
	}
	return out, ds
}

// certificateHosts are the hosts of a tls block; where it names none, those of its certificate (as Traefik 1.7
// did with every certificate).
func certificateHosts(c model.TLSClaim, pair pairOf) []model.Host {
	if len(c.Hosts) > 0 {
		return c.Hosts
	}
	var out []model.Host
	for _, name := range pair.names {
		if h, err := model.ParseHost(name); err == nil && h != model.AnyHost {
			out = append(out, h)
		}
	}
	return out
}

// pairOf is a Secret's certificate and key, known to belong together.
type pairOf struct {
	chain  []byte
	key    model.Sensitive
	names  []string
	origin diag.Origin
}

func keyPair(looked *objects, key ServiceKey, at diag.Origin) (pairOf, *diag.D) {
	secret, ok := looked.secret(key)
	if !ok {
		d := looked.told(absence{model.KindSecret, key}, diag.New(diag.CodeNoSecret, at, "", "its hosts get the default certificate", ""))
		return pairOf{}, &d
	}
	chain, private := secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey]
	names, err := CheckKeyPair(chain, private)
	if err != nil {
		d := diag.New(diag.CodeBadCertificate, at, fmt.Sprintf("Secret %s has no usable tls.crt and tls.key: %s", key, err),
			"its hosts get the default certificate", "store a certificate and the key that belongs to it").With(secret.Origin("data"))
		return pairOf{}, &d
	}
	return pairOf{chain: OnlyCertificates(chain), key: private, names: names, origin: secret.Origin("")}, nil
}
