package pods

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/postern-gateway/postern/controlplane/casetest/traffic"
	"github.com/postern-gateway/postern/integration/processes"
)

// TestReplicaKilled: of two control planes the one that has the data plane is killed, again and again. The data plane goes to
// the other, which sends it nothing; what is edited then is in force.
func TestReplicaKilled(t *testing.T) {
	eachDataPlane(t, func(t *testing.T, plane string) {
		l := newLab(t)
		s := l.newSite()
		has, other := l.replica(1), l.replica(2)
		for _, c := range []*controlPlane{has, other} {
			c.start()
			c.awaitReady()
		}
		balance(t, has.xds, other.xds)
		data := l.startDataPlane(plane, serviceAddress)
		data.awaitReady()
		load := traffic.Start(s.clients()...)
		has.awaitSettled(plane)
		kills := size().replicaKills
		var moves durations
		for i := range kills {
			if err := load.Rounds(absence); err != nil {
				t.Fatal(err)
			}
			before, began := data.moves(), time.Now()
			has.Kill()
			other.awaitSettled(plane)
			moves.add(time.Since(began))
			if err := load.Rounds(absence); err != nil {
				t.Fatal(err)
			}
			if got := other.sent(); len(got) > 0 {
				t.Errorf("kill %d: the other replica sends %v", i+1, got)
			}
			for _, m := range moved(before, data.moves()) {
				t.Errorf("kill %d: Envoy has moved: %s", i+1, m)
			}
			s.edit(i + 1)
			s.awaitEdit(t, i+1)
			has.start()
			has.awaitReady()
			has, other = other, has
		}
		load.Stop().Check(t, int64(kills*absence))
		s.check()
		t.Logf("%s: %d times killed; the data plane was with the other replica after %s", plane, kills, &moves)
	})
}

// balancer leads connections to a Service to one of its endpoints: the last that took one, as long as it does.
type balancer struct {
	endpoints []string
	listener  net.Listener
	running   sync.WaitGroup

	mu   sync.Mutex
	last int                   // guarded by mu
	open map[net.Conn]struct{} // guarded by mu; nil when it is over
}

// balance runs one at the address of the Service until the test ends.
func balance(t *testing.T, endpoints ...string) {
	t.Helper()
	lis, err := net.Listen("tcp", serviceAddress)
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{endpoints: endpoints, listener: lis, open: map[net.Conn]struct{}{}}
	b.running.Go(b.accept)
	t.Cleanup(func() {
		_ = lis.Close()
		b.mu.Lock()
		for conn := range b.open {
			_ = conn.Close()
		}
		b.open = nil
		b.mu.Unlock()
		b.running.Wait()
	})
}

func (b *balancer) accept() {
	for {
		conn, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.running.Go(func() {
			to, err := b.dial()
			if err != nil {
				_ = conn.Close()
				return
			}
			b.join(conn, to)
		})
	}
}

// dial tries each endpoint once.
func (b *balancer) dial() (net.Conn, error) {
	b.mu.Lock()
	first := b.last
	b.mu.Unlock()
	var faults []error
	for i := range b.endpoints {
		n := (first + i) % len(b.endpoints)
		conn, err := net.DialTimeout("tcp", b.endpoints[n], processes.WaitMax)
		if err == nil {
			b.mu.Lock()
			b.last = n
			b.mu.Unlock()
			return conn, nil
		}
		faults = append(faults, err)
	}
	return nil, errors.Join(faults...)
}

// join copies both ways until one of them ends.
func (b *balancer) join(one, other net.Conn) {
	b.mu.Lock()
	over := b.open == nil
	if !over {
		b.open[one], b.open[other] = struct{}{}, struct{}{}
	}
	b.mu.Unlock()
	end := func() {
		_ = one.Close()
		_ = other.Close()
	}
	defer end()
	if over {
		return
	}
	b.running.Go(func() {
		defer end()
		_, _ = io.Copy(one, other) // Its end is that of the connection.
	})
	_, _ = io.Copy(other, one)
	b.mu.Lock()
	delete(b.open, one)
	delete(b.open, other)
	b.mu.Unlock()
}
