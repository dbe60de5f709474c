package inspect

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"slices"
	"strings"
	"time"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// expirySoon is how long before its end a certificate is told of.
const expirySoon = 21 * 24 * time.Hour

// chainShown bounds the certificates of a chain that are looked at: clients take no longer ones.
const chainShown = 16

// certificate is a certificate that handshakes are served with, and the names that it is served for.
type certificate struct {
	// uses are the names with what wants the certificate for each, in order.
	uses []certificateUse
	def  bool
	// chain has what parses, the certificate itself first.
	chain   []*x509.Certificate
	origins model.Origins
	digest  string
}

// certificateUse is a name that a certificate is served for, and because of what.
type certificateUse struct {
	host    model.Host
	origins model.Origins
}

// certificatesOf are the certificates of a gateway, each once: many hosts have one.
func certificatesOf(g model.Gateway) []certificate {
	var out []certificate
	at := map[[sha256.Size]byte]int{}
	told := map[int]map[diag.Origin]bool{}
	add := func(c model.Certificate) *certificate {
		sum := sha256.Sum256(c.Chain)
		i, ok := at[sum]
		if !ok {
			i = len(out)
			at[sum], told[i] = i, map[diag.Origin]bool{}
			out = append(out, certificate{chain: chainOf(c.Chain), digest: hex.EncodeToString(sum[:8])})
		}
		for _, o := range c.Origins {
			if !told[i][o] {
				told[i][o] = true
				out[i].origins = append(out[i].origins, o)
			}
		}
		return &out[i]
	}
	for _, c := range g.Certificates {
		own := add(c)
		own.uses = append(own.uses, certificateUse{c.Host, c.Origins})
	}
	if g.Default != nil {
		add(*g.Default).def = true
	}
	return out
}

// chainOf are the certificates of a text. Translation admits none that does not parse.
func chainOf(text []byte) []*x509.Certificate {
	var out []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			out = append(out, c)
		}
	}
	return out
}

// leaf is the certificate itself, nil where nothing parses.
func (c certificate) leaf() *x509.Certificate {
	if len(c.chain) == 0 {
		return nil
	}
	return c.chain[0]
}

// firstToEnd is what of the chain ends first; clients take no chain of which a part has ended.
func (c certificate) firstToEnd() *x509.Certificate {
	return slices.MinFunc(c.chain[:min(len(c.chain), chainShown)], func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
}

// link leads to the certificate's page.
func (c certificate) link() string { return link("certificate", "id", c.digest) }

// texts are what the certificate is found by.
func (c certificate) texts() []string {
	texts := []string{c.digest}
	for _, one := range c.chain {
		facts := factsOf(one)
		texts = append(texts, facts.Subject, facts.Issuer, facts.Fingerprint, facts.Serial)
		texts = append(texts, facts.Names...)
	}
	for _, use := range c.uses {
		texts = append(texts, use.host.String())
	}
	for _, o := range c.origins {
		texts = append(texts, o.Object())
	}
	return texts
}

// endWords say when something ends or has ended, and how well it is by its time.
func (v View) endWords(c *x509.Certificate) (string, condition) {
	left := c.NotAfter.Sub(v.Now)
	words := "in " + plural(int(left/(24*time.Hour)), "day")
	if left < 24*time.Hour {
		words = "within a day"
	}
	switch {
	case left <= 0:
		words = ageWords(-left)
		return words, condition{}.and(stateFailing, "ended "+words)
	case v.Now.Before(c.NotBefore):
		return words, condition{}.and(stateFailing, "not valid yet")
	case left < expirySoon:
		return words, condition{}.and(stateDegraded, "ends "+words)
	}
	return words, condition{}
}

// certificateHealth is how well the whole chain is at the time.
func (v View) certificateHealth(c certificate) condition {
	if len(c.chain) == 0 {
		return condition{}.and(stateFailing, "cannot be read")
	}
	var h condition
	for i, one := range c.chain[:min(len(c.chain), chainShown)] {
		_, of := v.endWords(one)
		for _, reason := range of.Reasons {
			if i > 0 {
				reason = "in its chain " + one.Subject.String() + ": " + reason
			}
			h = h.and(of.State, reason)
		}
	}
	return h
}

// certificateAt is the place of the certificate for a host's name, and the name that it is found by: its own, that of the wildcard
// above it, none where it is the default one. The place is less than 0 where there is no certificate.
func (x *index) certificateAt(h model.Host) (int, model.Host) {
	if i, ok := x.certificateOf[h]; ok {
		return i, h
	}
	if _, rest, ok := strings.Cut(h.Name(), "."); ok && h.Kind() == model.HostExact {
		above, err := model.ParseHost("*." + rest)
		if i, known := x.certificateOf[above]; err == nil && known && above.Covers(h) {
			return i, above
		}
	}
	return slices.IndexFunc(x.certificates, func(c certificate) bool { return c.def }), model.AnyHost
}
