package pods

import (
	"maps"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
	"github.com/postern-gateway/postern/integration/processes"
)

const (
	// absence is how many requests every client makes while the control plane is away, and while it is there.
	absence = 20
	// editEvery is every how many absences an Ingress is edited meanwhile.
	editEvery = 5
)

// routesOfAnEdit is what travels after an edit: the table of each entry.
var routesOfAnEdit = map[string]int{"RouteConfiguration": 2}

// TestControlPlanePodKilled: postern controlplane is killed and started again, and again, under load. No request fails, and
// nothing is sent again; an Ingress that was edited meanwhile is in force after the start. Names that nobody has asked for
// before are counted apart: a handshake for one waits for its certificate, the only one that is sent, and may end without it.
func TestControlPlanePodKilled(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, plane string) {
		l := newLab(t)
		s := l.newSite()
		l.addUnasked()
		control := l.replica(1)
		control.start()
		data := l.startDataPlane(plane, control.xds)
		data.awaitReady()
		processes.Eventually(t, "status", func() error { return l.published(edited) })
		load := traffic.Start(s.clients()...)
		sent := control.awaitSettled(plane)
		kills, edits, again := size().kills, 0, 0
		var starts, settles durations
		var apart firsts
		for i := range kills {
			if err := load.Rounds(absence); err != nil {
				t.Fatal(err)
			}
			before := data.moves()
			control.Kill()
			first := apart.begin(i)
			if err := load.Rounds(absence); err != nil {
				t.Fatal(err)
			}
			want := map[string]int{"Secret": 1}
			if i%editEvery == editEvery-1 {
				edits++
				s.edit(edits)
				maps.Copy(want, routesOfAnEdit)
			}
			first.waiting(t)
			began := time.Now()
			control.start()
			control.awaitReady()
			starts.add(time.Since(began))
			if err := l.published(edited); err != nil {
				t.Errorf("start %d: %v", i+1, err)
			}
			control.awaitSettled(plane)
			settles.add(time.Since(began))
			s.awaitEdit(t, edits)
			apart.end(t, first)
			if err := load.Rounds(absence); err != nil {
				t.Fatal(err)
			}
			if got := control.sent(); !maps.Equal(got, want) {
				again++
				t.Errorf("start %d: sent %v, want %v", i+1, got, want)
			}
			for _, m := range moved(before, data.moves()) {
				t.Errorf("start %d: Envoy has moved: %s", i+1, m)
			}
		}
		edits++
		s.edit(edits)
		s.awaitEdit(t, edits)
		load.Stop().Check(t, int64(kills*absence))
		s.check()
		t.Logf("%s: %d times killed, %d times with an edit meanwhile; at first %v were sent, after %d starts something that was not wanted; ready after %s, the data plane had everything after %s",
			plane, kills, edits-1, sent, again, &starts, &settles)
		t.Logf("%s: first handshakes of names, each begun while no control plane ran: %s", plane, &apart)
	})
}
