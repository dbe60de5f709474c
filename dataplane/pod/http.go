package pod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/postern-gateway/postern/dataplane/failing"
)

const (
	readHeaderMax  = 5 * time.Second
	idleMax        = time.Minute
	headerBytesMax = 8 << 10
	// shutdownMax is how long an answer that is on its way may take at the end.
	shutdownMax = time.Second
	drainPath   = "/drain"
)

// serveHTTP serves until ctx ends.
func serveHTTP(ctx context.Context, lis net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: readHeaderMax, IdleTimeout: idleMax, MaxHeaderBytes: headerBytesMax}
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", lis.Addr(), err)
	case <-ctx.Done():
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownMax)
	defer cancel()
	if server.Shutdown(limited) != nil {
		_ = server.Close() // Whoever still reads has had its time.
	}
	<-served
	return nil
}

// healthHandler has four paths, and nothing of Envoy's admin interface but its statistics, by no name that a client gives.
func (p *process) healthHandler() http.Handler {
	mux := http.NewServeMux()
	// Alive is the process, which ends when its data plane does: a restart would not repair what is wrong elsewhere.
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case p.draining.Load():
			say(w, http.StatusServiceUnavailable, "draining")
		case !p.serving(r.Context()):
			say(w, http.StatusServiceUnavailable, "no configuration is in force yet: the control plane has sent none, or it was refused")
		default:
			say(w, http.StatusOK, "ok")
		}
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), askMax)
		defer cancel()
		text, err := p.plane.metrics(ctx)
		if err != nil {
			say(w, http.StatusServiceUnavailable, "the data plane gives no statistics")
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = io.WriteString(w, p.metrics()+text) // A scraper that is gone needs no answer.
	})
	mux.HandleFunc("GET "+failing.Path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(p.failing.Recent()) // Whoever asked and is gone needs no answer.
	})
	return mux
}

// serving remembers that the first configuration has come.
func (p *process) serving(ctx context.Context) bool {
	if p.ready.Load() {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, askMax)
	defer cancel()
	if !p.plane.serving(ctx) {
		return false
	}
	p.ready.Store(true)
	return true
}

// metrics are the process' own.
func (p *process) metrics() string {
	var b strings.Builder
	gauge := func(name, help string, value float64) {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n%s %s\n", name, help, name, name, strconv.FormatFloat(value, 'f', -1, 64))
	}
	is := map[bool]float64{true: 1}
	gauge("postern_dataplane_ready", "Whether /readyz says so.", is[p.ready.Load() && !p.draining.Load()])
	gauge("postern_dataplane_draining", "Whether the proxy is being drained.", is[p.draining.Load()])
	gauge("postern_dataplane_xds_certificate_expiry_timestamp_seconds", "When the certificate that the control plane knows this data plane by ends.",
		float64(p.files.NotAfter().Unix()))
	return b.String()
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // A prober that is gone needs no answer.
}

// controlHandler answers Drain, on a socket that only this user reaches.
func (p *process) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+drainPath, func(w http.ResponseWriter, r *http.Request) {
		if p.asking.CompareAndSwap(false, true) {
			close(p.asked)
		}
		select {
		case <-p.done:
			say(w, http.StatusOK, "drained")
		case <-r.Context().Done():
		}
	})
	return mux
}

// Drain has the process that uses a folder drain its proxy, and returns when it is done.
func Drain(ctx context.Context, folder string) (err error) {
	if folder == "" {
		return errors.New("--folder must be that of the postern dataplane to drain")
	}
	socket := filepath.Join(folder, innerFolder, controlSocket)
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://pod"+drainPath, nil)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("drain by %s: %w", socket, err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("drain by %s: it answers %s", socket, response.Status)
	}
	return nil
}
