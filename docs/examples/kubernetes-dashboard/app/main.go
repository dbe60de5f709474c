// Command app stands in for the Kubernetes dashboard of the example, so that
// the manifests beside it can be tried on one machine without a cluster.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	// defaultServerName is what the ExternalName Service in
	// ../kubernetes-dashboard.yaml points to.
	defaultServerName = "kubernetes-dashboard.kubernetes-dashboard.svc.cluster.local"

	// readHeaderTimeout bounds the wait for the headers of one request.
	readHeaderTimeout = 10 * time.Second

	// shutdownTimeout bounds how long requests in flight hold up the end.
	shutdownTimeout = 2 * time.Second
)

// options are the values of the command line.
type options struct {
	listen        string // host:port of the dashboard, HTTPS
	aboutListen   string // host:port of the page about the demo, plain HTTP; empty: none
	catalogListen string // host:port of the chart catalog, plain HTTP; empty: none
	serverName    string // DNS name in the certificate
	certFile      string // where to write the certificate as PEM; empty: nowhere
}

func main() {
	opts, err := parseFlags(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		os.Exit(2) // the flag package has said why
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, opts, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "example app:", err)
		os.Exit(1)
	}
}

func parseFlags(args []string, stderr io.Writer) (options, error) {
	var opts options
	flags := flag.NewFlagSet("app", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&opts.listen, "listen", "127.0.0.1:9443", "`address` of the dashboard, HTTPS")
	flags.StringVar(&opts.aboutListen, "about-listen", "127.0.0.1:9080",
		"`address` of the page about this demo, plain HTTP; empty for none")
	flags.StringVar(&opts.catalogListen, "catalog-listen", "127.0.0.1:9081",
		"`address` of the chart catalog, plain HTTP; empty for none")
	flags.StringVar(&opts.serverName, "server-name", defaultServerName, "DNS `name` in the certificate")
	flags.StringVar(&opts.certFile, "cert-file", "",
		"`file` to write the certificate to, for postern's --upstream-ca; the key stays in memory")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		err := fmt.Errorf("unexpected argument %q", flags.Arg(0))
		fmt.Fprintln(stderr, "example app:", err)
		return options{}, err
	}
	return opts, nil
}

// run serves until ctx ends, and says on stdout where.
func run(ctx context.Context, opts options, stdout io.Writer) error {
	a, err := listen(opts)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "example app: dashboard on https://%s/ as %s, login token %s\n",
		a.dashboard.Addr(), opts.serverName, demoToken)
	if a.about != nil {
		fmt.Fprintf(stdout, "example app: about page on http://%s/\n", a.about.Addr())
	}
	if a.catalog != nil {
		fmt.Fprintf(stdout, "example app: chart catalog on http://%s/\n", a.catalog.Addr())
	}
	return a.serve(ctx)
}

// app is the open sockets of the sites; about and catalog are nil when they
// are off.
type app struct {
	dashboard, about, catalog net.Listener
}

func listen(opts options) (*app, error) {
	cert, err := selfSigned(opts.serverName, time.Now())
	if err != nil {
		return nil, err
	}
	plain, err := listenTCP(opts.listen, "--listen")
	if err != nil {
		return nil, err
	}
	a := &app{dashboard: tls.NewListener(plain, &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
	})}
	for _, s := range []struct {
		address, flagName string
		to                *net.Listener
	}{
		{opts.aboutListen, "--about-listen", &a.about},
		{opts.catalogListen, "--catalog-listen", &a.catalog},
	} {
		if s.address == "" {
			continue
		}
		l, err := listenTCP(s.address, s.flagName)
		if err != nil {
			a.close()
			return nil, err
		}
		*s.to = l
	}
	// Only now: a second app that finds the ports taken must not overwrite the
	// certificate of the one that runs.
	if opts.certFile != "" {
		if err := writeCertificate(opts.certFile, cert); err != nil {
			a.close()
			return nil, err
		}
	}
	return a, nil
}

func (a *app) close() {
	for _, l := range []net.Listener{a.dashboard, a.about, a.catalog} {
		if l != nil {
			l.Close()
		}
	}
}

func listenTCP(address, flagName string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("another program listens on %s: stop it, or choose another address with %s", address, flagName)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", address, err)
	}
	return l, nil
}

// serve answers requests until ctx ends or one of the sites fails.
func (a *app) serve(ctx context.Context) error {
	type site struct {
		server   *http.Server
		listener net.Listener
	}
	sites := []site{{newServer(newDashboard()), a.dashboard}}
	if a.about != nil {
		sites = append(sites, site{newServer(newAbout()), a.about})
	}
	if a.catalog != nil {
		sites = append(sites, site{newServer(newCatalog()), a.catalog})
	}
	failed := make(chan error, len(sites))
	for _, s := range sites {
		go func() { failed <- s.server.Serve(s.listener) }()
	}

	var err error
	running := len(sites)
	select {
	case <-ctx.Done():
	case err = <-failed:
		running--
	}
	// ctx is over, and the requests in flight have shutdownTimeout of their own.
	grace, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	for _, s := range sites {
		if s.server.Shutdown(grace) != nil {
			s.server.Close()
		}
	}
	for ; running > 0; running-- {
		<-failed
	}
	return err
}

func newServer(handler http.Handler) *http.Server {
	return &http.Server{Handler: handler, ReadHeaderTimeout: readHeaderTimeout}
}
