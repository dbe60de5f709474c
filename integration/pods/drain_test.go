package pods

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
	"github.com/postern-gateway/postern/integration/processes"
)

// TestDrainWithoutControlPlane: a data plane is drained while no control plane runs. Until it is over whoever asks for a user
// and counts what is in flight does so, an answer that has begun comes to its end, and the process ends well.
func TestDrainWithoutControlPlane(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, plane string) {
		l := newLab(t)
		s := l.newSite()
		control := l.replica(1)
		control.start()
		data := l.startDataPlane(plane, control.xds)
		data.awaitReady()
		s.answers(t) // So that users and certificates are there.
		control.awaitSettled(plane)
		const held = of("held")
		hold, err := begin(traffic.HoldPath, held, password)
		if err == nil {
			err = hold.send()
		}
		if err != nil {
			t.Fatal(err)
		}
		processes.Eventually(t, "an answer that is held", func() error {
			if s.private.Held() == 0 {
				return errors.New("none")
			}
			return nil
		})
		control.Kill()
		began := time.Now()
		data.Signal(syscall.SIGTERM)
		data.Await("unready", func() error {
			if ready(dataHealth) == nil {
				return errors.New("it is ready")
			}
			return nil
		})
		s.answers(t)
		// What is begun before the drain is decided in it.
		asked := map[int]*request{}
		for want, r := range map[int]struct {
			of       of
			password string
		}{http.StatusOK: {"free", password}, http.StatusUnauthorized: {"free too", "wrong"}, http.StatusTooManyRequests: {held, password}} {
			if asked[want], err = begin("/", r.of, r.password); err != nil {
				t.Fatal(err)
			}
		}
		data.Await("no new connections", func() error {
			conn, err := net.DialTimeout("tcp", entryHTTP, processes.WaitMax)
			if err != nil {
				return nil
			}
			return errors.Join(fmt.Errorf("%s takes one", entryHTTP), conn.Close())
		})
		draining := time.Since(began)
		for want, r := range asked {
			if err := r.end(want); err != nil {
				t.Errorf("a request that ends in the drain, want %d: %v", want, err)
			}
		}
		s.private.Release()
		if body, err := hold.answer(http.StatusOK); err != nil || body != traffic.Begun+traffic.Ended {
			t.Errorf("the answer that was held: %q, %v", body, err)
		}
		if err := data.AwaitEnd(); err != nil {
			t.Errorf("it ends with %v", err)
		}
		if words := data.Words(); strings.Contains(words, "cut short") {
			t.Errorf("it says\n%s", words)
		}
		t.Logf("%s: no new connections after %d ms, gone after %d ms", plane, draining.Milliseconds(), time.Since(began).Milliseconds())
	})
}

// answers fails the test unless new connections are answered, by password and by name.
func (s *site) answers(t *testing.T) {
	t.Helper()
	for password, want := range map[string]int{password: http.StatusOK, "wrong": http.StatusUnauthorized} {
		if err := s.asUser(password, want); err != nil {
			t.Errorf("password %s: %v", password, err)
		}
	}
	for name, c := range map[string]*traffic.Connection{
		"http": traffic.Dial(entryHTTP, nil), "https": traffic.Dial(entryHTTPS, trusting(steadyHost(0), "h2")),
	} {
		if err := steady(c, 0); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
	}
}
