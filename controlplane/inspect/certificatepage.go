package inspect

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/postern-gateway/postern/translator/model"
)

// certificateRow is a certificate as pages show it. It has no key.
type certificateRow struct {
	// ID tells it from others, Link leads to its page, which has all of it.
	ID   string `json:"id"`
	Link string `json:"link"`
	// Hosts are the first names that it is served for; Default says that it is served for all other names too.
	Hosts     []nameLink `json:"hosts,omitempty"`
	HostCount int        `json:"hostCount"`
	Default   bool       `json:"default,omitempty"`
	Subject   string     `json:"subject"`
	// Names are the first of those that stand in it.
	Names     []string  `json:"names,omitempty"`
	NameCount int       `json:"nameCount"`
	Issuer    string    `json:"issuer"`
	NotBefore time.Time `json:"notBefore"`
	// NotAfter is the end of what in its chain ends first, EndsOf that one's subject where it is not the certificate itself.
	NotAfter time.Time `json:"notAfter"`
	EndsOf   string    `json:"endsOf,omitempty"`
	// Ends says in words when that is or was.
	Ends   string    `json:"ends"`
	Health condition `json:"health"`
	// Origins are the first places that it is there because of.
	Origins     []place `json:"origins,omitempty"`
	OriginCount int     `json:"originCount"`
	of          *certificate
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

// certificateHostsMax bounds the names that a row lists, certificateNamesMax those that a page lists of what stands in it.
const (
	certificateHostsMax = 12
	certificateNamesMax = 200
)

// MoreNames, MoreOrigins and MoreHosts are how many there are beside those that are listed.
func (c certificateRow) MoreNames() int   { return c.NameCount - len(c.Names) }
func (c certificateRow) MoreOrigins() int { return c.OriginCount - len(c.Origins) }
func (c certificateRow) MoreHosts() int   { return c.HostCount - len(c.Hosts) }

func (v View) certificateRow(c *certificate) certificateRow {
	row := certificateRow{
		ID: c.digest, Link: c.link(), HostCount: len(c.uses), Default: c.def, Health: v.certificateHealth(*c),
		Origins: placesOf(c.origins[:min(len(c.origins), originsShown)]), OriginCount: len(c.origins), of: c,
	}
	for _, use := range c.uses[:min(len(c.uses), certificateHostsMax)] {
		row.Hosts = append(row.Hosts, v.hostLink(use.host))
	}
	leaf := c.leaf()
	if leaf == nil {
		return row
	}
	facts := factsOf(leaf)
	row.Subject, row.Issuer = facts.Subject, facts.Issuer
	if row.Subject == row.Issuer {
		row.Issuer = "itself"
	}
	row.Names, row.NameCount = facts.Names[:min(len(facts.Names), certificateHostsMax)], len(facts.Names)
	first := c.firstToEnd()
	row.NotBefore, row.NotAfter = leaf.NotBefore, first.NotAfter
	row.Ends, _ = v.endWords(first)
	if first != leaf {
		row.EndsOf = first.Subject.String()
	}
	return row
}

// certificateFor is the certificate for a host's name, nil where there is none.
func (v View) certificateFor(h model.Host) *certificateRow {
	i, _ := v.index().certificateAt(h)
	if i < 0 {
		return nil
	}
	row := v.certificateRow(&v.index().certificates[i])
	return &row
}

// certificateRows are all certificates, those that end first before others.
func (v View) certificateRows() []certificateRow {
	out := []certificateRow{}
	for i := range v.index().certificates {
		out = append(out, v.certificateRow(&v.index().certificates[i]))
	}
	slices.SortStableFunc(out, func(a, b certificateRow) int { return a.NotAfter.Compare(b.NotAfter) })
	return out
}

// certificatesPage lists the certificates.
type certificatesPage struct {
	Filter       filter           `json:"filter"`
	Certificates []certificateRow `json:"certificates"`
	Paging       paging           `json:"paging"`
}

func (certificatesPage) Title() string { return "Certificates" }

func certificatesData(v View, r *http.Request) (any, error) {
	f := filterOf(r)
	rows := slices.DeleteFunc(v.certificateRows(), func(c certificateRow) bool { return !f.admits(c.Health, c.of.texts()...) })
	part, paging := cut(rows, r)
	return certificatesPage{f, part, paging}, nil
}

// certificatePage is a certificate with its chain and all that it is served for.
type certificatePage struct {
	certificateRow
	Fingerprint string `json:"fingerprint"`
	Serial      string `json:"serial"`
	// Chain is what is sent in a handshake, the certificate itself first; ChainLength is how many there are.
	Chain       []chainRow `json:"chain"`
	ChainLength int        `json:"chainLength"`
	// Served are the names whose handshakes get it.
	Served []servedName `json:"served"`
	Paging paging       `json:"paging"`
}

// chainRow is one certificate of a chain.
type chainRow struct {
	CertificateFacts
	Ends   string    `json:"ends"`
	Health condition `json:"health"`
}

// servedName is a name whose handshakes get a certificate, and why so.
type servedName struct {
	nameLink
	// Why says how the name comes to it, Origins are what wants it.
	Why     string  `json:"why"`
	Origins []place `json:"origins,omitempty"`
}

func (p certificatePage) Title() string { return "Certificate " + p.Name() }

// Name is what the certificate is called on its page: some have no subject.
func (p certificatePage) Name() string {
	switch {
	case p.Subject != "":
		return p.Subject
	case len(p.Names) > 0:
		return p.Names[0]
	default:
		return p.ID
	}
}

// MoreChain is how many of the chain there are beside those that are listed.
func (p certificatePage) MoreChain() int { return p.ChainLength - len(p.Chain) }

func certificateData(v View, r *http.Request) (any, error) {
	id := r.URL.Query().Get("id")
	if id == "" {
		return nil, badRequest{errors.New("no certificate is named; the list of certificates leads to all of them")}
	}
	certificates := v.index().certificates
	i := slices.IndexFunc(certificates, func(c certificate) bool { return c.digest == id })
	if i < 0 {
		return nil, fmt.Errorf("no certificate %s is served, or no longer: one that is renewed is another%w", id, silent{errNotFound})
	}
	c := &certificates[i]
	p := certificatePage{certificateRow: v.certificateRow(c), Chain: []chainRow{}, ChainLength: len(c.chain)}
	for i, one := range c.chain[:min(len(c.chain), chainShown)] {
		row := v.chainRow(one)
		if i == 0 {
			p.Fingerprint, p.Serial = row.Fingerprint, row.Serial
			p.Names = factsOf(one).Names
			p.Names = p.Names[:min(len(p.Names), certificateNamesMax)]
		}
		p.Chain = append(p.Chain, row)
	}
	names := v.servedNames(i)
	p.Served, p.Paging = cut(names, r)
	return p, nil
}

func (v View) chainRow(c *x509.Certificate) chainRow {
	row := chainRow{CertificateFacts: factsOf(c)}
	row.Names = row.Names[:min(len(row.Names), certificateHostsMax)]
	row.Ends, row.Health = v.endWords(c)
	return row
}

// servedNames are the names whose handshakes get a certificate: those that it is wanted for, then hosts that have none of their
// own.
func (v View) servedNames(at int) []servedName {
	x := v.index()
	out := []servedName{}
	for _, use := range x.certificates[at].uses {
		out = append(out, servedName{v.hostLink(use.host), "it is wanted for this name", placesOf(use.origins)})
	}
	seen := map[model.Host]bool{}
	for _, h := range x.hosts {
		found, by := x.certificateAt(h.host)
		if !h.table.Entry.TLS || found != at || by == h.host && by != model.AnyHost || h.name == defaultHost || seen[h.host] {
			continue
		}
		seen[h.host] = true
		why := "it has none of its own"
		if by != model.AnyHost {
			why = "it is under " + by.String()
		}
		out = append(out, servedName{nameLink{h.name, h.link()}, why, nil})
	}
	return out
}
