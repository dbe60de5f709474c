package manifests

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// TestLint: helm lint --strict takes the chart, alone and with the values of the examples and bases.
func TestLint(t *testing.T) {
	t.Parallel()
	if out, err := helm(t).Run(t.Context(), "lint", "--strict", chart); err != nil {
		t.Errorf("%s: %v", out, err)
	}
	files, err := filepath.Glob("kustomize/*/values.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("values of bases: %v, %v", files, err)
	}
	for _, file := range append(files, scenario) {
		if out, err := helm(t).Run(t.Context(), "lint", "--strict", chart, "--values", file); err != nil {
			t.Errorf("%s: %s: %v", file, out, err)
		}
	}
}

// switches are values and what they may be; each combination is a cluster that somebody has.
var switches = [][]string{
	{`dataPlane.kind="Deployment"`, `dataPlane.kind="DaemonSet"`},
	{`dataPlane.proxy="envoy"`, `dataPlane.proxy="go"`},
	{`dataPlane.service.type="LoadBalancer"`, `dataPlane.service.type="NodePort"`, `dataPlane.service.type="ClusterIP"`, `dataPlane.service.enabled=false`},
	{`dataPlane.service.nodePorts={"http":0,"https":0}`, `dataPlane.service.nodePorts={"http":30080,"https":30443}`},
	{`dataPlane.hostPort={}`, `dataPlane.hostPort={"http":{"enabled":true},"https":{"enabled":true}}`},
	{`entries.http.enabled=true`, `entries.http.enabled=false`},
	{`entries.trustedProxies=["10.0.0.0/8"]`},
	{`dataPlane.service.tlsAtLoadBalancer=false`, `dataPlane.service.tlsAtLoadBalancer=true`},
	{`xds.certificates.mode="generate"`, `xds.certificates.mode="cert-manager"`, `xds.certificates={"mode":"cert-manager","certManager":{"issuerRef":{"name":"ca","kind":"ClusterIssuer"}}}`, `xds.certificates.mode="existing"`},
	{`watch.namespaces=[]`, `watch.namespaces=["shop","default","gateway"]`, `watch.namespaces=["shop"]`},
	{`rbac.enabled=true`, `rbac.enabled=false`},
	{`controlPlane.serviceAccount.create=true`, `controlPlane.serviceAccount={"create":false,"name":"mine"}`},
	{`metrics.enabled=true`, `metrics.enabled=false`, `metrics.serviceMonitor={"enabled":true,"namespace":"monitoring"}`},
	{`networkPolicy.enabled=false`, `networkPolicy.enabled=true`, `networkPolicy={"enabled":true,"clients":[{"ipBlock":{"cidr":"192.0.2.0/24"}}],"metrics":[{"podSelector":{}}]}`},
	{`dataPlane.autoscaling.enabled=false`, `dataPlane.autoscaling.enabled=true`},
	{`dataPlane.podDisruptionBudget.enabled=true`, `dataPlane.podDisruptionBudget.enabled=false`},
	{`dataPlane.topologySpread.enabled=true`, `dataPlane.topologySpread.enabled=false`},
	{`ingressClass.default=false`, `ingressClass.default=true`, `ingressClass.enabled=false`},
	{`entries.https.defaultCertificate={}`, `entries.https.defaultCertificate.secret="default/tls"`},
	{`status.addresses=[]`, `status.addresses=["192.0.2.1","gateway.example.com"]`, `status.service="default/other"`},
	{`upstream.externalName=["off"]`, `upstream.externalName=["cluster","example.com"]`},
	{`dashboard={}`, `dashboard={"enabled":true}`, `dashboard={"enabled":true,"hostPort":{"enabled":true},"credential":{"existingSecret":"mine"}}`, `dashboard={"enabled":true,"ingress":{"enabled":true,"hosts":["node.test"],"tlsSecret":"tls"}}`},
	{`controlPlane.pprof=false`, `controlPlane.pprof=true`},
	{`labels={}`, `labels={"team":"edge"}`},
	{`ipv6=false`, `ipv6=true`},
}

// combinations are so many that each pair of values stands in one, on average, many times.
const combinations = 300

// TestCombinations: whatever is switched on with whatever else, the objects are Kubernetes' own, hold together, and keep
// to what is promised of the pods.
func TestCombinations(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	random := rand.New(rand.NewPCG(1, 1))
	for i := range combinations {
		var set []string
		for _, s := range switches {
			set = append(set, s[random.IntN(len(s))])
		}
		if contradicts(set) {
			continue
		}
		for _, a := range set {
			for _, b := range set {
				seen[a+b] = true
			}
		}
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			objects := render(t, set...)
			checkPods(t, objects)
			checkReferences(t, objects)
			checkArgs(t, objects)
			if t.Failed() {
				t.Log(strings.Join(set, "\n"))
			}
		})
	}
	for i, s := range switches {
		for _, other := range switches[i+1:] {
			for _, a := range s {
				for _, b := range other {
					if !seen[a+b] && !contradicts([]string{a, b}) {
						t.Errorf("no combination has %s and %s: raise combinations", a, b)
					}
				}
			}
		}
	}
}

// contradicts says whether the chart refuses the values together.
func contradicts(set []string) bool {
	has := func(all ...string) bool {
		for _, s := range all {
			if !slices.Contains(set, s) {
				return false
			}
		}
		return true
	}
	return has(`dataPlane.kind="DaemonSet"`, `dataPlane.autoscaling.enabled=true`) ||
		has(`entries.http.enabled=false`, `dataPlane.hostPort={"http":{"enabled":true},"https":{"enabled":true}}`) ||
		has(`watch.namespaces=["shop"]`, `entries.https.defaultCertificate.secret="default/tls"`) ||
		has(`dataPlane.service.tlsAtLoadBalancer=true`, `entries.http.enabled=false`) ||
		slices.ContainsFunc(set, func(s string) bool { return strings.HasPrefix(s, "dashboard=") && strings.Contains(s, "ingress") }) &&
			has(`watch.namespaces=["shop"]`)
}

func checkPods(t *testing.T, objects []any) {
	t.Helper()
	for name, pod := range map[string]corev1.PodSpec{"controlplane": controlPlane(t, objects).Spec, "dataplane": dataPlane(t, objects).Spec} {
		s := pod.SecurityContext
		if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser != 65532 || s.FSGroup == nil ||
			s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s: the pod's security context is %v", name, s)
		}
		if pod.HostNetwork || pod.HostPID || pod.HostIPC || len(pod.Containers) != 1 {
			t.Errorf("%s: it shares the node's namespaces, or has %d containers", name, len(pod.Containers))
		}
		c := pod.Containers[0]
		k := c.SecurityContext
		if k == nil || k.ReadOnlyRootFilesystem == nil || !*k.ReadOnlyRootFilesystem || k.AllowPrivilegeEscalation == nil || *k.AllowPrivilegeEscalation ||
			k.Capabilities == nil || !slices.Equal(k.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(k.Capabilities.Add) > 0 || k.Privileged != nil {
			t.Errorf("%s: the container's security context is %v", name, k)
		}
		for _, m := range c.VolumeMounts {
			if !slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name }) {
				t.Errorf("%s: there is no volume %s", name, m.Name)
			}
		}
		for _, p := range c.Ports {
			if p.ContainerPort < 1024 {
				t.Errorf("%s: port %d needs a capability", name, p.ContainerPort)
			}
		}
		for _, probe := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe} {
			if !slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == probe.HTTPGet.Port.StrVal }) {
				t.Errorf("%s: a probe asks port %v", name, probe.HTTPGet.Port)
			}
		}
	}
	plane := dataPlane(t, objects).Spec
	if plane.AutomountServiceAccountToken == nil || *plane.AutomountServiceAccountToken {
		t.Error("the data plane has a service account's token")
	}
	args := strings.Join(plane.Containers[0].Args, " ")
	var delay, timeout int64
	if _, err := fmt.Sscanf(drainArgs.FindString(args), "--drain-delay=%ds --drain-timeout=%ds", &delay, &timeout); err != nil {
		t.Errorf("%s: %v", args, err)
	}
	if grace := plane.TerminationGracePeriodSeconds; grace == nil || *grace <= delay+timeout {
		t.Errorf("the grace period is %v, the drain takes up to %d s", grace, delay+timeout)
	}
	if command := plane.Containers[0].Lifecycle.PreStop.Exec.Command; !strings.HasSuffix(strings.Join(command, " "), "postern dataplane drain --folder=/run/postern") ||
		!slices.Contains(plane.Containers[0].Args, "--folder=/run/postern") {
		t.Errorf("preStop is %v", command)
	}
}

var drainArgs = regexp.MustCompile(`--drain-delay=\S+ --drain-timeout=\S+`)

// checkReferences: what selects pods, ports and Secrets by name finds them.
func checkReferences(t *testing.T, objects []any) {
	t.Helper()
	pods := []corev1.PodTemplateSpec{controlPlane(t, objects), dataPlane(t, objects)}
	one := func(what string, selector map[string]string) corev1.PodTemplateSpec {
		var found []corev1.PodTemplateSpec
		for _, p := range pods {
			if labels.SelectorFromSet(selector).Matches(labels.Set(p.Labels)) {
				found = append(found, p)
			}
		}
		if len(found) != 1 {
			t.Fatalf("%s selects %d kinds of pods", what, len(found))
		}
		return found[0]
	}
	port := func(what, name string, p corev1.PodTemplateSpec) {
		if !slices.ContainsFunc(p.Spec.Containers[0].Ports, func(c corev1.ContainerPort) bool { return c.Name == name }) {
			t.Errorf("%s: the pod has no port %s", what, name)
		}
	}
	for _, s := range only[*corev1.Service](objects) {
		for _, p := range s.Spec.Ports {
			port("Service "+s.Name, p.TargetPort.StrVal, one("Service "+s.Name, s.Spec.Selector))
		}
	}
	for _, d := range only[*appsv1.Deployment](objects) {
		one("Deployment "+d.Name, d.Spec.Selector.MatchLabels)
	}
	for _, b := range only[*policyv1.PodDisruptionBudget](objects) {
		one("PodDisruptionBudget "+b.Name, b.Spec.Selector.MatchLabels)
	}
	for _, n := range only[*networkingv1.NetworkPolicy](objects) {
		for _, rule := range n.Spec.Ingress {
			for _, p := range rule.Ports {
				port("NetworkPolicy "+n.Name, p.Port.StrVal, one("NetworkPolicy "+n.Name, n.Spec.PodSelector.MatchLabels))
			}
		}
	}
	for _, m := range only[*serviceMonitor](objects) {
		selector, err := metav1.LabelSelectorAsSelector(&m.Spec.Selector)
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for _, s := range only[*corev1.Service](objects) {
			if selector.Matches(labels.Set(s.Labels)) {
				count++
			}
		}
		if count != 1 || m.Spec.NamespaceSelector.MatchNames[0] != namespace {
			t.Errorf("ServiceMonitor %s selects %d Services in %v", m.Name, count, m.Spec.NamespaceSelector.MatchNames)
		}
	}
	for _, b := range only[*rbacv1.RoleBinding](objects) {
		named[*rbacv1.Role](t, objects, b.RoleRef.Name)
		if b.Subjects[0].Name != controlPlane(t, objects).Spec.ServiceAccountName || b.Subjects[0].Namespace != namespace {
			t.Errorf("RoleBinding %s is for %v", b.Name, b.Subjects)
		}
	}
}

// flags asks postern itself for the flags of both commands.
var flags = sync.OnceValues(func() (map[string][]string, error) {
	out := map[string][]string{}
	for _, command := range []string{"controlplane", "dataplane"} {
		help := exec.Command("go", "run", "./cmd/postern", command, "--help")
		help.Dir = ".."
		help.Env = append(os.Environ(), "GOWORK=off")
		text, err := output(help)
		if err != nil {
			return nil, err
		}
		for _, match := range helpFlag.FindAllStringSubmatch(string(text), -1) {
			out[command] = append(out[command], match[1])
		}
	}
	return out, nil
})

var helpFlag = regexp.MustCompile(`(?m)^ +(?:-\w, )?(--[a-z][a-z-]*)`)

// checkArgs: every flag is one that the command has.
func checkArgs(t *testing.T, objects []any) {
	t.Helper()
	known, err := flags()
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range []corev1.PodTemplateSpec{controlPlane(t, objects), dataPlane(t, objects)} {
		args := pod.Spec.Containers[0].Args
		for _, arg := range args[1:] {
			name, _, _ := strings.Cut(arg, "=")
			if !slices.Contains(known[args[0]], name) {
				t.Errorf("postern %s has no flag %s", args[0], name)
			}
		}
	}
}

// TestHostPorts: the node's 80 and 443 lead to the ports that the entries listen on.
func TestHostPorts(t *testing.T) {
	t.Parallel()
	objects := render(t, `dataPlane.kind="DaemonSet"`, `dataPlane.hostPort={"http":{"enabled":true},"https":{"enabled":true}}`)
	got := map[int32]int32{}
	for _, p := range dataPlane(t, objects).Spec.Containers[0].Ports {
		got[p.ContainerPort] = p.HostPort
	}
	args := controlPlane(t, objects).Spec.Containers[0].Args
	if got[8080] != 80 || got[8443] != 443 || got[8082] != 0 || !slices.Contains(args, "--http=0.0.0.0:8080") || !slices.Contains(args, "--https=0.0.0.0:8443") {
		t.Errorf("ports are %v, arguments %v", got, args)
	}
}

// TestReplacement: where a node has room for one pod of a kind only, by its host port, no new one is waited for before an old
// one ends; elsewhere no control plane ends before. What is given counts alone.
func TestReplacement(t *testing.T) {
	t.Parallel()
	surge := func(d *appsv1.Deployment) string {
		rolling := d.Spec.Strategy.RollingUpdate
		if rolling == nil {
			return string(d.Spec.Strategy.Type)
		}
		return fmt.Sprintf("%v more, %v less", rolling.MaxSurge, rolling.MaxUnavailable)
	}
	for _, c := range []struct {
		set            []string
		control, plane string
	}{
		{nil, "1 more, 0 less", ""},
		{[]string{`dashboard={"enabled":true,"hostPort":{"enabled":true}}`}, "0 more, 1 less", ""},
		{[]string{`dataPlane.hostPort.http.enabled=true`}, "1 more, 0 less", "0 more, 1 less"},
		{[]string{`dataPlane.hostPort.https.enabled=true`, `dashboard={"enabled":true,"hostPort":{"enabled":true}}`, `controlPlane.strategy.type="Recreate"`, `dataPlane.strategy.type="Recreate"`}, "Recreate", "Recreate"},
	} {
		objects := render(t, c.set...)
		control, plane := named[*appsv1.Deployment](t, objects, "postern-controlplane"), named[*appsv1.Deployment](t, objects, "postern-dataplane")
		if a, b := surge(control), surge(plane); a != c.control || b != c.plane {
			t.Errorf("%v: of control planes %s, of data planes %s", c.set, a, b)
		}
	}
}

// TestIPv6: with it every port of both pods is open to IPv6, and without it none, as there may be none.
func TestIPv6(t *testing.T) {
	t.Parallel()
	for set, want := range map[string]string{"ipv6=true": "[::]", "ipv6=false": "0.0.0.0"} {
		objects := render(t, set, "dashboard.enabled=true")
		for _, pod := range []corev1.PodTemplateSpec{controlPlane(t, objects), dataPlane(t, objects)} {
			var open int
			for _, arg := range pod.Spec.Containers[0].Args {
				_, value, _ := strings.Cut(arg, "=")
				if host, port, err := net.SplitHostPort(value); err == nil && !strings.Contains(host, ".svc.") {
					open++
					if value != want+":"+port {
						t.Errorf("%s: %s", set, arg)
					}
				}
			}
			ports := len(pod.Spec.Containers[0].Ports)
			if pod.Labels["app.kubernetes.io/component"] == "controlplane" {
				ports += 2 // The entries are the data planes' to open.
			} else {
				ports -= 2
			}
			if open != ports {
				t.Errorf("%s: %d addresses in the arguments for %d ports", set, open, ports)
			}
		}
	}
}

// TestTLSAtLoadBalancer: both ports of the load balancer lead to the entry without TLS, which is told whom to believe.
func TestTLSAtLoadBalancer(t *testing.T) {
	t.Parallel()
	for _, https := range []string{"true", "false"} {
		objects := render(t, `dataPlane.service.tlsAtLoadBalancer=true`, `entries.trustedProxies=["10.0.0.0/8"]`, "entries.https.enabled="+https)
		got := map[string]string{}
		for _, p := range named[*corev1.Service](t, objects, "postern-dataplane").Spec.Ports {
			got[fmt.Sprint(p.Name, " ", p.Port)] = p.TargetPort.StrVal
		}
		if !maps.Equal(got, map[string]string{"http 80": "http", "https 443": "http"}) {
			t.Errorf("with entries.https.enabled=%s the ports are %v", https, got)
		}
		if !slices.Contains(controlPlane(t, objects).Spec.Containers[0].Args, "--trusted-proxies=10.0.0.0/8") {
			t.Error("nobody is believed")
		}
	}
}

// TestNamespacesNarrowTheRoles: with namespaces, no Secret, Service or Ingress of another can be read.
func TestNamespacesNarrowTheRoles(t *testing.T) {
	t.Parallel()
	objects := render(t, `watch.namespaces=["shop","web"]`)
	var kinds []string
	for _, r := range only[*rbacv1.ClusterRole](objects) {
		for _, rule := range r.Rules {
			kinds = append(kinds, rule.Resources...)
			if rule.Resources[0] == "namespaces" && !slices.Equal(rule.ResourceNames, []string{"shop", "web"}) {
				t.Errorf("namespaces: %v", rule)
			}
		}
	}
	if slices.Sort(kinds); !slices.Equal(kinds, []string{"ingressclasses", "namespaces"}) {
		t.Errorf("cluster-wide are %v", kinds)
	}
	var where []string
	for _, r := range only[*rbacv1.Role](objects) {
		for _, rule := range r.Rules {
			if slices.Contains(rule.Resources, "secrets") {
				where = append(where, r.Namespace)
			}
		}
	}
	if slices.Sort(where); !slices.Equal(where, []string{"shop", "web"}) {
		t.Errorf("Secrets are read in %v", where)
	}
}

// TestLeastPrivilege: nothing is written but status, Events and the Lease; nothing is asked for as *.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	objects := render(t, `upstream.externalName=["example.com"]`)
	var rules []rbacv1.PolicyRule
	for _, r := range only[*rbacv1.ClusterRole](objects) {
		rules = append(rules, r.Rules...)
	}
	for _, r := range only[*rbacv1.Role](objects) {
		rules = append(rules, r.Rules...)
	}
	if len(rules) < 8 {
		t.Fatalf("there are %d rules", len(rules))
	}
	writable := []string{"events", "ingresses/status", "leases"}
	for _, rule := range rules {
		for _, verb := range rule.Verbs {
			reads := slices.Contains([]string{"get", "list", "watch"}, verb)
			writes := slices.Contains([]string{"create", "update", "patch"}, verb)
			for _, resource := range rule.Resources {
				if !reads && !writes || writes && !slices.Contains(writable, resource) || resource == "*" || slices.Contains(rule.APIGroups, "*") {
					t.Errorf("%s of %s", verb, resource)
				}
			}
		}
	}
}

// TestGeneratedCertificates: each end verifies the other by what it is given, and keys are in no other object.
func TestGeneratedCertificates(t *testing.T) {
	t.Parallel()
	objects := render(t, "xds.certificates.generate.days=10", `xds.serverName="gateway.internal"`)
	secrets := only[*corev1.Secret](objects)
	if len(secrets) != 2 {
		t.Fatalf("there are %d Secrets", len(secrets))
	}
	for name, use := range map[string]struct {
		dns   string
		usage x509.ExtKeyUsage
		other string
	}{
		"postern-controlplane-tls": {"gateway.internal", x509.ExtKeyUsageServerAuth, "postern-dataplane-tls"},
		"postern-dataplane-tls":    {"postern-dataplane", x509.ExtKeyUsageClientAuth, "postern-controlplane-tls"},
	} {
		secret := named[*corev1.Secret](t, objects, name)
		pair, err := tls.X509KeyPair(secret.Data["tls.crt"], secret.Data["tls.key"])
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(named[*corev1.Secret](t, objects, use.other).Data["ca.crt"])
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: use.dns, Roots: roots, KeyUsages: []x509.ExtKeyUsage{use.usage}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if days := time.Until(pair.Leaf.NotAfter).Hours() / 24; days < 9 || days > 10.1 {
			t.Errorf("%s is valid for %.1f days", name, days)
		}
		if len(secret.Data) != 3 {
			t.Errorf("%s holds %d things: the key of the CA is not to be kept", name, len(secret.Data))
		}
	}
	if !slices.Contains(dataPlane(t, objects).Spec.Containers[0].Args, "--xds-server-name=gateway.internal") {
		t.Error("the data plane asks for another name")
	}
}

// TestKustomize: each base builds, and is what the chart renders.
func TestKustomize(t *testing.T) {
	t.Parallel()
	kustomize, err := Tools{Folder: "."}.Path(t.Context(), "kustomize")
	if err != nil {
		t.Fatal(err)
	}
	for _, base := range []string{"deployment-loadbalancer", "daemonset-hostport"} {
		built, err := output(exec.CommandContext(t.Context(), kustomize, "build", filepath.Join("kustomize", base)))
		if err != nil {
			t.Fatal(err)
		}
		objects := decodeAll(t, built)
		chart := renderRelease(t, Release{Chart: chart, Namespace: "postern-system", Values: []string{filepath.Join("kustomize", base, "values.yaml")}})
		if len(objects) != len(chart)+1 {
			t.Errorf("%s: %d objects, the chart makes %d and there is the Namespace", base, len(objects), len(chart))
		}
		a, errA := json.Marshal(dataPlane(t, objects).Spec)
		b, errB := json.Marshal(dataPlane(t, chart).Spec)
		if errA != nil || errB != nil || string(a) != string(b) {
			t.Errorf("%s: the data plane is\n%s\nin the chart\n%s", base, a, b)
		}
		checkPods(t, objects)
	}
	text, err := output(exec.CommandContext(t.Context(), kustomize, "build", filepath.Join("testdata", "overlay")))
	if err != nil {
		t.Fatal(err)
	}
	objects := decodeAll(t, text)
	if image := dataPlane(t, objects).Spec.Containers[0].Image; image != "registry.example.com/postern-dataplane:1.2.3" {
		t.Errorf("an overlay's image is %s", image)
	}
	if b := only[*rbacv1.ClusterRoleBinding](objects)[0]; b.Subjects[0].Namespace != "edge" {
		t.Errorf("an overlay's namespace is not in %v", b.Subjects)
	}
}
