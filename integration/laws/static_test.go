package laws

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/controlplane/static"
	"github.com/postern-gateway/postern/dataplane/envoyproc"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/mutate"
)

const (
	// mutantsMin is how many broken worlds one run validates at least, changesMin how many changes of objects are in them;
	// batchSize is how many worlds go into one file.
	mutantsMin = 1700
	changesMin = 10_000
	batchSize  = 100
)

// TestEnvoyAcceptsMutants: whatever the world, Envoy takes what we make of it. The worlds of a batch are rendered as
// one static file; on a refusal each of them is tried alone, so that the failure names the world.
func TestEnvoyAcceptsMutants(t *testing.T) {
	binary := live.NeedEnvoy(t)
	all := casetest.Load(t, cases)
	perCase := mutantsMin/len(all) + 1
	var batch []world
	count, changes := 0, 0
	flush := func() {
		validate(t, binary, batch)
		count += len(batch)
		batch = nil
	}
	for _, c := range all {
		for i, result := range mutants(t, c, perCase) {
			batch = append(batch, world{name: fmt.Sprintf("%s seed %d", c.Name, firstMutant+i), result: result})
			changes += mutate.Changes(uint64(firstMutant + i))
			if len(batch) == batchSize {
				flush()
			}
		}
	}
	flush()
	if count < mutantsMin || changes < changesMin {
		t.Errorf("%d worlds with %d changes were validated, want at least %d with %d", count, changes, mutantsMin, changesMin)
	}
	t.Logf("Envoy accepts %d worlds with %d changes", count, changes)
}

// TestEnvoyRefuses shows that the law above can fail.
func TestEnvoyRefuses(t *testing.T) {
	binary := live.NeedEnvoy(t)
	c := casetest.Load(t, cases)[0]
	w, settings := c.World(t)
	result := translator.Translate(w, settings)
	for _, r := range result.Resources {
		if rc, ok := r.Message.(*routev3.RouteConfiguration); ok && len(rc.GetVirtualHosts()) > 0 {
			rc.VirtualHosts[0].Domains = append(rc.VirtualHosts[0].Domains, rc.VirtualHosts[0].Domains[0])
		}
	}
	if words := refusal(t, binary, []world{{name: c.Name, result: result}}); words == "" {
		t.Error("Envoy accepts a domain that stands there twice")
	}
}

type world struct {
	name   string
	result translator.Result
}

func validate(t *testing.T, binary string, batch []world) {
	t.Helper()
	if len(batch) == 0 {
		return
	}
	words := refusal(t, binary, batch)
	if words == "" {
		return
	}
	for _, w := range batch {
		if alone := refusal(t, binary, []world{w}); alone != "" {
			t.Errorf("%s: Envoy refuses it:\n%s", w.name, alone)
		}
	}
	if !t.Failed() {
		t.Errorf("Envoy refuses a batch of worlds each of which it accepts, %s … %s:\n%s", batch[0].name, batch[len(batch)-1].name, words)
	}
}

// refusal is what Envoy says against the worlds, empty where it accepts them.
func refusal(t *testing.T, binary string, batch []world) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "static.json")
	text, err := protojson.Marshal(together(batch))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(binary, "--mode", "validate", "-c", file, "-l", "error")
	var words bytes.Buffer
	command.Stdout, command.Stderr = &words, &words
	if err := command.Run(); err != nil {
		return fmt.Sprintf("%v: %s", err, words.String())
	}
	return ""
}

// together renders worlds as one file, each under its own names.
func together(batch []world) *bootstrapv3.Bootstrap {
	all := &bootstrapv3.Bootstrap_StaticResources{}
	for i, w := range batch {
		own := static.Resources(w.result)
		static.Edit(own, func(m proto.Message) { rename(m, fmt.Sprintf("w%d/", i)) })
		for _, l := range own.GetListeners() {
			// Two listeners must not have one address; nothing is bound.
			all.Listeners = append(all.Listeners, l)
			l.GetAddress().GetSocketAddress().PortSpecifier = &corev3.SocketAddress_PortValue{PortValue: uint32(len(all.Listeners))}
		}
		all.Clusters = append(all.Clusters, own.GetClusters()...)
		all.Secrets = append(all.Secrets, own.GetSecrets()...)
	}
	// The limits are those that our Envoys run with.
	b := envoyproc.Base(envoyproc.Config{NodeID: "law", NodeCluster: "laws"})
	b.StaticResources = all
	return b
}

// rename puts a world's prefix before the names that are the file's.
func rename(m proto.Message, prefix string) {
	switch m := m.(type) {
	case *listenerv3.Listener:
		m.Name = prefix + m.GetName()
	case *clusterv3.Cluster:
		m.Name = prefix + m.GetName()
	case *routev3.RouteAction:
		if m.GetCluster() != "" {
			m.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: prefix + m.GetCluster()}
		}
	case *routev3.WeightedCluster_ClusterWeight:
		m.Name = prefix + m.GetName()
	case *tlsv3.Secret:
		m.Name = prefix + m.GetName()
	case *tlsv3.SdsSecretConfig:
		m.Name = prefix + m.GetName()
	}
}
