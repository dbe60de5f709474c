package live

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/static"
	"github.com/postern-gateway/postern/dataplane/envoyproc"
	"github.com/postern-gateway/postern/translator"
)

// Bootstrap is the fourth judge: an Envoy that runs the one file of translate -o bootstrap. Each step has an Envoy of its
// own, since a file does not change.
var Bootstrap = casetest.Court{Name: "bootstrap", Open: func(t *testing.T, c *casetest.Case) casetest.Judge {
	t.Helper()
	binary, err := envoyproc.Find("")
	if err != nil {
		t.Fatal(err)
	}
	group := &errgroup.Group{}
	j := &bootstrapJudge{place: newPlace(c, group), t: t, binary: binary, folder: t.TempDir()}
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
}}

type bootstrapJudge struct {
	place
	t              *testing.T
	binary, folder string
	// envoy is the one that runs, nil before the first step; ended gets what came of it.
	envoy *exec.Cmd
	ended chan error
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
	text, err := static.File(static.Bootstrap(r))
	if err != nil {
		return err
	}
	file := filepath.Join(j.folder, "envoy.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	// Two Envoys on one machine would otherwise meet in the shared memory of hot restarts.
	j.envoy = exec.Command(j.binary, "-c", file, "--disable-hot-restart", "--concurrency", "1", "--log-level", "error")
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

// stop ends the Envoy of the step before.
func (j *bootstrapJudge) stop() error {
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
