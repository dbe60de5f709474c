package identity_test

import (
	"bytes"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postern-gateway/postern/controlplane/authority"
	"github.com/postern-gateway/postern/dataplane/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func write(t *testing.T, dir, name string, text []byte) {
	t.Helper()
	if err := authority.Write(dir, []authority.File{{Name: name, Text: text}}); err != nil {
		t.Fatal(err)
	}
}

func newPair(t *testing.T, life time.Duration) (*authority.CA, authority.Pair) {
	t.Helper()
	ca, err := authority.NewCA(time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(authority.DataPlane(), life)
	if err != nil {
		t.Fatal(err)
	}
	return ca, pair
}

// TestFilesThatCannotBeUsed: each is an error at the start; later it is told, once, and what was before stays in use.
func TestFilesThatCannotBeUsed(t *testing.T) {
	ca, pair := newPair(t, time.Hour)
	_, other := newPair(t, time.Hour)
	for _, tt := range []struct {
		name, file string
		text       []byte
		want       string
	}{
		{"another pair's key", identity.KeyFile, other.Key, "private key does not match"},
		{"an empty certificate", identity.CertificateFile, nil, "tls.crt and tls.key"},
		{"no CA", identity.CAFile, []byte("\n"), "no certificate"},
		{"half a CA", identity.CAFile, ca.Certificate[:len(ca.Certificate)/2], "no certificate"},
		{"a CA and half of another", identity.CAFile, append(bytes.Clone(ca.Certificate), ca.Certificate[:100]...), "what follows its last certificate"},
		{"a key among the CAs", identity.CAFile, append(bytes.Clone(ca.Certificate), ca.Key...), "only certificates belong there"},
		{"too much", identity.CAFile, bytes.Repeat([]byte("#"), 2<<20), "more than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, f := range authority.Files(pair, ca.Certificate) {
				write(t, dir, f.Name, f.Text)
			}
			var said bytes.Buffer
			log := slog.New(slog.NewTextHandler(&said, nil))
			folder, err := identity.Open(dir, identity.DataPlane, log)
			if err != nil {
				t.Fatal(err)
			}
			expires := folder.NotAfter()
			write(t, dir, tt.file, tt.text)
			if _, err := identity.Open(dir, identity.DataPlane, log); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("at the start: %v, want %q", err, tt.want)
			}
			look := identity.Look(folder)
			look()
			if said.Len() > 0 {
				t.Errorf("the first look, which may fall between two files, tells %s", &said)
			}
			look()
			look()
			if n := strings.Count(said.String(), tt.want); n != 1 {
				t.Errorf("told %d times, want once: %s", n, &said)
			}
			if strings.Contains(said.String(), strings.Split(string(pair.Key), "\n")[1]) || !folder.NotAfter().Equal(expires) {
				t.Error("the pair before is not in use, or a key is told")
			}
			for _, f := range authority.Files(pair, ca.Certificate) {
				write(t, dir, f.Name, f.Text)
			}
			look()
			write(t, dir, tt.file, tt.text)
			look()
			look()
			if n := strings.Count(said.String(), tt.want); n != 2 {
				t.Errorf("after a repair told %d times in all, want twice", n)
			}
		})
	}
}

// TestCertificatesOfAnotherRole: what the other side would refuse is an error at the start that says what is expected; later
// it is told, and what was before stays in use.
func TestCertificatesOfAnotherRole(t *testing.T) {
	controlPlane, dataPlane := authority.ControlPlane("postern"), authority.DataPlane()
	both := map[identity.Role]authority.Role{identity.ControlPlane: controlPlane, identity.DataPlane: dataPlane}
	for _, tt := range []struct {
		name  string
		side  identity.Role
		shown authority.Role
		want  []string // words of the error; empty where there is none
	}{
		{"a data plane's for the control plane", identity.ControlPlane, dataPlane, []string{"server auth", identity.ControlPlaneName, `["postern-dataplane"]`}},
		{"for clients", identity.ControlPlane, authority.Role{Name: identity.ControlPlaneName, Usage: dataPlane.Usage}, []string{"server auth", "lacks the usage"}},
		{"for anything", identity.ControlPlane, authority.Role{Name: identity.ControlPlaneName, Usage: x509.ExtKeyUsageAny}, []string{"server auth", "lacks the usage"}},
		{"of the name of --xds-server-name", identity.ControlPlane, authority.Role{Name: "somebody", Usage: controlPlane.Usage}, nil},
		{"the control plane's for a data plane", identity.DataPlane, controlPlane, []string{"client auth", identity.DataPlaneName, `["postern-controlplane" `}},
		{"of another name", identity.DataPlane, authority.Role{Name: "somebody", Usage: dataPlane.Usage}, []string{"client auth", `["somebody"]`}},
		{"for servers", identity.DataPlane, authority.Role{Name: identity.DataPlaneName, Usage: controlPlane.Usage}, []string{"client auth", "lacks the usage"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ca, err := authority.NewCA(time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			put := func(role authority.Role, life time.Duration) {
				t.Helper()
				pair, err := ca.Issue(role, life)
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range authority.Files(pair, ca.Certificate) {
					write(t, dir, f.Name, f.Text)
				}
			}
			var said bytes.Buffer
			log := slog.New(slog.NewTextHandler(&said, nil))
			put(both[tt.side], time.Hour)
			folder, err := identity.Open(dir, tt.side, log)
			if err != nil {
				t.Fatal(err)
			}
			before := folder.NotAfter()
			put(tt.shown, time.Minute)
			_, err = identity.Open(dir, tt.side, log)
			if (err == nil) != (tt.want == nil) {
				t.Fatalf("at the start: %v", err)
			}
			look := identity.Look(folder)
			look()
			look()
			for _, words := range tt.want {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("at the start: %v, want %s", err, words)
				}
			}
			if told := strings.Contains(said.String(), "cannot be used"); told != (err != nil) || folder.NotAfter().Equal(before) != told {
				t.Errorf("after a rotation the certificate before is in use: %v; told: %s", folder.NotAfter().Equal(before), &said)
			}
		})
	}
}

func TestMissingFilesAreNamed(t *testing.T) {
	dir := t.TempDir()
	if _, err := identity.Open(dir, identity.DataPlane, slog.Default()); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, identity.CertificateFile)) {
		t.Errorf("an empty folder: %v", err)
	}
}

// TestExpiryIsTold: once for each certificate, when little is left of its life.
func TestExpiryIsTold(t *testing.T) {
	dir := t.TempDir()
	var said bytes.Buffer
	ca, short := newPair(t, time.Minute)
	for _, f := range authority.Files(short, ca.Certificate) {
		write(t, dir, f.Name, f.Text)
	}
	folder, err := identity.Open(dir, identity.DataPlane, slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	look := identity.Look(folder)
	look()
	look()
	if n := strings.Count(said.String(), "is not renewed"); n != 1 {
		t.Errorf("told %d times, want once: %s", n, &said)
	}
	renewed, err := ca.Issue(authority.DataPlane(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	before := folder.NotAfter()
	for _, f := range authority.Files(renewed, ca.Certificate) {
		write(t, dir, f.Name, f.Text)
	}
	look()
	if n := strings.Count(said.String(), "is not renewed"); n != 1 || !folder.NotAfter().After(before) {
		t.Errorf("a renewed certificate is warned of, or not read: %s", &said)
	}
	info, err := os.Stat(filepath.Join(dir, identity.KeyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key has mode %v, %v", info.Mode(), err)
	}
}
