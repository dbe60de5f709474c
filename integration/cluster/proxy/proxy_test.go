package proxy

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/postern-gateway/postern/integration/cluster"
)

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }

// certain is a fault that happens to every request.
const certain = 1

// TestFaults: each comes to a client as the API server's own would, in JSON and in protobuf.
func TestFaults(t *testing.T) {
	c := cluster.Start(t)
	p := Start(t, c.Config, 1)
	for _, contentType := range []string{"application/json", "application/vnd.kubernetes.protobuf"} {
		t.Run(strings.TrimPrefix(contentType, "application/"), func(t *testing.T) {
			p.SetFaults(Faults{})
			config := p.Config(c.Config)
			config.ContentType = contentType
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				t.Fatal(err)
			}
			secrets := client.CoreV1().Secrets("default")
			all, err := secrets.List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			options := metav1.ListOptions{ResourceVersion: all.ResourceVersion}

			p.SetFaults(Faults{Gone: certain})
			if _, err := secrets.Watch(t.Context(), options); !apierrors.IsResourceExpired(err) {
				t.Errorf("Gone: %v", err)
			}
			p.SetFaults(Faults{Expire: certain, CutAfter: time.Millisecond})
			if last := lastOf(t, func() (watch.Interface, error) { return secrets.Watch(t.Context(), options) }); !apierrors.IsResourceExpired(apierrors.FromObject(last)) {
				t.Errorf("Expire: %v", last)
			}
			p.SetFaults(Faults{Cut: certain, CutAfter: time.Millisecond})
			if last := lastOf(t, func() (watch.Interface, error) { return secrets.Watch(t.Context(), options) }); last != nil {
				t.Errorf("Cut: %v", last)
			}
			p.SetFaults(Faults{Slow: certain, SlowBy: time.Millisecond})
			if _, err := secrets.List(t.Context(), metav1.ListOptions{}); err != nil {
				t.Errorf("Slow: %v", err)
			}
			p.SetFaults(Faults{Reset: certain})
			// A deletion is not tried again by the client itself.
			if err := secrets.Delete(t.Context(), "a", metav1.DeleteOptions{}); !errors.Is(err, io.EOF) {
				t.Errorf("Reset: %v", err)
			}
		})
	}
	done := p.Done()
	for _, fault := range []string{"410", "expire", "cut", "slow", "reset"} {
		if done[fault] == 0 {
			t.Errorf("%s has not happened: %v", fault, done)
		}
	}
	counts := p.Counts()
	if n := counts["watch secrets"]; n.Statuses[http.StatusGone] != 2 || n.Bytes == 0 {
		t.Errorf("watches: %+v", n)
	}
	if n := counts["list secrets"]; n.Statuses[http.StatusOK] != 4 || n.Bytes == 0 {
		t.Errorf("lists: %+v", n)
	}
}

// lastOf is the object of the last event of a watch, nil where it ends without one.
func lastOf(t *testing.T, begin func() (watch.Interface, error)) runtime.Object {
	t.Helper()
	w, err := begin()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	var last runtime.Object
	for e := range w.ResultChan() {
		last = e.Object
	}
	return last
}
