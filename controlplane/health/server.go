package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"time"

	"golang.org/x/net/netutil"
)

// The bounds of every server here. What scrapes and probes needs none of them.
const (
	readTimeout = 5 * time.Second
	// writeTimeout bounds an answer, profileTimeout one of pprof, whose profiles run for as long as asked.
	writeTimeout    = 30 * time.Second
	profileTimeout  = 5 * time.Minute
	idleTimeout     = 30 * time.Second
	shutdownTimeout = 2 * time.Second
	headerBytesMax  = 16 << 10
	connectionsMax  = 256
)

// Server is one listener and what answers on it.
type Server struct {
	// Name is the flag without dashes that gave the address, for errors.
	Name     string
	Listener net.Listener
	Handler  http.Handler
	// WriteTimeout bounds one answer; 0 is writeTimeout.
	WriteTimeout time.Duration
	Log          *slog.Logger
}

// Listen opens the address of a flag.
func Listen(flag, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return nil, fmt.Errorf("--%s %s cannot be listened on: %w", flag, address, err)
	}
	return l, nil
}

// Serve answers until ctx ends, which is no error; it gives requests under way shutdownTimeout.
func (s Server) Serve(ctx context.Context) error {
	timeout := s.WriteTimeout
	if timeout == 0 {
		timeout = writeTimeout
	}
	server := &http.Server{
		Handler: s.Handler, ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: timeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytesMax, ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(netutil.LimitListener(s.Listener, connectionsMax)) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve --%s on %s: %w", s.Name, s.Listener.Addr(), err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(end); err != nil {
		// What is left are requests that take longer: they are cut off.
		_ = server.Close()
	}
	<-served
	return nil
}

// ListenLoopback opens the address for pprof, which shows memory and with it keys, and must not leave the machine.
func ListenLoopback(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("--pprof %s: write HOST:PORT, as 127.0.0.1:6060", address)
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("--pprof %s: only loopback addresses are taken, as 127.0.0.1:6060, since profiles show memory; use kubectl port-forward", address)
	}
	l, err := Listen("pprof", address)
	if err != nil {
		return nil, err
	}
	// localhost is whatever /etc/hosts says.
	if got, ok := l.Addr().(*net.TCPAddr); !ok || !got.IP.IsLoopback() {
		return nil, errors.Join(fmt.Errorf("--pprof %s: it is %s here, which is no loopback address", address, l.Addr()), l.Close())
	}
	return l, nil
}

// PProf serves profiles on a listener of ListenLoopback.
func PProf(l net.Listener, log *slog.Logger) Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return Server{Name: "pprof", Listener: l, Handler: onlyLocalNames(mux), WriteTimeout: profileTimeout, Log: log}
}

// onlyLocalNames answers nobody who comes by another name: a page in a browser on this machine may have its own name
// resolve to 127.0.0.1.
func onlyLocalNames(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
			http.Error(w, "profiles are for localhost", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
