package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/spf13/pflag"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/postern-gateway/postern/controlplane/files"
	"github.com/postern-gateway/postern/controlplane/names"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/dataplane/ads"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hangLimit bounds every wait of these tests.
const hangLimit = 30 * time.Second

// parse reads manifests as objects that came from no file.
func parse(t testing.TB, manifests string) source.World {
	t.Helper()
	state, err := files.Read([]string{files.StdinPath}, files.Options{Stdin: strings.NewReader(manifests)})
	if err != nil {
		t.Fatal(err)
	}
	w := state.World()
	for i := range w.Ingresses {
		w.Ingresses[i].Place = source.Place{}
	}
	for i := range w.Services {
		w.Services[i].Place = source.Place{}
	}
	for i := range w.EndpointSlices {
		w.EndpointSlices[i].Place = source.Place{}
	}
	for i := range w.Secrets {
		w.Secrets[i].Place = source.Place{}
	}
	return w
}

func settings(t testing.TB, flags ...string) translator.Settings {
	t.Helper()
	var o options.Options
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.Register(fs)
	if err := fs.Parse(append([]string{"--upstream-insecure-skip-verify"}, flags...)); err != nil {
		t.Fatal(err)
	}
	s, err := o.Settings()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// memory is a Source of objects that a test writes.
type memory struct {
	changes chan Change

	mu    sync.Mutex
	world source.World
	// wanted are the references, found those of them that have been looked up. Where slow is set, the test looks up.
	wanted, found model.References
	slow          bool
	// asked is closed and replaced with each Want.
	asked  chan struct{}
	listed bool
}

func newMemory(w source.World) *memory {
	return &memory{changes: make(chan Change, 1), world: w, asked: make(chan struct{}), listed: true}
}

func (m *memory) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (m *memory) Want(r model.References) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wanted = r
	close(m.asked)
	m.asked = make(chan struct{})
	if !m.slow {
		m.found = r
	}
}

func (m *memory) World() (source.World, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.world
	w.Secrets = slices.DeleteFunc(slices.Clone(w.Secrets), func(s source.Secret) bool {
		return !slices.Contains(m.found.Secrets, model.ObjectKey{Namespace: s.Namespace, Name: s.Name})
	})
	return w, m.listed && within(m.wanted.Secrets, m.found.Secrets)
}

func (m *memory) Changes() <-chan Change { return m.changes }

// edit changes the world and tells of it.
func (m *memory) edit(change Change, do func(*source.World)) {
	m.mu.Lock()
	do(&m.world)
	m.mu.Unlock()
	m.tell(change)
}

func (m *memory) tell(change Change) {
	change.At = time.Now()
	select {
	case before := <-m.changes:
		change.At = before.At
		change.EndpointsOnly = change.EndpointsOnly && before.EndpointsOnly
	default:
	}
	m.changes <- change
}

// lookUp finds what is wanted.
func (m *memory) lookUp() {
	m.mu.Lock()
	m.found = m.wanted
	m.mu.Unlock()
	m.tell(Change{})
}

// recorder is an Observer that a test can wait for.
type recorder struct {
	mu           sync.Mutex
	publications []Publication
	nacks        []xds.NACK
	changed      chan struct{}
}

func (r *recorder) Published(p Publication) {
	r.note(func() { r.publications = append(r.publications, p) })
}

func (r *recorder) Refused(_ string, n xds.NACK) { r.note(func() { r.nacks = append(r.nacks, n) }) }

func (r *recorder) note(do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	do()
	close(r.changed)
	r.changed = make(chan struct{})
}

// await is the first publication that is as wanted.
func (r *recorder) await(t testing.TB, what string, wanted func(Publication) bool) Publication {
	t.Helper()
	deadline := time.After(hangLimit)
	for {
		r.mu.Lock()
		changed, all := r.changed, r.publications
		r.mu.Unlock()
		if i := slices.IndexFunc(all, wanted); i >= 0 {
			return all[i]
		}
		select {
		case <-changed:
		case <-deadline:
			var last Publication
			if len(all) > 0 {
				last = all[len(all)-1]
			}
			t.Fatalf("%s: not within %s; the last of %d publications has the Ingresses %v and tells %v",
				what, hangLimit, len(all), last.World.Ingresses, last.Result.Diagnostics)
		}
	}
}

func (r *recorder) refusals() []xds.NACK {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.nacks)
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.publications)
}

// running is a controller that runs.
type running struct {
	*Controller
	source *memory
	seen   *recorder
	socket string
	// serving is closed when proxies are answered.
	serving chan struct{}
	log     *logged
}

// logged is a log that a test can wait for.
type logged struct {
	t testing.TB

	mu      sync.Mutex
	text    strings.Builder
	written chan struct{}
}

func (l *logged) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(line)
	close(l.written)
	l.written = make(chan struct{})
	return len(line), nil
}

// await waits for a text in the log.
func (l *logged) await(text string) {
	l.t.Helper()
	deadline := time.After(hangLimit)
	for {
		l.mu.Lock()
		found, written := strings.Contains(l.text.String(), text), l.written
		l.mu.Unlock()
		if found {
			return
		}
		select {
		case <-written:
		case <-deadline:
			l.t.Fatalf("the log does not say %q", text)
		}
	}
}

// start runs a controller until the test ends.
func start(t testing.TB, m *memory, s translator.Settings) *running {
	t.Helper()
	return startWith(t, m, s, xds.Options{})
}

func startWith(t testing.TB, m *memory, s translator.Settings, o xds.Options) *running {
	t.Helper()
	r := &running{source: m, seen: &recorder{changed: make(chan struct{})}, serving: make(chan struct{}), log: &logged{t: t, written: make(chan struct{})}}
	r.socket = filepath.Join(t.TempDir(), "x", "s")
	r.Controller = New(Config{
		Source: m, Settings: s, Names: names.New(names.Options{}), XDS: o,
		Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Serve: func(ctx context.Context, server *xds.Server) error {
			lis, err := xds.ListenUnix(r.socket)
			if err != nil {
				return err
			}
			close(r.serving)
			return server.Serve(ctx, lis)
		},
	})
	r.Observe(r.seen)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

func (r *running) awaitServing(t testing.TB) {
	t.Helper()
	select {
	case <-r.serving:
	case <-time.After(hangLimit):
		t.Fatalf("proxies are not answered: %v", r.Ready())
	}
}

// settle waits until the proxies have answered what is published.
func (r *running) settle(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hangLimit)
	defer cancel()
	_, revision := r.Server().Snapshot()
	if err := r.Server().Wait(ctx, revision); err != nil {
		t.Fatal("the proxies do not answer: ", err)
	}
}

// proxy is a data plane that takes everything but what it is told to refuse.
type proxy struct {
	client *ads.Client
	// refuses says why a resource is refused; nil takes all.
	refuses func(*discoveryv3.Resource) error
	// gate, where not nil, is received from before a response is answered.
	gate chan struct{}

	mu sync.Mutex
	// has are the resources in force, by type and name.
	has map[string]proto.Message
}

// connected waits until n proxies have asked for something.
func (r *running) connected(t testing.TB, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hangLimit)
	defer cancel()
	if err := r.Server().WaitConnected(ctx, n); err != nil {
		t.Fatal(err)
	}
}

// connect runs a proxy until the test ends, and waits until it has what is served.
func (r *running) connect(t testing.TB, p *proxy) *proxy {
	t.Helper()
	r.awaitServing(t)
	p.has = map[string]proto.Message{}
	before := len(r.Server().Proxies())
	var err error
	p.client, err = ads.New(ads.Options{
		Target: "unix://" + r.socket, NodeID: "test", Cluster: "test", Handler: p,
		Wildcards: []string{resource.ClusterType, resource.ListenerType}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.client.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	r.connected(t, before+1)
	return p
}

func (p *proxy) Apply(u ads.Update) map[string]error {
	if p.gate != nil {
		<-p.gate
	}
	refused := map[string]error{}
	p.mu.Lock()
	refuses := p.refuses
	p.mu.Unlock()
	for _, r := range u.Resources {
		m, err := r.GetResource().UnmarshalNew()
		if err == nil && refuses != nil {
			err = refuses(r)
		}
		if err != nil {
			refused[r.GetName()] = fmt.Errorf("%s: %w", r.GetName(), err)
			continue
		}
		p.mu.Lock()
		p.has[u.TypeURL+"/"+r.GetName()] = m
		p.mu.Unlock()
		p.follow(m)
	}
	for _, name := range u.Removed {
		p.mu.Lock()
		delete(p.has, u.TypeURL+"/"+name)
		p.mu.Unlock()
	}
	return refused
}

// follow subscribes to what a resource refers to.
func (p *proxy) follow(m proto.Message) {
	switch m := m.(type) {
	case *clusterv3.Cluster:
		p.client.Subscribe(resource.EndpointType, m.GetEdsClusterConfig().GetServiceName())
	case *listenerv3.Listener:
		for _, chain := range append(m.GetFilterChains(), m.GetDefaultFilterChain()) {
			for _, f := range chain.GetFilters() {
				var hcm hcmv3.HttpConnectionManager
				if f.GetTypedConfig().UnmarshalTo(&hcm) == nil && hcm.GetRds() != nil {
					p.client.Subscribe(resource.RouteType, hcm.GetRds().GetRouteConfigName())
				}
			}
		}
	}
}

// endpoints are the addresses that the proxy has of a Service port.
func (p *proxy) endpoints(name string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	m, _ := p.has[resource.EndpointType+"/"+name].(*endpointv3.ClusterLoadAssignment)
	for _, l := range m.GetEndpoints() {
		for _, e := range l.GetLbEndpoints() {
			out = append(out, e.GetEndpoint().GetAddress().GetSocketAddress().GetAddress())
		}
	}
	return out
}

// routes is the text of the routes that the proxy has for plain HTTP.
func (p *proxy) routes() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprint(p.has[resource.RouteType+"/http"])
}

// contains refuses resources that contain a text.
func contains(marker string) func(*discoveryv3.Resource) error {
	return func(r *discoveryv3.Resource) error {
		if strings.Contains(string(r.GetResource().GetValue()), marker) {
			return errors.New("it has a " + marker)
		}
		return nil
	}
}

// routeType is the type of route configurations.
const routeType = resource.RouteType

// awaitAccepted waits until the loop knows that the proxies have accepted what is served.
func (r *running) awaitAccepted(t testing.TB) {
	t.Helper()
	r.settle(t)
	_, revision := r.Server().Snapshot()
	r.log.await(fmt.Sprintf("msg=accepted revision=%d\n", revision))
}
