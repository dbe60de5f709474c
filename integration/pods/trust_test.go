package pods

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/authority"
	"github.com/postern-gateway/postern/dataplane/identity"
	"github.com/postern-gateway/postern/integration/processes"
)

const certLife = time.Hour

// trust is the folders of certificates of both sides, as postern certs writes them.
type trust struct {
	t                       *testing.T
	controlPlane, dataPlane string
	ca                      *authority.CA
	// shown is what the data plane shows.
	shown authority.Pair
}

func newTrust(t *testing.T, folder string) trust {
	t.Helper()
	r := trust{t: t, controlPlane: filepath.Join(folder, "controlplane"), dataPlane: filepath.Join(folder, "dataplane"), ca: newCA(t)}
	r.issue(r.ca, r.ca.Certificate)
	return r
}

func newCA(t *testing.T) *authority.CA {
	t.Helper()
	ca, err := authority.NewCA(certLife)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// issue writes new certificates of a CA for both sides, who then trust the authorities.
func (r *trust) issue(ca *authority.CA, authorities []byte) {
	r.t.Helper()
	r.ca = ca
	for _, side := range []struct {
		folder string
		role   authority.Role
	}{{r.controlPlane, authority.ControlPlane(systemNamespace)}, {r.dataPlane, authority.DataPlane()}} {
		pair, err := ca.Issue(side.role, certLife)
		if err == nil {
			err = authority.Write(side.folder, authority.Files(pair, authorities))
		}
		if err != nil {
			r.t.Fatal(err)
		}
		r.shown = pair
	}
}

// trustAlso has both sides trust the authorities, and show what they showed.
func (r *trust) trustAlso(authorities ...[]byte) {
	r.t.Helper()
	file := authority.File{Name: identity.CAFile, Text: bytes.Join(authorities, nil)}
	for _, folder := range []string{r.controlPlane, r.dataPlane} {
		if err := authority.Write(folder, []authority.File{file}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// greet is a handshake with a control plane as a data plane that shows a pair and trusts a CA. A refusal is what the control
// plane says to what it is shown.
func greet(address string, shown authority.Pair, trusted *authority.CA) (err error) {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(trusted.Certificate)
	pair, err := tls.X509KeyPair(shown.Certificate, shown.Key)
	if err != nil {
		return err
	}
	conn, err := tls.Dial("tcp", address, &tls.Config{
		RootCAs: pool, ServerName: identity.ControlPlaneName, NextProtos: []string{"h2"},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.SetDeadline(time.Now().Add(processes.WaitMax)); err != nil {
		return err
	}
	// A server of TLS 1.3 tells of a refusal after its handshake; one that takes us begins with its settings.
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return &refusal{err}
	}
	return nil
}

// refusal is a handshake that the other side ends.
type refusal struct{ err error }

func (r *refusal) Error() string { return "refused: " + r.err.Error() }
