package envoyproc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/postern-gateway/postern/dataplane/failing"
	"github.com/postern-gateway/postern/dataplane/limits"
)

const (
	// folderMode and socketMode keep other users from the admin interface.
	folderMode fs.FileMode = 0o700
	socketMode             = 0o600
	fileMode   fs.FileMode = 0o600
	// stopWaitMax bounds how long Envoy may take to end after SIGTERM; it usually needs some 50 ms.
	stopWaitMax = 10 * time.Second
	// flushIntervalMs is how long, in milliseconds, Envoy may hold back a line of the access log; its default is 10 s.
	flushIntervalMs = 500
	// readyInterval is how often Envoy is asked whether it is ready, until it is.
	readyInterval = 20 * time.Millisecond
	// readyAskMax bounds one such question.
	readyAskMax = time.Second
	// socketPathMax is the longest path of a unix socket, in bytes, on any system.
	socketPathMax = 103
)

// Config says which Envoy to run, and how.
type Config struct {
	// Path is the binary; empty leaves it to Find.
	Path string
	// Folder holds the bootstrap file and the admin socket. It is made, mode 0700, if it does not exist. Two Envoys need
	// two folders.
	Folder string
	// XDSSocket is the path of the control plane's unix socket.
	XDSSocket string
	// XDS, if set, is the control plane, in the place of XDSSocket.
	XDS *Remote
	// AuthorizerSocket is the path of the socket at which dataplane.RunAuthorizer answers; without it, routes that ask who
	// the user is, or bound the requests in flight, answer 503.
	AuthorizerSocket string
	// NodeID and NodeCluster are what Envoy calls itself; they default to the host's name and postern.
	NodeID, NodeCluster string
	// NodeMetadata, if set, is what Envoy says of itself beside that.
	NodeMetadata *structpb.Struct
	// Concurrency is the number of worker threads; 0 leaves it to Envoy, which takes one per CPU.
	Concurrency int
	// ConnectionsMax is how many connections of clients Envoy takes at once; 0 is limits.Connections.
	ConnectionsMax int
	// HeapMax is how many bytes of heap it may take; 0 is limits.Memory.
	HeapMax uint64
	// OnReady is called once, when Envoy says LIVE.
	OnReady func()
	// OnUpstreamFailure is called once for each pair of a cluster and a reason for which a request to it failed. It is
	// called in the goroutine that reads Envoy's output.
	OnUpstreamFailure func(cluster, reason string)
	// Failing, if set, is told of every request that a cluster failed.
	Failing *failing.Ledger
	// AccessLog is where the lines go that Envoy writes of requests; nil is nowhere. It is written to in the same goroutine.
	AccessLog io.Writer
}

// AdminSocket is the path of Envoy's admin interface.
func (c Config) AdminSocket() string { return filepath.Join(c.Folder, "admin.sock") }

func (c Config) withDefaults() Config {
	if c.NodeID == "" {
		c.NodeID = "postern"
		if host, err := os.Hostname(); err == nil {
			c.NodeID = host
		}
	}
	if c.NodeCluster == "" {
		c.NodeCluster = "postern"
	}
	c.ConnectionsMax = cmp.Or(c.ConnectionsMax, limits.Connections())
	c.HeapMax = cmp.Or(c.HeapMax, limits.Memory(os.DirFS("/")))
	return c
}

// Run runs Envoy until ctx ends, then stops it and returns nil. If Envoy ends by itself, the error has the last lines
// that it wrote. Envoy gets an empty environment: a header value could quote it (%ENVIRONMENT(X)%).
func Run(ctx context.Context, c Config, log *slog.Logger) error {
	c = c.withDefaults()
	path, err := Find(c.Path)
	if err != nil {
		return err
	}
	version, err := versionOf(ctx, path)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(version, versionWanted) {
		log.Warn("this Envoy is not the one that Postern is tested with", "version", version, "tested", Version, "path", path)
	}
	file, err := c.prepare()
	if err != nil {
		return err
	}
	p := &process{config: c, log: log, stderr: &stderrLog{log: log}, stopWait: stopWaitMax}
	return p.run(ctx, path, c.arguments(file))
}

// prepare makes the folder and writes the bootstrap file into it.
func (c Config) prepare() (string, error) {
	for _, socket := range []string{c.AdminSocket(), c.XDSSocket, c.AuthorizerSocket} {
		if len(socket) > socketPathMax {
			return "", fmt.Errorf("run Envoy: the path of a socket may have %d bytes and %s has %d: choose a shorter folder", socketPathMax, socket, len(socket))
		}
	}
	if err := os.MkdirAll(c.Folder, folderMode); err != nil {
		return "", fmt.Errorf("run Envoy: %w", err)
	}
	info, err := os.Stat(c.Folder)
	if err != nil {
		return "", fmt.Errorf("run Envoy: %w", err)
	}
	if info.Mode().Perm()&^folderMode != 0 {
		return "", fmt.Errorf("run Envoy: others may enter %s (mode %#o), where its admin socket would be: chmod 700 it", c.Folder, info.Mode().Perm())
	}
	if err := os.Remove(c.AdminSocket()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("run Envoy: %w", err)
	}
	if c.XDS != nil {
		if err := c.writeSecrets(); err != nil {
			return "", err
		}
	}
	file := filepath.Join(c.Folder, "bootstrap.json")
	return file, writeProto(file, Bootstrap(c))
}

func (c Config) arguments(file string) []string {
	args := []string{"-c", file, "--disable-hot-restart", "--log-level", "warn", "--log-format", logFormat,
		"--file-flush-interval-msec", strconv.Itoa(flushIntervalMs), "--drain-strategy", "immediate"}
	if c.Concurrency > 0 {
		args = append(args, "--concurrency", strconv.Itoa(c.Concurrency))
	}
	return args
}

// process is one run.
type process struct {
	config Config
	log    *slog.Logger
	stderr *stderrLog
	// stopWait is stopWaitMax but in tests.
	stopWait time.Duration
}

func (p *process) run(ctx context.Context, path string, args []string) error {
	cmd := exec.Command(path, args...)
	cmd.Env = []string{}
	cmd.Dir = p.config.Folder
	cmd.SysProcAttr = childAttributes()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("run Envoy: %w", err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return fmt.Errorf("run Envoy: %w", err)
	}
	started, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // For Pdeathsig, see childAttributes.
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.read(stdout, stderr)
		ended <- cmd.Wait()
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("run Envoy: %w", err)
	}
	p.log.Debug("Envoy is started", "path", path, "pid", cmd.Process.Pid)
	watching, stopWatching := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		p.watch(watching)
	}()
	defer func() {
		stopWatching()
		<-watched
		_ = os.Remove(p.config.AdminSocket())
	}()
	select {
	case err := <-ended:
		return p.unexpected(err)
	case <-ctx.Done():
		return p.stop(cmd.Process, ended)
	}
}

// read passes on what Envoy writes, until it has closed both ends.
func (p *process) read(stdout, stderr io.Reader) {
	var readers sync.WaitGroup
	f := &failures{seen: map[[2]string]struct{}{}, report: p.config.OnUpstreamFailure, ledger: p.config.Failing, requests: p.config.AccessLog}
	readers.Go(func() { lines(stdout, f.line) })
	readers.Go(func() { lines(stderr, p.stderr.line) })
	readers.Wait()
}

// watch asks whether Envoy is ready until it is.
func (p *process) watch(ctx context.Context) {
	ticker := time.NewTicker(readyInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		ask, cancel := context.WithTimeout(ctx, readyAskMax)
		ready := p.config.live(ask)
		cancel()
		if ready {
			if p.config.OnReady != nil {
				p.config.OnReady()
			}
			return
		}
	}
}

func (p *process) unexpected(err error) error {
	how := "it ended without an error"
	if err != nil {
		how = err.Error()
	}
	if words := p.stderr.lastLines(); words != "" {
		return fmt.Errorf("the Envoy process ended (%s); its last words:\n%s", how, words)
	}
	return fmt.Errorf("the Envoy process ended (%s) without a word", how)
}

// stop ends Envoy: SIGTERM, and SIGKILL where that does not help.
func (p *process) stop(envoy *os.Process, ended <-chan error) error {
	if err := envoy.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.log.Warn("Envoy cannot be asked to stop", "error", err)
	}
	timer := time.NewTimer(p.stopWait)
	defer timer.Stop()
	select {
	case <-ended:
		return nil
	case <-timer.C:
	}
	p.log.Warn("Envoy does not stop and is killed", "after", p.stopWait)
	if err := envoy.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill Envoy: %w", err)
	}
	<-ended
	return nil
}
