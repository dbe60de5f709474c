package up

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/postern-gateway/postern/controlplane/names/dnstest"
	"github.com/postern-gateway/postern/controlplane/options"
)

// namespaceVariable is set in the process that a test starts in a network namespace of its own.
const namespaceVariable = "POSTERN_TEST_NAMESPACE"

// inNamespace runs the test that calls it again, in a process with a network of its own in which 192.0.2.0/24 is local
// without being an interface's; there it returns true. Where no such namespace can be made, the test is skipped; in CI
// it fails.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(namespaceVariable) != "" {
		for _, args := range []string{"link set lo up", "route add local 192.0.2.0/24 dev lo"} {
			if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
				t.Skipf("ip %s: %v: %s", args, err, out)
			}
		}
		return true
	}
	without := t.Skipf
	if os.Getenv("CI") == "true" {
		without = t.Fatalf
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*waitMax)
	defer cancel()
	c := exec.CommandContext(ctx, os.Args[0], "-test.v", "-test.run", "^"+t.Name()+"$")
	c.Env = append(os.Environ(), namespaceVariable+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := c.CombinedOutput()
	if errors.Is(err, os.ErrPermission) || bytes.Contains(out, []byte("--- SKIP: "+t.Name()+" (")) {
		without("this system lets us make no network namespace: %v\n%s", err, out)
	}
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
	return false
}

// TestOutsideNameIsServed is the positive control of all that is refused: a name whose address is free to be connected to
// is served by it, found by DNS, through both data planes, and what is refused beside it is not.
func TestOutsideNameIsServed(t *testing.T) {
	if !inNamespace(t) {
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
