package envoyproc_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
	"github.com/postern-gateway/postern/controlplane/files"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/resolve"
)

// clientCAs are two Secrets whose ca.crt are the authorities of casetest's certificates.
func clientCAs(t testing.TB) string {
	t.Helper()
	var out strings.Builder
	for _, name := range []string{"one", "two"} {
		fmt.Fprintf(&out, "{apiVersion: v1, kind: Secret, metadata: {name: %s, namespace: shop}, stringData: {ca.crt: %q}}\n---\n", name, casetest.AuthorityPEM(name))
	}
	return out.String()
}

// hosts publishes what the translator makes of one Ingress for each host; a host's value is the Secret of its client CA,
// empty for none.
func (h *harness) hosts(backend *net.TCPAddr, hosts map[string]string) xds.Revision {
	h.t.Helper()
	return h.changedHosts(backend, hosts, func(proto.Message) {})
}

// changedHosts is hosts, of which each message is changed first.
func (h *harness) changedHosts(backend *net.TCPAddr, hosts map[string]string, change func(proto.Message)) xds.Revision {
	h.t.Helper()
	text := clientCAs(h.t)
	for _, host := range sortedKeys(hosts) {
		annotations := ""
		if hosts[host] != "" {
			annotations = ", annotations: {postern.dev/client-ca-secret: " + hosts[host] + "}"
		}
		text += fmt.Sprintf(`{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: %s, namespace: shop%s}, spec: {rules: [{host: %s, http: {paths: [
  {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}}
---
`, host, annotations, host)
	}
	world, err := files.Decode("hosts.yaml", []byte(text))
	if err != nil {
		h.t.Fatal(err)
	}
	certificate := casetest.NewPair("fallback.test", casetest.SignedByCA)
	result := translator.Translate(world, translator.Settings{Resolve: resolve.Settings{
		Entries: []model.Entry{
			{Name: "http", Address: h.http.AddrPort()}, {Name: "https", TLS: true, Address: h.https.AddrPort()},
		},
		ClusterDomain:      "cluster.local",
		DefaultCertificate: &model.Certificate{Chain: certificate.Certificate, Key: certificate.Key},
		Backends: []resolve.BackendAddress{{
			Service: resolve.ServiceKey{Namespace: "shop", Name: "web"}, Port: model.PortRef{Number: 80}, Address: backend.AddrPort(),
		}},
	}})
	var resources []xds.Resource
	for _, r := range result.Resources {
		change(r.Message)
		resources = append(resources, xds.Resource{TypeURL: r.TypeURL, Name: r.Name, Message: r.Message, Origins: r.Origins})
	}
	snap, err := xds.NewSnapshot(resources, result.Secret)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.server.Publish(snap)
}

// shake opens a connection by an SNI and with a client certificate of a CA, none where that is empty.
func (h *harness) shake(sni, ca string) (*connection, error) {
	h.t.Helper()
	raw, err := net.DialTimeout("tcp", h.https.String(), testWaitMax)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = raw.Close() })
	if err := raw.SetDeadline(time.Now().Add(testWaitMax)); err != nil {
		h.t.Fatal(err)
	}
	config := &tls.Config{ServerName: sni, InsecureSkipVerify: true}
	if ca != "" {
		own := casetest.ClientCertificate{Name: "client", CA: ca}.Pair()
		pair, err := tls.X509KeyPair(own.Certificate, own.Key)
		if err != nil {
			h.t.Fatal(err)
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	conn := tls.Client(raw, config)
	return &connection{t: h.t, conn: conn, r: bufio.NewReader(conn)}, conn.Handshake()
}

// webSocket opens one and makes sure that it lives.
func (h *harness) webSocket(host, ca string) *traffic.WebSocket {
	h.t.Helper()
	c, err := h.shake(host, ca)
	if err != nil {
		h.t.Fatal(err)
	}
	w, err := traffic.OpenWebSocket(c.conn, host, "/")
	if err != nil {
		h.t.Fatal(err)
	}
	return w
}

// served asks a host on a connection of its own; the answer is empty where the handshake fails.
func (h *harness) served(host, ca string) string {
	h.t.Helper()
	c, err := h.shake(host, ca)
	if err != nil {
		return ""
	}
	if _, err := fmt.Fprintf(c.conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host); err != nil {
		return ""
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return "" // In TLS 1.3 the client hears of its certificate after its own handshake.
	}
	return fmt.Sprint(resp.StatusCode)
}

// TestTLSSettingsChangeInPlace: a change of hosts' TLS settings, made by the translator, updates the listener in place.
// Connections on every chain that stays survive, those on the chain that goes drain.
func TestTLSSettingsChangeInPlace(t *testing.T) {
	h := newHarness(t)
	web := net.TCPAddrFromAddrPort(traffic.Listen(t, "web").Address())
	h.startAndWait(h.hosts(web, map[string]string{"open.test": "", "safe.test": ""}))
	open := h.webSocket("open.test", "")
	early, err := h.shake("safe.test", "")
	if err != nil {
		t.Fatal(err)
	}
	early.eventually("safe.test", "200 web / HTTP/1.1 safe.test")

	lives := func(w *traffic.WebSocket, when string) {
		t.Helper()
		if err := w.Echo(); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
	}
	updates := uint64(0)
	inPlace := func(when string, draining uint64) {
		t.Helper()
		updates++
		stats := h.stats()
		for name, want := range map[string]uint64{
			"total_listeners_draining": 0, "listener_added": 2, "listener_removed": 0, "listener_modified": updates,
			"listener_in_place_updated": updates, "total_filter_chains_draining": draining,
		} {
			if got := stats["listener_manager."+name]; got != want {
				t.Errorf("%s: %s is %d, want %d", when, name, got, want)
			}
		}
		lives(open, when)
	}
	is := func(host, ca, want string) {
		t.Helper()
		if got := h.served(host, ca); got != want {
			t.Errorf("%s with a certificate of CA %q: %q, want %q", host, ca, got, want)
		}
	}
	h.wait(h.hosts(web, map[string]string{"open.test": "", "safe.test": "one"}))
	inPlace("a client CA for a host", 0)
	early.eventually("safe.test", "421") // It has shown no certificate.
	is("safe.test", "", "")
	is("safe.test", "two", "")
	is("safe.test", "one", "200")
	safe := h.webSocket("safe.test", "one")

	h.wait(h.hosts(web, map[string]string{"open.test": "", "safe.test": "one", "second.test": "one"}))
	inPlace("a second host of the same settings", 0)
	lives(safe, "a second host of the same settings")
	is("second.test", "one", "200")

	h.wait(h.hosts(web, map[string]string{"open.test": "", "safe.test": "one", "second.test": "two"}))
	inPlace("other settings for the second host", 0)
	lives(safe, "other settings for the second host")
	is("second.test", "one", "")
	is("second.test", "two", "200")
	second := h.webSocket("second.test", "two")

	h.wait(h.hosts(web, map[string]string{"open.test": "", "safe.test": "", "second.test": "two"}))
	inPlace("the first host's settings go", 1)
	lives(second, "the first host's settings go")
	is("safe.test", "", "200")
	is("second.test", "", "")
	// Other edits of Ingresses do not touch it.
	before := h.stats()["listener_manager.listener_modified"]
	h.wait(h.hosts(web, map[string]string{"open.test": "", "late.test": "", "second.test": "two"}))
	if after := h.stats()["listener_manager.listener_modified"]; after != before {
		t.Errorf("a host without settings modified a listener: %d times, %d before", after, before)
	}
}

// TestListenerRefusedForASecret: a client CA that Envoy cannot read leaves the one before in force, but has the next change of
// the listener refused as a whole. When the Secret is mended the listener is in force, though nobody changes it, and Envoy
// tries nothing again by itself.
func TestListenerRefusedForASecret(t *testing.T) {
	h := newHarness(t)
	web := net.TCPAddrFromAddrPort(traffic.Listen(t, "web").Address())
	spoil := func(m proto.Message) {
		if secret, ok := m.(*tlsv3.Secret); ok && secret.GetValidationContext() != nil {
			secret.GetValidationContext().TrustedCa = bytesSource([]byte("-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n"))
		}
	}
	refused := func(kind string) {
		t.Helper()
		select {
		case nack := <-h.nacks:
			if !strings.HasSuffix(nack.TypeURL, "."+kind) {
				t.Fatalf("%s is refused, want a %s: %s", nack.TypeURL, kind, nack.Words)
			}
		case <-time.After(testWaitMax):
			t.Fatalf("no %s is refused", kind)
		}
	}
	is := func(host, ca, want string) {
		t.Helper()
		if got := h.served(host, ca); got != want {
			t.Errorf("%s with a certificate of CA %q: %q, want %q", host, ca, got, want)
		}
	}
	hosts := map[string]string{"open.test": "", "safe.test": "one"}
	h.startAndWait(h.hosts(web, hosts))
	is("safe.test", "one", "200")
	h.wait(h.changedHosts(web, hosts, spoil))
	refused("Secret")
	is("safe.test", "one", "200")
	is("safe.test", "", "")
	// Another chain by the same secret.
	hosts["second.test"] = `one, postern.dev/tls-min-version: "1.3"`
	h.wait(h.changedHosts(web, hosts, spoil))
	refused("Listener")
	is("safe.test", "one", "200")
	is("open.test", "", "200")
	h.wait(h.hosts(web, hosts))
	is("second.test", "one", "200")
	is("second.test", "", "")
	is("safe.test", "one", "200")
	if left := len(h.nacks); left > 0 {
		t.Errorf("%d more are refused", left)
	}
}
