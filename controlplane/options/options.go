// Package options is the flags that decide what is served and how, and the files that they name, as the translator's
// settings. Every subcommand that translates has the same flags, and so has a test case.
package options

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/resolve"
)

// Options are the flags as given.
type Options struct {
	HTTP, HTTPS         string
	HTTPPublicPort      uint16
	HTTPSPublicPort     uint16
	HTTPSEnforced       bool
	IngressClass        string
	ControllerName      string
	IngressWithoutClass bool
	IngressSelector     string
	TLSCertDir          string
	DefaultTLS          string
	TLSMinVersion       string
	TrustedProxies      []string
	AllowedClients      []string
	AccessLog           string
	ClusterDomain       string
	UpstreamCA          string
	SkipVerify          bool
	ExternalName        []string
	DenyCIDR            []string
	Backends            []string
	SlashRedirect       bool
	TraefikPrefix       string
	EscapedSlashes      string
}

// The readings of Traefik's PathPrefix.
const (
	prefixElement = "element"
	prefixString  = "string"
)

// TraefikPrefixes are the values of --traefik-path-prefix.
var TraefikPrefixes = []string{prefixElement, prefixString}

// Controller is Postern's name in spec.controller of an IngressClass.
const Controller = "postern.dev/ingress-controller"

// Register defines the flags with the defaults of a machine that serves files to itself.
func (o *Options) Register(fs *pflag.FlagSet) {
	o.register(fs, Options{HTTP: "127.0.0.1:8080", HTTPS: "127.0.0.1:8443", ExternalName: []string{"cluster"}})
	fs.StringArrayVar(&o.Backends, "backend", nil, "reach Service port NAMESPACE/NAME:PORT at HOST:PORT, as NAMESPACE/NAME:PORT=HOST:PORT; may be repeated")
}

// RegisterCluster defines the flags with the defaults of a cluster. The entries' addresses are the data plane's there: every
// address of its pod, at ports that need no capability, which a Service or a host port leads to from 80 and 443. A
// namespace is a tenant's, and so an ExternalName leads no further by default.
func (o *Options) RegisterCluster(fs *pflag.FlagSet) {
	o.register(fs, Options{
		HTTP: "0.0.0.0:8080", HTTPS: "0.0.0.0:8443", HTTPPublicPort: 80, HTTPSPublicPort: 443,
		ExternalName: []string{"same-namespace"}, ControllerName: Controller,
	})
}

// register defines the flags that have a meaning everywhere. Those whose default is not the same everywhere take it from d.
func (o *Options) register(fs *pflag.FlagSet, d Options) {
	fs.StringVar(&o.HTTP, "http", d.HTTP, "address of the http entry; empty closes it")
	fs.StringVar(&o.HTTPS, "https", d.HTTPS, "address of the https entry; empty closes it")
	fs.Uint16Var(&o.HTTPPublicPort, "http-public-port", d.HTTPPublicPort, "port that clients of the http entry come to, which backends read in X-Forwarded-Port (0: the one listened on)")
	fs.Uint16Var(&o.HTTPSPublicPort, "https-public-port", d.HTTPSPublicPort, "port that redirects to https name, left out of URLs when 443 (0: the one listened on)")
	fs.BoolVar(&o.HTTPSEnforced, "https-enforced", false, "redirect what comes to the http entry to https (301, 308), but for routes of ACME challenges")
	fs.StringVar(&o.IngressClass, "ingress-class", "", "serve only Ingresses of this class")
	fs.StringVar(&o.ControllerName, "controller-name", d.ControllerName, "without --ingress-class, serve only Ingresses whose IngressClass has this spec.controller (empty: all)")
	fs.BoolVar(&o.IngressWithoutClass, "ingress-without-class", false, "serve Ingresses that name no class too, even where no class of ours is the default")
	fs.StringVar(&o.IngressSelector, "ingress-selector", "", "serve only Ingresses whose labels match, e.g. app=traefik")
	fs.StringVar(&o.TLSCertDir, "tls-cert-dir", "", "folder with tls.crt and tls.key of the default certificate; read again when they change")
	fs.StringVar(&o.DefaultTLS, "default-tls-secret", "", "Secret NAMESPACE/NAME with the default certificate")
	fs.StringVar(&o.TLSMinVersion, "tls-min-version", string(model.TLS12), "lowest version of TLS that clients may speak: 1.2 or 1.3")
	fs.StringSliceVar(&o.TrustedProxies, "trusted-proxies", nil, "CIDRs of peers whose X-Forwarded headers are believed")
	fs.StringSliceVar(&o.AllowedClients, "allowed-clients", nil, "CIDRs of clients, as trusted proxies tell them, that may use the entries; all others get 403 (empty: everyone may)")
	fs.StringVar(&o.AccessLog, "access-log", model.AccessLogs[model.AccessLogOff], "what the data plane writes of each request to its standard output: off, text or json")
	fs.StringVar(&o.ClusterDomain, "cluster-domain", "cluster.local", "DNS suffix of the cluster's Services")
	fs.StringVar(&o.UpstreamCA, "upstream-ca", "", "PEM file with CAs of backends, beside the system's")
	fs.BoolVar(&o.SkipVerify, "upstream-insecure-skip-verify", false, "accept any certificate of a backend")
	fs.StringSliceVar(&o.ExternalName, "external-name", d.ExternalName, "where ExternalName Services may lead: off, or a list of cluster, same-namespace and DNS suffixes of hosts outside, e.g. cluster,example.com")
	fs.StringSliceVar(&o.DenyCIDR, "deny-cidr", nil, "CIDRs in which no ExternalName outside the cluster may have its address")
	fs.BoolVar(&o.SlashRedirect, "slash-redirect", true, "redirect GET and HEAD of a stripped prefix /foo to /foo/")
	fs.StringVar(&o.EscapedSlashes, "escaped-slashes", model.SlashesRedirect.String(), "paths with %2F or %5C: redirect to the decoded path, forward it decoded, reject, or keep as they are")
	fs.StringVar(&o.TraefikPrefix, "traefik-path-prefix", prefixElement, "where Traefik's PathPrefix may end: element, or string as in 1.7 (/foo takes /foobar)")
}

// Settings checks the flags, reads the files that they name, and makes settings of them. Errors name the flag.
// It does not make up a certificate: see EnsureCertificate.
func (o *Options) Settings() (translator.Settings, error) {
	s := translator.Settings{
		Selection: translator.Selection{
			Class: o.IngressClass, Controller: o.ControllerName, WithoutClass: o.IngressWithoutClass,
		},
		TraefikStringPrefix: o.TraefikPrefix == prefixString,
		Resolve: resolve.Settings{
			ClusterDomain: strings.ToLower(strings.Trim(o.ClusterDomain, ".")), UpstreamSkipVerify: o.SkipVerify,
			Edge: model.Edge{HTTPSEnforced: o.HTTPSEnforced, SlashRedirect: o.SlashRedirect, TLSMinVersion: model.TLSVersion(o.TLSMinVersion)},
		},
	}
	err := errors.Join(o.readSelection(&s), o.readEntries(&s), o.readProxies(&s), o.readClients(&s), o.readExternalNames(&s), o.readBackends(&s),
		o.readTrust(&s), o.readCertificate(&s), o.readSlashes(&s), o.readAccessLog(&s))
	if s.Resolve.ClusterDomain == "" {
		err = errors.Join(err, errors.New("--cluster-domain is empty: write a DNS name, as cluster.local"))
	}
	if v := s.Resolve.Edge.TLSMinVersion; v != model.TLS12 && v != model.TLS13 {
		err = errors.Join(err, fmt.Errorf("--tls-min-version %s: write %s or %s", v, model.TLS12, model.TLS13))
	}
	if o.TraefikPrefix != prefixElement && o.TraefikPrefix != prefixString {
		err = errors.Join(err, fmt.Errorf("--traefik-path-prefix %s: write %s or %s", o.TraefikPrefix, prefixElement, prefixString))
	}
	return s, err
}

func (o *Options) readSelection(s *translator.Settings) error {
	if o.IngressSelector == "" {
		return nil
	}
	selector, err := labels.Parse(o.IngressSelector)
	if err != nil {
		return fmt.Errorf("--ingress-selector %s: %w", o.IngressSelector, err)
	}
	s.Selection.Selector = selector
	return nil
}

func (o *Options) readEntries(s *translator.Settings) error {
	for _, e := range []struct {
		name, flag, address string
		public              uint16
		tls                 bool
	}{{"http", "--http", o.HTTP, o.HTTPPublicPort, false}, {"https", "--https", o.HTTPS, o.HTTPSPublicPort, true}} {
		if e.address == "" {
			continue
		}
		address, err := parseAddress(e.address)
		if err != nil {
			return fmt.Errorf("%s %s: %w", e.flag, e.address, err)
		}
		entry := model.Entry{Name: e.name, TLS: e.tls, Address: address, PublicPort: cmp.Or(e.public, address.Port())}
		s.Resolve.Entries = append(s.Resolve.Entries, entry)
	}
	if len(s.Resolve.Entries) == 0 {
		return errors.New("--http and --https are both empty, so nothing would be served")
	}
	if o.HTTPSEnforced && o.HTTPS == "" {
		return errors.New("--https-enforced needs an https entry to redirect to: open it by --https")
	}
	// Without an https entry of ours, redirects lead to somebody else's, at the port that https has.
	s.Resolve.Edge.HTTPSPublicPort = cmp.Or(o.HTTPSPublicPort, 443)
	for _, e := range s.Resolve.Entries {
		if e.TLS {
			s.Resolve.Edge.HTTPSPublicPort = e.PublicPort
		}
	}
	return nil
}

// parseAddress reads IP:PORT; :PORT is every address, localhost the loopback one.
func parseAddress(text string) (netip.AddrPort, error) {
	host, port, ok := cutLast(text, ":")
	if !ok {
		return netip.AddrPort{}, errors.New("write IP:PORT")
	}
	switch host {
	case "":
		host = "0.0.0.0"
	case "localhost":
		host = "127.0.0.1"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return netip.AddrPort{}, fmt.Errorf("%q is not a port from 1 to 65535", port)
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is not an IP address", host)
	}
	return netip.AddrPortFrom(addr, uint16(n)), nil
}

func cutLast(s, sep string) (string, string, bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func (o *Options) readProxies(s *translator.Settings) error {
	proxies, err := parseRanges(o.TrustedProxies)
	if err != nil {
		return fmt.Errorf("--trusted-proxies %w", err)
	}
	s.Resolve.Edge.TrustedProxies = proxies
	return nil
}

func (o *Options) readClients(s *translator.Settings) error {
	clients, err := parseRanges(o.AllowedClients)
	if err != nil {
		return fmt.Errorf("--allowed-clients %w", err)
	}
	// IPv4 written as IPv6 means the same clients as IPv4, as in whitelist-source-range.
	const mapped = 96 // the bits before the IPv4 address
	for i, p := range clients {
		if p.Addr().Is4In6() && p.Bits() >= mapped {
			clients[i] = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
		}
	}
	slices.SortFunc(clients, netip.Prefix.Compare)
	s.Resolve.Edge.AllowedClients = slices.Compact(clients)
	return nil
}

// parseRanges reads CIDRs and addresses, and gives them sorted, each once: Envoy refuses a listener that names a range
// twice.
func parseRanges(texts []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range texts {
		text = strings.TrimSpace(text)
		p, err := netip.ParsePrefix(text)
		if err != nil {
			addr, addrErr := netip.ParseAddr(text)
			if addrErr != nil {
				return nil, fmt.Errorf("%s: it is neither a CIDR nor an IP address", text)
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		out = append(out, p.Masked())
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out), nil
}

func (o *Options) readExternalNames(s *translator.Settings) error {
	policy, err := resolve.ParseExternalNames(o.ExternalName)
	if err != nil {
		return fmt.Errorf("--external-name %s: %w", strings.Join(o.ExternalName, ","), err)
	}
	if policy.Deny, err = parseRanges(o.DenyCIDR); err != nil {
		return fmt.Errorf("--deny-cidr %w", err)
	}
	s.Resolve.ExternalNames = policy
	return nil
}

func (o *Options) readBackends(s *translator.Settings) error {
	for _, text := range o.Backends {
		b, err := parseBackend(text)
		if err != nil {
			return fmt.Errorf("--backend %s: %w", text, err)
		}
		s.Resolve.Backends = append(s.Resolve.Backends, b)
	}
	return nil
}

func parseBackend(text string) (resolve.BackendAddress, error) {
	form := errors.New("write NAMESPACE/NAME:PORT=HOST:PORT")
	service, to, ok := strings.Cut(text, "=")
	if !ok {
		return resolve.BackendAddress{}, form
	}
	name, port, ok := strings.Cut(service, ":")
	namespace, name, ok2 := strings.Cut(name, "/")
	if !ok || !ok2 || namespace == "" || name == "" || port == "" {
		return resolve.BackendAddress{}, form
	}
	address, err := parseAddress(to)
	if err != nil {
		return resolve.BackendAddress{}, err
	}
	ref := model.PortRef{Name: port}
	if n, err := strconv.ParseUint(port, 10, 64); err == nil {
		if n == 0 || n > 65535 {
			return resolve.BackendAddress{}, fmt.Errorf("%s is not a port from 1 to 65535", port)
		}
		ref = model.PortRef{Number: int32(n)}
	}
	return resolve.BackendAddress{
		Service: resolve.ServiceKey{Namespace: namespace, Name: name}, Port: ref, Address: address,
	}, nil
}

func (o *Options) readCertificate(s *translator.Settings) error {
	if o.DefaultTLS != "" {
		namespace, name, ok := strings.Cut(o.DefaultTLS, "/")
		if !ok || namespace == "" || name == "" {
			return fmt.Errorf("--default-tls-secret %s: write NAMESPACE/NAME", o.DefaultTLS)
		}
		s.Resolve.DefaultTLSSecret = resolve.ServiceKey{Namespace: namespace, Name: name}
	}
	if o.TLSCertDir == "" {
		return nil
	}
	c, err := LoadCertificate(o.TLSCertDir)
	if err != nil {
		return fmt.Errorf("--tls-cert-dir: %w", err)
	}
	s.Resolve.DefaultCertificate = c
	return nil
}

// CertificateFiles are the files of --tls-cert-dir, empty where it is not given.
func (o *Options) CertificateFiles() []string {
	if o.TLSCertDir == "" {
		return nil
	}
	return []string{filepath.Join(o.TLSCertDir, "tls.crt"), filepath.Join(o.TLSCertDir, "tls.key")}
}

func (o *Options) readSlashes(s *translator.Settings) error {
	slashes, err := model.ParseEscapedSlashes(o.EscapedSlashes)
	if err != nil {
		return fmt.Errorf("--escaped-slashes %s: %w", o.EscapedSlashes, err)
	}
	s.Resolve.Edge.EscapedSlashes = slashes
	return nil
}

func (o *Options) readAccessLog(s *translator.Settings) error {
	log, err := model.ParseAccessLog(o.AccessLog)
	if err != nil {
		return fmt.Errorf("--access-log %s: %w", o.AccessLog, err)
	}
	s.Resolve.Edge.AccessLog = log
	return nil
}

// readTrust reads the bundle even where nothing is verified by default: an annotation may ask for it.
func (o *Options) readTrust(s *translator.Settings) error {
	bundle := systemRoots()
	if o.UpstreamCA != "" {
		own, err := os.ReadFile(o.UpstreamCA)
		if err != nil {
			return fmt.Errorf("--upstream-ca: %w", err)
		}
		if err := resolve.CheckBundle(own); err != nil {
			return fmt.Errorf("--upstream-ca %s: %w", o.UpstreamCA, err)
		}
		bundle = append(append(bundle, '\n'), resolve.OnlyCertificates(own)...)
	}
	s.Resolve.Edge.UpstreamTrust = bundle
	return nil
}
