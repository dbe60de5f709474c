package limits

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/casetest"
)

// bounded is a Service of its own that bounds its requests in flight, and an Ingress that leads to it.
func bounded(name, host, amount, by string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata:
  name: %[1]s
  namespace: default
  annotations: {traefik.ingress.kubernetes.io/max-conn-amount: "%[3]s", traefik.ingress.kubernetes.io/max-conn-extractor-func: "%[4]s"}
spec: {ports: [{port: 80}]}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %[1]s-1, namespace: default, labels: {kubernetes.io/service-name: %[1]s}}, addressType: IPv4, endpoints: [{addresses: [10.0.0.1]}], ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %[1]s, namespace: default, annotations: {traefik.ingress.kubernetes.io/rule-type: PathPrefixStrip}}
spec:
  rules:
  - host: "%[2]s"
    http:
      paths:
      - {path: "/", pathType: Prefix, backend: {service: {name: %[1]s, port: {number: 80}}}}
      - {path: "/strip", pathType: Prefix, backend: {service: {name: %[1]s, port: {number: 80}}}}
---
`, name, host, amount, by)
}

var inFlight = bounded("client", "client.test", "2", "client.ip") + bounded("host", "*.wild.test", "1", "request.host") +
	bounded("header", "header.test", "1", "request.header.X%Key") + bounded("one", "one.test", "1", "client.ip")

// holdMax bounds how long the end of a request may take to be known.
const holdMax = 30 * time.Second

// RunInFlight holds requests open at a data plane and asks for more than it may answer at once.
func RunInFlight(t *testing.T, court casetest.Court) {
	c := parse(t, inFlight)
	h := holder{t, court.Open(t, c).(casetest.Wire)}
	publish(t, h.wire, c)
	t.Run("client", h.client)
	t.Run("host", h.host)
	t.Run("header", h.header)
	t.Run("ends", h.ends)
	t.Run("sequence", h.sequence)
	t.Run("edit", func(t *testing.T) {
		held := h.webSocket("one.test", "/", "")
		publish(t, h.wire, parse(t, inFlight+bounded("more", "more.test", "1", "client.ip")))
		check(t, h.wire, "after an edit", "http://one.test/", http.StatusTooManyRequests)
		h.release(held, "http://one.test/")
	})
}

type holder struct {
	t    *testing.T
	wire casetest.Wire
}

func (h holder) client(t *testing.T) {
	first := h.webSocket("client.test", "/", "")
	second := h.webSocket("CLIENT.test:81", "/x", "")
	check(t, h.wire, "a third", "http://client.test/", http.StatusTooManyRequests)
	check(t, h.wire, "what a client says of itself", "http://client.test/  X-Forwarded-For: 192.0.2.1", http.StatusTooManyRequests)
	check(t, h.wire, "another client", "http://client.test/  from 127.0.0.2", http.StatusOK)
	check(t, h.wire, "the client of a trusted proxy", "http://client.test/  from 127.0.0.9  X-Forwarded-For: 192.0.2.1", http.StatusOK)
	check(t, h.wire, "another entry", "https://client.test/", http.StatusOK)
	check(t, h.wire, "another path", "http://client.test/strip/", http.StatusOK)
	h.release(first, "http://client.test/")
	check(t, h.wire, "one at a time beside it", "http://client.test/", http.StatusOK)
	h.release(second, "http://client.test/")
}

func (h holder) host(t *testing.T) {
	held := h.webSocket("a.wild.test", "/", "")
	check(t, h.wire, "the host in another spelling", "http://A.WILD.test:81/  from 127.0.0.2", http.StatusTooManyRequests)
	check(t, h.wire, "another host", "http://b.wild.test/", http.StatusOK)
	h.release(held, "http://a.wild.test/")
	// What is below a stripped prefix and the prefix itself count together.
	held = h.webSocket("a.wild.test", "/strip/x", "")
	check(t, h.wire, "the prefix itself", "http://a.wild.test/strip/", http.StatusTooManyRequests)
	h.release(held, "http://a.wild.test/strip/")
}

func (h holder) header(t *testing.T) {
	held := h.webSocket("header.test", "/", "X%Key: a\r\nX%Key: b\r\n")
	check(t, h.wire, "the same value", "http://header.test/  X%Key: a", http.StatusTooManyRequests)
	check(t, h.wire, "another value", "http://header.test/  X%Key: b", http.StatusOK)
	check(t, h.wire, "no value", "http://header.test/", http.StatusOK)
	h.release(held, "http://header.test/  X%Key: a")
	held = h.webSocket("header.test", "/", "")
	check(t, h.wire, "no value, twice", "http://header.test/", http.StatusTooManyRequests)
	h.release(held, "http://header.test/")
}

// ends: a request whose client goes away in the middle is over.
func (h holder) ends(t *testing.T) {
	held := h.send("one.test", "POST / HTTP/1.1\r\nHost: one.test\r\nContent-Length: 5\r\n\r\nab")
	h.until("http://one.test/", http.StatusTooManyRequests)
	h.release(held, "http://one.test/")
	// One that ends well is, too.
	held = h.send("one.test", "POST / HTTP/1.1\r\nHost: one.test\r\nContent-Length: 5\r\n\r\nab")
	h.until("http://one.test/", http.StatusTooManyRequests)
	if _, err := io.WriteString(held, "cde"); err != nil {
		t.Fatal(err)
	}
	if response, err := http.ReadResponse(bufio.NewReader(held), nil); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("a request that was held: %v, %v", response, err)
	}
	check(t, h.wire, "after its end", "http://one.test/", http.StatusOK)
	h.release(held, "http://one.test/")
}

// sequence: who asks only when the answer before is there is never refused.
func (h holder) sequence(t *testing.T) {
	conn := h.send("one.test", "")
	defer conn.Close()
	answers := bufio.NewReader(conn)
	for i := range 500 {
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: one.test\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(answers, nil)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("request %d: %v, %v", i, response, err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
	}
}

func (h holder) send(host, text string) net.Conn {
	h.t.Helper()
	conn, err := h.wire.Dial("http", netip.MustParseAddr("127.0.0.1"))
	if err == nil {
		_, err = io.WriteString(conn, text)
	}
	if err != nil {
		h.t.Fatalf("%s: %v", host, err)
	}
	return conn
}

// webSocket holds one open: a request that is counted, and not over.
func (h holder) webSocket(host, path, headers string) net.Conn {
	h.t.Helper()
	conn := h.send(host, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+headers+"\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		h.t.Fatalf("a WebSocket to %s%s: %v, %v", host, path, response, err)
	}
	return conn
}

// release ends a request that is held, and waits until another is admitted.
func (h holder) release(held net.Conn, probe string) {
	h.t.Helper()
	if err := held.Close(); err != nil {
		h.t.Error(err)
	}
	h.until(probe, http.StatusOK)
}

// until asks until there is an answer: who a client is done with, a data plane knows a little later.
func (h holder) until(probe string, want int) {
	h.t.Helper()
	var got int
	for end := time.Now().Add(holdMax); time.Now().Before(end); {
		words := strings.Split(probe, "  ")
		p := casetest.NewProbe(http.MethodGet, words[0])
		for _, w := range words[1:] {
			name, value, _ := strings.Cut(w, ": ")
			p.Header[name] = []string{value}
		}
		answer, err := h.wire.Ask(p)
		if err != nil {
			h.t.Fatal(err)
		}
		if got = answer.Status; got == want {
			return
		}
	}
	h.t.Errorf("%s: still %d after %s, want %d", probe, got, holdMax, want)
}
