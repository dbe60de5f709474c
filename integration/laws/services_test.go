package laws

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/live"
)

// servicesCase has one Service to a path of a.test, each annotated with one annotation of Traefik 1.7.
func servicesCase(t *testing.T, annotations map[string]string) *casetest.Case {
	t.Helper()
	var paths, objects []string
	for name, annotation := range annotations {
		paths = append(paths, fmt.Sprintf("{path: /%[1]s, pathType: Prefix, backend: {service: {name: %[1]s, port: {number: 80}}}}", name))
		objects = append(objects, fmt.Sprintf("---\n{apiVersion: v1, kind: Service, metadata: {name: %[1]s, namespace: default, annotations: {%[2]s}}, spec: {ports: [{port: 80}]}}\n"+
			"---\n{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %[1]s-1, namespace: default, labels: {kubernetes.io/service-name: %[1]s}}, "+
			"addressType: IPv4, endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}], ports: [{port: 80}]}\n", name, annotation))
	}
	text := "What Services ask for.\n-- input.yaml --\n{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: web, namespace: default}, " +
		"spec: {rules: [{host: a.test, http: {paths: [" + strings.Join(paths, ", ") + "]}}]}}\n" + strings.Join(objects, "") + "-- probes.txt --\n"
	return parse(t, "services", []byte(text))
}

// eachPlane runs a test on both data planes.
func eachPlane(t *testing.T, c *casetest.Case, test func(*testing.T, casetest.Judge)) {
	live.NeedEnvoy(t)
	for _, court := range []casetest.Court{live.Go, live.Envoy} {
		t.Run(court.Name, func(t *testing.T) {
			t.Parallel()
			results, err := c.Translate()
			if err != nil {
				t.Fatal(err)
			}
			judge := court.Open(t, c)
			if err := judge.Publish(results[0]); err != nil {
				t.Fatal(err)
			}
			test(t, judge)
		})
	}
}

const (
	// breakerMax is how long a breaker may take for a step: two periods and what a loaded machine needs.
	breakerMax = 40 * time.Second
	askEvery   = 200 * time.Millisecond
)

// TestBreaker: endpoints that only answer 502 are left alone, so that requests are 503, and asked again later. A Service
// whose expression does not count 502 answers it all the time.
func TestBreaker(t *testing.T) {
	c := servicesCase(t, map[string]string{
		"breaks": `ingress.kubernetes.io/circuit-breaker-expression: "NetworkErrorRatio() > 0.5"`,
		"calm":   `ingress.kubernetes.io/circuit-breaker-expression: "ResponseCodeRatio(500, 502, 0, 600) > 0.5"`,
	})
	eachPlane(t, c, func(t *testing.T, judge casetest.Judge) {
		ask := func(path string, respond ...string) casetest.Answer {
			t.Helper()
			p := casetest.NewProbe(http.MethodGet, "http://a.test/"+path)
			if len(respond) > 0 {
				p.Header["Respond"] = respond
			}
			a, err := judge.Ask(p)
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		until := func(what string, done func() bool) {
			t.Helper()
			tick := time.NewTicker(askEvery)
			defer tick.Stop()
			for end := time.Now().Add(breakerMax); !done(); <-tick.C {
				if time.Now().After(end) {
					t.Fatal("not within time: " + what)
				}
			}
		}
		until("the circuit opens", func() bool {
			if a := ask("calm", "502"); a.Status != http.StatusBadGateway || a.Seen == nil {
				t.Fatalf("calm answers %d %s", a.Status, a.Why)
			}
			a := ask("breaks", "502")
			return a.Status == http.StatusServiceUnavailable && a.Seen == nil
		})
		if a := ask("breaks"); a.Status != http.StatusServiceUnavailable || a.Seen != nil {
			t.Errorf("with the circuit open: %d %s", a.Status, a.Why)
		}
		until("the circuit closes", func() bool { return ask("breaks").Status == http.StatusOK })
	})
}

// TestBuffering: a body is held until it is whole, however it is framed, and refused beyond the limit; the backend learns
// its length.
func TestBuffering(t *testing.T) {
	const most = 100_000
	c := servicesCase(t, map[string]string{
		"held":  fmt.Sprintf(`ingress.kubernetes.io/buffering: "maxrequestbodybytes: %d"`, most),
		"loose": `ingress.kubernetes.io/affinity: "false"`,
	})
	eachPlane(t, c, func(t *testing.T, judge casetest.Judge) {
		wire := judge.(casetest.Wire)
		for _, one := range []struct {
			path   string
			bytes  int
			status int
		}{
			{"held", 0, 200}, {"held", 1, 200}, {"held", most, 200}, {"held", most + 1, 413}, {"held", 10 * most, 413}, {"loose", 10 * most, 200},
		} {
			for _, chunked := range []bool{false, true} {
				status, length := post(t, wire, one.path, one.bytes, chunked)
				if status != one.status {
					t.Errorf("%d bytes to /%s, chunked %t: %d, want %d", one.bytes, one.path, chunked, status, one.status)
				}
				if want := fmt.Sprint(one.bytes); one.path == "held" && one.status == 200 && one.bytes > 0 && length != want {
					t.Errorf("%d bytes to /%s, chunked %t: the backend sees Content-Length %q", one.bytes, one.path, chunked, length)
				}
			}
		}
	})
}

// post sends a body and gives the status of the answer and the length that the backend was told.
func post(t *testing.T, wire casetest.Wire, path string, n int, chunked bool) (status int, length string) {
	t.Helper()
	wire.TakeSeen()
	conn, err := wire.Dial("http", netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	head, body, end := fmt.Sprintf("Content-Length: %d\r\n\r\n", n), strings.Repeat("x", n), ""
	if chunked {
		head, end = "Transfer-Encoding: chunked\r\n\r\n", "0\r\n\r\n"
		if n > 0 {
			body = fmt.Sprintf("%x\r\n%s\r\n", n, body)
		}
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.WriteString(conn, "POST /"+path+" HTTP/1.1\r\nHost: a.test\r\n"+head+body+end) // The answer may come before its end.
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%d bytes to /%s, chunked %t: %v", n, path, chunked, err)
	}
	_ = conn.Close()
	<-sent
	for _, seen := range wire.TakeSeen() {
		length = seen.Header.Get("Content-Length")
	}
	return resp.StatusCode, length
}
