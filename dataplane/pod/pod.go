// Package pod is a data plane as the process of a pod: it runs Envoy or the Go proxy, says when it is ready, and drains it
// before the end.
package pod

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/postern-gateway/postern/dataplane/envoyproc"
	"github.com/postern-gateway/postern/dataplane/failing"
	"github.com/postern-gateway/postern/dataplane/identity"
)

// Envoy and Go are the data planes.
const (
	Envoy = "envoy"
	Go    = "go"
)

const (
	// nodeCluster is what every data plane calls its cluster.
	nodeCluster = "postern"
	// innerFolder is made inside the folder: a volume's own mode lets others enter.
	innerFolder                = "postern"
	folderMode     fs.FileMode = 0o700
	controlSocket              = "pod.sock"
	socketPathMax              = 103
	connectionsAsk             = 100 * time.Millisecond
	askMax                     = 2 * time.Second
	// stopWaitMax is how long a process that a preStop hook has drained waits for the signal that follows it.
	stopWaitMax = 10 * time.Second
	// stopGrace is what a request that outlived the drain still gets.
	stopGrace = time.Millisecond
)

// Config is what Run needs.
type Config struct {
	// DataPlane is Envoy or Go.
	DataPlane string
	EnvoyPath string
	// XDS is HOST:PORT of the control plane.
	XDS string
	// CertDir holds this side's tls.crt and tls.key, and ca.crt; ServerName is the DNS name in the control plane's.
	CertDir, ServerName string
	// NodeID names this proxy to the control plane.
	NodeID string
	// Folder is where sockets and Envoy's files go, in a folder of their own; empty is a temporary one.
	Folder string
	// Health is the address of /healthz, /readyz and /metrics.
	Health string
	// DrainDelay is how long the proxy serves on, not ready any more, before it drains; DrainTimeout how long it then waits
	// for connections to end.
	DrainDelay, DrainTimeout time.Duration
	// Concurrency is how many threads serve; 0 is as many as Go's GOMAXPROCS, which knows the container's CPU limit.
	Concurrency int
	// AccessLog is where the log of requests goes; nil is nowhere.
	AccessLog io.Writer
	Log       *slog.Logger
}

// Run serves until a SIGTERM or an interrupt, or a call of Drain, and a drain after it, or until a second signal or the end of
// ctx. It is an error where the proxy ends by itself.
func Run(ctx context.Context, c Config) error {
	remote, err := c.check()
	if err != nil {
		return err
	}
	c.Concurrency = cmp.Or(c.Concurrency, runtime.GOMAXPROCS(0))
	files, err := identity.Open(c.CertDir, identity.DataPlane, c.Log)
	if err != nil {
		return fmt.Errorf("read --xds-cert-dir: %w", err)
	}
	folder, remove, err := c.folder()
	if err != nil {
		return err
	}
	defer remove()
	control, err := listenUnix(filepath.Join(folder, controlSocket))
	if err != nil {
		return err
	}
	health, err := net.Listen("tcp", c.Health)
	if err != nil {
		return errors.Join(fmt.Errorf("--health: %w", err), control.Close())
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	p := &process{config: c, files: files, signals: signals, failing: failing.New(), asked: make(chan struct{}), done: make(chan struct{})}
	o := planeOptions{folder: folder, files: files, remote: remote, failing: p.failing, metadata: metadata(health.Addr())}
	p.plane = newGoPlane(c, o)
	if c.DataPlane == Envoy {
		p.plane = newEnvoyPlane(c, o)
	}
	return p.run(ctx, control, health)
}

// metadata says at which port a control plane may ask what the data plane has seen fail.
func metadata(health net.Addr) *structpb.Struct {
	port := health.(*net.TCPAddr).Port
	return &structpb.Struct{Fields: map[string]*structpb.Value{failing.PortKey: structpb.NewNumberValue(float64(port))}}
}

// check finds what cannot be used before anything is started.
func (c Config) check() (envoyproc.Remote, error) {
	if c.DataPlane != Envoy && c.DataPlane != Go {
		return envoyproc.Remote{}, fmt.Errorf("--data-plane %s: write %s or %s", c.DataPlane, Envoy, Go)
	}
	host, port, err := net.SplitHostPort(c.XDS)
	number, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || host == "" || number == 0 {
		return envoyproc.Remote{}, fmt.Errorf("--xds %q: write HOST:PORT", c.XDS)
	}
	if c.CertDir == "" || c.ServerName == "" || c.NodeID == "" {
		return envoyproc.Remote{}, errors.New("--xds-cert-dir, --xds-server-name and --node-id must not be empty")
	}
	if c.DrainDelay < 0 || c.DrainTimeout < 0 || c.Concurrency < 0 {
		return envoyproc.Remote{}, errors.New("--drain-delay, --drain-timeout and --concurrency must not be negative")
	}
	dir, err := filepath.Abs(c.CertDir)
	if err != nil {
		return envoyproc.Remote{}, fmt.Errorf("--xds-cert-dir: %w", err)
	}
	return envoyproc.Remote{Host: host, Port: uint16(number), CertDir: dir, ServerName: c.ServerName}, nil
}

// folder makes the folder that nobody else may enter.
func (c Config) folder() (string, func(), error) {
	base, remove := c.Folder, func() {}
	if base == "" {
		made, err := os.MkdirTemp("", "postern-")
		if err != nil {
			return "", nil, fmt.Errorf("make a folder: %w", err)
		}
		base, remove = made, func() { _ = os.RemoveAll(made) }
	}
	base, err := filepath.Abs(base)
	if err != nil {
		return "", nil, fmt.Errorf("--folder: %w", err)
	}
	folder := filepath.Join(base, innerFolder)
	if err := os.MkdirAll(folder, folderMode); err != nil {
		return "", nil, fmt.Errorf("--folder: %w", err)
	}
	info, err := os.Stat(folder)
	if err != nil {
		return "", nil, fmt.Errorf("--folder: %w", err)
	}
	if info.Mode().Perm()&^folderMode != 0 {
		return "", nil, fmt.Errorf("--folder: others may enter %s (mode %#o): chmod 700 it", folder, info.Mode().Perm())
	}
	return folder, remove, nil
}

// listenUnix listens on a socket, in the place of one that a process before has left.
func listenUnix(path string) (net.Listener, error) {
	if len(path) > socketPathMax {
		return nil, fmt.Errorf("listen on %s: the path of a socket may have %d bytes: choose a shorter --folder", path, socketPathMax)
	}
	if conn, err := net.Dial("unix", path); err == nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: another postern dataplane uses this --folder", path), conn.Close())
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	lis, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return lis, nil
}

// A plane is a data plane that the process runs.
type plane interface {
	// run serves until ctx ends, which is no error.
	run(ctx context.Context) error
	// serving is true when the first configuration is in force.
	serving(ctx context.Context) bool
	// drain takes no new connections and returns when those that there are have ended, or ctx has.
	drain(ctx context.Context) error
	// metrics are its statistics in Prometheus' text form.
	metrics(ctx context.Context) (string, error)
}

// process is one Run.
type process struct {
	config  Config
	files   *identity.Folder
	plane   plane
	failing *failing.Ledger
	signals <-chan os.Signal
	// asked is closed by the first call of Drain, done when the drain is over.
	asked, done chan struct{}
	asking      atomic.Bool

	// ready stays true from the first configuration to the drain, whatever becomes of the control plane.
	ready, draining atomic.Bool
}

func (p *process) run(ctx context.Context, control, health net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	ctx, end := context.WithCancel(ctx)
	group.Go(func() error {
		p.files.Watch(ctx)
		return nil
	})
	group.Go(func() error { return serveHTTP(ctx, health, p.healthHandler()) })
	group.Go(func() error { return serveHTTP(ctx, control, p.controlHandler()) })
	group.Go(func() error {
		err := p.plane.run(ctx)
		if err == nil && ctx.Err() == nil && !p.draining.Load() {
			err = errors.New("the data plane ended by itself")
		}
		return err // The Go proxy ends when it is drained, and life says what follows.
	})
	group.Go(func() error {
		defer end()
		return p.life(ctx)
	})
	return group.Wait()
}

// life waits for the end, drains, and returns when the process shall end. A preStop hook and the signal after it make one
// drain: the signal of the kubelet comes once more only from somebody who will not wait.
func (p *process) life(ctx context.Context) error {
	signalled := false
	select {
	case <-ctx.Done():
		return nil
	case <-p.signals:
		signalled = true
	case <-p.asked:
	}
	p.draining.Store(true)
	began := time.Now()
	p.config.Log.Info("not ready any more", "drain", p.config.DrainDelay, "timeout", p.config.DrainTimeout)
	drained := make(chan error, 1)
	draining, stop := context.WithCancel(ctx)
	defer stop()
	go func() { drained <- p.drain(draining) }()
	for {
		select {
		case err := <-drained:
			close(p.done)
			if err != nil {
				p.config.Log.Warn("the drain was cut short", "reason", err)
			}
			p.config.Log.Info("drained", "after", time.Since(began).Round(time.Millisecond))
			if !signalled {
				p.awaitSignal(ctx)
			}
			return nil
		case <-p.signals:
			if signalled {
				stop()
				<-drained
				close(p.done)
				return errors.New("ended by a second signal before it was drained")
			}
			signalled = true
		}
	}
}

// drain serves on for the delay, then drains. A proxy that never served has nobody to wait for.
func (p *process) drain(ctx context.Context) error {
	if !p.serving(ctx) {
		return nil
	}
	delay := time.NewTimer(p.config.DrainDelay)
	defer delay.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-delay.C:
	}
	limited, cancel := context.WithTimeout(ctx, p.config.DrainTimeout)
	defer cancel()
	if err := p.plane.drain(limited); err != nil {
		return err
	}
	return limited.Err()
}

func (p *process) awaitSignal(ctx context.Context) {
	timer := time.NewTimer(stopWaitMax)
	defer timer.Stop()
	select {
	case <-p.signals:
	case <-ctx.Done():
	case <-timer.C:
	}
}
