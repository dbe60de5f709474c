package pods

import (
	"bytes"
	"errors"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
)

// TestXDSRotation: the certificates by which control plane and data plane know each other are renewed on both sides, and their
// CA is exchanged with an overlap, while requests run. After every step the control plane is killed and started again, so that
// all handshakes are by what there is then. No request fails, nothing is sent again, and in the end the CA of before is worth
// nothing.
func TestXDSRotation(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, plane string) {
		l := newLab(t)
		s := l.newSite()
		control := l.replica(1)
		control.start()
		data := l.startDataPlane(plane, control.xds)
		data.awaitReady()
		load := traffic.Start(s.clients()...)
		control.awaitSettled(plane)
		r, handshakes := &l.trust, 0
		again := func(step string) {
			t.Helper()
			if err := load.Rounds(absence); err != nil {
				t.Fatal(err)
			}
			control.Kill()
			control.start()
			control.awaitReady()
			control.awaitSettled(plane)
			handshakes++
			if err := load.Rounds(absence); err != nil {
				t.Fatal(err)
			}
			if got := control.sent(); len(got) > 0 {
				t.Errorf("after %s: sent again: %v", step, got)
			}
		}
		before := data.moves()
		for range size().rotations {
			r.issue(r.ca, r.ca.Certificate)
			again("new certificates")
			old, shown, next := r.ca.Certificate, r.shown, newCA(t)
			r.trustAlso(old, next.Certificate)
			again("both CAs")
			r.issue(next, bytes.Join([][]byte{old, next.Certificate}, nil))
			again("certificates of the new CA")
			r.trustAlso(next.Certificate)
			again("the new CA alone")
			if err := greet(control.xds, r.shown, next); err != nil {
				t.Errorf("with the new certificate: %v", err)
			}
			var refused *refusal
			if err := greet(control.xds, shown, next); !errors.As(err, &refused) {
				t.Errorf("with the old certificate: %v, want it refused", err)
			}
		}
		for _, m := range moved(before, data.moves()) {
			t.Errorf("Envoy has moved: %s", m)
		}
		s.edit(1)
		s.awaitEdit(t, 1)
		load.Stop().Check(t, int64(handshakes*absence))
		s.check()
		t.Logf("%s: %d steps of %d rotations", plane, handshakes, size().rotations)
	})
}
