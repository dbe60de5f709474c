package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/source"
)

// marked is an annotation that the proxies of these tests refuse; no route that answers 503 carries it.
const (
	marker = "refuse-me"
	marked = "traefik.ingress.kubernetes.io/custom-response-headers: 'X-A:" + marker + "'"
)

// refusedOf are the objects whose versions are told to be refused, and is empty before any is.
func refusedOf(p Publication) []string {
	var out []string
	for _, d := range p.Result.Diagnostics {
		if d.Code == diag.CodeVersionRefused {
			out = append(out, d.Origin.Name+": "+d.Effect)
		}
	}
	return out
}

// told waits for a publication that tells of exactly these refusals.
func (r *running) told(t testing.TB, what string, refusals ...string) Publication {
	t.Helper()
	return r.seen.await(t, what, func(p Publication) bool { return slices.Equal(refusedOf(p), refusals) })
}

const (
	keeps  = ": the version before stays in service until the object changes"
	closes = ": its own paths answer 503 until the object changes"
	leaves = ": it is left out until the object changes"
)

// TestRefusedUpdate: an update that a proxy refuses leaves its version before, and lets the other changes of the same route
// configuration through; a repair serves again.
func TestRefusedUpdate(t *testing.T) {
	m := newMemory(parse(t, web+ingress("a", "/a")+ingress("b", "/b")))
	r := start(t, m, settings(t))
	p := r.connect(t, &proxy{refuses: contains(marker)})
	r.awaitAccepted(t)
	m.edit(Change{}, func(w *source.World) {
		put(t, ingress("a", "/a2", marked))(w)
		put(t, ingress("b", "/b2"))(w)
	})
	// Both have changed, so both are suspects of the one refused table.
	r.seen.await(t, "the refusal", func(p Publication) bool { return len(refusedOf(p)) > 0 })
	if nacks := r.seen.refusals(); len(nacks) == 0 || len(nacks[0].Origins) == 0 {
		t.Error("the observers were not told of the refusal")
	}
	r.settle(t)
	if got := p.routes(); !strings.Contains(got, `"/a"`) || strings.Contains(got, "/a2") {
		t.Errorf("the version before of a is not served: %s", got)
	}
	// What changes from now on goes through.
	m.edit(Change{}, put(t, ingress("b", "/b3")))
	r.seen.await(t, "another change", func(p Publication) bool { return strings.Contains(fmt.Sprint(p.World.Ingresses), "/b3") })
	r.settle(t)
	if got := p.routes(); !strings.Contains(got, "/b3") || !strings.Contains(got, `"/a"`) {
		t.Errorf("a change after the refusal is not served: %s", got)
	}
	m.edit(Change{}, put(t, ingress("a", "/a4")))
	r.seen.await(t, "the repair", func(p Publication) bool {
		return strings.Contains(fmt.Sprint(p.World.Ingresses), "/a4") && len(refusedOf(p)) == 0
	})
	r.settle(t)
	if got := p.routes(); !strings.Contains(got, "/a4") {
		t.Errorf("the repair is not served: %s", got)
	}
}

// TestRefusedFirstVersion: a first version that a proxy refuses answers 503 on its own paths, and where the proxy refuses
// even that, is left out. Nothing that was accepted suffers.
func TestRefusedFirstVersion(t *testing.T) {
	m := newMemory(parse(t, web+ingress("a", "/a")))
	r := start(t, m, settings(t))
	p := r.connect(t, &proxy{refuses: contains(marker)})
	r.awaitAccepted(t)
	m.edit(Change{}, put(t, ingress("new", "/new", marked)))
	if last := r.told(t, "503 in its place", "new"+closes); !closed(last, "new.test") || closed(last, "a.test") {
		t.Errorf("%v", last.Result.Gateway.Tables)
	}
	r.awaitAccepted(t)
	if got := p.routes(); !strings.Contains(got, "new.test") || !strings.Contains(got, "a.test") {
		t.Errorf("the proxy has %s", got)
	}
	m.edit(Change{}, put(t, ingress("marked", "/"+marker)))
	r.told(t, "nothing in its place", "marked"+leaves, "new"+closes)
	r.settle(t)
	if got := p.routes(); strings.Contains(got, "marked.test") || !strings.Contains(got, "new.test") || !strings.Contains(got, "a.test") {
		t.Errorf("the proxy has %s", got)
	}
	m.edit(Change{}, func(w *source.World) {
		w.Ingresses = slices.DeleteFunc(slices.Clone(w.Ingresses), func(i source.Ingress) bool { return i.Name != "a" })
	})
	r.seen.await(t, "their end", func(p Publication) bool { return p.Revision > 4 && len(refusedOf(p)) == 0 })
}

// TestRefusalsEnd: a proxy that refuses whatever is done gets what was accepted last, and no more than that.
func TestRefusalsEnd(t *testing.T) {
	m := newMemory(parse(t, web+ingress("a", "/a")))
	r := start(t, m, settings(t))
	stubborn := &proxy{}
	r.connect(t, stubborn)
	r.awaitAccepted(t)
	refuse := contains("web") // every route
	stubborn.mu.Lock()
	stubborn.refuses = refuse
	stubborn.mu.Unlock()
	m.edit(Change{}, func(w *source.World) {
		put(t, ingress("a", "/a2"))(w)
		put(t, ingress("new", "/new"))(w)
	})
	r.log.await("what they accepted last is served until something changes")
	snapshot, revision := r.Server().Snapshot()
	first := r.seen.await(t, "the first publication", func(Publication) bool { return true })
	last := r.seen.await(t, "the publication of what is served", func(p Publication) bool { return p.Revision == revision })
	if last.Snapshot != snapshot || fmt.Sprint(snapshot.Resources(routeType)) != fmt.Sprint(first.Snapshot.Resources(routeType)) {
		t.Errorf("revision %d is not what was accepted", revision)
	}
	if revision > 6 {
		t.Errorf("it took %d revisions", revision)
	}
}
