package metrics

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/spf13/pflag"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/controlplane/files"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// hangLimit is how long a test waits for what should come at once.
const hangLimit = 30 * time.Second

// process are the metrics that have client-go's, which only the first of a process gets.
var process = New(testConfig())

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testConfig() Config {
	return Config{
		Server: xds.New(xds.Options{}), Leader: func() bool { return true }, Version: "v1.2.3", Commit: "abc",
		XDSCertificateEnd: func() time.Time { return time.Unix(2000000000, 0) },
	}
}

const manifests = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop}
spec:
  rules:
  - host: shop.test
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
      - {path: /gone, pathType: Prefix, backend: {service: {name: gone, port: {number: 80}}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 80}]
endpoints: [{addresses: [192.0.2.1]}, {addresses: [192.0.2.2]}]
`

// publication is of manifests, published by server.
func publication(t *testing.T, server *xds.Server) controller.Publication {
	t.Helper()
	file := filepath.Join(t.TempDir(), "shop.yaml")
	if err := os.WriteFile(file, []byte(manifests), 0o600); err != nil {
		t.Fatal(err)
	}
	state, err := files.Read([]string{file}, files.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var o options.Options
	o.Register(pflag.NewFlagSet("", pflag.ContinueOnError))
	settings, err := o.Settings()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := options.EnsureCertificate(&settings); err != nil {
		t.Fatal(err)
	}
	p := controller.Publication{World: state.World(), Began: time.Now().Add(-time.Second), Took: 3 * time.Millisecond}
	p.Result = translator.Translate(p.World, settings)
	resources := make([]xds.Resource, len(p.Result.Resources))
	for i, r := range p.Result.Resources {
		resources[i] = xds.Resource{TypeURL: r.TypeURL, Name: r.Name, Message: r.Message, Origins: r.Origins}
	}
	if p.Snapshot, err = xds.NewSnapshot(resources, nil); err != nil {
		t.Fatal(err)
	}
	p.Revision = server.Publish(p.Snapshot)
	return p
}

// requestFailed has client-go count a request.
func requestFailed(t *testing.T) {
	t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Discovery().ServerVersion(); err == nil {
		t.Fatal("a server that knows nothing told its version")
	}
}

// wantValues are of a small publication; those that its size does not give are compared apart.
const wantValues = `
# HELP postern_build_info 1, with what this binary was built of as labels.
# TYPE postern_build_info gauge
postern_build_info{commit="abc",version="v1.2.3"} 1
# HELP postern_objects Objects known, Secrets and ConfigMaps only where something refers to them.
# TYPE postern_objects gauge
postern_objects{cluster="",kind="ConfigMap"} 0
postern_objects{cluster="",kind="EndpointSlice"} 1
postern_objects{cluster="",kind="Endpoints"} 0
postern_objects{cluster="",kind="Ingress"} 1
postern_objects{cluster="",kind="IngressClass"} 0
postern_objects{cluster="",kind="Namespace"} 0
postern_objects{cluster="",kind="Node"} 0
postern_objects{cluster="",kind="Secret"} 0
postern_objects{cluster="",kind="Service"} 1
# HELP postern_ingresses_served Ingresses that have a route, closed ones included.
# TYPE postern_ingresses_served gauge
postern_ingresses_served{cluster=""} 1
# HELP postern_routes Routes of all entries; a closed one answers 503 because serving it would be wrong.
# TYPE postern_routes gauge
postern_routes{state="closed"} 2
postern_routes{state="served"} 2
# HELP postern_hosts Different hosts that have routes, wildcards included.
# TYPE postern_hosts gauge
postern_hosts 1
# HELP postern_endpoints Endpoints of all Service ports.
# TYPE postern_endpoints gauge
postern_endpoints 2
# HELP postern_snapshot_revision Count of the snapshots that this process has published; 0 is none yet.
# TYPE postern_snapshot_revision gauge
postern_snapshot_revision 2
# HELP postern_publications_total Snapshots published; of kind endpoints are those in which nothing else changed.
# TYPE postern_publications_total counter
postern_publications_total{kind="config"} 1
postern_publications_total{kind="endpoints"} 1
# HELP postern_certificates Different certificates served.
# TYPE postern_certificates gauge
postern_certificates 1
# HELP postern_certificates_expiring Certificates served that end within these days; 0 are those that have ended.
# TYPE postern_certificates_expiring gauge
postern_certificates_expiring{within_days="0"} 0
postern_certificates_expiring{within_days="14"} 0
postern_certificates_expiring{within_days="30"} 0
postern_certificates_expiring{within_days="7"} 0
# HELP postern_xds_certificate_expiry_timestamp_seconds When the certificate that proxies know this control plane by ends.
# TYPE postern_xds_certificate_expiry_timestamp_seconds gauge
postern_xds_certificate_expiry_timestamp_seconds 2e+09
# HELP postern_leader 1 where this replica writes status and Events, else 0.
# TYPE postern_leader gauge
postern_leader 1
# HELP postern_watch_errors_total Lists and watches of an API server that failed.
# TYPE postern_watch_errors_total counter
postern_watch_errors_total{cluster="",kind="Ingress"} 1
`

func TestValues(t *testing.T) {
	m := New(testConfig())
	m.Published(publication(t, m.server))
	p := publication(t, m.server)
	p.EndpointsOnly = true
	m.Published(p)
	m.WatchFailed("", "Ingress")
	var names []string
	for line := range strings.Lines(wantValues) {
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			names = append(names, strings.Fields(rest)[0])
		}
	}
	if err := testutil.GatherAndCompare(m.registry, strings.NewReader(wantValues), names...); err != nil {
		t.Error(err)
	}
	for _, severity := range []diag.Severity{diag.Info, diag.Warning, diag.Error} {
		var want, got float64
		for _, d := range p.Result.Diagnostics {
			if d.Severity == severity {
				want++
			}
		}
		for _, metric := range scrape(t, m, diagnostics).GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "severity" && label.GetValue() == severity.String() {
					got += metric.GetGauge().GetValue()
				}
			}
		}
		if got != want {
			t.Errorf("%v diagnostics of severity %v, want %v", got, severity, want)
		}
	}
	if len(p.Result.Diagnostics) == 0 {
		t.Error("a Service that does not exist is no diagnostic")
	}
	var sent float64
	for _, metric := range scrape(t, m, snapshotResources).GetMetric() {
		sent += metric.GetGauge().GetValue()
	}
	if int(sent) != len(p.Result.Resources) {
		t.Errorf("%v resources, want %d", sent, len(p.Result.Resources))
	}
}

func TestCertificatesThatEnd(t *testing.T) {
	soon, later, ended := time.Now().Add(5*24*time.Hour), time.Now().Add(20*24*time.Hour), time.Now().Add(-time.Hour)
	m := New(testConfig())
	p := publication(t, m.server)
	p.Result.Gateway.Default = nil
	for _, end := range []time.Time{soon, later, ended} {
		c := model.Certificate{Chain: certificate(t, end)}
		// One certificate for two hosts is one.
		p.Result.Gateway.Certificates = append(p.Result.Gateway.Certificates, c, c)
	}
	p.Result.Gateway.Certificates = append(p.Result.Gateway.Certificates, model.Certificate{Chain: []byte("none")})
	m.Published(p)
	const want = `
# HELP postern_certificates Different certificates served.
# TYPE postern_certificates gauge
postern_certificates 3
# HELP postern_certificates_expiring Certificates served that end within these days; 0 are those that have ended.
# TYPE postern_certificates_expiring gauge
postern_certificates_expiring{within_days="0"} 1
postern_certificates_expiring{within_days="14"} 2
postern_certificates_expiring{within_days="30"} 3
postern_certificates_expiring{within_days="7"} 2
`
	if err := testutil.GatherAndCompare(m.registry, strings.NewReader(want), "postern_certificates", "postern_certificates_expiring"); err != nil {
		t.Error(err)
	}
	sum := m.reader.summarized(m.latest.Load())
	if first := sum.earliest(); first.Unix() != ended.Unix() {
		t.Errorf("the first ends %v, want %v", first, ended)
	}
	if again := summarize(m.latest.Load(), sum); len(again.ends) != 3 || again.earliest() != sum.earliest() {
		t.Errorf("of the summary before: %v", again.ends)
	}
}

func certificate(t *testing.T, end time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// TestScrapesDoNotBlockPublishing has a scrape stand still, with the lock that scrapes take, while snapshots are published.
func TestScrapesDoNotBlockPublishing(t *testing.T) {
	m := New(testConfig())
	p := publication(t, m.server)
	m.Published(p)
	m.reader.mu.Lock()
	scraped := make(chan error, 1)
	go func() {
		_, err := m.registry.Gather()
		scraped <- err
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100 {
			p.Revision = m.server.Publish(p.Snapshot)
			m.Published(p)
		}
	}()
	select {
	case <-done:
	case <-time.After(hangLimit):
		t.Error("publishing waits for a scrape")
	}
	select {
	case <-scraped:
		t.Error("the scrape did not stand still")
	default:
	}
	m.reader.mu.Unlock()
	if err := <-scraped; err != nil {
		t.Error(err)
	}
}

// TestAnswerDelay has a proxy answer one publication, and none while no proxy is there.
func TestAnswerDelay(t *testing.T) {
	m := New(testConfig())
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- m.Run(ctx) }()
	p := publication(t, m.server)
	if p.Snapshot, _ = xds.NewSnapshot(nil, nil); p.Snapshot == nil {
		t.Fatal("no snapshot")
	}
	m.awaitAnswers(ctx, unanswered{revision: p.Revision, began: p.Began})
	if n := observed(t, m); n != 0 {
		t.Errorf("%d answers without a proxy", n)
	}
	p.Revision = m.server.Publish(p.Snapshot)
	end := connect(t, m.server)
	defer end()
	waiting, stop := context.WithTimeout(ctx, hangLimit)
	defer stop()
	if err := errors.Join(m.server.WaitConnected(waiting, 1), m.server.Wait(waiting, p.Revision)); err != nil {
		t.Fatal(err)
	}
	m.Published(p)
	deadline := time.Now().Add(hangLimit)
	for observed(t, m) == 0 && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if n := observed(t, m); n != 1 {
		t.Errorf("%d answers measured, want 1", n)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

// observed is how many answers were measured.
func observed(t *testing.T, m *Metrics) uint64 {
	t.Helper()
	return scrape(t, m, toAnswer).GetMetric()[0].GetHistogram().GetSampleCount()
}

func scrape(t *testing.T, m *Metrics, of family) *dto.MetricFamily {
	t.Helper()
	gathered, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range gathered {
		if f.GetName() == of.name {
			return f
		}
	}
	t.Fatalf("a scrape has no %s", of.name)
	return nil
}

// connect is a proxy that accepts everything.
func connect(t *testing.T, server *xds.Server) (end func()) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "xds", "a.sock")
	listener, err := xds.ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener) }()
	conn, err := grpc.NewClient("passthrough:///xds", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	answering := make(chan struct{})
	go func() {
		defer close(answering)
		for _, typeURL := range []string{resource.ClusterType, resource.ListenerType} {
			_ = stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, Node: &corev3.Node{Id: "proxy"}})
		}
		for {
			response, err := stream.Recv()
			if err != nil {
				return
			}
			_ = stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: response.GetTypeUrl(), ResponseNonce: response.GetNonce()})
		}
	}()
	return func() {
		cancel()
		<-answering
		_ = conn.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

func TestHandler(t *testing.T) {
	m := New(testConfig())
	server := httptest.NewServer(m.Handler())
	defer server.Close()
	response, err := server.Client().Get(server.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"postern_snapshot_revision 0\n", "\ngo_goroutines ", "\nprocess_start_time_seconds "} {
		if !strings.Contains(string(body), want) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(string(body), snapshotTimestamp.name+" ") {
		t.Error("there is a time of a snapshot before the first")
	}
}
