package up

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/names/dnstest"
	"github.com/postern-gateway/postern/controlplane/options"
)

// victim is a server that must not be reached. It counts its connections and says nothing.
type victim struct {
	port  uint16
	count atomic.Int64
}

// newVictim listens on both loopback addresses; a machine without IPv6 has one.
func newVictim(t *testing.T) *victim {
	t.Helper()
	v := &victim{}
	for _, address := range []string{"127.0.0.1:0", "[::1]:%d"} {
		if v.port != 0 {
			address = fmt.Sprintf(address, v.port)
		}
		l, err := net.Listen("tcp", address)
		if err != nil && v.port != 0 {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var running sync.WaitGroup
		v.port = netip.MustParseAddrPort(l.Addr().String()).Port()
		running.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				v.count.Add(1)
				conn.Close()
			}
		})
		t.Cleanup(func() {
			l.Close()
			running.Wait()
		})
	}
	return v
}

// externalName is an Ingress for a host, and the ExternalName that it leads to.
func externalName(service, host, target string, port uint16) string {
	return fmt.Sprintf(`{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: %[1]s}, spec: {rules: [{host: %[2]s, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: %[1]s, port: {number: 80}}}}]}}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: %[1]s}, spec: {type: ExternalName, externalName: %[3]q, ports: [{port: 80, targetPort: %[4]d}]}}
---
`, service, host, target, port)
}

// eventuallySaid waits until the operator reads all the words.
func (g *gateway) eventuallySaid(words ...string) {
	g.t.Helper()
	for _, want := range words {
		for deadline := time.Now().Add(waitMax); !strings.Contains(g.err.String(), want); {
			if time.Now().After(deadline) {
				g.t.Fatalf("the operator does not read %s:\n%s", want, g.err)
			}
		}
	}
}

// TestNoNameReachesTheMachine: whatever an ExternalName is written as, and whatever DNS says of it, the gateway's own
// machine is not reached, although the list allows everything that it can. That the victim counts at all is shown by an
// Ingress whose endpoint it is.
func TestNoNameReachesTheMachine(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, dataPlane string) {
		v, server := newVictim(t), dnstest.Start(t)
		spelt := []string{"127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "[::1]", "::1", "127.0.0.1.", "localhost", "LocalHost.", "a.localhost", "0", "0.0.0.0"}
		answers := map[string]dnstest.Record{
			"loopback.bad.test": {Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}},
			"other.bad.test":    {Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.53")}},
			"zero.bad.test":     {Addresses: []netip.Addr{netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("::")}},
			"six.bad.test":      {Addresses: []netip.Addr{netip.MustParseAddr("::1")}},
			"mapped.bad.test":   {Addresses: []netip.Addr{netip.MustParseAddr("::ffff:127.0.0.1")}},
			"nat64.bad.test":    {Addresses: []netip.Addr{netip.MustParseAddr("64:ff9b::7f00:1")}},
			"alias.bad.test":    {Alias: "localhost"},
		}
		server.Set("localhost", dnstest.Record{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
		for i, addr := range addressesOf(t) {
			answers[fmt.Sprintf("own%d.bad.test", i)] = dnstest.Record{Addresses: []netip.Addr{addr}}
		}
		var text strings.Builder
		hosts := 0
		add := func(target string) {
			text.WriteString(externalName(fmt.Sprintf("s%d", hosts), fmt.Sprintf("h%d.test", hosts), target, v.port))
			hosts++
		}
		for _, target := range spelt {
			add(target)
		}
		var told []string
		for name, record := range answers {
			server.Set(name, record)
			add(name)
			told = append(told, name+": ")
		}
		text.WriteString(ingress("control", "control.test", "/", "control", fmt.Sprintf("127.0.0.1:%d", v.port)))
		g := newGateway(t, map[string]string{"a.yaml": text.String()})
		g.dns = []string{server.Address.String()}
		g.start(dataPlane, func(o *options.Options) {
			o.ExternalName = append([]string{"cluster", "test", "bad.test"}, spelt...)
		})
		g.eventuallySaid(told...)
		c := client(t)
		for i := range hosts {
			g.want(c, fmt.Sprintf("h%d.test", i), "/", 503, "")
		}
		if n := v.count.Load(); n != 0 {
			t.Errorf("the victim was reached %d times; err:\n%s", n, g.err)
		}
		g.want(c, "control.test", "/", 503, "")
		if v.count.Load() == 0 {
			t.Error("the victim counts nothing")
		}
	})
}

// addressesOf are the addresses of this machine, loopback included.
func addressesOf(t *testing.T) []netip.Addr {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var out []netip.Addr
	for _, a := range all {
		out = append(out, netip.MustParsePrefix(a.String()).Addr())
	}
	return out
}
