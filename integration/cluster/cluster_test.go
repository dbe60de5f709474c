package cluster

import (
	"net/http"
	"os"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// account may read Ingresses and nothing else.
const account = `
{apiVersion: v1, kind: ServiceAccount, metadata: {name: reader, namespace: shop}}
---
# A comment by itself is no object.
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: reader, namespace: shop},
  rules: [{apiGroups: [networking.k8s.io], resources: [ingresses], verbs: [get, list, watch]}]}
---
apiVersion: v1
kind: List
items:
- {apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: reader, namespace: shop},
    roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}, subjects: [{kind: ServiceAccount, name: reader}]}
`

// TestServiceAccount: RBAC is on, and what is refused is noted.
func TestServiceAccount(t *testing.T) {
	c := Start(t)
	c.Apply(t, account)
	config, err := clientcmd.BuildConfigFromFlags("", Kubeconfig(t, c.As(t, "shop", "reader")))
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.NetworkingV1().Ingresses("shop").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := client.CoreV1().Secrets("shop").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("%v, want it forbidden", err)
	}
	noted := map[string]int{}
	for _, r := range c.Requests(t) {
		if r.User.Username == User("shop", "reader") {
			noted[r.Verb+" "+r.ObjectRef.Resource] = r.ResponseStatus.Code
		}
	}
	if len(noted) != 2 || noted["list ingresses"] != http.StatusOK || noted["list secrets"] != http.StatusForbidden {
		t.Errorf("the requests noted: %v", noted)
	}
}

// TestEndpointSlice: endpoints may be at the addresses of Pods; at those of the loopback they may not, which is why tests
// have a network of their own.
func TestEndpointSlice(t *testing.T) {
	c := Start(t)
	c.Apply(t, `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a, namespace: shop}, addressType: IPv4,
  endpoints: [{addresses: [10.244.1.2]}], ports: [{port: 80}]}`)
	slices := c.Client(t).DiscoveryV1().EndpointSlices("shop")
	s, err := slices.Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.Endpoints[0].Addresses[0] = "127.0.0.2"
	if _, err := slices.Update(t.Context(), s, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("%v, want it invalid", err)
	}
}

// TestStartWipes: a test finds nothing of those before, and its namespaces can be had again.
func TestStartWipes(t *testing.T) {
	object := `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: shop}}`
	Start(t).Apply(t, object)
	c := Start(t)
	for _, list := range []func() (int, error){
		func() (int, error) {
			all, err := c.Client(t).CoreV1().ConfigMaps("shop").List(t.Context(), metav1.ListOptions{})
			return len(all.Items), err
		},
		func() (int, error) {
			all, err := c.Client(t).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=shop"})
			return len(all.Items), err
		},
	} {
		if n, err := list(); n != 0 || err != nil {
			t.Errorf("%d objects, %v; want none", n, err)
		}
	}
	c.Apply(t, object)
}
