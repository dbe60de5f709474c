package incluster

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/controlplane/kube"
	"github.com/postern-gateway/postern/integration/cluster"
	"github.com/postern-gateway/postern/integration/processes"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

const (
	cases = "../../translator/testdata"
	// refusedFile lists the cases that no cluster can have, and why; UPDATE=1 writes it anew.
	refusedFile = "testdata/refused.txt"
)

// TestCases has every case's objects created in a cluster, and changed there by its second step. What is then watched
// translates to the same bytes and the same diagnostics as the files, but for their lines; a real Envoy answers the probes
// by it. Cases whose objects the API server refuses are told with its words.
func TestCases(t *testing.T) {
	live.NeedEnvoy(t)
	heard := map[*casetest.Case][]translator.Result{}
	var refused strings.Builder
	all := casetest.Load(t, cases)
	granted := map[string]*rest.Config{}
	for _, r := range []rights{byDefault, outside} {
		_, granted[r.namespace] = r.start(t)
	}
	for _, c := range all {
		t.Run("watched/"+c.Name, func(t *testing.T) {
			results, why := watched(t, c, granted)
			if why != "" {
				fmt.Fprintf(&refused, "%s\t%s\n", c.Name, why)
				return
			}
			heard[c] = results
		})
	}
	golden(t, refusedFile, fmt.Sprintf("%d of %d cases can be had in a cluster. The others:\n%s", len(heard), len(all), refused.String()))
	for _, c := range all {
		if results, ok := heard[c]; ok {
			t.Run("answered/"+c.Name, func(t *testing.T) {
				t.Parallel()
				live.Envoy.Hear(t, c, results)
			})
		}
	}
}

func golden(t *testing.T, file, text string) {
	t.Helper()
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s is out of date (UPDATE=1 writes it); now it would be\n%s", file, text)
	}
}

// watched are the results of a case's steps by what a cluster has, under the rights granted, or why it cannot have them.
func watched(t *testing.T, c *casetest.Case, granted map[string]*rest.Config) ([]translator.Result, string) {
	t.Helper()
	settings, err := c.Settings()
	if err != nil {
		t.Fatal(err)
	}
	w := writer{t, dynamicClient(t, cluster.Start(t))}
	var watch *watch
	var versions map[key]string
	var results []translator.Result
	var servedFiles, served source.World
	for i, step := range c.Steps {
		files, err := step.World()
		if err != nil {
			t.Fatal(err)
		}
		files = adapted(files)
		before := versions
		var no *refusal
		if versions, no = w.become(files, before); no != nil {
			return nil, strings.ReplaceAll(no.Error(), "\n", " ")
		}
		if watch == nil {
			watch = startWatch(t, granted[rightsFor(settings).namespace], settings)
		}
		want := c.Next(servedFiles, placeless(files), settings)
		got := c.Next(served, aged(watch.world(files.Names, versions), files), settings)
		for _, difference := range differences(want.Result, got.Result) {
			t.Errorf("step %d: %s", i+1, difference)
		}
		servedFiles, served = want.World, got.World
		results = append(results, got.Result)
	}
	return results, ""
}

// placeless is a World of files without what an API server does not know: files and lines, and versions of the past.
func placeless(w source.World) source.World {
	w = source.Merge(w)
	nowhere := source.Place{}
	for i := range w.Ingresses {
		w.Ingresses[i].Place, w.Ingresses[i].APIVersion = nowhere, "networking.k8s.io/v1"
	}
	for i := range w.Services {
		w.Services[i].Place = nowhere
	}
	for i := range w.EndpointSlices {
		w.EndpointSlices[i].Place = nowhere
	}
	for i := range w.Secrets {
		w.Secrets[i].Place = nowhere
	}
	for i := range w.ConfigMaps {
		w.ConfigMaps[i].Place = nowhere
	}
	for i := range w.IngressClasses {
		w.IngressClasses[i].Place = nowhere
	}
	for i := range w.Namespaces {
		w.Namespaces[i].Place = nowhere
	}
	for i := range w.Nodes {
		w.Nodes[i].Place = nowhere
	}
	w.Diagnostics = nil
	return w
}

// aged is a watched World in which Ingresses are as old as the files say: nobody may say that to an API server.
func aged(w, files source.World) source.World {
	ages := map[key]metav1.Time{}
	for k, o := range objects(files) {
		ages[k] = o.GetCreationTimestamp()
	}
	w.Ingresses = slices.Clone(w.Ingresses)
	for i, ing := range w.Ingresses {
		copied := *ing.Ingress
		copied.CreationTimestamp = ages[key{"Ingress", ing.Namespace, ing.Name}]
		w.Ingresses[i].Ingress = &copied
	}
	return w
}

// differences are where two results differ, as few as say it.
func differences(want, got translator.Result) []string {
	var out []string
	index := map[string][]byte{}
	marshal := proto.MarshalOptions{Deterministic: true}
	for _, r := range want.Resources {
		text, err := marshal.Marshal(r.Message)
		if err != nil {
			panic(err)
		}
		index[r.TypeURL+" "+r.Name] = text
	}
	for _, r := range got.Resources {
		name := r.TypeURL + " " + r.Name
		text, err := marshal.Marshal(r.Message)
		if err != nil {
			panic(err)
		}
		before, exists := index[name]
		delete(index, name)
		if !exists || !bytes.Equal(before, text) {
			out = append(out, "another "+name)
		}
	}
	for name := range index {
		out = append(out, "no "+name)
	}
	slices.Sort(out)
	before, after := fmt.Sprint(want.Diagnostics), fmt.Sprint(got.Diagnostics)
	if before != after {
		out = append(out, fmt.Sprintf("diagnostics\n%s\nin place of\n%s", after, before))
	}
	return out
}

// watch is a source that watches a cluster.
type watch struct {
	t        *testing.T
	source   *kube.Source
	settings translator.Settings
}

// startWatch watches what a control plane with these settings does, until the test ends.
func startWatch(t *testing.T, config *rest.Config, s translator.Settings) *watch {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	w := &watch{t, kube.New(kube.Options{Client: client, Nodes: watchesNodes(s), Log: log}), s}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.source.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

// world waits until the source has objects of these versions, others being gone, and all that they refer to. Without
// versions any will do.
func (w *watch) world(names []source.ResolvedName, versions map[key]string) source.World {
	w.t.Helper()
	if !watchesNodes(w.settings) {
		versions = maps.Clone(versions)
		maps.DeleteFunc(versions, func(k key, _ string) bool { return k.kind == "Node" })
	}
	deadline := time.After(processes.WaitMax)
	var asked model.References
	for {
		world, complete := w.source.World()
		world.Names = names
		missing := ""
		if complete && versions != nil {
			missing = missingOf(world, versions)
		}
		if complete && missing == "" {
			wanted := translator.Translate(world, w.settings).Gateway.References
			if equalReferences(wanted, asked) {
				return world
			}
			asked = wanted
			w.source.Want(wanted)
			continue
		}
		select {
		case <-w.source.Changes():
		case <-deadline:
			w.t.Fatalf("the source does not come to what the cluster has: complete: %v, missing: %s, faults: %v", complete, missing, w.source.Faults())
		}
	}
}

func equalReferences(a, b model.References) bool {
	return slices.Equal(a.Secrets, b.Secrets) && slices.Equal(a.ConfigMaps, b.ConfigMaps)
}

// missingOf is an object that a World does not have as it should, empty where there is none.
func missingOf(w source.World, versions map[key]string) string {
	known := objects(w)
	for _, k := range sorted(known) {
		if _, wanted := versions[k]; !wanted && !given(k) && k.kind != "Namespace" {
			return k.String() + " is still there"
		}
	}
	for _, k := range sorted(versions) {
		o, exists := known[k]
		switch {
		case !exists && !lookedUp(k):
			return k.String() + " is not there"
		case exists && o.GetResourceVersion() != versions[k]:
			return k.String() + " is as before"
		}
	}
	return ""
}
