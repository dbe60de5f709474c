// Package inspect asks the binary that is released what its Envoy has, and Envoy itself.
package inspect

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	statusv3 "github.com/envoyproxy/go-control-plane/envoy/service/status/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait.
const patience = 60 * time.Second

// longPath is a path that is within our bounds, and beyond those of a proxy that takes smaller expressions.
var longPath = "/" + strings.Repeat("+", 60)

var manifests = `
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: shop}, spec: {rules: [{host: shop.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: shop, port: {number: 80}}}}]}}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: tea}, spec: {rules: [{host: tea.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: tea, port: {number: 80}}}}, {path: ` + longPath + `, pathType: Prefix, backend: {service: {name: tea, port: {number: 80}}}}]}}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: shop}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: tea}, spec: {ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: shop-1, labels: {kubernetes.io/service-name: shop}}, addressType: IPv4, ports: [{port: 8080}], endpoints: [{addresses: [127.0.0.1]}]}
`

// TestEnvoyHasWhatCSDSSays: of each resource Envoy's own dump has the version that CSDS says it has accepted, and CSDS tells
// of every resource in the dump.
func TestEnvoyHasWhatCSDSSays(t *testing.T) {
	live.NeedEnvoy(t)
	u := serve(t)
	conn, err := grpc.NewClient(u.inspect, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client := statusv3.NewClientStatusDiscoveryServiceClient(conn)
	for ctx.Err() == nil {
		told, err := client.FetchClientStatus(ctx, &statusv3.ClientStatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if len(told.GetConfig()) != 1 || told.GetConfig()[0].GetNode().GetUserAgentName() != "envoy" {
			t.Fatalf("CSDS tells of %v", told.GetConfig())
		}
		said, settled := versions(told.GetConfig()[0])
		dumped := u.dump(t)
		if settled && maps.Equal(said, dumped) {
			for _, typeURL := range []string{"Cluster", "Listener", "RouteConfiguration"} {
				if !slices.ContainsFunc(slices.Collect(maps.Keys(said)), func(name string) bool { return strings.HasPrefix(name, typeURL+" ") }) {
					t.Errorf("nothing of the type %s is told", typeURL)
				}
			}
			return
		}
		if t.Failed() {
			return
		}
		if ctx.Err() != nil {
			t.Errorf("CSDS says %v, and Envoy has %v", said, dumped)
		}
	}
}

// compared are the types of which Envoy's dump has the version of each resource.
var compared = []string{"Cluster", "Listener", "RouteConfiguration"}

// versions are those that CSDS says were accepted, and whether nothing is on its way.
func versions(c *statusv3.ClientConfig) (map[string]string, bool) {
	out, settled := map[string]string{}, true
	for _, one := range c.GetGenericXdsConfigs() {
		kind := one.GetTypeUrl()[strings.LastIndexByte(one.GetTypeUrl(), '.')+1:]
		if !slices.Contains(compared, kind) {
			continue
		}
		settled = settled && one.GetClientStatus() == adminv3.ClientResourceStatus_ACKED && one.GetConfigStatus() == statusv3.ConfigStatus_SYNCED
		out[kind+" "+one.GetName()] = one.GetVersionInfo()
	}
	return out, settled && len(out) > 0
}

// up is a running postern up with Envoy.
type up struct{ inspect, folder string }

func serve(t *testing.T, flags ...string) up {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "all.yaml"), []byte(manifests), 0o600); err != nil {
		t.Fatal(err)
	}
	// Sockets have short paths.
	folder, err := os.MkdirTemp("/tmp", "p")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	http, https := traffic.Entries(t)
	u := up{inspect: freeAddress(t), folder: folder}
	arguments := []string{"up", "-f", dir, "--http", http, "--https", https, "--data-plane", "envoy", "--inspect", u.inspect, "-o", "json"}
	command := exec.Command(os.Getenv("POSTERN"), append(arguments, flags...)...)
	command.Env = append(os.Environ(), "TMPDIR="+folder)
	var errs strings.Builder
	command.Stderr = &errs
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	serving, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		events := json.NewDecoder(out)
		for {
			var e struct{ Event string }
			if events.Decode(&e) != nil {
				return
			}
			if e.Event == "serving" {
				close(serving)
			}
		}
	}()
	t.Cleanup(func() {
		command.Process.Signal(os.Interrupt)
		late := time.AfterFunc(patience, func() { command.Process.Kill() })
		<-ended
		if err := command.Wait(); err != nil {
			t.Errorf("postern up ends with %v: %s", err, errs.String())
		}
		late.Stop()
	})
	select {
	case <-serving:
	case <-ended:
		t.Fatal("postern up ended")
	case <-time.After(patience):
		t.Fatal("postern up does not serve in time")
	}
	return u
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// socket is the path of the one socket of a name.
func (u up) socket(t *testing.T, names ...string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(append([]string{u.folder, "postern-*"}, names...)...))
	if err != nil || len(found) != 1 {
		t.Fatalf("sockets %v: %v, %v", names, found, err)
	}
	return found[0]
}

// dump are the versions of the resources that Envoy has by xDS, by Envoy's own dump.
func (u up) dump(t *testing.T) map[string]string {
	t.Helper()
	socket := u.socket(t, "envoy", "admin.sock")
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Get("http://envoy/config_dump")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	type state struct {
		Version  string `json:"version_info"`
		Cluster  struct{ Name string }
		Listener struct{ Name string }
		Routes   struct{ Name string } `json:"route_config"`
	}
	var dumped struct {
		Configs []struct {
			Clusters  []state `json:"dynamic_active_clusters"`
			Routes    []state `json:"dynamic_route_configs"`
			Listeners []struct {
				Name   string
				Active state `json:"active_state"`
			} `json:"dynamic_listeners"`
		}
	}
	if err := json.Unmarshal(text, &dumped); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, c := range dumped.Configs {
		for _, s := range c.Clusters {
			out["Cluster "+s.Cluster.Name] = s.Version
		}
		for _, s := range c.Routes {
			out["RouteConfiguration "+s.Routes.Name] = s.Version
		}
		for _, l := range c.Listeners {
			out["Listener "+l.Name] = l.Active.Version
		}
	}
	if len(out) == 0 {
		t.Fatal(fmt.Errorf("nothing of Envoy's dump is read: %.200s", text))
	}
	return out
}
