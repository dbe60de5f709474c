package incluster

import (
	"runtime"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/postern-gateway/postern/integration/cluster"
	"github.com/postern-gateway/postern/integration/cluster/proxy"
)

const (
	// releases are unrelated Secrets in the namespace of one that is referred to.
	releases     = 20_000
	releaseBytes = 4 << 10
	// heapMoreMax is far less than the releases' metadata alone would take.
	heapMoreMax = 8 << 20
	// secretBytesMax is what one certificate takes, several times over.
	secretBytesMax = 64 << 10
)

// TestUnrelatedSecrets: 20,000 Secrets of Helm's that nothing refers to cost neither memory nor bytes.
func TestUnrelatedSecrets(t *testing.T) {
	c, granted := byDefault.start(t)
	c.Apply(t, class+hostObjects("steady-0"))
	without, bytesWithout := watchedHeap(t, granted)
	c.FillSecrets(t, "shop", releases, releaseBytes)
	if n := secretsOf(t, c, "shop"); n != releases+1 {
		t.Fatalf("the API server has %d Secrets", n)
	}
	with, bytesWith := watchedHeap(t, granted)
	t.Logf("heap %d KiB without, %d KiB with; bytes of Secrets %d, %d", without>>10, with>>10, bytesWithout, bytesWith)
	if with > without+heapMoreMax {
		t.Errorf("the heap is %d bytes, %d without them", with, without)
	}
	if bytesWithout == 0 || bytesWith == 0 {
		t.Error("not even the certificate has been read")
	}
	if bytesWith > secretBytesMax {
		t.Errorf("%d bytes of Secrets have been read, %d without them", bytesWith, bytesWithout)
	}
}

// watchedHeap is the heap while a cluster is watched, and how many bytes of Secrets were read for it.
func watchedHeap(t *testing.T, granted *rest.Config) (heap uint64, bytes int64) {
	t.Helper()
	t.Run("watch", func(t *testing.T) {
		p := proxy.Start(t, granted, 0)
		w := startWatch(t, p.Config(granted), clusterSettings(t))
		world := w.world(nil, nil)
		if len(world.Secrets) != 1 {
			t.Fatalf("%d Secrets are known, want that of the certificate", len(world.Secrets))
		}
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		heap = stats.HeapAlloc
		for name, n := range p.Counts() {
			if name == "list secrets" || name == "watch secrets" || name == "get secrets" {
				bytes += n.Bytes
			}
		}
		runtime.KeepAlive(world)
	})
	return heap, bytes
}

// secretsOf counts the Secrets that the API server gives in a namespace.
func secretsOf(t *testing.T, c *cluster.Cluster, namespace string) int {
	t.Helper()
	client, err := metadata.NewForConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	all, err := client.Resource(resources["Secret"]).Namespace(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return len(all.Items)
}
