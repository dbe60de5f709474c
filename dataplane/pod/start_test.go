package pod_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/dataplane/envoyproc"
	"github.com/postern-gateway/postern/dataplane/failing"
	"github.com/postern-gateway/postern/dataplane/identity"
	"github.com/postern-gateway/postern/dataplane/pod"
	"github.com/postern-gateway/postern/translator/envoy"
)

// unreadyLooks is how often a data plane without a configuration is looked at.
const unreadyLooks = 200

// TestStartWithoutAControlPlane: until there is a configuration a data plane is not ready, whatever keeps it from one, and
// soon after it is.
func TestStartWithoutAControlPlane(t *testing.T) {
	for _, tt := range []struct {
		name string
		// instead is who is there in the control plane's place, until it is stopped; met waits until the data plane has been there.
		instead func(s *site) (met, stop func())
	}{
		{"nobody", func(*site) (met, stop func()) { return func() {}, func() {} }},
		{"one who takes connections and says nothing", (*site).silent},
		{"one who answers no request", (*site).deaf},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachDataPlane(t, func(t *testing.T, dataPlane string) {
				s := newSite(t)
				p := s.prepare(dataPlane)
				met, stop := tt.instead(s)
				p.start()
				p.awaitHealth("/healthz", http.StatusOK)
				met()
				for range unreadyLooks {
					if status, text := p.health("/readyz"); status != http.StatusServiceUnavailable {
						t.Fatalf("/readyz says %d %s", status, text)
					}
				}
				if err := p.get(); err == nil {
					t.Error("it serves without a configuration")
				}
				stop()
				s.controlPlane(s.publication(p.http, p.https))
				p.awaitHealth("/readyz", http.StatusOK)
				if err := p.get(); err != nil {
					t.Errorf("ready, and %v", err)
				}
			})
		})
	}
}

// silent takes connections and answers nothing, not even a handshake.
func (s *site) silent() (met, stop func()) {
	lis, err := net.Listen("tcp", s.xds)
	if err != nil {
		s.t.Fatal(err)
	}
	came := make(chan struct{})
	var once sync.Once
	var held sync.WaitGroup
	held.Go(func() {
		var conns []net.Conn
		for {
			conn, err := lis.Accept()
			if err != nil {
				break
			}
			conns = append(conns, conn)
			once.Do(func() { close(came) })
		}
		for _, conn := range conns {
			_ = conn.Close()
		}
	})
	return func() { <-came }, func() {
		_ = lis.Close()
		held.Wait()
	}
}

// partial is a control plane that takes streams and sends the resources that it has of the types of which all are asked for.
type partial struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	resources []envoy.Resource
	came      chan struct{}
	once      sync.Once
}

func (p *partial) DeltaAggregatedResources(stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	for {
		request, err := stream.Recv()
		if err != nil {
			return err
		}
		p.once.Do(func() { close(p.came) })
		response := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: request.GetTypeUrl(), Nonce: "1"}
		for _, r := range p.resources {
			if r.TypeURL != request.GetTypeUrl() {
				continue
			}
			packed, err := anypb.New(r.Message)
			if err != nil {
				return err
			}
			response.Resources = append(response.Resources, &discoveryv3.Resource{Name: r.Name, Version: "1", Resource: packed})
		}
		if request.GetResponseNonce() != "" || len(response.GetResources()) == 0 {
			continue
		}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
}

// deaf answers no request.
func (s *site) deaf() (met, stop func()) { return s.partly(nil) }

func (s *site) partly(resources []envoy.Resource) (met, stop func()) {
	lis, err := net.Listen("tcp", s.xds)
	if err != nil {
		s.t.Fatal(err)
	}
	p := &partial{came: make(chan struct{}), resources: resources}
	g := grpc.NewServer(grpc.Creds(s.files().Server(identity.DataPlaneName)))
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, p)
	done := make(chan error, 1)
	go func() { done <- g.Serve(lis) }()
	return func() { <-p.came }, func() {
		g.Stop()
		<-done
	}
}

// TestStaysReady: when the control plane goes away, the data plane serves on and says so.
func TestStaysReady(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, dataPlane string) {
		s := newSite(t)
		p := s.prepare(dataPlane)
		stop := s.controlPlane(s.publication(p.http, p.https))
		p.start()
		p.awaitHealth("/readyz", http.StatusOK)
		stop()
		eventually(t, "the loss", func() error {
			if words := p.words(); !strings.Contains(words, "control plane lost") && !strings.Contains(words, "config stream to postern-xds closed") {
				return fmt.Errorf("it says %s", words)
			}
			return nil
		})
		if status, text := p.health("/readyz"); status != http.StatusOK {
			t.Errorf("/readyz says %d %s", status, text)
		}
		if err := p.get(); err != nil {
			t.Error(err)
		}
		_, text := p.health("/metrics")
		for _, want := range []string{"postern_dataplane_ready 1\n", "postern_dataplane_xds_certificate_expiry_timestamp_seconds "} {
			if !strings.Contains(text, want) {
				t.Errorf("/metrics lacks %q", want)
			}
		}
		own, _, _ := strings.Cut(text, "# TYPE envoy_")
		if problems, err := promlint.New(strings.NewReader(own)).Lint(); err != nil || len(problems) > 0 {
			t.Errorf("/metrics: %v, %v", problems, err)
		}
		if dataPlane == pod.Envoy && !strings.Contains(text, "envoy_server_live{} 1") {
			t.Error("/metrics lacks Envoy's")
		}
	})
}

// TestFailing: what fails is told at the health port, with the data plane's words.
func TestFailing(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, dataPlane string) {
		s := newSite(t)
		p := s.prepare(dataPlane)
		s.controlPlane(s.publication(p.http, p.https))
		p.start()
		p.awaitHealth("/readyz", http.StatusOK)
		if _, text := p.health(failing.Path); text != "[]\n" {
			t.Errorf("before anything fails it tells of %s", text)
		}
		s.backend.Close()
		eventually(t, "the failure", func() error {
			_ = p.get() // It gets 503.
			_, text := p.health(failing.Path)
			var told []failing.Failure
			if err := json.Unmarshal([]byte(text), &told); err != nil {
				return err
			}
			if len(told) != 1 || told[0].Cluster != "default/shop/80" || told[0].Count == 0 || told[0].Reason == "" {
				return fmt.Errorf("it tells of %s", text)
			}
			return nil
		})
	})
}

// TestOnlyStatisticsOfEnvoy: by no spelling of a path does the health port give more of Envoy's admin interface.
func TestOnlyStatisticsOfEnvoy(t *testing.T) {
	live.NeedEnvoy(t)
	p := ready(t, pod.Envoy, func(*pod.Config) {})
	for _, path := range []string{"/config_dump", "/metrics/../config_dump", "/metrics/%2e%2e/config_dump", "/metrics%2f..%2fconfig_dump",
		"//config_dump", "/metrics?/config_dump", "/server_info", "/quitquitquit", "/stats/prometheus", "/stats/prometheus/../../certs"} {
		conn, err := net.Dial("tcp", p.config.Health)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", path); err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		buffer := make([]byte, 64<<10)
		for {
			n, err := conn.Read(buffer)
			text.Write(buffer[:n])
			if err != nil {
				break
			}
		}
		_ = conn.Close()
		if strings.Contains(text.String(), "bootstrap") || strings.Contains(text.String(), "hot_restart_version") || strings.Contains(text.String(), "serial_number") {
			t.Errorf("GET %s gives %s", path, text.String())
		}
	}
	if status, _ := p.health("/readyz"); status != http.StatusOK {
		t.Errorf("afterwards /readyz says %d", status)
	}
}

// TestEnvoyDies: the process ends with what Envoy last said, so that the pod is started again.
func TestEnvoyDies(t *testing.T) {
	live.NeedEnvoy(t)
	p := ready(t, pod.Envoy, func(*pod.Config) {})
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.command.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var pids []string
	for _, file := range tasks {
		if text, err := os.ReadFile(file); err == nil {
			pids = append(pids, strings.Fields(string(text))...)
		}
	}
	if len(tasks) == 0 && os.Getenv("CI") != "true" {
		t.Skip("this system does not list the children of a process")
	}
	if len(pids) == 0 {
		t.Fatal("the process has no child")
	}
	pid, err := strconv.Atoi(pids[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.awaitEnd()
	if p.err == nil || !strings.Contains(p.words(), "the Envoy process ended (signal: killed)") {
		t.Errorf("it ends with %v and says\n%s", p.err, p.words())
	}
}

// TestListenersWithoutRoutesAreNotReady: where routes do not come, Envoy opens its listeners without any after 15 s and is
// live. Nobody is to be sent there.
func TestListenersWithoutRoutesAreNotReady(t *testing.T) {
	live.NeedEnvoy(t)
	s := newSite(t)
	p := s.prepare(pod.Envoy)
	all := s.translated(p.http, p.https).Resources
	_, stop := s.partly(slices.DeleteFunc(all, func(r envoy.Resource) bool {
		return r.TypeURL != resource.ListenerType && r.TypeURL != resource.ClusterType
	}))
	p.start()
	admin := envoyproc.Config{Folder: filepath.Join(p.config.Folder, "postern", "envoy")}
	eventually(t, "Envoy", func() error {
		stats, err := admin.Stats(context.Background())
		if state, known := stats["server.state"]; err == nil && (!known || state != 0 || stats["listener_manager.workers_started"] == 0) {
			err = fmt.Errorf("it is in state %d", state)
		}
		return err
	})
	if status, text := p.health("/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz says %d %s", status, text)
	}
	stop()
	s.controlPlane(s.publication(p.http, p.https))
	p.awaitHealth("/readyz", http.StatusOK)
}
