package xds

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
)

// reference is a proxy in a few lines: what it wants and what it holds. After everything is answered, what it holds
// must be what it wants of the snapshot, except where it has refused the current version.
type reference struct {
	wildcard bool
	asked    bool
	names    map[string]bool
	held     map[string]string
	// denied are names that the server said do not exist.
	denied map[string]bool
	// refused are versions that it has refused.
	refused map[string]string
	// unanswered is the response that it has yet to answer.
	unanswered *discoveryv3.DeltaDiscoveryResponse
}

type simulation struct {
	t      *testing.T
	random *rand.Rand
	state  *state
	proxy  map[string]*reference
	now    time.Time
	limit  int
}

func newSimulation(t *testing.T, seed uint64) *simulation {
	m := &simulation{t: t, random: rand.New(rand.NewPCG(seed, 0)), now: time.Unix(0, 0), limit: 4}
	m.state = newState(orderWaitMax, m.limit, m.now)
	m.connect()
	return m
}

func (m *simulation) connect() {
	m.proxy = map[string]*reference{}
	for _, typeURL := range sendOrder {
		m.proxy[typeURL] = &reference{names: map[string]bool{}, held: map[string]string{}, denied: map[string]bool{}, refused: map[string]string{}}
	}
}

// reconnect keeps what the proxy holds, as Envoy does, and forgets everything else.
func (m *simulation) reconnect() {
	before, snap, rev := m.proxy, m.state.snap, m.state.revision
	m.connect()
	m.state = newState(orderWaitMax, m.limit, m.now)
	if snap != nil {
		m.state.publish(snap, rev)
	}
	for _, typeURL := range sendOrder {
		if !before[typeURL].asked {
			continue
		}
		now := m.proxy[typeURL]
		now.held, now.names, now.wildcard = before[typeURL].held, before[typeURL].names, before[typeURL].wildcard
		// A NACKed version is not among the initial versions; the reference says it holds nothing then.
		for name := range before[typeURL].refused {
			delete(now.held, name)
		}
		subscribe := slices.Sorted(maps.Keys(now.names))
		if now.wildcard {
			subscribe = append(subscribe, wildcardName)
		} else if len(subscribe) == 0 {
			now.held = map[string]string{}
		}
		if len(subscribe) > 0 {
			m.request(typeURL, &discoveryv3.DeltaDiscoveryRequest{ResourceNamesSubscribe: subscribe, InitialResourceVersions: now.held})
		}
	}
}

func (m *simulation) request(typeURL string, req *discoveryv3.DeltaDiscoveryRequest) {
	req.TypeUrl = typeURL
	m.proxy[typeURL].asked = true
	if _, err := m.state.request(req, m.now); err != nil {
		m.t.Fatal(err)
	}
}

func (m *simulation) pump() {
	responses, _ := m.state.pump(m.now)
	for _, resp := range responses {
		p := m.proxy[resp.GetTypeUrl()]
		if p.unanswered != nil {
			m.t.Fatalf("a second response of type %s before the first is answered", resp.GetTypeUrl())
		}
		p.unanswered = resp
	}
}

// answer applies or refuses what is on its way to the proxy.
func (m *simulation) answer(typeURL string, accept bool) {
	p := m.proxy[typeURL]
	resp := p.unanswered
	if resp == nil {
		return
	}
	p.unanswered = nil
	req := &discoveryv3.DeltaDiscoveryRequest{ResponseNonce: resp.GetNonce()}
	if !accept {
		req.ErrorDetail = &status.Status{Message: "no"}
	}
	for _, r := range resp.GetResources() {
		name := r.GetName()
		if !p.wildcard && !p.names[name] {
			continue // Unsubscribed meanwhile.
		}
		delete(p.denied, name)
		delete(p.refused, name)
		p.held[name] = r.GetVersion()
		if !accept {
			p.refused[name] = r.GetVersion()
		}
	}
	for _, name := range resp.GetRemovedResources() {
		delete(p.held, name)
		delete(p.refused, name)
		p.denied[name] = true
	}
	m.request(typeURL, req)
}

func (m *simulation) subscribe(typeURL, name string) {
	p := m.proxy[typeURL]
	if name == wildcardName {
		if !hasWildcard(typeURL) {
			return
		}
		p.wildcard = true
	} else {
		p.names[name] = true
		delete(p.denied, name)
		delete(p.held, name) // The proxy may ask because it has lost it.
	}
	m.request(typeURL, &discoveryv3.DeltaDiscoveryRequest{ResourceNamesSubscribe: []string{name}})
}

func (m *simulation) unsubscribe(typeURL, name string) {
	p := m.proxy[typeURL]
	if !p.asked {
		return
	}
	if name == wildcardName {
		p.wildcard = false
		for held := range p.held {
			if !p.names[held] {
				delete(p.held, held)
			}
		}
	} else {
		delete(p.names, name)
		delete(p.denied, name)
		delete(p.held, name)
	}
	m.request(typeURL, &discoveryv3.DeltaDiscoveryRequest{ResourceNamesUnsubscribe: []string{name}})
}

func (m *simulation) publish(revision Revision) {
	var resources []Resource
	make := map[string]func(string, int) Resource{
		cds: func(name string, g int) Resource { return cluster(name, g) },
		eds: func(name string, g int) Resource { return assignment(name, g) },
		lds: func(name string, g int) Resource { return guarded(m.t, name, name, fmt.Sprintf("ca%d", g)) },
		rds: func(name string, g int) Resource { return table(name, fmt.Sprint(g)) },
	}
	for _, typeURL := range sendOrder {
		for i := range 6 {
			if f := make[typeURL]; f != nil && m.random.IntN(3) > 0 {
				resources = append(resources, f(fmt.Sprintf("n%d", i), m.random.IntN(3)))
			}
		}
	}
	certificates := map[string]proto.Message{}
	for i := range 6 {
		if m.random.IntN(2) == 0 {
			certificates[fmt.Sprintf("n%d", i)] = certificate(fmt.Sprint(m.random.IntN(3)))
		}
	}
	m.state.publish(snapshot(m.t, func(name string) proto.Message { return certificates[name] }, resources...), revision)
}

// check answers everything, then compares with the reference.
func (m *simulation) check(seed uint64) {
	for round := 0; ; round++ {
		m.now = m.now.Add(orderWaitMax) // Whatever waits for the sake of order has waited enough.
		m.pump()
		busy := false
		for _, typeURL := range sendOrder {
			busy = busy || m.proxy[typeURL].unanswered != nil
			m.answer(typeURL, true)
		}
		if !busy {
			break
		}
		if round > 100 {
			m.t.Fatalf("seed %d: the server does not stop sending", seed)
		}
	}
	if !m.state.settled(m.now) {
		m.t.Fatalf("seed %d: nothing is sent and yet it is not settled: %+v", seed, m.state.types())
	}
	refusing := len(m.refusedNow(lds)) > 0 || len(m.refusedNow(rds)) > 0
	for _, typeURL := range sendOrder {
		p := m.proxy[typeURL]
		if !p.asked {
			continue
		}
		want := map[string]string{}
		for i := range 6 {
			name := fmt.Sprintf("n%d", i)
			version, exists := m.state.snap.Version(typeURL, name)
			taken := typeURL == sds && !slices.Contains(sortedKeys(m.state.subs[sds].names), name)
			if exists && (p.wildcard || p.names[name]) && !taken {
				want[name] = version
			}
			if !exists && p.names[name] && !taken && !p.denied[name] && !(refusing && p.held[name] != "") {
				m.t.Fatalf("seed %d: %s %s does not exist and the proxy was not told", seed, shortType(typeURL), name)
			}
		}
		got := maps.Clone(p.held)
		if refusing && (typeURL == cds || typeURL == eds || typeURL == rds) {
			maps.DeleteFunc(got, func(name, _ string) bool { return want[name] == "" }) // Held on purpose.
		}
		if !maps.Equal(got, want) {
			m.t.Fatalf("seed %d: of type %s the proxy holds %v, want %v", seed, shortType(typeURL), got, want)
		}
	}
	if n := m.state.subs[sds]; n != nil && n.queue.Len() > m.limit {
		m.t.Fatalf("seed %d: %d on-demand names are held", seed, n.queue.Len())
	}
}

// refusedNow are the names whose current version the proxy has refused.
func (m *simulation) refusedNow(typeURL string) []string {
	var out []string
	for name, version := range m.proxy[typeURL].refused {
		if now, ok := m.state.snap.Version(typeURL, name); ok && now == version {
			out = append(out, name)
		}
	}
	return out
}

func TestRandomSequencesAgreeWithTheReference(t *testing.T) {
	const sequences, steps = 300, 120
	for seed := range uint64(sequences) {
		m := newSimulation(t, seed)
		revision := Revision(0)
		for range steps {
			typeURL := sendOrder[m.random.IntN(len(sendOrder))]
			name := fmt.Sprintf("n%d", m.random.IntN(6))
			if m.random.IntN(8) == 0 {
				name = wildcardName
			}
			switch m.random.IntN(12) {
			case 0, 1:
				revision++
				m.publish(revision)
			case 2, 3:
				m.subscribe(typeURL, name)
			case 4:
				m.unsubscribe(typeURL, name)
			case 5:
				m.answer(typeURL, false)
			case 6:
				m.now = m.now.Add(time.Second)
			case 7:
				if m.random.IntN(10) == 0 {
					m.reconnect()
				}
			default:
				m.answer(typeURL, true)
			}
			m.pump()
		}
		if revision == 0 {
			m.publish(1)
		}
		m.check(seed)
	}
}

func TestOneSnapshotIsMarshalledOnce(t *testing.T) {
	snap := world(t, 1, "a")
	first, second := newState(orderWaitMax, 1, time.Time{}), newState(orderWaitMax, 1, time.Time{})
	var wires []*discoveryv3.Resource
	for _, s := range []*state{first, second} {
		s.publish(snap, 1)
		if _, err := s.request(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: cds}, time.Time{}); err != nil {
			t.Fatal(err)
		}
		responses, _ := s.pump(time.Time{})
		wires = append(wires, responses[0].GetResources()[0])
	}
	if wires[0] != wires[1] {
		t.Error("two streams have copies of their own")
	}
}

func TestSnapshotVersionsAreContent(t *testing.T) {
	one := snapshot(t, nil, cluster("a", 1), cluster("b", 1))
	two := snapshot(t, nil, cluster("b", 1), cluster("a", 2))
	for name, same := range map[string]bool{"a": false, "b": true} {
		v1, _ := one.Version(cds, name)
		v2, _ := two.Version(cds, name)
		if (v1 == v2) != same || len(v1) != 2*versionBytes {
			t.Errorf("cluster %s has versions %s and %s", name, v1, v2)
		}
	}
	differ := func(before, now *Snapshot) (names []string) {
		changed(before, now, cds, func(name string) { names = append(names, name) })
		return names
	}
	three := snapshot(t, nil, cluster("0", 1), cluster("b", 1), cluster("c", 1))
	for _, c := range []struct {
		before, now *Snapshot
		want        string
	}{
		{one, two, "[a]"}, {one, snapshot(t, nil, cluster("b", 1), cluster("a", 1)), "[]"}, {nil, one, "[a b]"},
		{one, three, "[0 a c]"}, {three, one, "[0 a c]"}, {one, snapshot(t, nil), "[a b]"},
	} {
		if got := fmt.Sprint(differ(c.before, c.now)); got != c.want {
			t.Errorf("changed are %s, want %s", got, c.want)
		}
	}
	for _, bad := range [][]Resource{
		{cluster("a", 1), cluster("a", 1)}, {{TypeURL: cds, Name: "a"}}, {{TypeURL: eds, Name: "a", Message: cluster("a", 1).Message}},
		{{TypeURL: cds, Name: "b", Message: cluster("a", 1).Message}}, {cluster("", 1)},
	} {
		if _, err := NewSnapshot(bad, nil); err == nil {
			t.Errorf("%v is no error", bad)
		}
	}
}

func TestCheckFindsDanglingNames(t *testing.T) {
	if errs := world(t, 1, "a", "b").Check(); errs != nil {
		t.Errorf("a good snapshot: %v", errs)
	}
	twice := table("http", "A.test", "a.TEST")
	errs := snapshot(t, nil, cluster("A.test", 1), secureCluster(t, "b", "trust/b", "client/b"), assignment("b", 1),
		guarded(t, "https", "https", "client-ca/a/b"), twice, shared("split", "A.test", "c")).Check()
	var got []string
	for _, err := range errs {
		got = append(got, err.Error())
	}
	want := []string{
		`cluster "A.test": there is no assignment "A.test"`,
		`cluster "b": there is no secret "client/b"`,
		`cluster "b": there is no secret "trust/b"`,
		`listener "https": there is no route configuration "https"`,
		`listener "https": there is no secret "client-ca/a/b"`,
		`routes "http": domain "a.TEST" is in virtual host "A.test" and in "a.TEST"`,
		`routes "http": virtual host "a.TEST", route 0: there is no cluster "a.TEST"`,
		`routes "split": virtual host "all", route 0: there is no cluster "c"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestBlameIsByWholeNames(t *testing.T) {
	for _, c := range []struct {
		words, name string
		want        bool
	}{
		{"bad https", "http", false}, {"bad http", "http", true}, {"http: bad", "http", true}, {"listener 'http'", "http", true},
		{"cluster shop/a/80/https: bad", "shop/a/80", false}, {"cluster shop/a/80.", "shop/a/80", true}, {"x.http", "http", false}, {"", "http", false},
	} {
		if got := mentions(c.words, c.name); got != c.want {
			t.Errorf("mentions(%q, %q) is %v", c.words, c.name, got)
		}
	}
	if got := cleanWords(sds, "bad secret inline_bytes: \"-----BEGIN PRIVATE KEY-----\nabc\""); strings.Contains(got, "abc") || strings.Contains(got, "BEGIN") {
		t.Errorf("a key in the words: %q", got)
	}
}
