package chaos

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
	"github.com/postern-gateway/postern/controlplane/up"
	"github.com/postern-gateway/postern/controlplane/xds"
)

// TestFaultsAreFound shows that the scenarios can fail: with a steady host edited and a WebSocket closed, both are told.
func TestFaultsAreFound(t *testing.T) {
	g := newGateway(t)
	g.up(up.DataPlaneGo)
	elsewhere := watchElsewhere(t, g)
	load := traffic.Start(elsewhere.clients()...)
	if err := load.Rounds(steadyHosts); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(g.manifests, "steady-1.yaml")); err != nil {
		t.Fatal(err)
	}
	c := traffic.Dial(g.http, nil)
	defer c.Close()
	eventually(t, "the host to be gone", func() error {
		a, err := c.Get(steadyHost(1), "/")
		if err == nil && a.Status != 404 {
			err = errors.New("it is served")
		}
		return err
	})
	elsewhere.sockets[7].Close()
	if err := load.Rounds(webSockets); err != nil {
		t.Fatal(err)
	}
	report := load.Stop()
	told := strings.Join(append(report.Faults(1), elsewhere.faults()...), "\n")
	for _, want := range []string{
		"requests failed: GET over HTTP/1.1", "requests failed: GET over HTTP/2", "requests failed: new connection",
		"requests failed: echo over a WebSocket", "WebSocket 7, in the end", "404",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is not told:\n%s", want, told)
		}
	}
	if strings.Contains(told, "WebSocket 8, in the end") {
		t.Errorf("a WebSocket that lives is told as lost:\n%s", told)
	}
}

// TestMovedCountersAreFound: any counter of the listeners that differs is told.
func TestMovedCountersAreFound(t *testing.T) {
	before := map[string]uint64{"listener_manager.listener_modified": 0, "listener_manager.lds.update_success": 1}
	if moved := movedCounters(before, map[string]uint64{"listener_manager.listener_modified": 0, "listener_manager.lds.update_success": 1}); moved != nil {
		t.Errorf("%q", moved)
	}
	if moved := movedCounters(before, map[string]uint64{"listener_manager.listener_modified": 1, "listener_manager.lds.update_success": 1}); len(moved) != 1 {
		t.Errorf("%q", moved)
	}
}

// TestResentResourcesAreFound: so is a resource that comes again, one that is removed, and one that does not come.
func TestResentResourcesAreFound(t *testing.T) {
	sent := func(resources, removed []string) []event {
		return []event{{Node: "go", Sent: &xds.Sent{TypeURL: "T"}}, {Node: "go", Sent: &xds.Sent{TypeURL: "T", Resources: resources, Removed: removed}}}
	}
	for _, c := range []struct {
		sent   []event
		want   []string
		faults int
	}{
		{sent(nil, nil), nil, 0},
		{sent([]string{"a"}, nil), nil, 1},
		{sent(nil, []string{"a"}), nil, 1},
		{sent([]string{"a"}, nil), []string{"T a"}, 0},
		{sent([]string{"a", "b"}, nil), []string{"T a"}, 1},
		{sent(nil, nil), []string{"T a"}, 1},
	} {
		if faults := resent(c.sent, c.want); len(faults) != c.faults {
			t.Errorf("%v, wanted %q: %q", traveled(c.sent), c.want, faults)
		}
	}
}

// TestWrongAnswersAreFound: what a site answers must be what it was or what it is, and not what it was again.
func TestWrongAnswersAreFound(t *testing.T) {
	s := &site{name: "site-0", host: "site-0.test", httpsPort: "8443", backends: []*traffic.Backend{{Name: "one"}, {Name: "two"}}}
	before := state{exists: true, paths: map[string]int{"/": 0}}
	s.states = []state{before}
	after := before.clone()
	after.services[0] = 1
	s.begin(after)
	by := func(of state) string { return of.answer(s, false, "/a") }
	const was, is, other = "200 one /a HTTP/1.1 site-0.test", "200 two /a HTTP/1.1 site-0.test", "503"
	for _, c := range []struct {
		from int
		got  string
		seen int
		good bool
	}{{0, was, 0, true}, {0, is, 1, true}, {1, is, 1, true}, {1, was, 1, false}, {0, other, 0, false}} {
		if seen, err := s.judge(c.from, c.got, by); seen != c.seen || (err == nil) != c.good {
			t.Errorf("%q after state %d: state %d, %v", c.got, c.from, seen, err)
		}
	}
	s.settle()
	if _, err := s.judge(s.since(), was, by); err == nil {
		t.Error("what was before may be answered after the edit is in force")
	}
}

// TestAnswers: what a state means, in words.
func TestAnswers(t *testing.T) {
	s := &site{name: "site-0", host: "site-0.test", httpsPort: "8443", backends: []*traffic.Backend{{Name: "one"}, {Name: "two"}}}
	base := state{exists: true, paths: map[string]int{"/a": 0, "/a/b": 1}, services: [servicesASite]int{0, 1, 0}, h2c: [servicesASite]bool{false, true, false}}
	with := func(annotation string) state {
		out := base.clone()
		out.annotation = annotation
		return out
	}
	for _, c := range []struct {
		state  state
		secure bool
		path   string
		want   string
	}{
		{state{}, false, "/a/x", "404"}, {base, false, "/", "404"}, {base, false, "/a/x", "200 one /a/x HTTP/1.1 site-0.test"},
		{base, true, "/a/b/x", "200 two /a/b/x HTTP/2.0 site-0.test"}, {with(strips), false, "/a/b/x", "200 two /x HTTP/2.0 site-0.test"},
		{with(ownHost), false, "/a/x", "200 one /a/x HTTP/1.1 site-0-0.default.svc"}, {with(closes), false, "/a/x", "503"},
		{with(closes), false, "/c", "404"}, {with(redirects), false, "/a/x", "301 https://site-0.test:8443/a/x"},
		{with(redirects), true, "/a/x", "200 one /a/x HTTP/1.1 site-0.test"}, {with(unknown), false, "/a/x", "200 one /a/x HTTP/1.1 site-0.test"},
	} {
		if got := c.state.answer(s, c.secure, c.path); got != c.want {
			t.Errorf("%s: %s, want %s", c.path, got, c.want)
		}
	}
}

// TestOldCertificatesAreFound: one from before the one that is served, and one that the host never had.
func TestOldCertificatesAreFound(t *testing.T) {
	r := &rotated{host: "a.test", serials: []string{"0", "1", "2"}, served: 1}
	for serial, good := range map[string]bool{"0": false, "1": true, "2": true, "3": false} {
		if _, err := r.judge(1, serial); (err == nil) != good {
			t.Errorf("certificate %s: %v", serial, err)
		}
	}
}
