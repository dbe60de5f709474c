package inspect

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"net/http"
	"slices"
	"time"

	"github.com/postern-gateway/postern/translator/model"
)

// expirySoon is how long before its end a certificate is told of.
const expirySoon = 21 * 24 * time.Hour

// certificate is a certificate that handshakes are served with, and the names that it is served for.
type certificate struct {
	hosts   []model.Host
	def     bool
	leaf    *x509.Certificate
	origins model.Origins
	digest  string
}

// certificatesOf are the certificates of a gateway, each once: many hosts have one.
func certificatesOf(g model.Gateway) []certificate {
	var out []certificate
	at := map[[sha256.Size]byte]int{}
	add := func(c model.Certificate) *certificate {
		sum := sha256.Sum256(c.Chain)
		i, ok := at[sum]
		if !ok {
			i = len(out)
			at[sum] = i
			out = append(out, certificate{leaf: c.Leaf(), origins: c.Origins, digest: hex.EncodeToString(sum[:8])})
		}
		return &out[i]
	}
	for _, c := range g.Certificates {
		own := add(c)
		own.hosts = append(own.hosts, c.Host)
	}
	if g.Default != nil {
		add(*g.Default).def = true
	}
	return out
}

// certificateRow is a certificate as pages show it. It has no key.
type certificateRow struct {
	// ID tells it from others.
	ID string `json:"id"`
	// Hosts are what it is served for; Default says that it is served for all other names too.
	Hosts     []nameLink `json:"hosts,omitempty"`
	HostCount int        `json:"hostCount"`
	Default   bool       `json:"default,omitempty"`
	Subject   string     `json:"subject"`
	Names     []string   `json:"names,omitempty"`
	Issuer    string     `json:"issuer"`
	NotBefore time.Time  `json:"notBefore"`
	NotAfter  time.Time  `json:"notAfter"`
	// Ends says in words when it ends or has ended.
	Ends    string    `json:"ends"`
	Health  condition `json:"health"`
	Origins []place   `json:"origins,omitempty"`
}

// nameLink is a name, and where it leads; Link is empty for a host that no route names.
type nameLink struct {
	Name string `json:"name"`
	Link string `json:"link,omitempty"`
}

func (v View) hostLink(h model.Host) nameLink {
	for _, t := range v.Result.Gateway.Tables {
		if id := (hostID{t.Entry.Name, h.String()}); t.Entry.TLS && v.index().byHost[id] != nil {
			return nameLink{h.String(), id.link()}
		}
	}
	return nameLink{Name: h.String()}
}

// certificateHostsMax bounds the names that a row lists.
const certificateHostsMax = 12

func (v View) certificateRow(c certificate) certificateRow {
	row := certificateRow{ID: c.digest, HostCount: len(c.hosts), Default: c.def, Origins: placesOf(c.origins)}
	for _, h := range c.hosts[:min(len(c.hosts), certificateHostsMax)] {
		row.Hosts = append(row.Hosts, v.hostLink(h))
	}
	if c.leaf == nil {
		row.Health = row.Health.and(stateFailing, "cannot be read")
		return row
	}
	row.Subject, row.Issuer = c.leaf.Subject.String(), c.leaf.Issuer.String()
	if row.Subject == row.Issuer {
		row.Issuer = "itself"
	}
	row.NotBefore, row.NotAfter = c.leaf.NotBefore, c.leaf.NotAfter
	row.Names = c.leaf.DNSNames[:min(len(c.leaf.DNSNames), certificateHostsMax)]
	left := c.leaf.NotAfter.Sub(v.Now)
	days := int(left / (24 * time.Hour))
	row.Ends = "in " + plural(days, "day")
	if days == 0 {
		row.Ends = "within a day"
	}
	switch {
	case left <= 0:
		row.Ends = ageWords(-left)
		row.Health = row.Health.and(stateFailing, "ended "+row.Ends)
	case v.Now.Before(c.leaf.NotBefore):
		row.Health = row.Health.and(stateFailing, "not valid yet")
	case left < expirySoon:
		row.Health = row.Health.and(stateDegraded, "ends "+row.Ends)
	}
	return row
}

// certificateFor is the certificate for a host's name: its own, that of the wildcard above it, the default one.
func (v View) certificateFor(h model.Host) *certificateRow {
	certificates := v.index().certificates
	find := func(match func(certificate) bool) *certificateRow {
		if i := slices.IndexFunc(certificates, match); i >= 0 {
			row := v.certificateRow(certificates[i])
			return &row
		}
		return nil
	}
	if h.Kind() != model.HostAny {
		if own := find(func(c certificate) bool { return slices.Contains(c.hosts, h) }); own != nil {
			return own
		}
		if above := find(func(c certificate) bool {
			return slices.ContainsFunc(c.hosts, func(of model.Host) bool { return of.Kind() == model.HostWildcard && of.Covers(h) })
		}); above != nil {
			return above
		}
	}
	return find(func(c certificate) bool { return c.def })
}

func (v View) certificateRows() []certificateRow {
	out := []certificateRow{}
	for _, c := range v.index().certificates {
		out = append(out, v.certificateRow(c))
	}
	slices.SortStableFunc(out, func(a, b certificateRow) int { return a.NotAfter.Compare(b.NotAfter) })
	return out
}

// certificatesPage lists the certificates, those that end first before others.
type certificatesPage struct {
	Filter       filter           `json:"filter"`
	Certificates []certificateRow `json:"certificates"`
	Paging       paging           `json:"paging"`
}

func (certificatesPage) Title() string { return "Certificates" }

func certificatesData(v View, r *http.Request) (any, error) {
	f := filterOf(r)
	rows := slices.DeleteFunc(v.certificateRows(), func(c certificateRow) bool {
		return !f.admits(c.Health, c.searchTexts()...)
	})
	part, paging := cut(rows, r)
	return certificatesPage{f, part, paging}, nil
}

func (c certificateRow) searchTexts() []string {
	texts := slices.Concat(c.Names, []string{c.Subject, c.Issuer, c.ID})
	for _, h := range c.Hosts {
		texts = append(texts, h.Name)
	}
	for _, o := range c.Origins {
		texts = append(texts, o.Object())
	}
	return texts
}
