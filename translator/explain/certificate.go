package explain

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/translator/model"
)

// passCertificate tells the backend of the client's certificate, where the connection was asked for one.
func (n *narrator) passCertificate(h http.Header, p *model.PassedCertificate) {
	if p == nil {
		return
	}
	const header = "X-Forwarded-Tls-Client-Cert"
	h.Del(header)
	h.Del(header + "-Infos")
	if n.group.ClientCA == "" || !n.target.tls {
		return
	}
	var whole, told []string
	for block, rest := pem.Decode(n.request.ClientCertificate); block != nil; block, rest = pem.Decode(rest) {
		text := string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
		text = strings.NewReplacer("-----BEGIN CERTIFICATE-----", "", "-----END CERTIFICATE-----", "", "\n", "").Replace(text)
		whole = append(whole, url.QueryEscape(text))
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && p.Infos != nil {
			told = append(told, strings.Join(infosOf(*p.Infos, c), ","))
		}
	}
	if p.PEM {
		h.Set(header, strings.Join(whole, ","))
	}
	if text := strings.Join(told, ";"); text != "" {
		h.Set(header+"-Infos", url.QueryEscape(text))
	}
}

// infosOf are what is wanted of a certificate, in the order of Traefik's header.
func infosOf(wanted model.CertificateInfos, c *x509.Certificate) []string {
	var out []string
	if text := nameText(wanted.Subject, c.Subject.Names); text != "" {
		out = append(out, `Subject="`+text+`"`)
	}
	if text := nameText(wanted.Issuer, c.Issuer.Names); text != "" {
		out = append(out, `Issuer="`+text+`"`)
	}
	if wanted.NotBefore {
		out = append(out, "NB="+strconv.FormatInt(c.NotBefore.Unix(), 10))
	}
	if wanted.NotAfter {
		out = append(out, "NA="+strconv.FormatInt(c.NotAfter.Unix(), 10))
	}
	if wanted.SANs {
		var names []string
		names = append(append(names, c.DNSNames...), c.EmailAddresses...)
		for _, ip := range c.IPAddresses {
			names = append(names, ip.String())
		}
		for _, u := range c.URIs {
			names = append(names, u.String())
		}
		out = append(out, "SAN="+strings.Join(names, ","))
	}
	return out
}

// attributeTypes are the types of a name's attributes (RFC 4519, 2), by the letters of Traefik's header.
var attributeTypes = map[string]string{
	"DC": "0.9.2342.19200300.100.1.25", "C": "2.5.4.6", "ST": "2.5.4.8", "L": "2.5.4.7", "O": "2.5.4.10", "SN": "2.5.4.5", "CN": "2.5.4.3",
}

// nameText are the wanted attributes of a name. Of serial numbers and common names the last one counts.
func nameText(wanted []string, names []pkix.AttributeTypeAndValue) string {
	var out []string
	for _, letters := range wanted {
		var values []string
		for _, a := range names {
			text, ok := a.Value.(string)
			if !ok || a.Type.String() != attributeTypes[letters] {
				continue
			}
			if letters == "SN" || letters == "CN" {
				values = nil
			}
			values = append(values, text)
		}
		for _, v := range values {
			if v != "" || letters == "DC" {
				out = append(out, letters+"="+v)
			}
		}
	}
	return strings.Join(out, ",")
}
