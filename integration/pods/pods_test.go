// Package pods runs the built binary as a cluster does: control planes under the rights that the manifests give them, data
// planes that ask them by mTLS, each a process of its own; and kills, rotates and drains these while requests run.
//
// CI runs the short form; make chaos runs the long one.
package pods

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/integration/cluster"
	"github.com/postern-gateway/postern/integration/processes"
)

const (
	planeEnvoy = "envoy"
	planeGo    = "go"

	manifestsFolder = "../../manifests/kustomize/deployment-loadbalancer"
	systemNamespace = "postern-system"
	account         = "postern-controlplane"
)

// figures are the size of a run.
type figures struct {
	kills, rotations, replicaKills int
}

func size() figures {
	if os.Getenv("CHAOS") == "long" {
		return figures{kills: 100, rotations: 10, replicaKills: 20}
	}
	return figures{kills: 10, rotations: 2, replicaKills: 3}
}

func TestMain(m *testing.M) {
	if text := os.Getenv(jailVariable); text != "" {
		os.Exit(runJailed(text))
	}
	os.Exit(processes.Main(m, nil))
}

// eachDataPlane runs a test on both; without an Envoy that part is skipped, in CI it fails.
func eachDataPlane(t *testing.T, test func(t *testing.T, dataPlane string)) {
	t.Run(planeGo, func(t *testing.T) { test(t, planeGo) })
	t.Run(planeEnvoy, func(t *testing.T) {
		live.NeedEnvoy(t)
		test(t, planeEnvoy)
	})
}

// lab is a cluster with what the manifests install but the pods, whose processes the test runs.
type lab struct {
	t       *testing.T
	cluster *cluster.Cluster
	client  *kubernetes.Clientset
	// folder is short, for the paths of sockets.
	folder     string
	kubeconfig string
	trust      trust
}

func newLab(t *testing.T) *lab {
	t.Helper()
	folder, err := os.MkdirTemp("", "pods")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	l := &lab{t: t, cluster: cluster.Start(t), folder: folder}
	l.client = l.cluster.Client(t)
	files, err := filepath.Glob(filepath.Join(manifestsFolder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the manifests: %q, %v", files, err)
	}
	for _, file := range files {
		if name := filepath.Base(file); name == "kustomization.yaml" || name == "values.yaml" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		l.cluster.Apply(t, string(text))
	}
	l.publish()
	l.kubeconfig = cluster.Kubeconfig(t, l.cluster.As(t, systemNamespace, account))
	l.cluster.CheckRights(t, systemNamespace, account)
	l.trust = newTrust(t, folder)
	return l
}

// annotate sets an annotation of an Ingress, or takes it away where the value is nil.
func (l *lab) annotate(ingress, name string, value any) {
	l.t.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{name: value}}})
	if err != nil {
		l.t.Fatal(err)
	}
	all := l.client.NetworkingV1().Ingresses(shopNamespace)
	if _, err := all.Patch(l.t.Context(), ingress, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		l.t.Fatal(err)
	}
}

// publish gives the data plane's Service an address, as a cloud does.
func (l *lab) publish() {
	l.t.Helper()
	all := l.client.CoreV1().Services(systemNamespace)
	patch := fmt.Sprintf(`{"status": {"loadBalancer": {"ingress": [{"ip": %q}]}}}`, publicAddress)
	if _, err := all.Patch(l.t.Context(), "postern-dataplane", types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status"); err != nil {
		l.t.Fatal(err)
	}
}

// published is whether an Ingress has that address.
func (l *lab) published(ingress string) error {
	i, err := l.client.NetworkingV1().Ingresses(shopNamespace).Get(l.t.Context(), ingress, getOptions)
	if err == nil && (len(i.Status.LoadBalancer.Ingress) != 1 || i.Status.LoadBalancer.Ingress[0].IP != publicAddress) {
		err = fmt.Errorf("the addresses of Ingress %s are %v, want %s", ingress, i.Status.LoadBalancer.Ingress, publicAddress)
	}
	return err
}
