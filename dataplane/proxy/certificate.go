package proxy

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/postern-gateway/postern/dataplane/config"
)

const (
	certHeader      = "X-Forwarded-Tls-Client-Cert"
	certInfosHeader = "X-Forwarded-Tls-Client-Cert-Infos"
)

// passCertificate is the script client-certificate-v1 in Go: it tells the backend of the certificates that the client has
// shown, in place of what the client says of them.
func passCertificate(h http.Header, c config.Certificate, shown []*x509.Certificate) {
	delete(h, certHeader)
	delete(h, certInfosHeader)
	if len(shown) == 0 {
		return
	}
	var whole, told []string
	for _, one := range shown {
		whole = append(whole, url.QueryEscape(base64.StdEncoding.EncodeToString(one.Raw)))
		told = append(told, certificateInfos(c, one))
	}
	if c.PEM {
		h.Set(certHeader, strings.Join(whole, ","))
	}
	if text := strings.Join(told, ";"); c.Infos && text != "" {
		h.Set(certInfosHeader, url.QueryEscape(text))
	}
}

func certificateInfos(c config.Certificate, of *x509.Certificate) string {
	var out []string
	for _, name := range []struct {
		label  string
		of     pkix.Name
		wanted []string
	}{{"Subject", of.Subject, c.Subject}, {"Issuer", of.Issuer, c.Issuer}} {
		if parts := nameParts(name.of, name.wanted); len(parts) > 0 {
			out = append(out, name.label+`="`+strings.Join(parts, ",")+`"`)
		}
	}
	if c.NotBefore {
		out = append(out, fmt.Sprintf("NB=%d", of.NotBefore.Unix()))
	}
	if c.NotAfter {
		out = append(out, fmt.Sprintf("NA=%d", of.NotAfter.Unix()))
	}
	if c.SANs {
		names := append([]string{}, of.DNSNames...)
		names = append(names, of.EmailAddresses...)
		for _, ip := range of.IPAddresses {
			names = append(names, ip.String())
		}
		for _, u := range of.URIs {
			names = append(names, u.String())
		}
		out = append(out, "SAN="+strings.Join(names, ","))
	}
	return strings.Join(out, ",")
}

// domainComponent is the type of an attribute that pkix.Name has no field for (RFC 4519, 2.4).
const domainComponent = "0.9.2342.19200300.100.1.25"

func nameParts(n pkix.Name, wanted []string) []string {
	var components []string
	for _, a := range n.Names {
		if text, ok := a.Value.(string); ok && a.Type.String() == domainComponent {
			components = append(components, text)
		}
	}
	values := map[string][]string{
		"DC": components, "C": n.Country, "ST": n.Province, "L": n.Locality, "O": n.Organization, "SN": {n.SerialNumber}, "CN": {n.CommonName},
	}
	var out []string
	for _, attribute := range wanted {
		for _, v := range values[attribute] {
			if v != "" || attribute == "DC" {
				out = append(out, attribute+"="+v)
			}
		}
	}
	return out
}

// shown are the certificates that the client has shown: its own first.
func (x *exchange) shown() []*x509.Certificate {
	if x.r.TLS == nil {
		return nil
	}
	return x.r.TLS.PeerCertificates
}
