package corpus

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/translator"
)

// lanesMax is how many data planes share the requests of one setting: most of the time is waiting for one to close a
// connection.
const lanesMax = 4

// Run sends the corpus in dir to a data plane. Whatever the golden says, a request that gets around a closed route, or
// has a backend believe what the client says of itself, fails the test. UPDATE=1 writes the judge's answers anew.
func Run(t *testing.T, dir string, court casetest.Court) {
	requests, err := parse(dir)
	if err != nil {
		t.Fatal(err)
	}
	closed, err := restrictions(dir)
	if err != nil {
		t.Fatal(err)
	}
	golden, err := readAnswers(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := ask(t, requests, func(r request) casetest.Wire { return open(t, dir, court, r) }, closed)
	if t.Failed() {
		return
	}
	file := filepath.Join(dir, answersFile)
	if os.Getenv("UPDATE") == "1" {
		golden.replace(court.Name, got)
		if err := os.WriteFile(file, []byte(golden.text(requests)), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, r := range requests {
		if want := golden[r.name()][court.Name]; got[r.name()] != want {
			t.Errorf("%s\n  want %s\n  got  %s", r.name(), want, got[r.name()])
		}
	}
	if text, err := os.ReadFile(file); err != nil || golden.text(requests) != string(text) {
		t.Errorf("%s has what no request is behind, or another order (%v); UPDATE=1 go test writes it anew", file, err)
	}
}

// ask has data planes answer the requests, several at a time, and gives the answers by the requests' names.
func ask(t *testing.T, requests []request, open func(request) casetest.Wire, closed []restriction) map[string]string {
	t.Helper()
	lanes := map[string][]request{}
	for i, r := range requests {
		name := fmt.Sprintf("%s-%d", r.slashes, i%lanesMax)
		lanes[name] = append(lanes[name], r)
	}
	var mu sync.Mutex
	got := map[string]string{}
	var group errgroup.Group
	for _, lane := range lanes {
		w := open(lane[0])
		group.Go(func() error {
			for _, r := range lane {
				o, err := send(w, r)
				if err != nil {
					return fmt.Errorf("%s: %w", r.name(), err)
				}
				for _, fault := range faults(r, o, closed) {
					t.Errorf("%s\n  %s\n  %s", r.name(), o.answer(r), fault)
				}
				mu.Lock()
				got[r.name()] = o.answer(r)
				mu.Unlock()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return got
}

// faults are what must not be, whatever the golden says.
func faults(r request, o outcome, closed []restriction) []string {
	var out []string
	add := func(kind, what string) {
		if what != "" {
			out = append(out, kind+": "+what)
		}
	}
	add("SMUGGLED", o.fault)
	for _, s := range o.seen {
		add("BYPASS", bypass(closed, s))
		if !r.trusted() {
			add("SPOOFED", spoof(r, s))
		}
	}
	for _, s := range o.late {
		add("BYPASS, by an earlier request", bypass(closed, s))
	}
	return out
}

// open starts a data plane in the corpus's world, with the settings of a request.
func open(t *testing.T, dir string, court casetest.Court, r request) casetest.Wire {
	return openLimited(t, dir, court, r, nil)
}

// openLimited is open, with other annotations for the Ingress whose routes are closed where there are any.
func openLimited(t *testing.T, dir string, court casetest.Court, r request, annotations map[string]string) casetest.Wire {
	t.Helper()
	c := casetest.Load(t, dir)[0]
	world, settings := c.World(t)
	for i, ing := range world.Ingresses {
		if annotations != nil && ing.Name == closedIngress {
			world.Ingresses[i].Ingress = ing.DeepCopy()
			world.Ingresses[i].Annotations = annotations
		}
	}
	settings.Resolve.Edge.EscapedSlashes = r.slashes
	w, ok := court.Open(t, c).(casetest.Wire)
	if !ok {
		t.Fatalf("judge %s takes no raw requests", court.Name)
	}
	if err := w.Publish(translator.Translate(world, settings)); err != nil {
		t.Fatal(err)
	}
	return w
}
