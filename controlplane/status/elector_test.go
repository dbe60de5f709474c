package status

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
)

// candidate runs for the Lease; led has a value for each time that it leads, ended when that is over.
type candidate struct {
	led, ended chan struct{}
	stop       context.CancelFunc
	done       chan error
}

func run(t *testing.T, client *fake.Clientset, identity string, lead func(context.Context) bool) candidate {
	ctx, cancel := context.WithCancel(context.Background())
	c := candidate{led: make(chan struct{}, 10), ended: make(chan struct{}, 10), stop: cancel, done: make(chan error, 1)}
	o := options(nil)
	o.Identity = identity
	e := elector{client: client, log: slog.New(slog.DiscardHandler), options: o}
	go func() {
		c.done <- e.run(ctx, func(ctx context.Context) bool {
			c.led <- struct{}{}
			defer func() { c.ended <- struct{}{} }()
			return lead(ctx)
		})
	}()
	t.Cleanup(cancel)
	return c
}

func until(ctx context.Context) bool {
	<-ctx.Done()
	return false
}

func expect(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(hangMax):
		t.Fatalf("%s: not within %s", what, hangMax)
	}
}

// TestLeaseIsReleasedWhenWorkIsDone: whoever is stopped finishes, and then lets the next one lead without waiting for the
// Lease to expire.
func TestLeaseIsReleasedWhenWorkIsDone(t *testing.T) {
	client := fake.NewClientset()
	finish := make(chan struct{})
	a := run(t, client, "a", func(ctx context.Context) bool { <-ctx.Done(); <-finish; return false })
	expect(t, "a leads", a.led)
	b := run(t, client, "b", until)
	a.stop()
	lease, err := client.CoordinationV1().Leases("postern").Get(t.Context(), "postern", metav1.GetOptions{})
	if err != nil || *lease.Spec.HolderIdentity != "a" {
		t.Fatalf("while a still writes the lease is %v's (%v)", lease.Spec.HolderIdentity, err)
	}
	close(finish)
	expect(t, "a ends", a.ended)
	if err := <-a.done; err != nil {
		t.Error(err)
	}
	lease, err = client.CoordinationV1().Leases("postern").Get(t.Context(), "postern", metav1.GetOptions{})
	if err != nil || *lease.Spec.HolderIdentity == "a" {
		t.Errorf("a has ended and the lease is still its own (%v)", err)
	}
	expect(t, "b leads", b.led)
	b.stop()
	if err := <-b.done; err != nil {
		t.Error(err)
	}
}

// TestLostLeaseEndsTheWritingOnly: the replica goes on, and leads again when it can.
func TestLostLeaseEndsTheWritingOnly(t *testing.T) {
	client := fake.NewClientset()
	var away atomic.Bool
	client.PrependReactor("*", "leases", func(k8stesting.Action) (bool, runtime.Object, error) {
		return away.Load(), nil, errors.New("the API server is away")
	})
	a := run(t, client, "a", until)
	expect(t, "a leads", a.led)
	away.Store(true)
	expect(t, "a stops writing", a.ended)
	away.Store(false)
	expect(t, "a leads again", a.led)
	a.stop()
	if err := <-a.done; err != nil {
		t.Error(err)
	}
}

// TestHandOff: who hands off leaves the Lease to another, and takes it again where there is none.
func TestHandOff(t *testing.T) {
	client := fake.NewClientset()
	times := 0
	a := run(t, client, "a", func(ctx context.Context) bool {
		if times++; times == 3 {
			return until(ctx)
		}
		return true
	})
	for range 3 {
		expect(t, "a leads", a.led)
	}
	a.stop()
	if err := <-a.done; err != nil {
		t.Error(err)
	}
}

// TestTheLeaderHasAProxy: while addresses wait, a replica to which no proxy is connected lets the one lead that has one.
func TestTheLeaderHasAProxy(t *testing.T) {
	client := fake.NewClientset()
	holder := func() string {
		lease, err := client.CoordinationV1().Leases("postern").Get(t.Context(), "postern", metav1.GetOptions{})
		if err != nil || lease.Spec.HolderIdentity == nil {
			return ""
		}
		return *lease.Spec.HolderIdentity
	}
	with := func(identity string, p *proxies) *Status {
		o := options(p)
		o.Identity, o.times.handOff = identity, 200*time.Millisecond
		s, _ := start(t, client, o)
		s.Published(forwarding(1, 1))
		return s
	}
	with("alone", newProxies())
	eventually(t, "the first leads", func() bool { return holder() == "alone" })
	connected := newProxies()
	connected.set(serving(1))
	with("connected", connected)
	eventually(t, "the other leads", func() bool { return holder() == "connected" })
}
