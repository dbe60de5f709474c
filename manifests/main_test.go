package manifests

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
)

const (
	chart     = "helm/postern"
	namespace = "gateway"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// program is Helm, built once for all tests.
var program = sync.OnceValues(func() (string, error) { return Tools{Folder: "."}.Path(context.Background(), "helm") })

func helm(t *testing.T) Helm {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return Helm{Program: path, Home: t.TempDir()}
}

// render gives the objects of the chart with these values, KEY=JSON.
func render(t *testing.T, set ...string) []any {
	t.Helper()
	return renderRelease(t, Release{Chart: chart, Namespace: namespace, Set: set})
}

func renderRelease(t *testing.T, r Release) []any {
	t.Helper()
	text, err := helm(t).Template(t.Context(), r)
	if err != nil {
		t.Fatalf("%v: %v", r, err)
	}
	return decodeAll(t, text)
}

func decodeAll(t *testing.T, text []byte) []any {
	t.Helper()
	objects, err := Split(text)
	if err != nil {
		t.Fatal(err)
	}
	var out []any
	for _, o := range objects {
		decoded, err := decode(o)
		if err != nil {
			t.Fatalf("%s %s: %v", o.Kind, o.Name, err)
		}
		out = append(out, decoded)
	}
	return out
}

// foreign are the types of CRDs, as far as the chart writes them: an unknown field in one is a slip of the chart's.
type (
	foreignMeta struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
	}
	issuerRef   struct{ Name, Kind, Group string }
	certificate struct {
		foreignMeta `json:",inline"`
		Spec        struct {
			IsCA        bool `json:"isCA"`
			CommonName  string
			SecretName  string
			DNSNames    []string `json:"dnsNames"`
			Usages      []string
			Duration    metav1.Duration
			RenewBefore metav1.Duration
			PrivateKey  struct {
				Algorithm      string
				Size           int
				RotationPolicy string
			}
			IssuerRef issuerRef
		}
	}
	issuer struct {
		foreignMeta `json:",inline"`
		Spec        struct {
			SelfSigned *struct{}
			CA         *struct{ SecretName string }
		}
	}
	serviceMonitor struct {
		foreignMeta `json:",inline"`
		Spec        struct {
			NamespaceSelector struct{ MatchNames []string }
			Selector          metav1.LabelSelector
			Endpoints         []struct {
				Port, Path, Interval, ScrapeTimeout string
			}
		}
	}
)

// decode reads an object as its type, of which there is one for each kind the chart may make, and knows no other field.
func decode(o Object) (any, error) {
	var meta metav1.TypeMeta
	if err := json.Unmarshal(o.JSON, &meta); err != nil {
		return nil, err
	}
	types := map[string]any{
		"apps/v1 Deployment": new(appsv1.Deployment), "apps/v1 DaemonSet": new(appsv1.DaemonSet),
		"v1 Service": new(corev1.Service), "v1 ServiceAccount": new(corev1.ServiceAccount), "v1 Secret": new(corev1.Secret),
		"v1 Namespace":                                    new(corev1.Namespace),
		"networking.k8s.io/v1 Ingress":                    new(networkingv1.Ingress),
		"networking.k8s.io/v1 IngressClass":               new(networkingv1.IngressClass),
		"networking.k8s.io/v1 NetworkPolicy":              new(networkingv1.NetworkPolicy),
		"policy/v1 PodDisruptionBudget":                   new(policyv1.PodDisruptionBudget),
		"autoscaling/v2 HorizontalPodAutoscaler":          new(autoscalingv2.HorizontalPodAutoscaler),
		"rbac.authorization.k8s.io/v1 ClusterRole":        new(rbacv1.ClusterRole),
		"rbac.authorization.k8s.io/v1 ClusterRoleBinding": new(rbacv1.ClusterRoleBinding),
		"rbac.authorization.k8s.io/v1 Role":               new(rbacv1.Role),
		"rbac.authorization.k8s.io/v1 RoleBinding":        new(rbacv1.RoleBinding),
		"cert-manager.io/v1 Certificate":                  new(certificate),
		"cert-manager.io/v1 Issuer":                       new(issuer),
		"monitoring.coreos.com/v1 ServiceMonitor":         new(serviceMonitor),
	}
	into := types[meta.APIVersion+" "+meta.Kind]
	if into == nil {
		return nil, fmt.Errorf("%s %s is no kind that the chart may make", meta.APIVersion, meta.Kind)
	}
	switch into.(type) {
	case *certificate, *issuer, *serviceMonitor:
		decoder := json.NewDecoder(bytes.NewReader(o.JSON))
		decoder.DisallowUnknownFields()
		return into, decoder.Decode(into)
	}
	strict, err := kjson.UnmarshalStrict(o.JSON, into)
	return into, errors.Join(append(strict, err)...)
}

// only gives the objects of one type.
func only[T any](objects []any) []T {
	var out []T
	for _, o := range objects {
		if typed, ok := o.(T); ok {
			out = append(out, typed)
		}
	}
	return out
}

// named gives the one object of a type and name.
func named[T metav1.Object](t *testing.T, objects []any, name string) T {
	t.Helper()
	for _, o := range only[T](objects) {
		if o.GetName() == name {
			return o
		}
	}
	var none T
	t.Fatalf("there is no %T %s", none, name)
	return none
}

// dataPlane gives the template of its pods, whatever makes them.
func dataPlane(t *testing.T, objects []any) corev1.PodTemplateSpec {
	t.Helper()
	for _, d := range only[*appsv1.DaemonSet](objects) {
		return d.Spec.Template
	}
	return named[*appsv1.Deployment](t, objects, "postern-dataplane").Spec.Template
}

func controlPlane(t *testing.T, objects []any) corev1.PodTemplateSpec {
	t.Helper()
	return named[*appsv1.Deployment](t, objects, "postern-controlplane").Spec.Template
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// refused fails unless the values are refused in these words.
func refused(t *testing.T, words string, set ...string) {
	t.Helper()
	_, err := helm(t).Template(t.Context(), Release{Chart: chart, Namespace: namespace, Set: set})
	if err == nil {
		t.Errorf("%s is taken", set)
	} else if !strings.Contains(err.Error(), words) {
		t.Errorf("%s: the error does not say %q: %v", set, words, err)
	}
}
