package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
)

const (
	// sites are the hosts that are edited.
	sites = 8
	// inARow is how many connections, one after the other, must show a state for it to be in force: a new one goes to
	// any of Envoy's workers, and each of them takes a change by itself.
	inARow = 8
	// roundsAnEdit is how many requests every client makes for each edit at least.
	roundsAnEdit = 5
	// backendsASite is how many backends there are to choose from.
	backendsASite = 3
)

// TestEdits: files are edited in every way, at steady load. No request to a host that is not edited fails, and one to a
// host that is gets what it was before the edit or what it is after, and never again what it was.
func TestEdits(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, dataPlane string) {
		size, g := size(), newGateway(t)
		e := newEditor(t, g)
		g.up(dataPlane)
		elsewhere := watchElsewhere(t, g)
		load := traffic.Start(append(elsewhere.clients(), e.clients()...)...)
		began := time.Now()
		e.run(size, load)
		took := time.Since(began)
		load.Stop().Check(t, int64(size.edits*roundsAnEdit))
		elsewhere.check()
		t.Logf("%d edits in %.1f s, the slowest in force after %d ms (%s): %s", size.edits, took.Seconds(), e.slowest.Milliseconds(), e.slow, e.kinds())
		for _, edit := range edits {
			if e.done[edit.kind] == 0 {
				t.Errorf("no edit was made of the kind %q", edit.kind)
			}
		}
	})
}

func newEditor(t *testing.T, g *gateway) *editor {
	t.Helper()
	e := &editor{t: t, gateway: g, draw: rand.New(rand.NewPCG(seed(t), 0)), layouts: map[*site]*layout{}, done: map[string]int{}}
	e.deck = e.draw.Perm(len(edits))
	var backends []*traffic.Backend
	for i := range backendsASite {
		backends = append(backends, traffic.Listen(t, fmt.Sprintf("backend-%d", i)))
	}
	_, httpsPort, err := net.SplitHostPort(g.https)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sites {
		s := &site{name: fmt.Sprintf("site-%d", i), host: fmt.Sprintf("site-%d.test", i), httpsPort: httpsPort, backends: backends}
		l := &layout{manner: manner(i % 3), file: s.name + ".yaml"}
		if l.manner == mounted {
			l.file = s.name + "/all.yaml"
		}
		e.sites, e.layouts[s] = append(e.sites, s), l
		s.states = []state{e.first(s)}
		e.write(s, s.states[0])
	}
	return e
}

// run makes the edits, each of one site or of three at once, of which none has an edit that is not yet in force. Before
// the next, every client goes on for a while.
func (e *editor) run(size figures, load *traffic.Load) {
	e.t.Helper()
	var pace <-chan time.Time
	if size.pace > 0 {
		ticker := time.NewTicker(size.pace)
		defer ticker.Stop()
		pace = ticker.C
	}
	for n := 0; n < size.edits; {
		several := 1
		if e.draw.IntN(6) == 0 {
			several = 3
		}
		chosen := e.draw.Perm(len(e.sites))[:several]
		began := time.Now()
		var kinds []string
		for _, i := range chosen {
			kinds = append(kinds, e.edit(e.sites[i]))
			n++
		}
		for _, i := range chosen {
			if err := e.await(e.sites[i]); err != nil {
				e.t.Errorf("edit %d, seed as above: %v", n, err)
				return
			}
		}
		if took := time.Since(began); took > e.slowest {
			e.slowest, e.slow = took, fmt.Sprint(kinds)
		}
		if err := load.Rounds(int64(roundsAnEdit * several)); err != nil {
			e.t.Error(err)
			return
		}
		for range several {
			if pace != nil {
				<-pace
			}
		}
	}
}

// await waits until the latest state of a site is in force.
func (e *editor) await(s *site) error {
	want := s.latest()
	failure := error(nil)
	deadline := time.Now().Add(waitMax)
	for good := 0; good < inARow; {
		if failure = e.shows(s, want); failure == nil {
			good++
		} else {
			good = 0
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s never comes to be: %w", s.host, failure)
		}
	}
	s.settle()
	return nil
}

// shows asks for everything on new connections, and says where the answers are not those of a state.
func (e *editor) shows(s *site, want state) error {
	for _, secure := range []bool{false, true} {
		c := e.dial(s, secure)
		defer c.Close()
		for _, path := range probes {
			a, err := c.Get(s.host, path)
			if err != nil {
				return err
			}
			if got := text(a); got != want.answer(s, secure, path) {
				return fmt.Errorf("%s: %s, want %s", path, got, want.answer(s, secure, path))
			}
			if secure && serial(a) != want.shown() {
				return fmt.Errorf("certificate %q, want %q", serial(a), want.shown())
			}
		}
	}
	return nil
}

// dial prepares a connection to a site. The certificate may be the default one, so it is looked at and not verified.
func (e *editor) dial(s *site, secure bool) *traffic.Connection {
	if !secure {
		return traffic.Dial(e.gateway.http, nil)
	}
	settings := trusting(s.host)
	settings.InsecureSkipVerify = true
	return traffic.Dial(e.gateway.https, settings)
}

// serial is that of the certificate, empty for the default one.
func serial(a traffic.Answer) string {
	if a.Certificate == nil || slices.Contains(a.Certificate.DNSNames, "default.test") {
		return ""
	}
	return a.Certificate.SerialNumber.String()
}

// clients ask the sites, on connections that are kept and on new ones, and judge every answer.
func (e *editor) clients() []traffic.Client {
	kept := func(kind string, secure bool) traffic.Client {
		connections := make([]*traffic.Connection, len(e.sites))
		// from is the oldest state that may still be seen on the connection: it has seen that one.
		from := make([]int, len(e.sites))
		for i, s := range e.sites {
			connections[i] = e.dial(s, secure)
			e.t.Cleanup(connections[i].Close)
		}
		n := 0
		return traffic.Client{Kind: kind, Ask: func() error {
			i, path := n%len(e.sites), probes[n/len(e.sites)%len(probes)]
			n++
			s, c := e.sites[i], connections[i]
			from[i] = max(from[i], s.since())
			a, err := c.Get(s.host, path)
			if err != nil {
				return fmt.Errorf("%s%s: %w", s.host, path, err)
			}
			from[i], err = s.judge(from[i], text(a), func(of state) string { return of.answer(s, secure, path) })
			return at(s, path, err)
		}}
	}
	n := 0
	return []traffic.Client{kept("GET of an edited host", false), kept("GET of an edited host over TLS", true), {
		Kind: "new connection to an edited host", Ask: func() error {
			s, path := e.sites[n%len(e.sites)], probes[n/len(e.sites)%len(probes)]
			n++
			since := s.since()
			c := e.dial(s, true)
			defer c.Close()
			a, err := c.Get(s.host, path)
			if err != nil {
				return fmt.Errorf("%s%s: %w", s.host, path, err)
			}
			_, wrong := s.judge(since, text(a), func(of state) string { return of.answer(s, true, path) })
			_, wrongCertificate := s.judge(since, serial(a), state.shown)
			return at(s, path, errors.Join(wrong, wrongCertificate))
		},
	}}
}

func at(s *site, path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s%s: %w", s.host, path, err)
}
