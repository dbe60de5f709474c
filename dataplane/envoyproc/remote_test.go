package envoyproc_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/authority"
	"github.com/postern-gateway/postern/controlplane/casetest/transcript"
	"github.com/postern-gateway/postern/controlplane/names/dnstest"
	"github.com/postern-gateway/postern/dataplane/envoyproc"
	"github.com/postern-gateway/postern/dataplane/identity"
)

const (
	// rotations is how often both sides get new files, every newCAEvery-th time of a new CA.
	rotations  = 20
	newCAEvery = 5
	certLife   = time.Hour
)

// securedFolders are the certificates of both sides.
type securedFolders struct {
	t       *testing.T
	base    string
	put     func(t *testing.T, dir string, files []authority.File)
	address string
	server  *identity.Folder
	// said is what the server says of certificates.
	said transcript.Text
}

func (s *securedFolders) dir(side string) string { return filepath.Join(s.base, side) }

// listen is at the same address each time.
func (s *securedFolders) listen(h *harness) net.Listener {
	h.t.Helper()
	lis, err := net.Listen("tcp", s.address)
	if err != nil {
		h.t.Fatal(err)
	}
	return lis
}

// write gives both sides certificates by a CA, trusting those given, and returns what Envoy should then have.
func (s *securedFolders) write(by *authority.CA, trusted ...*authority.CA) []string {
	s.t.Helper()
	var bundle []byte
	var serials []string
	for _, ca := range trusted {
		bundle = append(bundle, ca.Certificate...)
		serials = append(serials, serial(s.t, ca.Certificate))
	}
	for side, role := range map[string]authority.Role{"controlplane": authority.ControlPlane("test"), "dataplane": authority.DataPlane()} {
		pair, err := by.Issue(role, certLife)
		if err != nil {
			s.t.Fatal(err)
		}
		s.put(s.t, s.dir(side), authority.Files(pair, bundle))
		if side == "dataplane" {
			serials = append(serials, serial(s.t, pair.Certificate))
		}
	}
	return serials
}

// serial is a certificate's number as Envoy's admin prints it.
func serial(t *testing.T, text []byte) string {
	t.Helper()
	block, _ := pem.Decode(text)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`"serial_number": "%x"`, c.SerialNumber.Bytes())
}

func newAuthority(t *testing.T) *authority.CA {
	t.Helper()
	ca, err := authority.NewCA(certLife)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// putFiles moves each file into the folder, as postern certs does.
func putFiles(t *testing.T, dir string, files []authority.File) {
	t.Helper()
	if err := authority.Write(dir, files); err != nil {
		t.Fatal(err)
	}
}

// putVolume does as the kubelet does with a Secret's volume: all files change with one link.
func putVolume(t *testing.T, dir string, files []authority.File) {
	t.Helper()
	next := ".." + strconv.FormatInt(time.Now().UnixNano(), 36)
	if err := authority.Write(filepath.Join(dir, next), files); err != nil {
		t.Fatal(err)
	}
	link := func(to, at string) {
		if err := os.Symlink(to, at); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "..data")
	if _, err := os.Lstat(data); err != nil {
		link(next, data)
		for _, f := range files {
			link("..data/"+f.Name, filepath.Join(dir, f.Name))
		}
		return
	}
	link(next, data+"_tmp")
	if err := os.Rename(data+"_tmp", data); err != nil {
		t.Fatal(err)
	}
}

// newSecured is a harness whose control plane is reached over TLS at a name, or where that is empty at its address.
func newSecured(t *testing.T, host string, put func(*testing.T, string, []authority.File)) (*harness, *authority.CA) {
	t.Helper()
	h := newHarness(t)
	h.stopServer()
	s := &securedFolders{t: t, base: t.TempDir(), put: put, address: freeAddress(t).String()}
	ca := newAuthority(t)
	s.write(ca, ca)
	var err error
	if s.server, err = identity.Open(s.dir("controlplane"), identity.ControlPlane, slog.New(slog.NewTextHandler(&s.said, nil))); err != nil {
		t.Fatal(err)
	}
	at, err := net.ResolveTCPAddr("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	if host == "" {
		host = at.IP.String()
	}
	h.secured = s
	h.config.XDSSocket = ""
	h.config.XDS = &envoyproc.Remote{
		Host: host, Port: uint16(at.Port), CertDir: s.dir("dataplane"), ServerName: identity.ControlPlaneName,
	}
	h.startServer()
	return h, ca
}

// adminText asks Envoy's admin.
func (h *harness) adminText(path string) string {
	h.t.Helper()
	conn, err := net.Dial("unix", h.config.AdminSocket())
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n", path); err != nil {
		h.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(text)
}

// awaitCertificates waits until Envoy has read them all.
func (h *harness) awaitCertificates(serials []string) {
	h.t.Helper()
	deadline := time.Now().Add(testWaitMax)
	for {
		text, missing := h.adminText("/certs"), ""
		for _, s := range serials {
			if !strings.Contains(text, s) {
				missing = s
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("Envoy has not read %s:\n%s", missing, text)
		}
	}
}

// TestXDSCertificatesRotate: both sides get new files again and again, also of a new CA, each time before the control plane
// starts anew. Envoy reads them without a restart, and no handshake is refused.
func TestXDSCertificatesRotate(t *testing.T) {
	for name, put := range map[string]func(*testing.T, string, []authority.File){"files": putFiles, "volume": putVolume} {
		t.Run(name, func(t *testing.T) {
			h, ca := newSecured(t, "", put)
			one := backend(t, "shop/one/80", backendServer(t, "one"), false)
			h.startAndWait(h.publish(nil, h.listeners(false), one, h.tables(map[string]string{"a.test": "shop/one/80"})))
			c := h.dial()
			c.eventually("a.test", "200 one")
			for i := range rotations {
				if i%newCAEvery == newCAEvery-1 {
					next := newAuthority(t)
					h.awaitCertificates(h.secured.write(ca, ca, next))
					h.awaitCertificates(h.secured.write(next, ca, next))
					ca = next
				}
				h.awaitCertificates(h.secured.write(ca, ca))
				h.restartServer()
				host := fmt.Sprintf("r%d.test", i)
				h.wait(h.publish(nil, h.listeners(false), one, h.tables(map[string]string{"a.test": "shop/one/80", host: "shop/one/80"})))
				c.eventually(host, "200 one")
			}
			if said := h.secured.said.String(); said != "" {
				t.Errorf("the control plane says: %s", said)
			}
			stats := h.stats()
			for name, n := range stats {
				if n != 0 && strings.HasPrefix(name, "cluster.postern-xds.ssl.") && (strings.Contains(name, "fail") || strings.HasSuffix(name, "connection_error")) {
					t.Errorf("Envoy counts %s = %d", name, n)
				}
			}
			if n := stats["cluster.postern-xds.ssl.handshake"]; n < rotations+1 {
				t.Errorf("%d handshakes, want %d at least", n, rotations+1)
			}
			h.unmoved()
		})
	}
}

// TestControlPlaneByName: Envoy finds it by a name, and where the name leads later.
func TestControlPlaneByName(t *testing.T) {
	dns := dnstest.Start(t)
	elsewhere := dnstest.Record{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.9")}}
	for _, host := range []string{"xds.test.", "xds.test"} {
		t.Run(host, func(t *testing.T) {
			dns.Set("xds.test", elsewhere) // Nobody is there.
			h, _ := newSecured(t, host, putFiles)
			h.config.XDS.DNSServers = []netip.AddrPort{dns.Address}
			ready := h.beginEnvoy()
			h.awaitMore("cluster.postern-xds.upstream_cx_connect_fail")
			rev := h.publish(nil, h.listeners(false), h.tables(nil))
			dns.Set("xds.test", dnstest.Record{Addresses: []netip.Addr{netip.MustParseAddrPort(h.secured.address).Addr()}})
			ready()
			h.wait(rev)
		})
	}
}

// TestEnvoyVerifiesTheControlPlane: a server of another name, of another CA, or that is a data plane gets no request.
func TestEnvoyVerifiesTheControlPlane(t *testing.T) {
	h, ca := newSecured(t, "", putFiles)
	strangers := newAuthority(t)
	dir := h.secured.dir("controlplane")
	show := func(by *authority.CA, role authority.Role) {
		pair, err := by.Issue(role, certLife)
		if err != nil {
			t.Fatal(err)
		}
		putFiles(t, dir, authority.Files(pair, ca.Certificate))
	}
	show(strangers, authority.ControlPlane(""))
	h.publish(nil, h.listeners(false), h.tables(nil))
	ready := h.beginEnvoy()
	for _, wrong := range []struct {
		by   *authority.CA
		role authority.Role
		stat string
	}{
		{strangers, authority.ControlPlane(""), "fail_verify_error"},
		{ca, authority.Role{Name: "somebody", Usage: x509.ExtKeyUsageServerAuth}, "fail_verify_san"},
	} {
		show(wrong.by, wrong.role)
		h.awaitMore("cluster.postern-xds.ssl." + wrong.stat)
	}
	if n := len(h.server.Proxies()); n != 0 {
		t.Errorf("%d proxies have asked", n)
	}
	h.asDataPlane(ca)
	show(ca, authority.ControlPlane(""))
	h.startServer()
	rev := h.publish(nil, h.listeners(false), h.tables(nil))
	ready()
	h.wait(rev)
}

// asDataPlane has somebody with a data plane's certificate, which no control plane of ours would show, answer in the control
// plane's place until Envoy has refused it.
func (h *harness) asDataPlane(ca *authority.CA) {
	h.t.Helper()
	pair, err := ca.Issue(authority.DataPlane(), certLife)
	if err != nil {
		h.t.Fatal(err)
	}
	shown, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	if err != nil {
		h.t.Fatal(err)
	}
	h.stopServer()
	lis, err := tls.Listen("tcp", net.JoinHostPort(h.config.XDS.Host, fmt.Sprint(h.config.XDS.Port)), &tls.Config{Certificates: []tls.Certificate{shown}})
	if err != nil {
		h.t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := lis.Accept()
			if err != nil {
				return
			}
			if c.(*tls.Conn).Handshake() == nil {
				h.t.Error("a data plane's certificate was taken for the control plane's")
			}
			_ = c.Close()
		}
	})
	h.awaitMore("cluster.postern-xds.ssl.fail_verify_error")
	_ = lis.Close()
	serving.Wait()
}

// awaitMore waits until Envoy has counted another of something.
func (h *harness) awaitMore(stat string) {
	h.t.Helper()
	before := h.stats()[stat]
	for deadline := time.Now().Add(testWaitMax); h.stats()[stat] <= before; {
		if time.Now().After(deadline) {
			h.t.Fatalf("%s stays %d", stat, before)
		}
	}
}

// beginEnvoy starts Envoy, waits until its admin answers, and gives what waits until it is ready.
func (h *harness) beginEnvoy() func() {
	h.t.Helper()
	ready := make(chan struct{})
	h.config.OnReady = func() { close(ready) }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- envoyproc.Run(ctx, h.config, slog.New(warningLog{testLog(h.t).Handler(), h})) }()
	h.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Error(err)
		}
	})
	for deadline := time.Now().Add(testWaitMax); ; {
		if _, err := h.config.Stats(h.t.Context()); err == nil {
			break
		} else if time.Now().After(deadline) {
			h.t.Fatal(err)
		}
	}
	return func() {
		select {
		case <-ready:
		case <-time.After(testWaitMax):
			h.t.Fatal("Envoy is not ready")
		}
	}
}
