package inspect

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/dataplane/envoyproc"
)

const (
	token = "0123456789abcdef0123456789abcdef"
	// stranger is the node of an Envoy that takes expressions of programSizeMax only, and so refuses the routes.
	stranger       = "stranger"
	programSizeMax = 150
)

// toldResource is what the client was told of one resource of one proxy.
type toldResource struct {
	TypeURL, Name, Version, Config, Client, Content, Refused, Words string
	Updated                                                         bool
}

// answer is one of the client's: what it was told, or gRPC's status.
type answer struct {
	Status  string
	Clients []struct {
		Node, Agent string
		Resources   []toldResource
	}
}

// listedProxy is a stream of a proxy as the inspection API has it.
type listedProxy struct {
	Node, Agent string
	Authorizer  bool
	Types       []struct {
		TypeURL           string `json:"typeUrl"`
		PendingCount      int
		Subscribed        []string
		Accepted, Refused []struct{ Name, Version string }
		LastNACK          struct{ Words string }
	}
}

// TestIndependentClient: gRPC's own client for Python, with the protos of the gRPC project, is told by each call of CSDS what
// the inspection API says of two real Envoys, one of which refuses the routes. It is told nothing with another credential or
// none, and the xDS port does not know the service.
func TestIndependentClient(t *testing.T) {
	python := needPython(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	u := serve(t, "--inspect-token", file)
	u.startStranger(t)
	listed := u.settled(t)

	for call, got := range ask(t, python, u.inspect, "Bearer "+token) {
		if got.Status != "" {
			t.Fatalf("%s: %s", call, got.Status)
		}
		compare(t, call, got, listed)
	}
	for name, credential := range map[string]string{"none": "", "another": "Bearer " + strings.Repeat("x", len(token))} {
		for call, got := range ask(t, python, u.inspect, credential) {
			if got.Status != "UNAUTHENTICATED" {
				t.Errorf("credential %s, %s: %+v", name, call, got)
			}
		}
	}
	for call, got := range ask(t, python, "unix:"+u.socket(t, "xds.sock"), "Bearer "+token) {
		if got.Status != "UNIMPLEMENTED" {
			t.Errorf("the xDS port, %s: %+v", call, got)
		}
	}
}

// compare judges what one call told by what the inspection API lists.
func compare(t *testing.T, call string, got answer, listed map[string]listedProxy) {
	t.Helper()
	var nodes []string
	for _, client := range got.Clients {
		nodes = append(nodes, client.Node)
		want := expected(listed[client.Node])
		told := map[string]string{}
		for _, r := range client.Resources {
			told[r.TypeURL+" "+r.Name] = said(r)
			content := r.Name
			if strings.HasSuffix(call, "Bare") {
				content = ""
			}
			if r.Content != content || !r.Updated {
				t.Errorf("%s: %s: %s %s: content %q, updated %t", call, client.Node, r.TypeURL, r.Name, r.Content, r.Updated)
			}
		}
		if len(told) != len(client.Resources) || !maps.Equal(told, want) {
			t.Errorf("%s: %s: told %v\nand the inspection API says %v", call, client.Node, told, want)
		}
		if client.Agent != "envoy" {
			t.Errorf("%s: %s: agent %q", call, client.Node, client.Agent)
		}
	}
	if want := slices.Sorted(maps.Keys(listed)); !slices.Equal(nodes, want) {
		t.Errorf("%s: told of %v, want %v", call, nodes, want)
	}
}

func said(r toldResource) string {
	return fmt.Sprintf("%s %s %s, refused %q: %q", r.Version, r.Config, r.Client, r.Refused, r.Words)
}

// expected is what should be said of a proxy's resources, by type and name. What is refused is what is served.
func expected(p listedProxy) map[string]string {
	out := map[string]string{}
	for _, kind := range p.Types {
		for _, a := range kind.Accepted {
			out[kind.TypeURL+" "+a.Name] = said(toldResource{Version: a.Version, Config: "SYNCED", Client: "ACKED"})
		}
		for _, r := range kind.Refused {
			out[kind.TypeURL+" "+r.Name] = said(toldResource{
				Version: r.Version, Config: "ERROR", Client: "NACKED", Refused: r.Version, Words: kind.LastNACK.Words,
			})
		}
	}
	return out
}

// settled are the proxies by node, once both have answered everything, and the stranger has refused something.
func (u up) settled(t *testing.T) map[string]listedProxy {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		var all struct{ Proxies []listedProxy }
		u.get(t, "/proxies", &all)
		out, refuses, pending := map[string]listedProxy{}, false, 0
		for _, p := range all.Proxies {
			if p.Authorizer {
				continue
			}
			var node struct{ Streams []listedProxy }
			u.get(t, "/proxies/"+p.Node, &node)
			if len(node.Streams) != 1 {
				t.Fatalf("%d streams of %s", len(node.Streams), p.Node)
			}
			out[p.Node] = node.Streams[0]
			for _, kind := range node.Streams[0].Types {
				pending += kind.PendingCount
				refuses = refuses || p.Node == stranger && len(kind.Refused) > 0 && kind.LastNACK.Words != ""
			}
		}
		if len(out) == 2 && refuses && pending == 0 {
			return out
		}
		if time.Now().After(end) {
			t.Fatalf("the proxies do not come to rest: %+v", out)
		}
	}
}

func (u up) get(t *testing.T, address string, into any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+u.inspect+address+"?format=json", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport, Timeout: patience}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, text)
	}
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
}

// startStranger has a second Envoy ask the same control plane, until the test ends.
func (u up) startStranger(t *testing.T) {
	t.Helper()
	config := envoyproc.Config{Folder: u.folder, XDSSocket: u.socket(t, "xds.sock"), NodeID: stranger, NodeCluster: "test"}
	bootstrap := envoyproc.Bootstrap(config)
	bootstrap.GetLayeredRuntime().GetLayers()[0].GetStaticLayer().GetFields()["re2.max_program_size.error_level"] = structpb.NewNumberValue(programSizeMax)
	text, err := protojson.Marshal(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(u.folder, "stranger.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var words strings.Builder
	envoy := exec.Command(live.NeedEnvoy(t), "-c", file, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warn")
	envoy.Stdout, envoy.Stderr = &words, &words
	if err := envoy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		envoy.Process.Kill()
		envoy.Wait()
		if t.Failed() {
			t.Logf("the second Envoy:\n%s", words.String())
		}
	})
}

// needPython is the Python that has the client. Without it the test is skipped; in CI that is a failure.
func needPython(t *testing.T) string {
	t.Helper()
	live.NeedEnvoy(t)
	install := exec.Command("../../.ci/venv", "csds", "requirements.txt")
	var words strings.Builder
	install.Stderr = &words
	home, err := install.Output()
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatalf("%v: %s", err, words.String())
	}
	if err != nil {
		t.Skipf("%v: %s", err, words.String())
	}
	return filepath.Join(strings.TrimSpace(string(home)), "bin", "python")
}

// ask are the client's answers, by call.
func ask(t *testing.T, python, target, credential string) map[string]answer {
	t.Helper()
	client := exec.CommandContext(t.Context(), python, "testdata/csds.py", target)
	client.Env = append(os.Environ(), "AUTHORIZATION="+credential)
	var words strings.Builder
	client.Stderr = &words
	out, err := client.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, words.String())
	}
	answers := map[string]answer{}
	if err := json.Unmarshal(out, &answers); err != nil || len(answers) != 4 {
		t.Fatalf("%v: %s", err, out)
	}
	return answers
}
