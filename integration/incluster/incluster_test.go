// Package incluster runs the control plane against a real API server.
package incluster

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest/namespace"
	"github.com/postern-gateway/postern/integration/processes"
	"github.com/postern-gateway/postern/manifests"
)

// What is built before the tests, beside the binary.
const (
	appVariable       = "POSTERN_TEST_APP"
	helmVariable      = "POSTERN_TEST_HELM"
	helmFaultVariable = "POSTERN_TEST_NO_HELM"
)

func TestMain(m *testing.M) {
	if !namespace.Inside() {
		helm, err := manifests.Tools{Folder: filepath.Join(processes.Root, "manifests")}.Path(context.Background(), "helm")
		if err != nil {
			_ = os.Setenv(helmFaultVariable, err.Error())
		}
		_ = os.Setenv(helmVariable, helm)
	}
	os.Exit(processes.Main(m, map[string]string{appVariable: "./docs/examples/kubernetes-dashboard/app"}))
}
