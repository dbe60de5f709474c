package worlds

import (
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/postern-gateway/postern/controlplane/casetest"
)

func passCertificates(d drawer, ing *networkingv1.Ingress) {
	if d.oneIn(2) {
		own(d, ing.Annotations, "client-ca-secret", "clients")
	}
	set(d, ing, pick(d, []string{
		"pem: true", "{pem: true, infos: {notafter: true, notbefore: true, sans: true, subject: {commonname: true, organization: true}, issuer: {commonname: true}}}",
		"infos: {}", "{pem: false, infos: {sans: true}}", "pem: maybe", "",
	}), traefikKey("pass-client-tls-cert")...)
}

// ownCertificate is what a client says of itself.
func ownCertificate(d drawer, _ World, p *casetest.Probe) {
	if strings.HasPrefix(p.URL, "https://") && d.oneIn(3) {
		p.Client = casetest.ClientCertificate{Name: casetest.OddName, CA: casetest.SignedByCA}
	}
	if d.oneIn(4) {
		p.Header.Set("X-Forwarded-Tls-Client-Cert", "mine")
		p.Header.Set("X-Forwarded-Tls-Client-Cert-Infos", "Subject%3D%22CN%3Dadmin%22")
	}
}
