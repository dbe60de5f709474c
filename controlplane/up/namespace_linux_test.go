package up

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest/namespace"
	"github.com/postern-gateway/postern/controlplane/names/dnstest"
	"github.com/postern-gateway/postern/controlplane/options"
)

// TestOutsideNameIsServed is the positive control of all that is refused: a name whose address is free to be connected to
// is served by it, found by DNS, through both data planes, and what is refused beside it is not.
func TestOutsideNameIsServed(t *testing.T) {
	if !namespace.Test(t, namespace.Network{Local: []string{"192.0.2.0/24"}}) {
		return
	}
	eachDataPlane(t, func(t *testing.T, dataPlane string) {
		l, err := net.Listen("tcp", "192.0.2.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at := netip.MustParseAddrPort(l.Addr().String())
		outside := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) })}
		served := make(chan error, 1)
		go func() { served <- outside.Serve(l) }()
		t.Cleanup(func() {
			outside.Close()
			<-served
		})
		server := dnstest.Start(t)
		server.Set("good.test", dnstest.Record{Alias: "cdn.other"})
		server.Set("cdn.other", dnstest.Record{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1"), at.Addr()}, TTL: 300})
		g := newGateway(t, map[string]string{"a.yaml": externalName("good", "h.test", "good.test", at.Port())})
		g.dns = []string{server.Address.String()}
		g.start(dataPlane, func(o *options.Options) { o.ExternalName = []string{"good.test"} })
		c := client(t)
		g.eventually(c, "h.test", "/", "h.test")
		for range 20 {
			g.want(c, "h.test", "/", 200, "h.test")
		}
		g.eventuallySaid("127.0.0.1 is loopback")
	})
}
