package cluster

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// manager is whom the API server takes Apply for.
const manager = "test"

// Client is the administrator's.
func (c *Cluster) Client(t testing.TB) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// As is what a service account connects with, by a token that the API server gives it. The account must exist.
func (c *Cluster) As(t testing.TB, namespace, serviceAccount string) *rest.Config {
	t.Helper()
	request := &authenticationv1.TokenRequest{}
	token, err := c.Client(t).CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), serviceAccount, request, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("get a token for %s/%s: %v", namespace, serviceAccount, err)
	}
	config := rest.CopyConfig(c.Config)
	config.BearerToken = token.Status.Token
	return config
}

// User is who a service account is in a Request.
func User(namespace, serviceAccount string) string {
	return "system:serviceaccount:" + namespace + ":" + serviceAccount
}

// CheckRights fails the test, at its end, where a service account has from now on been refused something, or has asked for
// nothing.
func (c *Cluster) CheckRights(t testing.TB, namespace, serviceAccount string) {
	t.Helper()
	before, user := len(c.Requests(t)), User(namespace, serviceAccount)
	t.Cleanup(func() {
		asked := 0
		for _, r := range c.Requests(t)[before:] {
			if r.User.Username != user {
				continue
			}
			asked++
			if r.ResponseStatus.Code == http.StatusForbidden || r.ResponseStatus.Code == http.StatusUnauthorized {
				t.Errorf("%s: %d: %s %s", user, r.ResponseStatus.Code, r.Verb, r.RequestURI)
			}
		}
		if asked == 0 {
			t.Errorf("%s has asked for nothing", user)
		}
		t.Logf("%d requests of %s", asked, user)
	})
}

// Kubeconfig writes a file for a configuration, as --kubeconfig reads it, and gives its path.
func Kubeconfig(t testing.TB, config *rest.Config) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), kubeconfigFile)
	if err := writeKubeconfig(path, config); err != nil {
		t.Fatal(err)
	}
	return path
}

const kubeconfigFile = "kubeconfig"

func writeKubeconfig(path string, config *rest.Config) error {
	const name = "cluster"
	file := clientcmdapi.NewConfig()
	file.Clusters[name] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	file.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: config.BearerToken}
	file.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	file.CurrentContext = name
	return clientcmd.WriteToFile(*file, path)
}

// Apply applies manifests, several in one text, as kubectl apply --server-side --validate=strict does. Namespaces that they
// stand in and that do not exist are created.
func (c *Cluster) Apply(t testing.TB, manifests string) {
	t.Helper()
	if err := c.TryApply(t.Context(), manifests); err != nil {
		t.Fatal(err)
	}
}

// TryApply is Apply up to the first object that is not taken, and why.
func (c *Cluster) TryApply(ctx context.Context, manifests string) error {
	client, err := dynamic.NewForConfig(c.Config)
	if err != nil {
		return err
	}
	groups, err := restmapper.GetAPIGroupResources(discovery.NewDiscoveryClientForConfigOrDie(c.Config))
	if err != nil {
		return err
	}
	a := applier{client, restmapper.NewDiscoveryRESTMapper(groups)}
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader([]byte(manifests))))
	for {
		text, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := a.applyText(ctx, text); err != nil {
			return err
		}
	}
}

type applier struct {
	client dynamic.Interface
	mapper meta.RESTMapper
}

// applyText applies a document: an object, a List of such, or nothing but comments.
func (a applier) applyText(ctx context.Context, text []byte) error {
	var u unstructured.Unstructured
	if err := yaml.Unmarshal(text, &u.Object); err != nil {
		return fmt.Errorf("%w in:\n%s", err, text)
	}
	if len(u.Object) == 0 {
		return nil
	}
	if !u.IsList() {
		return a.apply(ctx, &u)
	}
	return u.EachListItem(func(o runtime.Object) error { return a.apply(ctx, o.(*unstructured.Unstructured)) })
}

func (a applier) apply(ctx context.Context, u *unstructured.Unstructured) error {
	kind := u.GroupVersionKind()
	mapping, err := a.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}
	var to dynamic.ResourceInterface = a.client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		namespace := u.GetNamespace()
		if namespace == "" {
			namespace = metav1.NamespaceDefault
		}
		if err := a.ensureNamespace(ctx, namespace); err != nil {
			return err
		}
		to = a.client.Resource(mapping.Resource).Namespace(namespace)
	}
	text, err := u.MarshalJSON()
	if err != nil {
		return err
	}
	force := true
	_, err = to.Patch(ctx, u.GetName(), types.ApplyYAMLPatchType, text, metav1.PatchOptions{
		FieldManager: manager, Force: &force, FieldValidation: metav1.FieldValidationStrict,
	})
	if err != nil {
		return fmt.Errorf("apply %s %s/%s: %w", kind.Kind, u.GetNamespace(), u.GetName(), err)
	}
	return nil
}

func (a applier) ensureNamespace(ctx context.Context, name string) error {
	var n unstructured.Unstructured
	n.SetAPIVersion("v1")
	n.SetKind("Namespace")
	n.SetName(name)
	_, err := a.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).Create(ctx, &n, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	return nil
}

// Request is a request that the API server has answered; a watch is there twice, when it begins and when it ends. The fields
// are those of an audit.k8s.io/v1 Event.
type Request struct {
	Verb       string
	RequestURI string
	User       struct{ Username string }
	ObjectRef  struct{ Resource, Namespace, Name string }
	// ResponseStatus has the HTTP status.
	ResponseStatus struct{ Code int }
}

// Requests are all since the API server was started, whatever the test, but the administrator's.
func (c *Cluster) Requests(t testing.TB) []Request {
	t.Helper()
	text, err := os.ReadFile(c.path(auditFile))
	if err != nil {
		t.Fatal(err)
	}
	var all []Request
	decoder := json.NewDecoder(bytes.NewReader(text))
	for {
		var r Request
		err := decoder.Decode(&r)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // The last one is being written.
			return all
		}
		if err != nil {
			t.Fatalf("read the audit log: %v", err)
		}
		all = append(all, r)
	}
}
