package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"golang.org/x/sync/errgroup"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/controlplane/static"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/dataplane"
	"github.com/postern-gateway/postern/dataplane/envoyproc"
	"github.com/postern-gateway/postern/translator"
)

// Bootstrap is the fourth judge: an Envoy that runs the one file of translate -o bootstrap. Each step has an Envoy of its
// own, since a file does not change.
var Bootstrap = bootstrapCourt("bootstrap", (*bootstrapJudge).authorize)

// Alone is Bootstrap as it is by itself: nobody answers who the user is. Unanswered has an authorizer's cluster, at a socket
// that nobody listens on.
var (
	Alone      = bootstrapCourt("alone", func(*bootstrapJudge, *bootstrapv3.Bootstrap, translator.Result) error { return nil })
	Unanswered = bootstrapCourt("unanswered", func(j *bootstrapJudge, file *bootstrapv3.Bootstrap, _ translator.Result) error {
		cluster := envoyproc.AuthorizerCluster(filepath.Join(j.folder, "nobody.sock"))
		file.StaticResources.Clusters = append(file.StaticResources.Clusters, cluster)
		return nil
	})
)

func bootstrapCourt(name string, authorize func(*bootstrapJudge, *bootstrapv3.Bootstrap, translator.Result) error) casetest.Court {
	return casetest.Court{Name: name, Open: func(t *testing.T, c *casetest.Case) casetest.Judge {
		return openBootstrap(t, c, authorize)
	}}
}

func openBootstrap(t *testing.T, c *casetest.Case, authorize func(*bootstrapJudge, *bootstrapv3.Bootstrap, translator.Result) error) *bootstrapJudge {
	t.Helper()
	binary, err := envoyproc.Find("")
	if err != nil {
		t.Fatal(err)
	}
	group := &errgroup.Group{}
	j := &bootstrapJudge{place: newPlace(c, group), authorizer: authorize, t: t, binary: binary, folder: t.TempDir()}
	t.Cleanup(func() {
		if err := j.stop(); err != nil {
			t.Error(err)
		}
		j.farm.close()
		if err := group.Wait(); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	})
	return j
}

type bootstrapJudge struct {
	place
	// authorizer gives the Envoy of a file one who answers who the user is, or does not.
	authorizer     func(*bootstrapJudge, *bootstrapv3.Bootstrap, translator.Result) error
	t              *testing.T
	binary, folder string
	// envoy is the one that runs, nil before the first step; ended gets what came of it.
	envoy *exec.Cmd
	ended chan error
	// endAuthorizer ends the authorizer that runs, nil where none does.
	endAuthorizer func() error
}

// Publish implements casetest.Judge: it returns when the entries take connections.
func (j *bootstrapJudge) Publish(r translator.Result) error {
	if err := j.stop(); err != nil {
		return err
	}
	r.Resources = slices.Clone(r.Resources)
	for i := range r.Resources {
		m, err := j.localise(r.Resources[i])
		if err != nil {
			return err
		}
		r.Resources[i].Message = m
	}
	file := static.Bootstrap(r)
	if err := j.authorizer(j, file, r); err != nil {
		return err
	}
	text, err := static.File(file)
	if err == nil {
		text, err = static.WithModel(text, r.Gateway, options.Elsewhere{})
	}
	if err != nil {
		return err
	}
	path := filepath.Join(j.folder, "envoy.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return err
	}
	// Two Envoys on one machine would otherwise meet in the shared memory of hot restarts.
	j.envoy = exec.Command(j.binary, "-c", path, "--disable-hot-restart", "--concurrency", "1", "--log-level", "error")
	j.envoy.Stdout, j.envoy.Stderr = j.t.Output(), j.t.Output()
	if err := j.envoy.Start(); err != nil {
		j.envoy = nil
		return err
	}
	j.ended = make(chan error, 1)
	go func() { j.ended <- j.envoy.Wait() }()
	return j.waitOpen()
}

// openInterval is how often an entry is tried until it takes connections.
const openInterval = 10 * time.Millisecond

// waitOpen waits until every entry takes connections: without an admin interface there is nothing else to ask.
func (j *bootstrapJudge) waitOpen() error {
	ticker := time.NewTicker(openInterval)
	defer ticker.Stop()
	limit := time.NewTimer(startMax)
	defer limit.Stop()
	for name, at := range j.entries {
		for {
			conn, err := net.Dial("tcp", at.String())
			if err == nil {
				if err := conn.Close(); err != nil {
					return err
				}
				break
			}
			select {
			case ended := <-j.ended:
				j.envoy = nil
				return fmt.Errorf("run the file: the Envoy process ended: %w", errors.Join(ended, err))
			case <-limit.C:
				return fmt.Errorf("wait for entry %s: %w", name, err)
			case <-ticker.C:
			}
		}
	}
	return nil
}

// authorize gives the Envoy an authorizer, where a route asks for one: a file by itself has none, and such routes answer 503
// (TestWithoutAuthorizer).
func (j *bootstrapJudge) authorize(file *bootstrapv3.Bootstrap, r translator.Result) error {
	if static.Authorizing(file) == 0 {
		return nil
	}
	resources := make([]xds.Resource, len(r.Resources))
	for i, res := range r.Resources {
		resources[i] = xds.Resource{TypeURL: res.TypeURL, Name: res.Name, Message: res.Message, Origins: res.Origins}
	}
	snapshot, err := xds.NewSnapshot(resources, r.Secret)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "case")
	if err != nil {
		return err
	}
	server := xds.New(xds.Options{})
	server.Publish(snapshot)
	ads, authorizer := filepath.Join(folder, "xds.sock"), filepath.Join(folder, "authorizer.sock")
	adsListener, err := xds.ListenUnix(ads)
	if err != nil {
		return err
	}
	listener, err := xds.ListenUnix(authorizer)
	if err != nil {
		return errors.Join(err, adsListener.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Serve(ctx, adsListener) })
	group.Go(func() error {
		return dataplane.RunAuthorizer(ctx, dataplane.AuthorizerOptions{
			Target: "unix://" + ads, NodeID: authorizerNode, Cluster: "cases", Listener: listener,
			Log: slog.New(slog.NewTextHandler(j.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		})
	})
	j.endAuthorizer = func() error {
		cancel()
		return errors.Join(group.Wait(), os.RemoveAll(folder))
	}
	file.StaticResources.Clusters = append(file.StaticResources.Clusters, envoyproc.AuthorizerCluster(authorizer))
	return nil
}

// stop ends the Envoy of the step before, and its authorizer.
func (j *bootstrapJudge) stop() error {
	if j.endAuthorizer != nil {
		end := j.endAuthorizer
		j.endAuthorizer = nil
		if err := end(); err != nil {
			return fmt.Errorf("the authorizer ended: %w", err)
		}
	}
	if j.envoy == nil {
		return nil
	}
	if err := j.envoy.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("end Envoy: %w", err)
	}
	if err := <-j.ended; err != nil {
		return fmt.Errorf("the Envoy process ended: %w", err)
	}
	j.envoy = nil
	return nil
}
