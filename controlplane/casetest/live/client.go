package live

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
)

const (
	// probeMax bounds one probe.
	probeMax = 15 * time.Second
	// bodyMax is how many bytes of an answer's body are kept.
	bodyMax = 1024
	// interimMax bounds the interim responses (100 and so on) before the answer.
	interimMax = 3
)

// Ask implements casetest.Judge: each probe has a connection of its own, and its bytes are as written.
func (h *place) Ask(p casetest.Probe) (casetest.Answer, error) {
	h.asked++
	number := strconv.Itoa(h.asked)
	u := target{Probe: p}
	if err := u.read(); err != nil {
		return casetest.Answer{}, err
	}
	entry := "http"
	if u.tls {
		entry = "https"
	}
	at, ok := h.entries[entry]
	if !ok {
		return casetest.Answer{Why: "no " + entry + " entry is open"}, nil
	}
	u.header = p.Header.Clone()
	u.header.Set(probeHeader, number)
	h.farm.cookies(p.Want.Backend).replace(u.header["Cookie"])
	a, err := u.ask(at)
	if err != nil {
		return a, err
	}
	a.Seen = h.farm.take(number)
	back := h.farm.cookies("").back()
	back.replace(a.Response["Set-Cookie"])
	if a.Seen != nil {
		a.Seen.Header.Del(probeHeader)
		back.replace(a.Seen.Header["Cookie"])
	}
	return a, nil
}

// target is a probe with its URL in parts.
type target struct {
	casetest.Probe
	tls             bool
	authority, path string
	header          http.Header
}

func (u *target) read() error {
	scheme, rest, _ := strings.Cut(u.URL, "://")
	if scheme != "http" && scheme != "https" {
		return fmt.Errorf("%s: a scheme that is neither http nor https", u.URL)
	}
	u.tls, u.authority, u.path = scheme == "https", rest, "/"
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		u.authority, u.path = rest[:i], rest[i:]
		if u.path[0] != '/' {
			u.path = "/" + u.path
		}
	}
	return nil
}

// serverName is the SNI: the host without port and last dot, none for an address, unless the probe says otherwise.
func (u *target) serverName() string {
	switch u.SNI {
	case "":
	case explain.NoSNI:
		return ""
	default:
		return u.SNI
	}
	host := u.authority
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.Trim(host, "[]"), ".")
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	return host
}

func (u *target) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{ServerName: u.serverName(), InsecureSkipVerify: true, MinVersion: tls.VersionTLS12} // The probe states the certificate.
	if u.HTTP2 {
		config.NextProtos = []string{"h2"}
	}
	if u.TLSVersion == model.TLS12 {
		config.MaxVersion = tls.VersionTLS12
	}
	if u.Client == (casetest.ClientCertificate{}) {
		return config, nil
	}
	own := u.Client.Pair()
	pair, err := tls.X509KeyPair(own.Certificate, own.Key)
	// Shown whatever CAs the server names.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return config, err
}

// Dial implements casetest.Wire.
func (j *judge) Dial(entry string, from netip.Addr) (net.Conn, error) {
	conn, err := dial(j.entries[entry], from)
	if err != nil || entry != "https" {
		return conn, err
	}
	return tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}), nil // Any certificate will do.
}

// TakeSeen implements casetest.Wire.
func (j *judge) TakeSeen() []casetest.Seen { return j.farm.takeAll() }

func dial(at netip.AddrPort, from netip.Addr) (net.Conn, error) {
	dialer := net.Dialer{Timeout: probeMax, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	conn, err := dialer.Dial("tcp", at.String())
	if err != nil {
		return nil, fmt.Errorf("reach the data plane: %w", err)
	}
	// Thousands of probes must not leave as many ports behind that wait for late packets.
	if err := errors.Join(conn.(*net.TCPConn).SetLinger(0), conn.SetDeadline(time.Now().Add(probeMax))); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// ask sends the request. That the connection fails is an answer: none.
func (u *target) ask(at netip.AddrPort) (casetest.Answer, error) {
	var a casetest.Answer
	conn, err := dial(at, u.From)
	if err != nil {
		return a, err
	}
	defer conn.Close()
	if u.tls {
		config, err := u.tlsConfig()
		if err != nil {
			return a, err
		}
		secure := tls.Client(conn, config)
		if err := secure.Handshake(); err != nil {
			a.Why = err.Error()
			return a, nil
		}
		leaf := secure.ConnectionState().PeerCertificates[0]
		a.Certificate = leaf.Subject.CommonName
		if a.Certificate == "" && len(leaf.DNSNames) > 0 {
			a.Certificate = leaf.DNSNames[0]
		}
		conn = secure
	}
	exchange := u.overHTTP1
	if u.HTTP2 {
		exchange = u.overHTTP2
	}
	resp, err := exchange(conn)
	if err != nil {
		a.Why = err.Error()
		return a, nil
	}
	defer resp.Body.Close()
	a.Status, a.Response = resp.StatusCode, resp.Header
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return a, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyMax))
	if err != nil {
		a.Why = err.Error()
	}
	a.Body = string(body)
	return a, nil
}

// greeting goes over an upgraded connection and must come back.
const greeting = "are you there?"

func (u *target) overHTTP1(conn net.Conn) (*http.Response, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", u.Method, u.path, u.authority)
	names := make([]string, 0, len(u.header))
	for name := range u.header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range u.header[name] {
			fmt.Fprintf(&b, "%s: %s\r\n", name, v)
		}
	}
	if u.Method != http.MethodGet && u.Method != http.MethodHead {
		b.WriteString("Content-Length: 0\r\n")
	}
	if _, err := io.WriteString(conn, b.String()+"\r\n"); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, &http.Request{Method: u.Method})
	for range interimMax {
		if err != nil || resp.StatusCode >= http.StatusOK || resp.StatusCode == http.StatusSwitchingProtocols {
			break
		}
		resp, err = http.ReadResponse(r, &http.Request{Method: u.Method})
	}
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return resp, err
	}
	if _, err := io.WriteString(conn, greeting); err != nil {
		return nil, err
	}
	back := make([]byte, len(greeting))
	if _, err := io.ReadFull(r, back); err != nil || string(back) != greeting {
		return nil, errors.Join(fmt.Errorf("over the upgraded connection comes %q back", back), err)
	}
	return resp, nil
}

func (u *target) overHTTP2(conn net.Conn) (*http.Response, error) {
	var protocols http.Protocols
	protocols.SetHTTP2(u.tls)
	protocols.SetUnencryptedHTTP2(!u.tls)
	dial := func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	client := &http.Transport{DialContext: dial, DialTLSContext: dial, Protocols: &protocols, DisableCompression: true}
	path, query, asked := strings.Cut(u.path, "?")
	scheme := "http"
	if u.tls {
		scheme = "https"
	}
	if _, given := u.header["User-Agent"]; !given {
		u.header["User-Agent"] = nil // Or net/http adds its own.
	}
	return client.RoundTrip(&http.Request{
		Method: u.Method, Host: u.authority, Header: u.header, Proto: "HTTP/2", ProtoMajor: 2,
		URL: &url.URL{Scheme: scheme, Host: u.authority, Opaque: path, RawQuery: query, ForceQuery: asked},
	})
}
