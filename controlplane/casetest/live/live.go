// Package live judges cases by a data plane that runs: the resources go over xDS, the requests over loopback, to test
// backends that stand where the cases' pods would be.
package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/envoy"
)

const (
	// startMax bounds how long a data plane may take to start, publishMax how long to take a new revision.
	startMax   = 60 * time.Second
	publishMax = 30 * time.Second
)

// plane is what a data plane is started with.
type plane struct {
	// folder is its own, socket that of the control plane.
	folder, socket string
	log            *slog.Logger
	// ready is to be called when requests are answered.
	ready func()
}

// court makes judges of a data plane; run runs it until ctx ends, and returns nil then.
func court(name string, run func(ctx context.Context, p plane) error) casetest.Court {
	return casetest.Court{Name: name, Open: func(t *testing.T, c *casetest.Case) casetest.Judge {
		return open(t, c, run)
	}}
}

// place is where the resources of a case are served: its backends, and the addresses of its listeners.
type place struct {
	farm *farm
	// entries map a listener's name to where it listens here.
	entries map[string]netip.AddrPort
	asked   int
}

// judge is one data plane with its control plane and its backends.
type judge struct {
	place
	server *xds.Server
	group  *errgroup.Group
	ctx    context.Context
	ready  chan struct{}
	// revision is that of the last step.
	revision xds.Revision

	mu sync.Mutex
	// sent and refused are what the server told, under mu.
	sent    []xds.Sent
	refused []string
}

func newPlace(c *casetest.Case, group *errgroup.Group) place {
	return place{farm: newFarm(c, group), entries: map[string]netip.AddrPort{}}
}

func open(t *testing.T, c *casetest.Case, run func(context.Context, plane) error) *judge {
	t.Helper()
	// Not t.TempDir: the names of tests are too long for the path of a socket.
	folder, err := os.MkdirTemp("", "case")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	group, ctx := errgroup.WithContext(ctx)
	j := &judge{place: newPlace(c, group), group: group, ctx: ctx, ready: make(chan struct{})}
	t.Cleanup(func() {
		cancel()
		j.farm.close()
		if err := group.Wait(); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	j.server = xds.New(xds.Options{Log: log, OnSend: j.noteSent, OnNACK: j.noteRefused})
	socket := filepath.Join(folder, "xds.sock")
	lis, err := xds.ListenUnix(socket)
	if err != nil {
		t.Fatal(err)
	}
	group.Go(func() error { return j.server.Serve(ctx, lis) })
	p := plane{folder: filepath.Join(folder, "plane"), socket: socket, log: log, ready: sync.OnceFunc(func() { close(j.ready) })}
	group.Go(func() error {
		err := run(ctx, p)
		if ctx.Err() == nil {
			return fmt.Errorf("the data plane ended by itself: %w", err)
		}
		return err
	})
	return j
}

// authorizerNode is the node of an Envoy's authorizer. What it asks for depends on the requests, and is the Envoy's too.
const authorizerNode = "case-authorizer"

func (j *judge) noteSent(node string, s xds.Sent) {
	if node == authorizerNode {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sent = append(j.sent, s)
}

func (j *judge) noteRefused(_ string, n xds.NACK) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.refused = append(j.refused, fmt.Sprintf("%+v", n))
}

// Publish implements casetest.Judge: it returns when the data plane has taken everything.
func (j *judge) Publish(r translator.Result) error {
	resources := make([]xds.Resource, len(r.Resources))
	for i, res := range r.Resources {
		m, err := j.localise(res)
		if err != nil {
			return err
		}
		resources[i] = xds.Resource{TypeURL: res.TypeURL, Name: res.Name, Message: m, Origins: res.Origins}
	}
	snapshot, err := xds.NewSnapshot(resources, r.Secret)
	if err != nil {
		return err
	}
	// The reference graph is the control plane's own promise, whatever a data plane makes of it.
	if errs := snapshot.Check(); len(errs) > 0 {
		return errors.Join(errs...)
	}
	first := j.revision == 0
	j.revision = j.server.Publish(snapshot)
	limit := publishMax
	if first {
		limit = startMax
	}
	ctx, cancel := context.WithTimeout(j.ctx, limit)
	defer cancel()
	if err := j.server.WaitConnected(ctx, 1); err != nil {
		return fmt.Errorf("wait for the data plane to connect: %w", j.cause(err))
	}
	if err := j.server.Wait(ctx, j.revision); err != nil {
		return fmt.Errorf("wait for the data plane to take revision %d: %w", j.revision, j.cause(err))
	}
	// A data plane that refuses its listeners is never ready.
	if err := j.refusal(); err != nil {
		return err
	}
	select {
	case <-j.ready:
	case <-ctx.Done():
		return fmt.Errorf("wait for the data plane to be ready: %w", j.cause(ctx.Err()))
	}
	return j.refusal()
}

// refusal is what the data plane has refused so far, nil for nothing.
func (j *judge) refusal() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.refused) > 0 {
		return fmt.Errorf("the data plane refuses resources:\n%s", strings.Join(j.refused, "\n"))
	}
	return nil
}

// cause is why the data plane ended, where it did.
func (j *judge) cause(err error) error {
	if j.ctx.Err() != nil {
		return context.Cause(j.ctx)
	}
	return err
}

// Check implements casetest.Checker: after an edit, exactly the resources travel that must.
func (j *judge) Check(step int, results []translator.Result) []string {
	j.mu.Lock()
	sent := j.sent
	j.sent = nil
	j.mu.Unlock()
	if step == 0 {
		return nil
	}
	var got []string
	for _, s := range sent {
		for _, name := range s.Resources {
			got = append(got, casetest.ResourceLine("+", s.TypeURL, name))
		}
		for _, name := range s.Removed {
			got = append(got, casetest.ResourceLine("-", s.TypeURL, name))
		}
	}
	// Certificates and users travel when they are asked for.
	onDemand := func(line string) bool {
		_, name, secret := strings.Cut(line, " secrets ")
		return secret && (envoy.IsServerName(name) || strings.HasPrefix(name, "users/"))
	}
	got = slices.DeleteFunc(got, onDemand)
	want := slices.DeleteFunc(casetest.Resent(results[step-1], results[step]), onDemand)
	want = slices.DeleteFunc(want, func(line string) bool { return !slices.Contains(got, line) && j.letGo(line) })
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(want, got) {
		return []string{fmt.Sprintf("these resources must travel:\n  %s\nthese do:\n  %s", strings.Join(want, "\n  "), strings.Join(got, "\n  "))}
	}
	return nil
}

// letGo says whether a line is the removal of what the data plane has asked for by name and has given up by itself: of
// that it need not be told.
func (j *judge) letGo(line string) bool {
	for _, p := range j.server.Proxies() {
		for _, t := range p.Types {
			if name, ok := strings.CutPrefix(line, casetest.ResourceLine("-", t.TypeURL, "")); ok {
				return !t.Wildcard && !slices.Contains(t.Subscribed, name)
			}
		}
	}
	return false
}
