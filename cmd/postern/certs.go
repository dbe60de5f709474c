package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/postern-gateway/postern/controlplane/authority"
	"github.com/postern-gateway/postern/dataplane/identity"
)

// certsOptions are the flags of postern certs.
type certsOptions struct {
	dir, output, namespace string
	caLife, life           time.Duration
}

func certsCommand() *cobra.Command {
	var o certsOptions
	c := &cobra.Command{
		Use:   "certs --dir DIR | -o yaml --namespace NS",
		Short: "Make the certificates by which control plane and data planes know each other",
		Long: `Makes a CA, and a certificate of it each for the control plane and the data planes, where no
cert-manager does. With --dir they are files: DIR/ca.crt and DIR/ca.key, and in DIR/controlplane and
DIR/dataplane the tls.crt, tls.key and ca.crt for --xds-cert-dir. With -o yaml they are two Secrets on
standard output; the CA's key is then kept only where --dir is given too.

Made again in the same DIR, the CA stays and the certificates are new.`,
		Example: `  postern certs --dir certs
  postern certs --dir certs -o yaml --namespace postern-system | kubectl apply -f -`,
		Args: onlyFlags,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c.OutOrStdout()) },
	}
	f := c.Flags()
	f.StringVar(&o.dir, "dir", "", "folder for the files; the CA that it has is used again")
	f.StringVarP(&o.output, "output", "o", "", "yaml: print Secrets")
	f.StringVar(&o.namespace, "namespace", "", "namespace of the Secrets and of the control plane's Service")
	f.DurationVar(&o.caLife, "ca-life", authority.DefaultCALife, "how long a new CA lives")
	f.DurationVar(&o.life, "life", authority.DefaultLife, "how long the certificates live")
	return c
}

func (o *certsOptions) run(out io.Writer) error {
	switch {
	case o.output != "" && o.output != "yaml":
		return fmt.Errorf("-o %s: write yaml", o.output)
	case o.dir == "" && o.output == "":
		return errors.New("say where the certificates go: --dir DIR, or -o yaml --namespace NS")
	case o.output != "" && o.namespace == "":
		return errors.New("say where the Secrets belong: --namespace NS")
	case o.life <= 0 || o.caLife <= 0:
		return errors.New("--life and --ca-life must be above zero")
	}
	ca, err := o.ca()
	if err != nil {
		return err
	}
	for _, side := range []struct {
		folder, secret string
		role           authority.Role
	}{
		{"controlplane", identity.ControlPlaneName + "-tls", authority.ControlPlane(o.namespace)},
		{"dataplane", identity.DataPlaneName + "-tls", authority.DataPlane()},
	} {
		pair, err := ca.Issue(side.role, o.life)
		if err != nil {
			return err
		}
		files := authority.Files(pair, ca.Certificate)
		if o.dir != "" {
			if err := authority.Write(filepath.Join(o.dir, side.folder), files); err != nil {
				return err
			}
		}
		if o.output != "" {
			if err := printSecret(out, metav1.ObjectMeta{Name: side.secret, Namespace: o.namespace}, files); err != nil {
				return err
			}
		}
	}
	if o.output == "" {
		fmt.Fprintf(out, "certificates of the CA in %s, which ends on %s\n", o.dir, ca.NotAfter().Format(time.DateOnly))
	}
	return nil
}

// ca is the folder's, or a new one.
func (o *certsOptions) ca() (*authority.CA, error) {
	if o.dir == "" {
		return authority.NewCA(o.caLife)
	}
	ca, err := authority.ReadCA(o.dir)
	if err != nil || ca != nil {
		if err == nil && !ca.NotAfter().After(time.Now()) {
			err = fmt.Errorf("the CA in %s has ended: make a new one in another folder, see docs/operate/xds-certificates.md", o.dir)
		}
		return ca, err
	}
	if ca, err = authority.NewCA(o.caLife); err != nil {
		return nil, err
	}
	return ca, authority.WriteCA(o.dir, ca)
}

func printSecret(out io.Writer, meta metav1.ObjectMeta, files []authority.File) error {
	secret := corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: meta, Type: corev1.SecretTypeTLS, Data: map[string][]byte{},
	}
	for _, f := range files {
		secret.Data[f.Name] = f.Text
	}
	text, err := yaml.Marshal(secret)
	if err != nil {
		return fmt.Errorf("write the Secret %s: %w", meta.Name, err)
	}
	_, err = fmt.Fprintf(out, "---\n%s", text)
	return err
}
