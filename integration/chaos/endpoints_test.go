package chaos

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
)

const (
	endpointsMany = 20
	endpointsFew  = 2
	// roundsQuiet is how many requests every client makes, without one to a pod, for the pod to count as left alone.
	roundsQuiet = 40
)

// pod is a backend with its conditions in the EndpointSlice.
type pod struct {
	*traffic.Backend
	ready, serving, terminating bool
}

// pods are those of one Service.
type pods struct {
	t       *testing.T
	gateway *gateway
	all     []*pod
	started int
	load    *traffic.Load
}

// TestEndpoints: a Service goes from 20 endpoints to 2 and back, again and again, as pods come and go: those that leave
// are marked so, are taken out, answer what they have begun and end. No request fails.
func TestEndpoints(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, dataPlane string) {
		size, g := size(), newGateway(t)
		p := &pods{t: t, gateway: g}
		g.replace("scaled.yaml", ingress("scaled", "scaled.test", "")+
			"{apiVersion: v1, kind: Service, metadata: {name: scaled}, spec: {ports: [{port: 80}]}}\n---\n"+secret("scaled", newPair(t, "scaled.test")))
		p.start(endpointsMany)
		p.ready()
		g.up(dataPlane)
		elsewhere := watchElsewhere(t, g)
		p.load = traffic.Start(append(elsewhere.clients(), p.clients()...)...)
		p.allAnswer()
		for range size.drains {
			p.scaleDown()
			p.start(endpointsMany - endpointsFew)
			p.write() // There, and not ready.
			p.ready()
			p.allAnswer()
		}
		p.load.Stop().Check(t, int64(size.drains*roundsQuiet))
		elsewhere.check()
		t.Logf("%d times from %d endpoints to %d and back", size.drains, endpointsMany, endpointsFew)
	})
}

// clients ask the Service, in every way.
func (p *pods) clients() []traffic.Client {
	body := []byte(strings.Repeat("x", 64<<10))
	one := func(kind, method string, body []byte, dial func() *traffic.Connection, keep bool) traffic.Client {
		kept := dial()
		p.t.Cleanup(kept.Close)
		return traffic.Client{Kind: kind, Ask: func() error {
			c := kept
			if !keep {
				c = dial()
				defer c.Close()
			}
			a, err := c.Do(method, "scaled.test", "/x", body)
			if err == nil && (a.Status != http.StatusOK || !strings.HasPrefix(a.Body, "pod-") || !strings.HasSuffix(a.Body, string(body))) {
				err = fmt.Errorf("%d %.100q", a.Status, a.Body)
			}
			return err
		}}
	}
	plain := func() *traffic.Connection { return traffic.Dial(p.gateway.http, nil) }
	secure := func() *traffic.Connection {
		return traffic.Dial(p.gateway.https, trusting("scaled.test", "h2"))
	}
	return []traffic.Client{
		one("GET of a Service that is scaled", http.MethodGet, nil, plain, true),
		one("GET of a Service that is scaled", http.MethodGet, nil, plain, true),
		one("GET of a Service that is scaled, over HTTP/2", http.MethodGet, nil, secure, true),
		one("POST to a Service that is scaled", http.MethodPost, body, plain, true),
		one("new connection to a Service that is scaled", http.MethodGet, nil, plain, false),
	}
}

// start brings up pods that are not ready.
func (p *pods) start(n int) {
	for range n {
		p.started++
		p.all = append(p.all, &pod{Backend: traffic.Listen(p.t, fmt.Sprintf("pod-%d", p.started))})
	}
}

// ready makes all pods ready, in two writes.
func (p *pods) ready() {
	for i, one := range p.all {
		one.ready, one.serving = true, true
		if i == len(p.all)/2 {
			p.write()
		}
	}
	p.write()
}

// write writes the EndpointSlices.
func (p *pods) write() {
	p.t.Helper()
	var out strings.Builder
	// A port is that of a whole slice, and these pods share an address and not a port: a slice for each.
	for _, one := range p.all {
		fmt.Fprintf(&out, `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %s, labels: {kubernetes.io/service-name: scaled}}, addressType: IPv4, endpoints: [{addresses: [%s], conditions: {ready: %t, serving: %t, terminating: %t}}], ports: [{port: %d}]}
---
`, one.Name, one.Address().Addr(), one.ready, one.serving, one.terminating, one.Address().Port())
	}
	p.gateway.replace("scaled-endpoints.yaml", out.String())
}

// allAnswer waits until every pod gets requests.
func (p *pods) allAnswer() {
	p.t.Helper()
	before := map[*pod]int64{}
	for _, one := range p.all {
		before[one] = one.Requests()
	}
	eventually(p.t, "requests to every pod", func() error {
		for _, one := range p.all {
			if one.Requests() == before[one] {
				return fmt.Errorf("%s gets none", one.Name)
			}
		}
		return nil
	})
}

// scaleDown takes out all pods but a few, as a cluster does.
func (p *pods) scaleDown() {
	p.t.Helper()
	staying, leaving := p.all[:endpointsFew:endpointsFew], p.all[endpointsFew:]
	held := p.hold(leaving)
	for _, one := range leaving {
		one.ready, one.serving, one.terminating = false, true, true
	}
	p.write()
	p.untilQuiet(leaving)
	for _, one := range leaving {
		one.Leave()
	}
	// They are gone from the slices once their process has ended; the order of the two is nobody's promise.
	p.all = staying
	p.write()
	for _, one := range staying {
		one.Release()
	}
	for _, one := range leaving {
		one.Release()
	}
	for _, h := range held {
		h.finish(p.t)
	}
	ctx, cancel := context.WithTimeout(context.Background(), waitMax)
	defer cancel()
	for _, one := range leaving {
		if err := one.Shutdown(ctx); err != nil {
			p.t.Errorf("%s does not end: %v", one.Name, err)
		}
	}
}

// untilQuiet waits until pods get no more requests while others do: they were told.
func (p *pods) untilQuiet(leaving []*pod) {
	p.t.Helper()
	eventually(p.t, "pods that are taken out to get no requests", func() error {
		before := map[*pod]int64{}
		for _, one := range leaving {
			before[one] = one.Requests()
		}
		if err := p.load.Rounds(roundsQuiet); err != nil {
			return err
		}
		for _, one := range leaving {
			if one.Requests() != before[one] {
				return fmt.Errorf("%s still gets requests", one.Name)
			}
		}
		return nil
	})
}

// held is an answer that has begun and waits for its end.
type held struct {
	conn     net.Conn
	response *http.Response
}

// hold opens answers until each of the pods holds one at least.
func (p *pods) hold(leaving []*pod) []held {
	p.t.Helper()
	var out []held
	before := map[*pod]int64{}
	for _, one := range leaving {
		before[one] = one.Held()
	}
	eventually(p.t, "an answer that has begun at every pod", func() error {
		conn, err := net.Dial("tcp", p.gateway.http)
		if err != nil {
			return err
		}
		p.t.Cleanup(func() { _ = conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(waitMax)); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: scaled.test\r\nConnection: close\r\n\r\n", traffic.HoldPath); err != nil {
			return err
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return err
		}
		out = append(out, held{conn, response})
		for _, one := range leaving {
			if one.Held() == before[one] {
				return fmt.Errorf("%s holds none", one.Name)
			}
		}
		return nil
	})
	return out
}

// finish reads the answer to its end.
func (h held) finish(t *testing.T) {
	t.Helper()
	text, err := io.ReadAll(h.response.Body)
	if err != nil || h.response.StatusCode != http.StatusOK || string(text) != traffic.Begun+traffic.Ended {
		t.Errorf("an answer that had begun when its pod was taken out: %d %q, %v", h.response.StatusCode, text, err)
	}
}
