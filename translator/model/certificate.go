package model

import "github.com/postern-gateway/postern/translator/diag"

// PassedCertificate asks that the backend be told of the certificate that the client has shown, in headers of Traefik's. What
// the client itself says in these never gets through, also where nothing is told.
type PassedCertificate struct {
	// PEM has the whole of it passed, and of those that it was shown with.
	PEM bool
	// Infos, where not nil, has some of what it says passed.
	Infos  *CertificateInfos
	Origin diag.Origin
}

// CertificateInfos is what of a certificate is passed. Subject and Issuer are names of attributes, in the order of the header:
// of DC, C, ST, L, O, SN, CN.
type CertificateInfos struct {
	NotBefore, NotAfter, SANs bool
	Subject, Issuer           []string
}
