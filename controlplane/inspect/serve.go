package inspect

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"github.com/postern-gateway/postern/controlplane/options"
)

// The bounds of the listener.
const (
	headerWaitMax = 5 * time.Second
	// answerWaitMax bounds the writing of an answer; what streams sets its own.
	answerWaitMax   = 30 * time.Second
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 2 * time.Second
	headerBytesMax  = 32 << 10
	connectionsMax  = 256
	// connectionStreamsMax bounds the requests of one HTTP/2 connection.
	connectionStreamsMax = 32
	// pingInterval and pingTimeout find an HTTP/2 connection whose other side is gone.
	pingInterval = 30 * time.Second
	pingTimeout  = 10 * time.Second
)

// Serve answers on a listener until ctx ends, which is no error.
func (i *Inspector) Serve(ctx context.Context, l *Listener) error {
	if l.replicas != nil {
		l.replicas.process = i.process
		i.replicas = l.replicas
	}
	calls := i.newCSDS()
	// What streams ends by the context of its request.
	asked, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	server := &http.Server{
		Handler:           newGuard(l.hosts, l.credentials, route(i.Handler(), calls)),
		ReadHeaderTimeout: headerWaitMax, WriteTimeout: answerWaitMax, IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytesMax,
		Protocols:   protocols(),
		HTTP2:       &http.HTTP2Config{MaxConcurrentStreams: connectionStreamsMax, SendPingTimeout: pingInterval, PingTimeout: pingTimeout, WriteByteTimeout: answerWaitMax},
		BaseContext: func(net.Listener) context.Context { return asked },
		ErrorLog:    slog.NewLogLogger(i.config.Log.Handler(), slog.LevelDebug),
	}
	open := netutil.LimitListener(l.Listener, connectionsMax)
	served := make(chan error, 1)
	go func() {
		if l.pair == nil {
			served <- server.Serve(open)
			return
		}
		server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: l.pair.get}
		served <- server.ServeTLS(open, "", "")
	}()
	select {
	case err := <-served:
		return fmt.Errorf("serve --inspect on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	end()
	calls.Stop()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		// What is left are requests that take longer: they are cut off.
		_ = server.Close()
	}
	<-served
	return nil
}

// protocols has gRPC and pages on one port, whether or not TLS is spoken.
func protocols() *http.Protocols {
	p := &http.Protocols{}
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// route gives calls of gRPC to one handler and all else to another.
func route(pages, calls http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isGRPC(r) {
			pages.ServeHTTP(w, r)
			return
		}
		if isStream(r) {
			// It lives as long as both sides want; what is stuck ends by the pings.
			_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		}
		calls.ServeHTTP(w, r)
	})
}

// keyPair is a folder's certificate as it is now, or as it last made sense: its two files are written one after the other.
type keyPair struct {
	dir string
	log *slog.Logger

	mu   sync.Mutex
	last *tls.Certificate // guarded by mu
	told string           // guarded by mu
}

func openKeyPair(dir string, log *slog.Logger) (*keyPair, error) {
	if dir == "" {
		return nil, nil
	}
	pair, err := loadKeyPair(dir)
	if err != nil {
		return nil, fmt.Errorf("--inspect-cert-dir: %w", err)
	}
	return &keyPair{dir: dir, log: log, last: pair}, nil
}

func loadKeyPair(dir string) (*tls.Certificate, error) {
	read, err := options.LoadCertificate(dir)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(read.Chain, read.Key)
	return &pair, err
}

// get implements tls.Config.GetCertificate.
func (p *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	pair, err := loadKeyPair(p.dir)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil:
		p.last, p.told = pair, ""
	case p.told != err.Error():
		p.told = err.Error()
		p.log.Warn("the inspection certificate before stays in use", "reason", err)
	}
	return p.last, nil
}
