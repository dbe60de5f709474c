package identity

import (
	"crypto/x509"
	"fmt"
	"slices"
)

// A Role is the side that shows a certificate.
type Role int

// The two sides.
const (
	ControlPlane Role = iota
	DataPlane
)

// check is why a certificate is not of the role: the other side would refuse it at every handshake. crypto/x509 takes a
// certificate without usages for one of any usage; here the usage must be named. By which name a control plane is known is
// said to the data planes alone, so that its certificate may have any name but theirs.
func (r Role) check(leaf *x509.Certificate) error {
	want, usage := `the data plane's certificate must have the usage "client auth" and the DNS name `+DataPlaneName, x509.ExtKeyUsageClientAuth
	named := slices.Contains(leaf.DNSNames, DataPlaneName)
	if r == ControlPlane {
		want, usage = `the control plane's certificate must have the usage "server auth" and the DNS name `+ControlPlaneName+
			", or that of the data planes' --xds-server-name", x509.ExtKeyUsageServerAuth
		named = slices.ContainsFunc(leaf.DNSNames, func(name string) bool { return name != DataPlaneName })
	}
	switch used := slices.Contains(leaf.ExtKeyUsage, usage); {
	case !named:
		return fmt.Errorf("%s; this one has the DNS names %q", want, leaf.DNSNames)
	case !used:
		return fmt.Errorf("%s; this one, for %q, lacks the usage", want, leaf.DNSNames)
	}
	return nil
}
