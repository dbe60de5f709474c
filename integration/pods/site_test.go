package pods

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
	"github.com/postern-gateway/postern/integration/processes"
)

const (
	shopNamespace = "shop"
	steadyHosts   = 4
	// redirectAnnotation has the edited host redirect.
	redirectAnnotation = "ingress.kubernetes.io/ssl-redirect"
	editedHost         = "edited.test"
	edited             = "edited"
	// private is a host that asks for a user, and whose Service answers privateMax requests of a header X-Of at once.
	private        = "private"
	privateMax     = 1
	user, password = "user", "test"
)

// bounded are the annotations of its Service.
var bounded = fmt.Sprintf(`, annotations: {ingress.kubernetes.io/max-conn-amount: "%d", ingress.kubernetes.io/max-conn-extractor-func: request.header.X-Of}`, privateMax)

// users is the Secret with the user.
const users = `---
{apiVersion: v1, kind: Secret, metadata: {name: users, namespace: shop}, stringData: {auth: "user:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M="}}
`

var getOptions metav1.GetOptions

// site is what is served: steady hosts that nothing is done to, and one that is edited.
type site struct {
	lab *lab
	// private is the backend of the host private.
	private *traffic.Backend
	kept    []*traffic.Connection
	asked   atomic.Int64
}

// newSite creates its objects.
func (l *lab) newSite() *site {
	l.t.Helper()
	for i := range steadyHosts {
		l.host(fmt.Sprintf("steady-%d", i), i+1)
	}
	l.host(edited, steadyHosts+1)
	b := l.host(private, steadyHosts+2)
	l.cluster.Apply(l.t, users+service(private, bounded, b))
	l.annotate(private, "ingress.kubernetes.io/auth-type", "basic")
	l.annotate(private, "ingress.kubernetes.io/auth-secret", "users")
	return &site{lab: l, private: b}
}

func steadyHost(i int) string { return fmt.Sprintf("steady-%d.test", i) }

// host creates a host NAME.test with a certificate, and its backend, the nth.
func (l *lab) host(name string, n int) *traffic.Backend {
	l.t.Helper()
	b := traffic.ListenAt(l.t, name, fmt.Sprintf("10.244.3.%d:8080", n))
	l.cluster.Apply(l.t, ingress(name, "/")+service(name, "", b)+secret(name, casetest.NewPair(name+".test", casetest.SignedByCA)))
	return b
}

func secret(name string, p casetest.Pair) string {
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf(`---
{apiVersion: v1, kind: Secret, metadata: {name: %s, namespace: shop}, type: kubernetes.io/tls, data: {tls.crt: %s, tls.key: %s}}
`, name, encode(p.Certificate), encode(p.Key))
}

// ingress sends all below a path of NAME.test to the Service NAME.
func ingress(name, path string) string {
	return fmt.Sprintf(`---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %[1]s, namespace: shop}
spec:
  ingressClassName: postern
  tls: [{hosts: ["%[1]s.test"], secretName: %[1]s}]
  rules: [{host: "%[1]s.test", http: {paths: [{path: %[2]s, pathType: Prefix, backend: {service: {name: %[1]s, port: {number: 80}}}}]}}]
`, name, path)
}

// service is a Service of one endpoint; metadata is put beside its name.
func service(name, metadata string, b *traffic.Backend) string {
	return fmt.Sprintf(`---
{apiVersion: v1, kind: Service, metadata: {name: %[1]s, namespace: shop%[2]s}, spec: {ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %[1]s-1, namespace: shop, labels: {kubernetes.io/service-name: %[1]s}}, addressType: IPv4,
  endpoints: [{addresses: ["%[3]s"]}], ports: [{port: %[4]d}]}
`, name, metadata, b.Address().Addr(), b.Address().Port())
}

// trusting are the settings of a client that verifies the certificate for a host.
func trusting(host string, protocols ...string) *tls.Config {
	return &tls.Config{RootCAs: casetest.ClientCAs(), ServerName: host, NextProtos: protocols}
}

// clients are the load on the steady hosts. Each has asked once for every host, so that their certificates are there.
func (s *site) clients() []traffic.Client {
	t := s.lab.t
	t.Helper()
	var out []traffic.Client
	add := func(kind string, dial func(host string) *traffic.Connection, kept bool) {
		connections := make([]*traffic.Connection, steadyHosts)
		if kept {
			for i := range connections {
				connections[i] = dial(steadyHost(i))
				t.Cleanup(connections[i].Close)
			}
			s.kept = append(s.kept, connections...)
		}
		n := 0
		client := traffic.Client{Kind: kind, Ask: func() error {
			i := n % steadyHosts
			n++
			c := connections[i]
			if c == nil {
				c = dial(steadyHost(i))
				defer c.Close()
			}
			return steady(c, i)
		}}
		for range steadyHosts {
			if err := client.Ask(); err != nil {
				t.Fatalf("before the load: %s: %v", kind, err)
			}
		}
		out = append(out, client)
	}
	plain := func(string) *traffic.Connection { return traffic.Dial(entryHTTP, nil) }
	secure := func(host string) *traffic.Connection { return traffic.Dial(entryHTTPS, trusting(host, "h2")) }
	add("http, kept", plain, true)
	add("https over HTTP/2, kept", secure, true)
	add("http, new connection", plain, false)
	add("https, new handshake", secure, false)
	for _, c := range []traffic.Client{{Kind: "with a password", Ask: func() error { return s.asUser(password, http.StatusOK) }},
		{Kind: "with a wrong password", Ask: func() error { return s.asUser("wrong", http.StatusUnauthorized) }}} {
		if err := c.Ask(); err != nil {
			t.Fatalf("before the load: %s: %v", c.Kind, err)
		}
		out = append(out, c)
	}
	return out
}

// asUser is one request with a password, over a connection of its own.
func (s *site) asUser(password string, want int) error {
	// A request is counted until a moment after its answer, so each is bounded by itself.
	r, err := begin("/", of(fmt.Sprintf("load %d", s.asked.Add(1))), password)
	if err != nil {
		return err
	}
	return r.end(want)
}

// of is the value of the header X-Of: requests of one value are bounded together.
type of string

// request is one of which all but the end of its header is sent.
type request struct {
	conn net.Conn
	in   *bufio.Reader
}

// begin sends it, over a connection of its own.
func begin(path string, o of, password string) (*request, error) {
	conn, err := net.DialTimeout("tcp", entryHTTP, processes.WaitMax)
	if err != nil {
		return nil, err
	}
	r := &request{conn, bufio.NewReader(conn)}
	credentials := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	err = conn.SetDeadline(time.Now().Add(processes.WaitMax))
	if err == nil {
		_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s.test\r\nX-Of: %s\r\nAuthorization: Basic %s\r\n", path, private, o, credentials)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return r, nil
}

// send ends its header.
func (r *request) send() error {
	_, err := io.WriteString(r.conn, "Connection: close\r\n\r\n")
	return err
}

// end sends the rest of it, and is an error where the answer is another.
func (r *request) end(want int) error {
	if err := r.send(); err != nil {
		_ = r.conn.Close()
		return err
	}
	_, err := r.answer(want)
	return err
}

// answer takes what comes, of which the body is given.
func (r *request) answer(want int) (body string, err error) {
	defer func() { err = errors.Join(err, r.conn.Close()) }()
	a, err := http.ReadResponse(r.in, nil)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(a.Body)
	if err == nil && a.StatusCode != want {
		err = fmt.Errorf("status %d, want %d: %.200q", a.StatusCode, want, text)
	}
	return string(text), err
}

// steady asks for a steady host.
func steady(c *traffic.Connection, i int) error {
	a, err := c.Get(steadyHost(i), "/steady")
	if err == nil && (a.Status != http.StatusOK || !strings.HasPrefix(a.Body, fmt.Sprintf("steady-%d /steady ", i))) {
		err = fmt.Errorf("%d %.200q", a.Status, a.Body)
	}
	if err == nil && a.Close {
		err = errors.New("the answer asks for the connection to be closed")
	}
	return err
}

// check fails the test where a connection that nothing may close was closed.
func (s *site) check() {
	s.lab.t.Helper()
	for _, c := range s.kept {
		for _, end := range c.Ends() {
			s.lab.t.Errorf("a connection that nothing may close has ended %s", end)
		}
	}
}

// edit makes the nth edit: the edited host redirects after those that are odd.
func (s *site) edit(n int) {
	s.lab.t.Helper()
	var value any
	if n%2 == 1 {
		value = "true"
	}
	s.lab.annotate(edited, redirectAnnotation, value)
}

// edited is whether the nth edit is in force.
func (s *site) edited(n int) error {
	c := traffic.Dial(entryHTTP, nil)
	defer c.Close()
	a, err := c.Get(editedHost, "/")
	if want := n%2 == 1; err == nil && (a.Status != http.StatusOK) != want {
		err = fmt.Errorf("status %d after edit %d", a.Status, n)
	}
	return err
}

// awaitEdit waits until the nth edit is in force.
func (s *site) awaitEdit(t *testing.T, n int) {
	t.Helper()
	processes.Eventually(t, fmt.Sprintf("edit %d", n), func() error { return s.edited(n) })
}
