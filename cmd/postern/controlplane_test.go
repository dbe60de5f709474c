package main

import (
	"strings"
	"testing"
)

// TestControlPlaneRefuses: what cannot be is refused in one sentence that names the flag, before anything is listened on or
// any cluster asked.
func TestControlPlaneRefuses(t *testing.T) {
	t.Setenv("POD_NAMESPACE", "")
	dir := t.TempDir()
	if _, errs, err := run(t, "", "certs", "--dir", dir); err != nil {
		t.Fatal(err, errs)
	}
	certs := "--xds-cert-dir=" + dir + "/controlplane"
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "--xds-cert-dir DIR is missing"},
		{[]string{certs, "--xds="}, "--xds is empty"},
		{[]string{certs}, "--lease-namespace NAMESPACE is missing"},
		{[]string{certs, "--lease-namespace=x", "--publish-service=y"}, "--publish-service y: write NAMESPACE/NAME"},
		{[]string{"--xds-cert-dir=" + dir + "/none", "--lease-namespace=x"}, "--xds-cert-dir: open"},
		{[]string{certs, "--lease-namespace=x", "--log-level=loud"}, "--log-level loud"},
		{[]string{certs, "--lease-namespace=x", "--http=nowhere"}, "--http nowhere"},
		{[]string{certs, "--lease-namespace=x", "--kubeconfig=" + dir + "/none"}, "--kubeconfig " + dir + "/none"},
	} {
		_, _, err := run(t, "", append([]string{"controlplane"}, c.args...)...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
}
