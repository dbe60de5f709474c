package explain

import (
	"fmt"
	"strings"
	"time"

	"github.com/postern-gateway/postern/translator/model"
)

// CertificateChoice is the certificate that the handshake is served with.
type CertificateChoice struct {
	// Host is the name it is served for, empty for the default certificate.
	Host string `json:"host,omitempty"`
	Why  string `json:"why"`
	// Name is the name that the certificate itself bears: its common name, else its first DNS name. It, Names (DNS names
	// and IP addresses), Issuer (its common name) and the times are empty where the certificate does not parse.
	Name      string        `json:"name,omitempty"`
	Names     []string      `json:"names,omitempty"`
	Issuer    string        `json:"issuer,omitempty"`
	NotBefore time.Time     `json:"notBefore,omitzero"`
	NotAfter  time.Time     `json:"notAfter,omitzero"`
	Origins   model.Origins `json:"origins,omitempty"`
}

// Subject is Name.
func (c CertificateChoice) Subject() string { return c.Name }

// serve writes down the certificate, and what clients will find wrong with it.
func (n *narrator) serve(chosen *model.Certificate, why string) {
	c := &CertificateChoice{Host: chosen.Host.Name(), Why: why, Origins: chosen.Origins}
	n.story.Certificate = c
	leaf := chosen.Leaf()
	if leaf == nil {
		return
	}
	c.Names = append(c.Names, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		c.Names = append(c.Names, ip.String())
	}
	c.Name, c.Issuer = leaf.Subject.CommonName, leaf.Issuer.CommonName
	if c.Name == "" && len(leaf.DNSNames) > 0 {
		c.Name = leaf.DNSNames[0]
	}
	c.NotBefore, c.NotAfter = leaf.NotBefore.UTC(), leaf.NotAfter.UTC()
	switch at := n.request.At; {
	case at.IsZero():
	case at.After(c.NotAfter):
		n.note("the certificate has expired, at %s: clients refuse it", minute(c.NotAfter))
	case at.Before(c.NotBefore):
		n.note("the certificate is not valid before %s: clients refuse it", minute(c.NotBefore))
	}
	host := strings.TrimSuffix(hostName(n.target.authority), ".")
	if err := leaf.VerifyHostname(host); err != nil {
		n.note("the certificate is not for %s: clients refuse it unless they are told not to look", host)
	}
}

// text is the choice in a line.
func (c CertificateChoice) text() string {
	if c.NotAfter.IsZero() {
		return c.Why
	}
	return fmt.Sprintf("%s; its own name is %s; valid until %s", c.Why, orNone("name", c.Name), minute(c.NotAfter))
}

func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
