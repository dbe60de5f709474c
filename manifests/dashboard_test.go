package manifests

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// TestDashboard: the page asks for a name and a password that were made for it, and is found by Service, Ingress and host
// port. None of them opens it without the credential.
func TestDashboard(t *testing.T) {
	t.Parallel()
	objects := render(t, `dashboard={"enabled":true,"credential":{"username":"ops"},"hostPort":{"enabled":true},"ingress":{"enabled":true,"labels":{"app":"traefik"}}}`)
	secret := named[*corev1.Secret](t, objects, "postern-inspect")
	if secret.Type != corev1.SecretTypeBasicAuth || string(secret.Data["username"]) != "ops" || len(secret.Data["password"]) != 32 {
		t.Errorf("the Secret is of type %s, for %s, with a password of %d bytes", secret.Type, secret.Data["username"], len(secret.Data["password"]))
	}
	name, hash, _ := strings.Cut(strings.TrimSpace(string(secret.Data["users"])), ":")
	if err := bcrypt.CompareHashAndPassword([]byte(hash), secret.Data["password"]); err != nil || name != "ops" {
		t.Errorf("the password is not that of %s: %v", name, err)
	}
	again := named[*corev1.Secret](t, render(t, "dashboard.enabled=true"), "postern-inspect")
	if string(again.Data["password"]) == string(secret.Data["password"]) {
		t.Error("every installation has the same password")
	}
	pod := controlPlane(t, objects).Spec
	args := pod.Containers[0].Args
	if !slices.Contains(args, "--inspect=0.0.0.0:8083") || !slices.Contains(args, "--inspect-users=/etc/postern/inspect/users") {
		t.Errorf("arguments are %v", args)
	}
	for _, v := range pod.Volumes {
		if v.Name == "inspect" && (v.Secret.SecretName != secret.Name || len(v.Secret.Items) != 1 || v.Secret.Items[0].Key != "users") {
			t.Errorf("the control plane is given %v", v.Secret)
		}
	}
	i := slices.IndexFunc(pod.Containers[0].Ports, func(p corev1.ContainerPort) bool { return p.Name == "inspect" })
	if i < 0 || pod.Containers[0].Ports[i].HostPort != 8080 || pod.Containers[0].Ports[i].ContainerPort != 8083 {
		t.Errorf("ports are %v", pod.Containers[0].Ports)
	}
	ingress := named[*networkingv1.Ingress](t, objects, "postern-inspect")
	want := map[string]string{
		"traefik.ingress.kubernetes.io/rule-type": "PathPrefixStrip", "traefik.ingress.kubernetes.io/redirect-entry-point": "https",
	}
	if !maps.Equal(ingress.Annotations, want) || ingress.Labels["app"] != "traefik" || *ingress.Spec.IngressClassName != "postern" {
		t.Errorf("the Ingress is %v of class %v", ingress.ObjectMeta, ingress.Spec.IngressClassName)
	}
	if p := ingress.Spec.Rules[0].HTTP.Paths[0]; p.Path != "/postern" || p.Backend.Service.Name != "postern-inspect" || ingress.Spec.Rules[0].Host != "" {
		t.Errorf("its rule is %v", ingress.Spec.Rules)
	}
}

// TestDashboardIsReachable: with network policies data planes reach the page that an Ingress leads to, replicas reach each
// other's, and the page reaches the data planes' health ports; without the Ingress nobody else in the cluster reaches the page.
func TestDashboardIsReachable(t *testing.T) {
	t.Parallel()
	from := func(objects []any, policy, port string) string {
		var out []string
		for _, rule := range named[*networkingv1.NetworkPolicy](t, objects, policy).Spec.Ingress {
			for _, p := range rule.Ports {
				if p.Port.StrVal == port && len(rule.From) == 1 {
					out = append(out, rule.From[0].PodSelector.MatchLabels["app.kubernetes.io/component"])
				}
			}
		}
		return strings.Join(out, ", ")
	}
	objects := render(t, "networkPolicy.enabled=true", `dashboard={"enabled":true,"ingress":{"enabled":true}}`)
	if a, b := from(objects, "postern-controlplane", "inspect"), from(objects, "postern-dataplane", "health"); a != "dataplane, controlplane" || b != "controlplane" {
		t.Errorf("the page is reached by %q, the health ports by %q", a, b)
	}
	if a := from(render(t, "networkPolicy.enabled=true", "dashboard.enabled=true"), "postern-controlplane", "inspect"); a != "controlplane" {
		t.Errorf("without an Ingress the page is reached by %q", a)
	}
}

// TestReplicasFindEachOther: the name that the control plane is given is that of a headless Service of its pods' port.
func TestReplicasFindEachOther(t *testing.T) {
	t.Parallel()
	objects := render(t, "dashboard.enabled=true", `upstream.clusterDomain="example.org"`)
	found := named[*corev1.Service](t, objects, "postern-inspect-replicas")
	if found.Spec.ClusterIP != corev1.ClusterIPNone || !maps.Equal(found.Spec.Selector, named[*corev1.Service](t, objects, "postern-inspect").Spec.Selector) {
		t.Errorf("the Service is %+v", found.Spec)
	}
	if args := controlPlane(t, objects).Spec.Containers[0].Args; !slices.Contains(args, "--inspect-replicas=postern-inspect-replicas.$(POD_NAMESPACE).svc.example.org.") {
		t.Errorf("the flags are %q", args)
	}
}

// TestNoDashboard: without it nothing listens, and no Secret is made.
func TestNoDashboard(t *testing.T) {
	t.Parallel()
	objects := render(t)
	for _, s := range only[*corev1.Secret](objects) {
		if strings.Contains(s.Name, "inspect") {
			t.Errorf("there is a Secret %s", s.Name)
		}
	}
	for _, arg := range controlPlane(t, objects).Spec.Containers[0].Args {
		if strings.HasPrefix(arg, "--inspect") {
			t.Errorf("there is a flag %s", arg)
		}
	}
}
