package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
	"github.com/postern-gateway/postern/controlplane/up"
	"github.com/postern-gateway/postern/dataplane"
	"github.com/postern-gateway/postern/dataplane/envoyproc"
)

const (
	// absence is how many requests every client makes while the control plane is away.
	absence = 20
	// editEvery is every how many absences a file is edited meanwhile.
	editEvery = 5
	// ofTheStream are the counters of Envoy's stream of listeners, which breaks: empty responses count as updates.
	ofTheStream = "listener_manager.lds."
	// responsesDrawn bounds after how many responses to an edit the control plane is killed, as long as there are so many.
	responsesDrawn = 6
)

// TestControlPlaneKilled: the control plane is killed and started again, and again, under load. No request fails, and the
// data plane is sent again nothing that it has; what was edited meanwhile it gets, and nothing else.
func TestControlPlaneKilled(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, dataPlane string) {
		size, g := size(), newGateway(t)
		g.edited = traffic.Listen(t, "edited").Address()
		g.edit(t, 0)
		folder := g.standAlone(dataPlane)
		control := startControlPlane(t, folder)
		g.runDataPlane(dataPlane, filepath.Join(folder, socketFile))
		control.awaitSettled(1)
		elsewhere := watchElsewhere(t, g)
		load := traffic.Start(elsewhere.clients()...)
		responses, edited, slowest := 0, 0, time.Duration(0)
		for i := range size.kills {
			if err := load.Rounds(absence); err != nil {
				t.Fatal(err)
			}
			control.kill()
			if err := load.Rounds(absence); err != nil {
				t.Fatal(err)
			}
			var want []string
			if i%editEvery == editEvery-1 {
				edited++
				want = g.edit(t, edited)
			}
			began := time.Now()
			control = startControlPlane(t, folder)
			sent := control.awaitSettled(1)
			slowest = max(slowest, time.Since(began))
			responses += len(sent)
			for _, fault := range resent(sent, want) {
				t.Errorf("start %d of the control plane: %s", i+1, fault)
			}
		}
		edited++
		g.edit(t, edited)
		g.awaitEdit(edited)
		load.Stop().Check(t, int64(size.kills*2*absence))
		elsewhere.check(ofTheStream)
		t.Logf("%d times killed, %d times with an edit meanwhile; %d responses after starts, the data plane had everything after %d ms at most",
			size.kills, edited-1, responses, slowest.Milliseconds())
	})
}

// TestControlPlaneKilledInEdits: the control plane is killed while an edit is on its way, after any number of responses.
// The next one brings the edit to its end, and until then what was before is served.
func TestControlPlaneKilledInEdits(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, dataPlane string) {
		size, g := size(), newGateway(t)
		e := newEditor(t, g)
		e.onlyEffects = true // With a file that does not parse, no control plane starts.
		folder := g.standAlone(dataPlane)
		control := startControlPlane(t, folder)
		g.runDataPlane(dataPlane, filepath.Join(folder, socketFile))
		control.awaitSettled(1)
		elsewhere := watchElsewhere(t, g)
		load := traffic.Start(append(elsewhere.clients(), e.clients()...)...)
		for i := range size.kills * 2 {
			some := e.sites[i%len(e.sites)]
			sent, settled := control.progress()
			e.edit(some)
			control.awaitResponses(sent+e.draw.IntN(responsesDrawn), settled)
			control.kill()
			control = startControlPlane(t, folder)
			if err := e.await(some); err != nil {
				t.Fatal(err)
			}
			control.awaitSettled(1)
			if err := load.Rounds(roundsAnEdit); err != nil {
				t.Fatal(err)
			}
		}
		load.Stop().Check(t, int64(size.kills*2*roundsAnEdit))
		elsewhere.check(ofTheStream)
		t.Logf("%d times killed in edits: %s", size.kills*2, e.kinds())
	})
}

// resent are faults of what was sent after a start: what traveled and was not wanted, and the reverse. Responses without
// resources only say that there is nothing.
func resent(sent []event, want []string) []string {
	var out []string
	got := traveled(sent)
	for _, line := range got {
		if !slices.ContainsFunc(want, func(w string) bool { return strings.HasSuffix(line, w) }) {
			out = append(out, "sent again: "+line)
		}
	}
	for _, w := range want {
		if !slices.ContainsFunc(got, func(line string) bool { return strings.HasSuffix(line, w) }) {
			out = append(out, "not sent: "+w)
		}
	}
	return out
}

// edit has the host edited.test redirect or not, as the number is odd or even, and gives the resources that must travel.
func (g *gateway) edit(t *testing.T, n int) []string {
	t.Helper()
	metadata := ", annotations: {kubernetes.io/ingress.class: traefik"
	if n%2 == 1 {
		metadata += ", " + redirects
	}
	g.replace("edited.yaml", ingress("edited", "edited.test", metadata+"}")+service("edited", "", g.edited))
	return []string{"RouteConfiguration http", "RouteConfiguration https"}
}

// awaitEdit waits until it is in force.
func (g *gateway) awaitEdit(n int) {
	g.t.Helper()
	want := http.StatusOK
	if n%2 == 1 {
		want = http.StatusMovedPermanently
	}
	eventually(g.t, "the edit after the last start", func() error {
		c := traffic.Dial(g.http, nil)
		defer c.Close()
		a, err := c.Get("edited.test", "/")
		if err == nil && a.Status != want {
			err = fmt.Errorf("status %d, want %d", a.Status, want)
		}
		return err
	})
}

// standAlone writes the task of a control plane that is a process of its own, and gives its folder.
func (g *gateway) standAlone(dataPlane string) string {
	g.t.Helper()
	folder := filepath.Join(os.Getenv("TMPDIR"), dataPlane)
	if err := os.Mkdir(folder, 0o700); err != nil {
		g.t.Fatal(err)
	}
	text, err := json.Marshal(task{Manifests: g.manifests, Options: g.options(), Proxies: 1})
	if err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, taskFile), text, 0o600); err != nil {
		g.t.Fatal(err)
	}
	return folder
}

// runDataPlane runs one by itself until the test ends, and returns when it serves.
func (g *gateway) runDataPlane(dataPlane, socket string) {
	g.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done, told := make(chan struct{}), make(chan error, 1), &tail{}
	log := slog.New(slog.NewTextHandler(told, nil))
	run := func() error {
		return dataplane.Run(ctx, dataplane.Options{
			Target: "unix://" + socket, NodeID: dataPlane, Cluster: "chaos", Log: log, Ready: func() { close(ready) },
		})
	}
	if dataPlane == up.DataPlaneEnvoy {
		live.NeedEnvoy(g.t)
		g.envoy = &envoyproc.Config{
			Folder: filepath.Join(filepath.Dir(socket), "envoy"), XDSSocket: socket, NodeID: dataPlane, NodeCluster: "chaos",
			Concurrency: 2, OnReady: func() { close(ready) },
		}
		run = func() error { return envoyproc.Run(ctx, *g.envoy, log) }
	}
	go func() { done <- run() }()
	g.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			g.t.Errorf("the data plane ends with %v", err)
		}
		if g.t.Failed() {
			g.t.Logf("the last words of the data plane:\n%s", told)
		}
	})
	select {
	case <-ready:
	case err := <-done:
		done <- nil
		g.t.Fatalf("the data plane ends at its start: %v", err)
	case <-time.After(waitMax):
		g.t.Fatal("the data plane does not serve")
	}
}
