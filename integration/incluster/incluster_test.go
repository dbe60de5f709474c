// Package incluster runs the control plane against a real API server.
package incluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/casetest/namespace"
	"github.com/postern-gateway/postern/integration/cluster"
	"github.com/postern-gateway/postern/manifests"
)

// waitMax is a hang limit, not a measure.
const waitMax = 2 * time.Minute

// What is built before the tests are in a network of their own, from which there is no way to the Go module proxy.
const (
	posternVariable   = "POSTERN"
	appVariable       = "POSTERN_TEST_APP"
	helmVariable      = "POSTERN_TEST_HELM"
	helmFaultVariable = "POSTERN_TEST_NO_HELM"
)

func TestMain(m *testing.M) {
	if namespace.Inside() {
		os.Exit(cluster.Main(m))
	}
	folder, err := os.MkdirTemp("", "incluster")
	if err == nil {
		err = prepare(folder)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := cluster.Main(m)
	_ = os.RemoveAll(folder)
	os.Exit(code)
}

// prepare builds what the tests run.
func prepare(folder string) error {
	helm, err := manifests.Tools{Folder: filepath.Join(root, "manifests")}.Path(context.Background(), "helm")
	if err != nil {
		_ = os.Setenv(helmFaultVariable, err.Error())
	}
	_ = os.Setenv(helmVariable, helm)
	for variable, from := range map[string]string{posternVariable: "./cmd/postern", appVariable: "./docs/examples/kubernetes-dashboard/app"} {
		if os.Getenv(variable) != "" {
			continue
		}
		program := filepath.Join(folder, filepath.Base(from))
		build := exec.Command("go", "build", "-trimpath", "-o", program, from)
		build.Dir, build.Env = root, append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("go build %s: %w\n%s", from, err, out)
		}
		_ = os.Setenv(variable, program)
	}
	return nil
}
