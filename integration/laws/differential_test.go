package laws

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/live"
	"github.com/postern-gateway/postern/controlplane/casetest/worlds"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/model"
)

// The size of a run. Each session draws settings of its own, starts the data planes, and asks about worlds one after
// the other. With LAWS_SEED=N and LAWS_SESSIONS=N, other worlds are asked about.
const (
	sessions         = 40
	worldsPerSession = 6
	requestsPerWorld = 50
	pairsMin         = 5000
	seedsPerSession  = 1_000_000
	seedVariable     = "LAWS_SEED"
	sessionsVariable = "LAWS_SESSIONS"
	exceptionsFile   = "testdata/exceptions.txt"
)

// TestJudgesAgree: of random requests in random worlds, explain, the Go data plane and Envoy say the same: status,
// backend and all that it sees, headers of the answer, certificate.
func TestJudgesAgree(t *testing.T) {
	live.NeedEnvoy(t)
	first, n := number(t, seedVariable, 0), number(t, sessionsVariable, sessions)
	allowed := readExceptions(t, exceptionsFile)
	all := make([]*session, n)
	t.Run("sessions", func(t *testing.T) {
		for i := range all {
			all[i] = &session{seed: uint64(first + i), allowed: allowed, met: map[int]bool{}}
			t.Run(fmt.Sprint(all[i].seed), func(t *testing.T) {
				t.Parallel()
				all[i].run(t)
			})
		}
	})
	pairs, met := 0, map[int]bool{}
	for _, s := range all {
		pairs += s.pairs
		for e := range s.met {
			met[e] = true
		}
	}
	t.Logf("%d pairs of world and request", pairs)
	if os.Getenv(seedVariable) != "" || t.Failed() {
		return
	}
	if pairs < pairsMin {
		t.Errorf("%d pairs, want at least %d", pairs, pairsMin)
	}
	for i, e := range allowed {
		if !met[i] && !e.rare {
			t.Errorf("%s:%d: no request needs this exception: take it out", exceptionsFile, e.line)
		}
	}
}

func number(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// session is judges under one set of settings.
type session struct {
	seed    uint64
	allowed []exception
	// judges are asked beside explain.
	judges []named
	pairs  int
	// met are the exceptions that were needed, by index.
	met map[int]bool
}

type named struct {
	name string
	casetest.Judge
}

// finding is a request that judges answer differently.
type finding struct {
	probe casetest.Probe
	// points are what differs, by judge.
	points string
}

func (s *session) run(t *testing.T) {
	settings := worlds.DrawSettings(s.seed)
	backends := parse(t, "backends", worlds.Backends())
	for _, court := range []casetest.Court{live.Go, live.Envoy} {
		s.judges = append(s.judges, named{court.Name, court.Open(t, backends)})
	}
	written := false
	for i := range worldsPerSession {
		w := worlds.Draw(s.seed*seedsPerSession+uint64(i), settings)
		found := s.ask(t, w, w.Probes(requestsPerWorld))
		for _, f := range found {
			t.Errorf("%s, under %s:\n%s\n%s", f.probe.Position, settings.Text(), f.probe.Text(), f.points)
		}
		if len(found) > 0 && !written {
			written = true
			t.Logf("A case to start from, with what explain says:\n%s", s.smallest(t, w, found[0].probe))
		}
	}
	t.Logf("%d pairs under %s", s.pairs, settings.Text())
}

// ask asks everybody about requests of a world, and finds where they disagree.
func (s *session) ask(t *testing.T, w worlds.World, probes []casetest.Probe) []finding {
	t.Helper()
	explain := s.publish(t, w)
	var out []finding
	for _, p := range probes {
		s.pairs++
		if points := s.disagreements(t, explain, p); points != "" {
			out = append(out, finding{p, points})
		}
	}
	return out
}

// publish makes a world the one that everybody answers by, and gives the judge that explains it.
func (s *session) publish(t *testing.T, w worlds.World) named {
	t.Helper()
	c := parse(t, fmt.Sprintf("seed %d", w.Seed), w.Case("A world.", ""))
	objects, settings := c.World(t)
	result := translator.Translate(objects, settings)
	explain := named{casetest.Explain.Name, casetest.Explain.Open(t, c)}
	for _, j := range append([]named{explain}, s.judges...) {
		if err := j.Publish(result); err != nil {
			t.Fatalf("seed %d, %s: %v\n%s", w.Seed, j.name, err, w.Case("Refused.", ""))
		}
	}
	return explain
}

func parse(t *testing.T, name string, text []byte) *casetest.Case {
	t.Helper()
	c, err := casetest.Parse(t, name, text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return c
}

// disagreements are what the judges say otherwise than explain, without what the exceptions allow.
func (s *session) disagreements(t *testing.T, explain named, p casetest.Probe) string {
	t.Helper()
	wanted := answers(t, explain, p)
	out := ""
	for _, j := range s.judges {
		points := nearest(wanted, answer(t, j, p))
		if points == "" {
			continue
		}
		i := slices.IndexFunc(s.allowed, func(e exception) bool { return e.allows(j.name, p, points) })
		if i >= 0 {
			s.met[i] = true
			continue
		}
		out += fmt.Sprintf("%s, against explain:\n  %s\n", j.name, points)
	}
	return out
}

// nearest are the points in which an answer differs from the one of the wanted that it is nearest to, empty for none.
func nearest(wanted []casetest.Answer, got casetest.Answer) string {
	best := casetest.Disagreements(wanted[0], got)
	for _, want := range wanted[1:] {
		if points := casetest.Disagreements(want, got); len(points) < len(best) {
			best = points
		}
	}
	return strings.Join(best, "\n  ")
}

// answers are all that a request may get by explain.
func answers(t *testing.T, explain named, p casetest.Probe) []casetest.Answer {
	t.Helper()
	out, err := explain.Judge.(casetest.Many).Answers(p)
	if err != nil {
		t.Fatalf("%s: %v\n%s", p.Position, err, p.Text())
	}
	return out
}

func answer(t *testing.T, j named, p casetest.Probe) casetest.Answer {
	t.Helper()
	a, err := j.Ask(p)
	if err != nil {
		t.Fatalf("%s, %s: %v\n%s", j.name, p.Position, err, p.Text())
	}
	return a
}

// smallest is a case of the smallest world found, and the request with the fewest headers, on which judges disagree.
func (s *session) smallest(t *testing.T, w worlds.World, p casetest.Probe) []byte {
	t.Helper()
	broken := func(w worlds.World, p casetest.Probe) bool { return s.disagreements(t, s.publish(t, w), p) != "" }
	for i := 0; i < len(w.Ingresses); {
		if less := w.Without(i); broken(less, p) {
			w = less
		} else {
			i++
		}
	}
	for name := range p.Header {
		less := p
		less.Header = p.Header.Clone()
		less.Header.Del(name)
		if !p.WebSocket && broken(w, less) {
			p = less
		}
	}
	want := answer(t, s.publish(t, w), p).Want()
	return withoutUnserved(t, w, w.Case("Found by TestJudgesAgree: say here what it shows, and why that is right.", p.Text()+"\n"+want.Text()))
}

// withoutUnserved takes the backends off a world's case to which every route is closed: a case has none but its own.
func withoutUnserved(t *testing.T, w worlds.World, text []byte) []byte {
	objects, settings := parse(t, "smallest", w.Case("A world.", "")).World(t)
	result := translator.Translate(objects, settings)
	for name := range parse(t, "backends", worlds.Backends()).Backends {
		if slices.ContainsFunc(result.Gateway.Assignments, func(a model.Assignment) bool { return a.Name == name }) {
			continue
		}
		text = regexp.MustCompile("(?m)^"+name+" .*\n").ReplaceAll(text, nil)
	}
	return text
}

// TestDisagreementsAreFound: a judge that ignores all rules without a host is found out, and the case that is written
// down shows it.
func TestDisagreementsAreFound(t *testing.T) {
	backends := parse(t, "backends", worlds.Backends())
	s := &session{judges: []named{{"liar", &liar{casetest.Explain.Open(t, backends)}}}, met: map[int]bool{}}
	for seed := range uint64(worldsPerSession) {
		w := worlds.Draw(seed, worlds.Settings{})
		found := s.ask(t, w, w.Probes(requestsPerWorld))
		if len(found) == 0 {
			continue
		}
		text := s.smallest(t, w, found[0].probe)
		c := parse(t, "smallest", text)
		results, err := c.Translate()
		if err != nil {
			t.Fatal(err)
		}
		probe := c.Steps[0].Probes[0]
		for judge, right := range map[casetest.Judge]bool{casetest.Explain.Open(t, c): true, &liar{casetest.Explain.Open(t, c)}: false} {
			if err := judge.Publish(results[0]); err != nil {
				t.Fatal(err)
			}
			differences := probe.Want.Differences(answer(t, named{"smallest", judge}, probe))
			if (len(differences) == 0) != right {
				t.Errorf("right %v: %q\n%s", right, differences, text)
			}
		}
		if n := strings.Count(string(text), "kind: Ingress\n"); n != 1 {
			t.Errorf("the case has %d Ingresses, want 1:\n%s", n, text)
		}
		return
	}
	t.Error("nothing was found")
}

// liar serves no rule without a host.
type liar struct{ casetest.Judge }

func (l *liar) Publish(r translator.Result) error {
	r.Gateway.Tables = slices.Clone(r.Gateway.Tables)
	for i := range r.Gateway.Tables {
		r.Gateway.Tables[i].Any = nil
	}
	return l.Judge.Publish(r)
}
