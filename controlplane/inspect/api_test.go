package inspect

import (
	"context"
	"encoding/json"
	"net/http"
	neturl "net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/controlplane/files"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/envoy"
	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
)

// waitMax bounds every wait of a test.
const waitMax = 30 * time.Second

const shop = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  annotations:
    ingress.kubernetes.io/custom-request-headers: "Authorization:Bearer canary-header||X-Team:blue"
spec:
  rules:
  - host: shop.test
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: shop, port: {number: 80}}}}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec:
  ports: [{port: 80}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop-1, labels: {kubernetes.io/service-name: shop}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [192.0.2.1]}]
`

// live is a server with an Inspector, and one proxy that answers as it is told to.
type live struct {
	t         testing.TB
	server    *xds.Server
	inspector *Inspector
	now       time.Time
	socket    string
}

func newLive(t testing.TB) *live {
	t.Helper()
	l := &live{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), socket: filepath.Join(t.TempDir(), "x", "xds.sock")}
	l.server = xds.New(xds.Options{OnNACK: func(node string, nack xds.NACK) { l.inspector.Refused(node, nack) }})
	l.inspector = New(Config{Server: l.server, Version: "v1"})
	l.inspector.now = func() time.Time { return l.now }
	lis, err := xds.ListenUnix(l.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.server.Serve(ctx, lis) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l
}

// publish serves manifests.
func (l *live) publish(manifests string) xds.Revision {
	l.t.Helper()
	flags := options.Options{HTTP: "127.0.0.1:8080", HTTPS: "127.0.0.1:8443", TLSMinVersion: "1.2", ClusterDomain: "cluster.local", EscapedSlashes: "redirect", TraefikPrefix: "element", AccessLog: "off"}
	settings, err := flags.Settings()
	if err != nil {
		l.t.Fatal(err)
	}
	state, err := files.Read([]string{writeFile(l.t, "shop.yaml", manifests)}, files.Options{})
	if err != nil {
		l.t.Fatal(err)
	}
	world := state.World()
	result := translator.Translate(world, settings)
	snapshot, err := controller.Snapshot(nil, result)
	if err != nil {
		l.t.Fatal(err)
	}
	revision := l.server.Publish(snapshot)
	l.inspector.Published(controller.Publication{Revision: revision, Snapshot: snapshot, World: world, Result: result})
	return revision
}

// proxy connects one that subscribes to every cluster and listener, and refuses those that it is told to, until the test ends.
func (l *live) proxy(id string, refuses func(name string) string) {
	l.t.Helper()
	conn, err := grpc.NewClient("unix://"+l.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		l.t.Fatal(err)
	}
	metadata := &structpb.Struct{Fields: map[string]*structpb.Value{"zone": structpb.NewStringValue("eu")}}
	err = stream.Send(&discoveryv3.DeltaDiscoveryRequest{
		Node: &corev3.Node{Id: id, Cluster: "test", UserAgentName: "tester", Metadata: metadata}, TypeUrl: envoy.TypeCluster,
	})
	if err != nil {
		l.t.Fatal(err)
	}
	if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.TypeListener}); err != nil {
		l.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			r, err := stream.Recv()
			if err != nil {
				return
			}
			answer := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()}
			for _, resource := range r.GetResources() {
				if words := refuses(resource.GetName()); words != "" {
					answer.ErrorDetail = &rpcstatus.Status{Message: words}
				}
			}
			if stream.Send(answer) != nil {
				return
			}
		}
	}()
	l.t.Cleanup(func() {
		cancel()
		<-done
		if err := conn.Close(); err != nil {
			l.t.Error(err)
		}
	})
}

func takesAll(string) string { return "" }

// settled waits until every proxy has answered a revision.
func (l *live) settled(proxies int, revision xds.Revision) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitMax)
	defer cancel()
	if err := l.server.WaitConnected(ctx, proxies); err != nil {
		l.t.Fatal(err)
	}
	if err := l.server.Wait(ctx, revision); err != nil {
		l.t.Fatal(err)
	}
}

// get asks for JSON.
func get(t testing.TB, url string, into any) int {
	t.Helper()
	answer, body := ask(t, "GET", url, func(r *http.Request) { r.Header.Set("Accept", "application/json") })
	if kind := answer.Header.Get("Content-Type"); kind != "application/json" {
		t.Fatalf("%s answers %s: %s", url, kind, body)
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		t.Fatalf("%s: %v in %s", url, err, body)
	}
	return answer.StatusCode
}

// TestResources: what is listed is what is served, each since when it is served as it is.
func TestResources(t *testing.T) {
	l := newLive(t)
	url := serve(t, l.inspector, Flags{}).URL
	var refusal failure
	if status := get(t, url+"resources", &refusal); status != http.StatusServiceUnavailable || refusal.Error != "nothing is served yet" {
		t.Errorf("before the first publication: %d %s", status, refusal.Error)
	}
	first := l.now
	l.publish(shop)
	l.now = l.now.Add(time.Minute)
	l.publish(strings.Replace(shop, "192.0.2.1", "192.0.2.2", 1))
	l.now = l.now.Add(time.Second)

	var totals Resources
	get(t, url+"resources", &totals)
	if totals.Revision != 2 || len(totals.Types) != len(Kinds()) || totals.Types[0].Type != "clusters" || totals.Types[0].Resources != 1 || totals.Types[0].Bytes == 0 {
		t.Errorf("totals %+v", totals)
	}
	for _, k := range Kinds() {
		for _, word := range []string{k.Name, k.Short, strings.ToUpper(k.Short)} {
			var list ResourceList
			get(t, url+"resources/"+word, &list)
			snapshot, _ := l.server.Snapshot()
			if list.Type != k.Name || list.Revision != 2 || len(list.Resources) < len(snapshot.List(k.TypeURL)) {
				t.Errorf("%s: %+v", word, list)
			}
		}
	}
	var endpoints, cluster Resource
	get(t, url+"resources/eds/default/shop/80", &endpoints)
	get(t, url+"resources/clusters/default/shop/80", &cluster)
	snapshot, _ := l.server.Snapshot()
	version, _ := snapshot.Version(envoy.TypeCluster, "default/shop/80")
	if cluster.Version != version || cluster.AgeSeconds != 61 || !cluster.Since.Equal(first) || endpoints.AgeSeconds != 1 {
		t.Errorf("cluster %s since %s (%v s), endpoints since %v s", cluster.Version, cluster.Since, cluster.AgeSeconds, endpoints.AgeSeconds)
	}
	if len(endpoints.Origins) == 0 || endpoints.Origins[0].Name != "shop" || endpoints.Origins[0].Line == 0 || !strings.HasSuffix(endpoints.Origins[0].File, "shop.yaml") {
		t.Errorf("origins %+v", endpoints.Origins)
	}
	if content := string(endpoints.Content); !strings.Contains(content, "192.0.2.2") {
		t.Errorf("content %s", content)
	}
	for path, want := range map[string]string{
		"resources/clutsers":           "did you mean clusters?",
		"resources/x":                  "write clusters (cds)",
		"resources/cds/default/shop/8": `did you mean default/shop/80?`,
		"proxies/nobody":               `no proxy "nobody" is connected`,
	} {
		if status := get(t, url+path, &refusal); status != http.StatusNotFound || !strings.Contains(refusal.Error, want) {
			t.Errorf("%s: %d %s", path, status, refusal.Error)
		}
	}
}

// TestValuesOfAnnotations: what an annotation sets a header to is not shown, whatever the header is called; and is served.
func TestValuesOfAnnotations(t *testing.T) {
	l := newLive(t)
	url := serve(t, l.inspector, Flags{}).URL
	l.publish(shop)
	var routes Resource
	get(t, url+"resources/rds/http", &routes)
	if content := string(routes.Content); strings.Contains(content, "canary-header") || !strings.Contains(content, model.Redacted) || strings.Contains(content, "blue") {
		t.Errorf("content %s", content)
	}
	snapshot, _ := l.server.Snapshot()
	served, _ := snapshot.Lookup(envoy.TypeRoute, "http")
	if text := protojson.Format(served.Message); !strings.Contains(text, "canary-header") || !strings.Contains(text, "blue") {
		t.Error("what is served was written to")
	}
}

// TestProxies: what a proxy accepted, what it refused and in which words, and how far it is behind.
func TestProxies(t *testing.T) {
	l := newLive(t)
	url := serve(t, l.inspector, Flags{}).URL
	l.publish(shop)
	l.proxy("good", takesAll)
	l.proxy("twin", takesAll)
	l.proxy("twin", takesAll)
	l.proxy("a/bad", func(name string) string { return "Proto constraint: " + name + " is not wanted" })
	l.settled(4, 1)
	var all Proxies
	get(t, url+"proxies", &all)
	var nodes []string
	for _, p := range all.Proxies {
		nodes = append(nodes, p.Node)
	}
	if want := []string{"a/bad", "good", "twin", "twin"}; !slices.Equal(nodes, want) {
		t.Fatalf("proxies %v, want %v", nodes, want)
	}
	var good, bad, twin ProxyStreams
	get(t, url+"proxies/good", &good)
	get(t, url+"proxies/a/bad", &bad)
	get(t, url+"proxies/twin", &twin)
	of := good.Streams[0].Types[0]
	if len(twin.Streams) != 2 || good.Streams[0].Agent != "tester" || of.Type != "clusters" || !of.Wildcard || len(of.Accepted) != 1 || of.Accepted[0].Name != "default/shop/80" {
		t.Errorf("good: %+v", good)
	}
	refused := bad.Streams[0].Types[0]
	if len(refused.Refused) != 1 || len(refused.Accepted) != 0 || refused.LastNACK == nil || !strings.Contains(refused.LastNACK.Words, "is not wanted") || len(refused.LastNACK.Origins) == 0 {
		t.Errorf("bad: %+v", refused)
	}
	var list ResourceList
	get(t, url+"resources/cds", &list)
	if !slices.Equal(list.Resources[0].RefusedBy, []string{"a/bad"}) {
		t.Errorf("refused by %v", list.Resources[0].RefusedBy)
	}
	view, _ := l.inspector.View()
	view.Revision, view.Now = 5, l.now.Add(time.Minute)
	view.Proxies[0].Connected = l.now.Add(-time.Hour)
	view.ages.revisions = []publishedAt{{1, l.now}, {2, l.now.Add(30 * time.Second)}, {5, l.now.Add(50 * time.Second)}}
	if p := view.proxy(view.Proxies[0]); p.Behind != 4 || p.BehindSeconds != 30 {
		t.Errorf("behind by %d revisions, %v s", p.Behind, p.BehindSeconds)
	}
}

// TestAgesAreBounded: of what is no longer served nothing is kept, and revisions are forgotten.
func TestAgesAreBounded(t *testing.T) {
	l := newLive(t)
	l.publish(shop)
	for range revisionsMax + 10 {
		v, _ := l.inspector.View()
		p := v.Publication
		p.Revision = v.ages.revisions[len(v.ages.revisions)-1].revision + 1
		l.inspector.Published(p)
	}
	l.publish("")
	v, _ := l.inspector.View()
	if n := len(v.ages.revisions); n != revisionsMax {
		t.Errorf("%d revisions are remembered", n)
	}
	if _, ok := v.ages.of(envoy.TypeCluster, "default/shop/80"); ok {
		t.Error("a cluster that is gone is remembered")
	}
	if len(v.Earlier) > momentsMax {
		t.Errorf("%d moments are kept", len(v.Earlier))
	}
}

// TestInspectionDoesNotBlockPublishing: who looks, and takes an hour for it, holds up nothing.
func TestInspectionDoesNotBlockPublishing(t *testing.T) {
	l := newLive(t)
	l.publish(shop)
	asked, answer := make(chan struct{}), make(chan struct{})
	l.inspector.config.Failing = func() Told {
		asked <- struct{}{}
		<-answer
		return Told{}
	}
	looked := make(chan View)
	go func() {
		v, _ := l.inspector.View()
		looked <- v
	}()
	<-asked
	published := make(chan struct{})
	go func() {
		l.publish(strings.Replace(shop, "192.0.2.1", "192.0.2.2", 1))
		l.inspector.Refused("a", xds.NACK{})
		close(published)
	}()
	select {
	case <-published:
	case <-time.After(waitMax):
		t.Error("a publication waits for who looks")
	}
	close(answer)
	if v := <-looked; v.Revision != 1 {
		t.Errorf("a view that was begun before is of revision %d", v.Revision)
	}
	<-published
}

// TestPasswordsCannotBeTried: whether a password is right is for the gateway to say, which bounds how often it is asked.
func TestPasswordsCannotBeTried(t *testing.T) {
	l := newLive(t)
	url := serve(t, l.inspector, Flags{}).URL
	secret := "---\napiVersion: v1\nkind: Secret\nmetadata: {name: users}\nstringData: {auth: \"" + strings.TrimSpace(userLine(t, "alice", testPassword)) + "\"}\n"
	l.publish(strings.Replace(shop, "annotations:\n", "annotations:\n    ingress.kubernetes.io/auth-type: basic\n    ingress.kubernetes.io/auth-secret: users\n", 1) + secret)
	told := map[string]string{}
	for _, password := range []string{testPassword, "wrong"} {
		r, err := http.NewRequest("GET", "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("alice", password)
		_, told[password] = ask(t, "GET", url+"explain?format=json&url=http://shop.test/&header="+neturl.QueryEscape("Authorization: "+r.Header.Get("Authorization")), nil)
	}
	if told["wrong"] != told[testPassword] || !strings.Contains(told["wrong"], "cannot be told") {
		t.Errorf("a right password: %s\na wrong one: %s", told[testPassword], told["wrong"])
	}
	view, _ := l.inspector.View()
	if len(view.Result.Gateway.Users) != 1 || view.Result.Gateway.Users[0].Entries != nil {
		t.Errorf("users %v", view.Result.Gateway.Users)
	}
}

// TestExplainAndModel: the same answers as those of the commands, and what cannot be asked is told.
func TestExplainAndModel(t *testing.T) {
	l := newLive(t)
	url := serve(t, l.inspector, Flags{}).URL
	l.publish(shop)
	var story struct {
		Decision struct{ Backend string }
	}
	if status := get(t, url+"explain?url=http://shop.test/x&format=json", &story); status != 200 || story.Decision.Backend != "default/shop/80" {
		t.Errorf("explain: %d %+v", status, story)
	}
	var journey explain.Journey
	if status := get(t, url+"explain?url=http://shop.test/x&follow=true", &journey); status != 200 || len(journey.Stories) != 1 || journey.Stories[0].Decision.Backend != "default/shop/80" {
		t.Errorf("explain, followed: %d %+v", status, journey)
	}
	var refusal failure
	for query, want := range map[string]string{"": "url is missing", "?url=shop.test": "did you mean http://shop.test?", "?urll=x": "did you mean url?", "?url=http://a.test&follow=maybe": "follow"} {
		if status := get(t, url+"explain"+query, &refusal); status != http.StatusBadRequest || !strings.Contains(refusal.Error, want) {
			t.Errorf("explain%s: %d %s", query, status, refusal.Error)
		}
	}
	var model struct{ Form int }
	if status := get(t, url+"model", &model); status != 200 || model.Form == 0 {
		t.Errorf("model: %d %+v", status, model)
	}
}
