package inspect

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/postern-gateway/postern/controlplane/health"
)

// Flags say where inspection is answered, and to whom.
type Flags struct {
	// Address is HOST:PORT; empty answers nowhere.
	Address string
	// UsersFile holds lines of htpasswd, TokenFile a bearer token. Either lets in; without both, only this machine asks.
	UsersFile, TokenFile string
	// CertDir is a folder with tls.crt and tls.key; without it HTTP is plain.
	CertDir string
	// Hosts are names by which the listener is asked for.
	Hosts []string
	// Replicas is a DNS name with the addresses of all replicas of a control plane, at whose port each is asked for its proxies.
	Replicas string
}

// Register defines the flags.
func (f *Flags) Register(fs *pflag.FlagSet) {
	fs.StringVar(&f.Address, "inspect", "", "address of the inspection pages, e.g. 127.0.0.1:8079 (default: none); other than loopback needs --inspect-users or --inspect-token")
	fs.StringVar(&f.UsersFile, "inspect-users", "", "`FILE` of htpasswd with those who may inspect; read again on change")
	fs.StringVar(&f.TokenFile, "inspect-token", "", "`FILE` with the bearer token of those who may inspect, of 16 bytes or more; read again on change")
	fs.StringVar(&f.CertDir, "inspect-cert-dir", "", "folder with tls.crt and tls.key of the inspection listener (default: plain HTTP); read again on change")
	fs.StringVar(&f.Replicas, "inspect-replicas", "", "DNS `NAME` with the addresses of all replicas of this control plane, as of a headless Service, which are asked for the proxies that are connected to them, with the credential of whoever looks")
	fs.StringSliceVar(&f.Hosts, "inspect-host", nil, "`HOST` name by which the inspection pages are asked for; may be repeated")
}

// Listener is an open address, and what is asked of those who come to it.
type Listener struct {
	net.Listener
	// URL is where people look.
	URL         string
	hosts       hosts
	credentials *credentials
	pair        *keyPair
	replicas    *replicas
	log         *slog.Logger
}

// Open opens the address and reads the files; without an address it is nil. Whatever would leave the pages open to the
// network is refused.
func (f Flags) Open(log *slog.Logger) (*Listener, error) {
	if f.Address == "" {
		return nil, f.idle()
	}
	host, port, err := net.SplitHostPort(f.Address)
	if err != nil {
		return nil, fmt.Errorf("--inspect %s: write HOST:PORT, as 127.0.0.1:8079", f.Address)
	}
	l := &Listener{log: log}
	if l.credentials, err = openCredentials(f.UsersFile, f.TokenFile, log); err != nil {
		return nil, err
	}
	if l.credentials == nil && !isLocalName(host) {
		return nil, fmt.Errorf("--inspect %s is no loopback address, so everyone who reaches it could look: "+
			"say who may by --inspect-users FILE or --inspect-token FILE, or listen on 127.0.0.1:%s", f.Address, port)
	}
	if l.pair, err = openKeyPair(f.CertDir, log); err != nil {
		return nil, err
	}
	if l.Listener, err = health.Listen("inspect", f.Address); err != nil {
		return nil, err
	}
	address, ok := l.Addr().(*net.TCPAddr)
	local := ok && address.IP.IsLoopback()
	if l.credentials == nil && !local { // localhost is whatever /etc/hosts says.
		return nil, errors.Join(fmt.Errorf("--inspect %s: it is %s here, which is no loopback address", f.Address, l.Addr()), l.Close())
	}
	if l.hosts, err = newHosts(f.Hosts, l.credentials != nil); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if f.Replicas != "" {
		if l.credentials == nil {
			return nil, errors.Join(fmt.Errorf("--inspect-replicas %s: the others answer nobody without a credential: name one by --inspect-users or --inspect-token", f.Replicas), l.Close())
		}
		host := ""
		if len(l.hosts.names) > 0 {
			host = l.hosts.names[0]
		}
		l.replicas = newReplicas(f.Replicas, uint16(address.Port), host, l.pair)
	}
	l.URL = "http://" + opened(l.Addr()) + "/"
	switch {
	case l.pair != nil:
		l.URL = "https://" + opened(l.Addr()) + "/"
	case !local:
		log.Warn("the credentials of inspection travel as they are: let nothing reach it but a proxy that speaks TLS, or give --inspect-cert-dir",
			"address", l.Addr().String())
	}
	return l, nil
}

// Close closes the address where Serve does not; on nil it does nothing.
func (l *Listener) Close() error {
	if l == nil {
		return nil
	}
	return l.Listener.Close()
}

// Port is the port of the address; a nil Listener has none.
func (l *Listener) Port() (uint16, bool) {
	if l == nil {
		return 0, false
	}
	at, ok := l.Addr().(*net.TCPAddr)
	return at.AddrPort().Port(), ok
}

// opened is an address as a browser on this machine opens it: what listens on all addresses has none of its own.
func opened(at net.Addr) string {
	if tcp, ok := at.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("localhost", strconv.Itoa(tcp.Port))
	}
	return at.String()
}

// idle finds flags that have no effect without --inspect.
func (f Flags) idle() error {
	for _, flag := range []struct{ name, value string }{
		{"--inspect-users", f.UsersFile}, {"--inspect-token", f.TokenFile}, {"--inspect-cert-dir", f.CertDir}, {"--inspect-host", strings.Join(f.Hosts, ",")}, {"--inspect-replicas", f.Replicas},
	} {
		if flag.value != "" {
			return fmt.Errorf("%s %s has no effect without --inspect ADDRESS", flag.name, flag.value)
		}
	}
	return nil
}

// isLocalName says whether a host, without its port, is this machine whatever DNS says.
func isLocalName(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Unmap().IsLoopback()
}
