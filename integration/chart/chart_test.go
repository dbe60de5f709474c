// Package chart asks a real API server what it makes of the chart's objects.
package chart

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/postern-gateway/postern/controlplane/casetest/namespace"
	"github.com/postern-gateway/postern/integration/cluster"
	"github.com/postern-gateway/postern/manifests"
)

const root = "../.."

func TestMain(m *testing.M) {
	if !namespace.Inside() {
		folders, err := fetchModules()
		if err != nil {
			_ = os.Setenv(faultVariable, err.Error())
		}
		text, err := json.Marshal(folders)
		if err != nil {
			panic(err)
		}
		_ = os.Setenv(foldersVariable, string(text))
	}
	os.Exit(cluster.Main(m))
}

func render(t *testing.T, values ...string) []manifests.Object {
	t.Helper()
	return renderIn(t, "postern-system", values...)
}

func renderIn(t *testing.T, namespace string, set ...string) []manifests.Object {
	t.Helper()
	program, err := manifests.Tools{Folder: filepath.Join(root, "manifests")}.Path(t.Context(), "helm")
	if err != nil {
		t.Fatal(err)
	}
	helm := manifests.Helm{Program: program, Home: t.TempDir()}
	text, err := helm.Template(t.Context(), manifests.Release{Chart: filepath.Join(root, "manifests/helm/postern"), Namespace: namespace, Set: set})
	if err != nil {
		t.Fatal(err)
	}
	objects, err := manifests.Split(text)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// TestChart: the API server takes whatever the chart makes of its own kinds.
func TestChart(t *testing.T) {
	c := cluster.Start(t)
	for name, set := range map[string][]string{
		"as it is": nil,
		"all switches": {`dataPlane.autoscaling.enabled=true`, `dataPlane.autoscaling.targetMemoryUtilizationPercentage=70`, `networkPolicy={"enabled":true,"metrics":[{"namespaceSelector":{}}]}`,
			`watch.namespaces=["shop"]`, `ingressClass.default=true`, `dataPlane.service.loadBalancerSourceRanges=["192.0.2.0/24"]`,
			`dataPlane.service.externalTrafficPolicy="Local"`, `upstream.ca.configMap="cas"`, `dataPlane.podDisruptionBudget.maxUnavailable="20%"`},
		"host ports": {`dataPlane.kind="DaemonSet"`, `dataPlane.hostPort={"http":{"enabled":true},"https":{"enabled":true}}`, `dataPlane.service.enabled=false`,
			`dataPlane.strategy={"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":"10%"}}`},
		"the page": {`dashboard={"enabled":true,"hostPort":{"enabled":true},"ingress":{"enabled":true,"hosts":["ops.example.com"],"tlsSecret":"ops","labels":{"app":"traefik"}}}`,
			`networkPolicy.enabled=true`, `watch.labelSelector="app=traefik"`},
		"no pods at once": {`controlPlane.strategy.type="Recreate"`, `dataPlane.strategy.type="Recreate"`, `dataPlane.hostPort.http.enabled=true`, `dashboard={"enabled":true,"hostPort":{"enabled":true}}`, `controlPlane.replicas=1`},
		"node ports":      {`dataPlane.service.type="NodePort"`, `dataPlane.service.nodePorts={"http":30080,"https":30443}`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, o := range renderIn(t, "chart-"+string(rune('a'+len(set))), set...) {
				c.Apply(t, string(o.JSON))
			}
		})
	}
}

// TestPodSecurity: the strictest level takes the pods, and host ports only the widest.
func TestPodSecurity(t *testing.T) {
	c := cluster.Start(t)
	client := c.Client(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "restricted", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, o := range renderIn(t, namespace.Name) {
		if o.Kind == "ServiceAccount" || o.Kind == "Deployment" {
			c.Apply(t, string(o.JSON))
		}
	}
	deployments, err := client.AppsV1().Deployments(namespace.Name).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(deployments.Items) != 2 {
		t.Fatalf("%d Deployments, %v", len(deployments.Items), err)
	}
	for _, d := range deployments.Items {
		if err := create(t, client, d, 0); err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
		if err := create(t, client, d, 80); !apierrors.IsForbidden(err) {
			t.Errorf("%s with a host port: %v", d.Name, err)
		}
	}
}

// create asks for a pod of a Deployment, of which nothing comes.
func create(t *testing.T, client *kubernetes.Clientset, d appsv1.Deployment, hostPort int32) error {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: d.Name, Labels: d.Spec.Template.Labels}, Spec: *d.Spec.Template.Spec.DeepCopy()}
	if hostPort != 0 {
		pod.Spec.Containers[0].Ports[0].HostPort = hostPort
	}
	_, err := client.CoreV1().Pods(d.Namespace).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// TestRoles: the control plane may do what it does, and not what would be worth stealing its token for.
func TestRoles(t *testing.T) {
	c := cluster.Start(t)
	for _, o := range render(t, `watch.namespaces=["shop"]`) {
		c.Apply(t, string(o.JSON))
	}
	client := kubernetes.NewForConfigOrDie(c.As(t, "postern-system", "postern-controlplane"))
	for _, ask := range []struct {
		allowed bool
		what    authorizationv1.ResourceAttributes
	}{
		{true, authorizationv1.ResourceAttributes{Verb: "watch", Group: "networking.k8s.io", Resource: "ingresses", Namespace: "shop"}},
		{true, authorizationv1.ResourceAttributes{Verb: "patch", Group: "networking.k8s.io", Resource: "ingresses", Subresource: "status", Namespace: "shop"}},
		{true, authorizationv1.ResourceAttributes{Verb: "list", Resource: "secrets", Namespace: "shop", Name: "tls"}},
		{true, authorizationv1.ResourceAttributes{Verb: "watch", Resource: "namespaces", Name: "shop"}},
		{true, authorizationv1.ResourceAttributes{Verb: "update", Group: "coordination.k8s.io", Resource: "leases", Namespace: "postern-system", Name: "postern"}},
		{true, authorizationv1.ResourceAttributes{Verb: "watch", Resource: "services", Namespace: "postern-system", Name: "postern-dataplane"}},
		{true, authorizationv1.ResourceAttributes{Verb: "create", Group: "events.k8s.io", Resource: "events", Namespace: "default"}},
		{false, authorizationv1.ResourceAttributes{Verb: "list", Resource: "secrets", Namespace: "other"}},
		{false, authorizationv1.ResourceAttributes{Verb: "list", Resource: "secrets", Namespace: "postern-system"}},
		{false, authorizationv1.ResourceAttributes{Verb: "list", Resource: "namespaces"}},
		{false, authorizationv1.ResourceAttributes{Verb: "update", Group: "coordination.k8s.io", Resource: "leases", Namespace: "postern-system", Name: "other"}},
		{false, authorizationv1.ResourceAttributes{Verb: "patch", Group: "networking.k8s.io", Resource: "ingresses", Namespace: "shop"}},
		{false, authorizationv1.ResourceAttributes{Verb: "create", Resource: "pods", Namespace: "shop"}},
	} {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &ask.what}}
		answer, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if answer.Status.Allowed != ask.allowed {
			t.Errorf("%+v: allowed is %t", ask.what, answer.Status.Allowed)
		}
	}
}

// TestUpgradeKeepsSecrets: an upgrade keeps the values. Generated certificates are those of the first install, or running data planes would be parted from
// their control plane; and so is the password of the page, or an upgrade would lock everyone out.
func TestUpgradeKeepsSecrets(t *testing.T) {
	c := cluster.Start(t)
	program, err := manifests.Tools{Folder: filepath.Join(root, "manifests")}.Path(t.Context(), "helm")
	if err != nil {
		t.Fatal(err)
	}
	helm := manifests.Helm{Program: program, Home: t.TempDir()}
	kubeconfig := cluster.Kubeconfig(t, c.Config)
	run := func(command string, flags ...string) map[string]string {
		t.Helper()
		args := append([]string{command, "postern", filepath.Join(root, "manifests/helm/postern"), "--namespace", "upgraded", "--kubeconfig", kubeconfig}, flags...)
		if _, err := helm.Run(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, name := range []string{"postern-controlplane-tls", "postern-dataplane-tls", "postern-inspect"} {
			secret, err := c.Client(t).CoreV1().Secrets("upgraded").Get(t.Context(), name, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for key, value := range secret.Data {
				out[name+" "+key] = string(value)
			}
		}
		return out
	}
	first := run("install", "--create-namespace", "--set-json", "dashboard.enabled=true")
	second := run("upgrade", "--reset-then-reuse-values", "--set-json", "dataPlane.replicas=3")
	if len(first) != 9 || !maps.Equal(first, second) {
		t.Errorf("the Secrets hold %d things, the same after an upgrade: %t", len(first), maps.Equal(first, second))
	}
	deployment, err := c.Client(t).AppsV1().Deployments("upgraded").Get(t.Context(), "postern-dataplane", metav1.GetOptions{})
	if err != nil || *deployment.Spec.Replicas != 3 {
		t.Errorf("the upgrade has not happened: %v", err)
	}
}
