package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/controlplane/files"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator"
)

// controlPlaneVariable makes this test binary a control plane that serves what the file task of a folder says.
const (
	controlPlaneVariable = "CHAOS_CONTROL_PLANE"
	taskFile             = "task.json"
	socketFile           = "xds.sock"
)

// task is what a control plane is to serve, and to how many data planes.
type task struct {
	Manifests string
	Options   options.Options
	Proxies   int
}

// event is a line that it prints: what it sends, or that all data planes have taken a revision.
type event struct {
	Node string
	// Sent is set for a response.
	Sent *xds.Sent
	// Settled is set when all have everything.
	Settled xds.Revision
}

// runControlPlane is the life of a control plane in a process of its own. It ends by a signal, and with the test, which
// holds its standard input.
func runControlPlane(folder string) int {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	if err := serve(folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func serve(folder string) error {
	text, err := os.ReadFile(filepath.Join(folder, taskFile))
	if err != nil {
		return err
	}
	var task task
	if err := json.Unmarshal(text, &task); err != nil {
		return err
	}
	settings, err := task.Options.Settings()
	if err != nil {
		return err
	}
	state, err := files.Read([]string{task.Manifests}, files.Options{})
	if err != nil {
		return err
	}
	listener, err := xds.ListenUnix(filepath.Join(folder, socketFile))
	if err != nil {
		return err
	}
	var mu sync.Mutex // of standard output
	out := json.NewEncoder(os.Stdout)
	tell := func(e event) {
		mu.Lock()
		defer mu.Unlock()
		_ = out.Encode(e) // Without a reader there is nobody to tell.
	}
	server := xds.New(xds.Options{OnSend: func(node string, s xds.Sent) { tell(event{Node: node, Sent: &s}) }})
	ctx := context.Background()
	publish := func() error {
		snapshot, err := controller.Snapshot(nil, translator.Translate(state.World(), settings))
		if err != nil {
			return err
		}
		revision := server.Publish(snapshot)
		go func() {
			if err := errors.Join(server.WaitConnected(ctx, task.Proxies), server.Wait(ctx, revision)); err == nil {
				tell(event{Settled: revision})
			}
		}()
		return nil
	}
	if err := publish(); err != nil {
		return err
	}
	go state.Watch(ctx, func(files.Change) {
		if err := publish(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	})
	return server.Serve(ctx, listener)
}

// controlPlane is one of these processes, and what it has told.
type controlPlane struct {
	t       *testing.T
	command *exec.Cmd
	stdin   io.Closer
	done    chan struct{}

	mu      sync.Mutex
	sent    []event      // guarded by mu
	settled xds.Revision // guarded by mu
	changed chan struct{}
}

// startControlPlane starts one. The test's end ends it.
func startControlPlane(t *testing.T, folder string) *controlPlane {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &controlPlane{t: t, command: exec.Command(self), done: make(chan struct{}), changed: make(chan struct{})}
	c.command.Env = append(os.Environ(), controlPlaneVariable+"="+folder)
	c.command.Stderr = t.Output()
	out, err := c.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if c.stdin, err = c.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.command.Start(); err != nil {
		t.Fatal(err)
	}
	go c.read(out)
	t.Cleanup(c.kill)
	return c
}

// read takes what it tells, until it is gone.
func (c *controlPlane) read(out io.Reader) {
	defer close(c.done)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			c.t.Errorf("the control plane says %q: %v", lines.Text(), err)
			continue
		}
		c.mu.Lock()
		if e.Sent != nil {
			c.sent = append(c.sent, e)
		} else {
			c.settled = max(c.settled, e.Settled)
		}
		close(c.changed)
		c.changed = make(chan struct{})
		c.mu.Unlock()
	}
}

// kill ends it by SIGKILL, and returns when it is gone.
func (c *controlPlane) kill() {
	_ = c.command.Process.Kill() // It may be gone already.
	<-c.done
	_ = c.command.Wait()
}

// awaitSettled waits until every data plane has all of a revision, and gives what was sent to them so far.
func (c *controlPlane) awaitSettled(revision xds.Revision) []event {
	c.t.Helper()
	deadline := time.After(waitMax)
	for {
		c.mu.Lock()
		settled, changed, sent := c.settled, c.changed, c.sent
		c.mu.Unlock()
		if settled >= revision {
			return sent
		}
		select {
		case <-changed:
		case <-c.done:
			c.t.Fatal("the control plane is gone")
		case <-deadline:
			c.t.Fatalf("the data planes do not settle; sent: %v", traveled(sent))
		}
	}
}

// progress is how many responses it has sent, and the revision that is settled.
func (c *controlPlane) progress() (responses int, settled xds.Revision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sent), c.settled
}

// awaitResponses waits until it has sent so many, or a later revision is settled with fewer.
func (c *controlPlane) awaitResponses(n int, before xds.Revision) {
	c.t.Helper()
	deadline := time.After(waitMax)
	for {
		c.mu.Lock()
		enough, changed := len(c.sent) >= n || c.settled > before, c.changed
		c.mu.Unlock()
		if enough {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			c.t.Fatal("the edit does not come to the control plane")
		}
	}
}

// traveled are the resources in responses, each with its type and who got it; those that were removed with a minus.
func traveled(sent []event) []string {
	var out []string
	for _, e := range sent {
		for _, name := range e.Sent.Resources {
			out = append(out, fmt.Sprintf("%s %s %s", e.Node, e.Sent.TypeURL, name))
		}
		for _, name := range e.Sent.Removed {
			out = append(out, fmt.Sprintf("%s %s -%s", e.Node, e.Sent.TypeURL, name))
		}
	}
	return out
}
