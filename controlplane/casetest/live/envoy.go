package live

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/dataplane"
	"github.com/postern-gateway/postern/dataplane/envoyproc"
)

// Envoy is the third judge: a fresh Envoy for each case. envoyproc.Find must find one.
var Envoy = court("envoy", func(ctx context.Context, p plane) error {
	socket := filepath.Join(filepath.Dir(p.socket), "authorizer.sock")
	lis, err := xds.ListenUnix(socket)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return dataplane.RunAuthorizer(ctx, dataplane.AuthorizerOptions{
			Target: "unix://" + p.socket, NodeID: authorizerNode, Cluster: "cases", Listener: lis, Log: p.log,
		})
	})
	group.Go(func() error {
		return envoyproc.Run(ctx, envoyproc.Config{
			Folder: p.folder, XDSSocket: p.socket, AuthorizerSocket: socket, NodeID: "case", NodeCluster: "cases", Concurrency: 1, OnReady: p.ready,
		}, p.log)
	})
	return group.Wait()
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
