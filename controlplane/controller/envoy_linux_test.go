package controller

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
	"github.com/postern-gateway/postern/dataplane/envoyproc"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/source"
)

// programSizeMax is what the Envoy of this test takes of an expression: less than ours, so that it refuses a route that
// passes all our checks.
const programSizeMax = 150

// longPath is a path whose expression is beyond that: each of its bytes is matched however it is spelt.
var longPath = "/" + strings.Repeat("+", 60)

// startEnvoy runs an Envoy that asks the controller, until the test ends.
func (r *running) startEnvoy(t *testing.T) {
	t.Helper()
	path := live.NeedEnvoy(t)
	r.awaitServing(t)
	config := envoyproc.Config{Folder: t.TempDir(), XDSSocket: r.socket, NodeID: "envoy", NodeCluster: "test"}
	bootstrap := envoyproc.Bootstrap(config)
	runtime := bootstrap.GetLayeredRuntime().GetLayers()[0].GetStaticLayer().GetFields()
	if runtime["re2.max_program_size.error_level"] == nil {
		t.Fatal("the bootstrap bounds no expressions")
	}
	runtime["re2.max_program_size.error_level"] = structpb.NewNumberValue(programSizeMax)
	text, err := protojson.Marshal(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(config.Folder, "bootstrap.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var words bytes.Buffer
	envoy := exec.Command(path, "-c", file, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warn")
	envoy.Stdout, envoy.Stderr = &words, &words
	envoy.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := envoy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = envoy.Process.Kill()
		_ = envoy.Wait()
		if t.Failed() {
			t.Logf("Envoy:\n%s", &words)
		}
	})
	r.connected(t, 1)
}

// TestEnvoyRefuses: what a real Envoy refuses, though it passes all our checks, leaves the version before in service, and
// the other changes of the same table go through. The refusal names the Ingress and has Envoy's words.
func TestEnvoyRefuses(t *testing.T) {
	m := newMemory(parse(t, web+ingress("a", "/a")+ingress("b", "/b")))
	r := start(t, m, settings(t, "--http="+traffic.Address(t), "--https="))
	r.startEnvoy(t)
	r.awaitAccepted(t)
	m.edit(Change{}, put(t, ingress("a", longPath)))
	refused := r.told(t, "Envoy's refusal", "a"+keeps)
	nacks := r.seen.refusals()
	if len(nacks) != 1 || !strings.Contains(nacks[0].Words, "program size") {
		t.Errorf("the refusals are %+v", nacks)
	}
	if !slices.ContainsFunc(nacks[0].Origins, func(o diag.Origin) bool { return o.Kind == "Ingress" && o.Name == "a" }) {
		t.Errorf("the objects behind it are %v", nacks[0].Origins)
	}
	if text := fmt.Sprint(refused.World.Ingresses); strings.Contains(text, longPath) {
		t.Error("the refused version is served")
	}
	r.awaitAccepted(t)
	m.edit(Change{}, put(t, ingress("b", "/b2")))
	r.seen.await(t, "another change", func(p Publication) bool { return strings.Contains(fmt.Sprint(p.World.Ingresses), "/b2") })
	r.awaitAccepted(t)
	m.edit(Change{}, func(w *source.World) { put(t, ingress("a", "/a2"))(w) })
	r.seen.await(t, "the repair", func(p Publication) bool {
		return len(refusedOf(p)) == 0 && strings.Contains(fmt.Sprint(p.World.Ingresses), "/a2")
	})
	r.awaitAccepted(t)
	if n := len(r.seen.refusals()); n != 1 {
		t.Errorf("%d refusals, want the one", n)
	}
}
