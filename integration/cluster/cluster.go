// Package cluster gives tests a Kubernetes API server: the real one over a real etcd, in a network of their own. There is
// neither a kubelet nor a controller: nothing runs, and no object makes another.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/postern-gateway/postern/controlplane/casetest/namespace"
	"github.com/postern-gateway/postern/integration/cluster/binaries"
)

// The addresses that are the machine's own in the network of the tests. An EndpointSlice takes none of 127.0.0.0/8.
const (
	// Pods are for endpoints and for those who listen there.
	Pods = "10.244.0.0/16"
	// Services are what the API server gives Services as their cluster IPs.
	Services = "10.96.0.0/16"
	// LoadBalancers are for the addresses that a gateway publishes.
	LoadBalancers = "10.95.0.0/16"
)

// folderVariable is the folder of the programs, for the process inside; faultVariable says why there is none.
const (
	folderVariable = "POSTERN_TEST_KUBERNETES"
	faultVariable  = "POSTERN_TEST_NO_KUBERNETES"
)

// running is the API server of this process, started by the first test that wants it.
var (
	mu      sync.Mutex
	running *Cluster // guarded by mu
)

// Main is what TestMain hands to os.Exit, in a package whose tests call Start: it runs them in a network of their own, ends
// the API server after them, and fails where a goroutine is left.
func Main(m *testing.M) int {
	if !namespace.Inside() {
		// Here, since inside there is no way to the Go module proxy.
		folder, err := binaries.Find(os.Stderr)
		if err != nil {
			_ = os.Setenv(faultVariable, err.Error())
		}
		_ = os.Setenv(folderVariable, string(folder))
	}
	network := namespace.Network{Local: []string{Pods, Services, LoadBalancers}}
	return namespace.Main(network, func() int {
		code := m.Run()
		if err := stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		if err := goleak.Find(); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		return code
	})
}

// Start gives the API server as it is when it has just been started: what earlier tests created and did not keep is gone. It is one and the
// same for all tests of a package, which therefore do not run in parallel. Where none can be had the test is skipped; in CI
// it fails.
func Start(t testing.TB) *Cluster {
	t.Helper()
	namespace.Need(t)
	if fault := os.Getenv(faultVariable); fault != "" {
		if os.Getenv("CI") == "true" {
			t.Fatal(fault)
		}
		t.Skip(fault)
	}
	mu.Lock()
	defer mu.Unlock()
	if running == nil {
		c, err := start(binaries.Folder(os.Getenv(folderVariable)))
		if err != nil {
			t.Fatal(err)
		}
		running = c
	} else if err := running.wipe(); err != nil {
		t.Fatal(err)
	}
	c := running
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last words of the API server:\n%s", c.lastWords())
		}
	})
	return c
}

// Kubectl is the path of kubectl, of the API server's own version.
func (c *Cluster) Kubectl() string { return binaries.Folder(os.Getenv(folderVariable)).Kubectl() }

// Run runs an API server of the programs in a folder until ctx ends, in the network as it is; ready is told the path of the
// administrator's kubeconfig.
func Run(ctx context.Context, folder binaries.Folder, ready func(kubeconfig string)) error {
	c, err := start(folder)
	if err != nil {
		return err
	}
	path := c.path(kubeconfigFile)
	if err := writeKubeconfig(path, c.Config); err != nil {
		return errors.Join(err, c.stop())
	}
	ready(path)
	select {
	case <-ctx.Done():
	case <-c.processes[0].ended:
	case <-c.processes[1].ended:
	}
	if ctx.Err() == nil {
		err = fmt.Errorf("the API server or etcd ended:\n%s", c.lastWords())
	}
	return errors.Join(err, c.stop())
}

func stop() error {
	mu.Lock()
	defer mu.Unlock()
	if running == nil {
		return nil
	}
	err := running.stop()
	running = nil
	return err
}
