package manifests

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// certManagerExample are the certificates without the chart.
const certManagerExample = "../docs/examples/xds-certificates/cert-manager.yaml"

// TestCertManager: what cert-manager is asked for is what each side shows and the other expects, by the chart and by the
// example beside a base; a CA of one's own outlives its renewal.
func TestCertManager(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set    []string
		server string
		// certificates are made beside the chart's objects.
		certificates []any
	}{
		"chart": {[]string{`xds.certificates.mode="cert-manager"`}, "postern-controlplane", nil},
		"another name": {[]string{`name="edge"`, `xds.serverName="gateway.internal"`,
			`xds.certificates={"mode":"cert-manager","controlPlaneSecret":"a","dataPlaneSecret":"b"}`}, "gateway.internal", nil},
		"example": {[]string{`xds.certificates.mode="existing"`}, "postern-controlplane", decodeAll(t, read(t, certManagerExample))},
	} {
		objects := append(render(t, c.set...), c.certificates...)
		pods := podsByComponent(t, objects)
		for component, want := range map[string]struct{ dns, usage string }{
			"controlplane": {c.server, "server auth"}, "dataplane": {"postern-dataplane", "client auth"},
		} {
			i := slices.IndexFunc(pods[component].Volumes, func(v corev1.Volume) bool { return v.Name == "xds-certificate" })
			secret := pods[component].Volumes[i].Secret.SecretName
			all := only[*certificate](objects)
			j := slices.IndexFunc(all, func(o *certificate) bool { return o.Spec.SecretName == secret })
			if j < 0 {
				t.Errorf("%s: nobody makes the Secret %s", name, secret)
				continue
			}
			spec := all[j].Spec
			if !slices.Contains(spec.DNSNames, want.dns) || !slices.Equal(spec.Usages, []string{"digital signature", want.usage}) {
				t.Errorf("%s: %s is for %v, of the usages %v", name, secret, spec.DNSNames, spec.Usages)
			}
			checkOwnCA(t, name, spec.IssuerRef.Name, objects)
		}
		if args := strings.Join(pods["dataplane"].Containers[0].Args, " "); !strings.Contains(args, "--xds-server-name="+c.server) {
			t.Errorf("%s: the data plane asks for another name than %s: %s", name, c.server, args)
		}
	}
}

// podsByComponent are the pods of both planes, whatever they are called.
func podsByComponent(t *testing.T, objects []any) map[string]corev1.PodSpec {
	t.Helper()
	out := map[string]corev1.PodSpec{}
	for _, d := range only[*appsv1.Deployment](objects) {
		out[d.Labels["app.kubernetes.io/component"]] = d.Spec.Template.Spec
	}
	if len(out) != 2 {
		t.Fatalf("there are %d kinds of pods", len(out))
	}
	return out
}

// checkOwnCA: the issuer signs by a CA that signs itself, is long-lived, and keeps its key, since both sides are issued anew
// at different times and know the CA by the certificate that came with their own.
func checkOwnCA(t *testing.T, name, issuedBy string, objects []any) {
	t.Helper()
	by := named[*issuer](t, objects, issuedBy)
	if by.Spec.CA == nil {
		t.Fatalf("%s: %s is no CA", name, issuedBy)
	}
	for _, ca := range only[*certificate](objects) {
		if ca.Spec.SecretName != by.Spec.CA.SecretName {
			continue
		}
		if named[*issuer](t, objects, ca.Spec.IssuerRef.Name).Spec.SelfSigned == nil {
			t.Errorf("%s: %s does not sign itself", name, ca.Name)
		}
		if !ca.Spec.IsCA || ca.Spec.PrivateKey.RotationPolicy != "Never" || ca.Spec.Duration.Hours() < 5*365*24 {
			t.Errorf("%s: %s is %+v", name, ca.Name, ca.Spec)
		}
		return
	}
	t.Errorf("%s: nobody makes the CA %s", name, by.Spec.CA.SecretName)
}
