package main

import (
	"bytes"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/postern-gateway/postern/dataplane/identity"
)

// certs runs the command and gives what it prints.
func certs(args ...string) (string, error) {
	var out bytes.Buffer
	c := command()
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetArgs(append([]string{"certs"}, args...))
	err := c.Execute()
	return out.String(), err
}

// TestCertsRenew: made again, the CA stays, the certificates are others, and both sides can use them. Nobody else may read
// them, and no key is printed.
func TestCertsRenew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	var before map[string]string
	for range 2 {
		said, err := certs("--dir", dir)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(said, "-----") {
			t.Errorf("it prints %s", said)
		}
		now := map[string]string{}
		err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			if info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			text, err := os.ReadFile(path)
			name, _ := filepath.Rel(dir, path)
			now[name] = string(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(now) != 8 {
			t.Errorf("%d files, want 8", len(now))
		}
		for name, text := range before {
			same := now[name] == text
			if ca := strings.Contains(name, "ca."); ca != same {
				t.Errorf("%s: as before is %v, want %v", name, same, ca)
			}
		}
		before = now
		for side, role := range map[string]identity.Role{"controlplane": identity.ControlPlane, "dataplane": identity.DataPlane} {
			if _, err := identity.Open(filepath.Join(dir, side), role, slog.New(slog.DiscardHandler)); err != nil {
				t.Error(err)
			}
		}
	}
	if err := os.Remove(filepath.Join(dir, "ca.crt")); err != nil {
		t.Fatal(err)
	}
	if _, err := certs("--dir", dir); err == nil {
		t.Error("a CA's key without its certificate is written over")
	}
}

func TestCertsAsSecrets(t *testing.T) {
	text, err := certs("-o", "yaml", "--namespace", "edge")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, document := range strings.Split(text, "---\n")[1:] {
		var secret corev1.Secret
		if err := yaml.UnmarshalStrict([]byte(document), &secret); err != nil {
			t.Fatal(err)
		}
		names = append(names, secret.Namespace+"/"+secret.Name)
		dir := t.TempDir()
		for key, value := range secret.Data {
			if err := os.WriteFile(filepath.Join(dir, key), value, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		role := identity.DataPlane
		if secret.Name == identity.ControlPlaneName+"-tls" {
			role = identity.ControlPlane
		}
		if _, err := identity.Open(dir, role, slog.New(slog.DiscardHandler)); err != nil {
			t.Error(err)
		}
		if len(secret.Data) != 3 {
			t.Errorf("%s has %d keys: the CA's own has no place there", secret.Name, len(secret.Data))
		}
	}
	if got := strings.Join(names, " "); got != "edge/postern-controlplane-tls edge/postern-dataplane-tls" {
		t.Errorf("Secrets %s", got)
	}
}

func TestCertsSayWhatIsMissing(t *testing.T) {
	for _, args := range [][]string{{}, {"-o", "yaml"}, {"-o", "json", "--namespace", "x"}, {"--dir", t.TempDir(), "--life", "0s"}} {
		if _, err := certs(args...); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}
