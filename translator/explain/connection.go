package explain

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-gateway/postern/translator/model"
)

// NoSNI is the SNI of a client that names no host.
const NoSNI = "-"

// serverName is what the client asks for in its handshake, in lower case, empty for none: no address, and no dot at its
// end (RFC 6066, 3).
func (n *narrator) serverName() string {
	switch n.request.SNI {
	case "":
		name := strings.TrimSuffix(hostName(n.target.authority), ".")
		if isAddress(name) {
			return ""
		}
		return name
	case NoSNI:
		return ""
	default:
		return strings.ToLower(n.request.SNI)
	}
}

// settingsOf are the TLS settings of a host: those of an exact host that has routes, else of the wildcard above it. The
// zero group is none.
func settingsOf(t model.Table, host string) model.TLSGroup {
	if !named(t.Exact, host) {
		host = parentWildcard(host)
	}
	return groupNamed(t, host)
}

func named(hosts []model.HostRoutes, name string) bool {
	return slices.ContainsFunc(hosts, func(h model.HostRoutes) bool { return h.Host.Name() == name })
}

// groupNamed is the group that has a host, by its name in the model.
func groupNamed(t model.Table, name string) model.TLSGroup {
	for _, g := range t.Groups {
		if slices.ContainsFunc(g.Hosts, func(h model.Host) bool { return h.Name() == name }) {
			return g
		}
	}
	return model.TLSGroup{}
}

// shake does the handshake: the SNI decides what is asked of the client and which certificate it is served. It says why
// the handshake fails, empty where it does not.
func (n *narrator) shake() string {
	sni := n.serverName()
	if strings.ContainsFunc(sni, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_'
	}) {
		return fmt.Sprintf("%q is no host name", sni)
	}
	n.group = settingsOf(*n.table, sni)
	least := max(model.TLS12, n.gateway.Edge.TLSMinVersion, n.group.MinVersion)
	if n.group.Name != "" {
		n.story.Connection = &Connection{ServerName: sni, MinVersion: least, ClientCA: n.group.ClientCA, Origins: n.group.Origins}
	}
	if spoken := n.request.TLSVersion; spoken != "" && spoken < least {
		return fmt.Sprintf("the client speaks TLS up to %s, and %s or later is asked for", spoken, least)
	}
	chosen, why := chooseCertificate(n.gateway, sni)
	if chosen == nil {
		return why
	}
	n.serve(chosen, why)
	return n.checkClient()
}

// checkClient says why the client's certificate is not taken, empty where it is, or where none is asked for.
func (n *narrator) checkClient() string {
	if n.group.ClientCA == "" {
		return ""
	}
	wanted := "a client certificate that chains to Secret " + n.group.ClientCA
	if len(n.request.ClientCertificate) == 0 {
		return wanted + " is asked for, and none is shown"
	}
	i := slices.IndexFunc(n.gateway.ClientCAs, func(c model.ClientCA) bool { return c.Name == n.group.ClientCA })
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(n.gateway.ClientCAs[i].Bundle)
	var leaf *x509.Certificate
	for rest := n.request.ClientCertificate; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil:
			return "the client's certificate does not parse"
		case leaf == nil:
			leaf = certificate
		default:
			between.AddCert(certificate)
		}
	}
	if leaf == nil {
		return "the client's certificate is no PEM"
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: n.moment(leaf), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return fmt.Sprintf("%s is asked for: %s", wanted, err)
	}
	return ""
}

// moment is when the request is sent. Verify would ask the clock.
func (n *narrator) moment(leaf *x509.Certificate) time.Time {
	if n.request.At.IsZero() {
		return leaf.NotBefore
	}
	return n.request.At
}

// misdirected says why the connection is not one for the host that the request names, empty where it is.
func (n *narrator) misdirected() string {
	if !n.target.tls {
		return ""
	}
	host := hostName(n.target.authority)
	wants := settingsOf(*n.table, host)
	switch {
	case wants.Name == n.group.Name:
		return ""
	case wants.Name == "":
		return fmt.Sprintf("the connection came by a name with TLS settings of its own, and %s is not under them", host)
	default:
		n.addOrigins(wants.Origins)
		return fmt.Sprintf("%s has TLS settings, and the connection came by a name that is not under them", host)
	}
}

// closedTo says whether a host's routes are only for connections under its TLS settings, which this one is not.
func (n *narrator) closedTo(host string) bool {
	of := groupNamed(*n.table, host)
	return n.target.tls && of.Name != "" && of.Name != n.group.Name
}
