package live

import (
	"context"
	"os"
	"testing"

	"github.com/postern-gateway/postern/dataplane/envoyproc"
)

// Envoy is the third judge: a fresh Envoy for each case. envoyproc.Find must find one.
var Envoy = court("envoy", func(ctx context.Context, p plane) error {
	return envoyproc.Run(ctx, envoyproc.Config{
		Folder: p.folder, XDSSocket: p.socket, NodeID: "case", NodeCluster: "cases", Concurrency: 1, OnReady: p.ready,
	}, p.log)
})

// NeedEnvoy is the path of the Envoy that tests run. Without one the test is skipped, with the fix as its reason; in CI
// that is a failure.
func NeedEnvoy(t testing.TB) string {
	t.Helper()
	path, err := envoyproc.Find("")
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip(err)
	}
	return path
}
