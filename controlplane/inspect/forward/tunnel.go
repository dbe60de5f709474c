package forward

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"
)

const (
	// openMax bounds how long a connection to the pod may take.
	openMax = 30 * time.Second
	// loopback is where tunnels begin; the port is any that is free.
	loopback = "127.0.0.1"
)

// tunnel forwards connections to a loopback address into a pod.
type tunnel struct {
	begin  netip.AddrPort
	faults *faults
	cancel context.CancelFunc
	ended  chan error // is told once
}

func (t *tunnel) close() {
	t.cancel()
	<-t.ended
}

// open returns when the tunnel is there.
func open(ctx context.Context, config *rest.Config, api kubernetes.Interface, to chosen) (*tunnel, error) {
	u := api.CoreV1().RESTClient().Post().Resource("pods").Namespace(to.pod.Namespace).Name(to.pod.Name).SubResource("portforward").URL()
	status := 0
	dialer, err := newDialer(config, u, func(answered int) { status = answered })
	if err != nil {
		return nil, fmt.Errorf("make a connection through %s: %w", config.Host, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	t := &tunnel{faults: new(faults), cancel: cancel, ended: make(chan error, 1)}
	ready := make(chan struct{})
	f, err := portforward.NewOnAddressesForStreamingWithContext(klog.NewContext(ctx, klog.New(t.faults)), dialer,
		[]string{loopback}, []string{fmt.Sprint("0:", to.port)}, ready, nil, nil)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("forward a port to %s: %w", to, err)
	}
	go func() { t.ended <- f.ForwardPorts() }()
	timer := time.NewTimer(openMax)
	defer timer.Stop()
	select {
	case <-ready:
	case err := <-t.ended:
		cancel()
		if status == http.StatusForbidden {
			return nil, fmt.Errorf("forward a port to %s: %s\nyou must be allowed to create pods/portforward in namespace %s; another way to it is named by its URL, as --server or a side of diff",
				to, shorter.Replace(err.Error()), to.pod.Namespace)
		}
		return nil, fmt.Errorf("forward a port to %s: %s", to, shorter.Replace(err.Error()))
	// Dialing takes no context: what goes on behind our back ends with the process.
	case <-timer.C:
		cancel()
		return nil, fmt.Errorf("forward a port to %s: no connection within %s", to, openMax)
	case <-ctx.Done():
		cancel()
		return nil, context.Cause(ctx)
	}
	ports, err := f.GetPorts()
	if err != nil {
		t.close()
		return nil, fmt.Errorf("forward a port to %s: %w", to, err)
	}
	t.begin = netip.AddrPortFrom(netip.MustParseAddr(loopback), ports[0].Local)
	return t, nil
}

// shorter leaves out what client-go puts before a server's words.
var shorter = strings.NewReplacer("error upgrading connection: ", "", "unable to upgrade connection: ", "")

// newDialer connects as kubectl does: by a WebSocket, and where the API server or a proxy before it takes none, by SPDY.
// What HTTP status the latter was answered is told.
func newDialer(config *rest.Config, u *url.URL, answered func(int)) (httpstream.Dialer, error) {
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	bySPDY := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: noted{transport, answered}}, http.MethodPost, u)
	byWebSocket, err := portforward.NewSPDYOverWebsocketDialerForStreaming(u, config)
	if err != nil {
		return nil, err
	}
	return portforward.NewFallbackDialerForStreaming(byWebSocket, bySPDY, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}

// noted tells of the status of every answer, which the errors of an upgrade lack.
type noted struct {
	http.RoundTripper
	answered func(int)
}

func (n noted) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := n.RoundTripper.RoundTrip(r)
	if err == nil {
		n.answered(response.StatusCode)
	}
	return response, err
}

// faults are what the forwarder logs of connections that it forwards and that fail, as a sink of klog's: it tells it nowhere else.
type faults struct {
	mu  sync.Mutex
	err error // guarded by mu
	// follows says that err is of a copy, which fails because of something else; guarded by mu.
	follows bool
}

// copying is how the forwarder's words of a copy begin. One that fails because the other end has gone is told of before why
// that has gone.
const copying = "Error copying"

// first is the first of them that is a cause, nil where none has failed.
func (f *faults) first() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Error keeps what is logged, of what comes first.
func (f *faults) Error(err error, message string, _ ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	follows := strings.HasPrefix(message, copying)
	if f.err != nil && (follows || !f.follows) {
		return
	}
	if err == nil {
		err = errors.New(message)
	}
	f.err, f.follows = err, follows
}

// Init, Enabled, Info, WithName and WithValues are what a sink must have beside it.
func (*faults) Init(klog.RuntimeInfo) {}

// Enabled is false for what is not an error.
func (*faults) Enabled(int) bool { return false }

// Info drops it.
func (*faults) Info(int, string, ...any) {}

// WithName is the same sink.
func (f *faults) WithName(string) klog.LogSink { return f }

// WithValues is the same sink.
func (f *faults) WithValues(...any) klog.LogSink { return f }
