package mutate

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/postern-gateway/postern/translator/dialect/native"
)

// upstream has a Service or an Ingress ask for TLS to the backend as a user would, one value in eight apart. It gives
// the Secrets bundles of what certificates there are, broken ones among them, so that what is asked for may be there.
func (m *mutator) upstream() {
	for _, s := range m.world.Secrets {
		if s.Data == nil {
			s.Data = map[string][]byte{}
		}
		if s.Data["ca.crt"] == nil && len(s.Data[corev1.TLSCertKey]) > 0 {
			s.Data["ca.crt"] = s.Data[corev1.TLSCertKey]
		}
	}
	var annotations map[string]string
	if ing := m.pickIngress(); ing != nil && m.rand.IntN(2) == 0 {
		ing.Annotations = made(ing.Annotations)
		annotations = ing.Annotations
	} else if len(m.world.Services) > 0 {
		s := m.world.Services[m.rand.IntN(len(m.world.Services))]
		s.Annotations = made(s.Annotations)
		annotations = s.Annotations
	} else {
		return
	}
	words := [][2]string{
		{"backend-protocol", "https"}, {"upstream-ca-secret", m.secretName()}, {"upstream-ca-configmap", m.configMapName()},
		{"upstream-client-secret", m.secretName()}, {"upstream-tls-min-version", []string{"1.2", "1.3"}[m.rand.IntN(2)]},
		{"upstream-tls-name", []string{"backend.example", "A.b.C.", "x_y.test"}[m.rand.IntN(3)]},
		{"upstream-insecure-skip-verify", []string{"true", "false"}[m.rand.IntN(2)]},
	}
	for _, w := range words {
		if m.rand.IntN(2) == 0 {
			continue
		}
		if m.rand.IntN(8) == 0 {
			w[1] = m.text()
		}
		annotations[native.Table.Prefixes[0]+w[0]] = w[1]
	}
}

func made(annotations map[string]string) map[string]string {
	if annotations == nil {
		return map[string]string{}
	}
	return annotations
}

func (m *mutator) secretName() string {
	if len(m.world.Secrets) == 0 {
		return "no-such"
	}
	return m.world.Secrets[m.rand.IntN(len(m.world.Secrets))].Name
}

func (m *mutator) configMapName() string {
	if len(m.world.ConfigMaps) == 0 {
		return "no-such"
	}
	return m.world.ConfigMaps[m.rand.IntN(len(m.world.ConfigMaps))].Name
}
