package status

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// handOffMax bounds how long a leader stays away that has handed off in vain again and again.
const handOffMax = 5 * time.Minute

// elector runs for a Lease again and again.
type elector struct {
	client  kubernetes.Interface
	log     *slog.Logger
	options Options
}

// run calls lead whenever the Lease is this replica's; lead's context ends with the Lease or with ctx. The Lease is
// released only when lead has returned, so that no two lead at once, and then at once, so that the next one is fast.
func (e elector) run(ctx context.Context, lead func(context.Context) (handOff bool)) error {
	away := 2 * e.options.times.retry
	for ctx.Err() == nil {
		handOff, err := e.once(ctx, lead)
		if err != nil {
			return err
		}
		if !handOff {
			away = 2 * e.options.times.retry
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(away):
		}
		away = min(2*away, max(handOffMax, away))
	}
	return nil
}

// once runs for the Lease until it was had and is no more, or ctx has ended.
func (e elector) once(ctx context.Context, lead func(context.Context) bool) (handOff bool, err error) {
	// The election outlives ctx by as long as lead takes to return.
	election, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	t := term{
		ctx: ctx, lead: lead, end: end, finished: make(chan struct{}),
		log: e.log.With("lease", e.options.LeaseNamespace+"/"+e.options.LeaseName),
	}
	defer context.AfterFunc(ctx, t.endUnlessLeading)()
	elected, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Namespace: e.options.LeaseNamespace, Name: e.options.LeaseName},
			Client:    e.client.CoordinationV1(), LockConfig: resourcelock.ResourceLockConfig{Identity: e.options.Identity},
		},
		LeaseDuration: e.options.times.lease, RenewDeadline: e.options.times.renew, RetryPeriod: e.options.times.retry,
		ReleaseOnCancel: true, Name: e.options.LeaseName,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: t.started,
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return false, fmt.Errorf("run for the lease %s/%s: %w", e.options.LeaseNamespace, e.options.LeaseName, err)
	}
	elected.Run(election)
	return t.handedOff(), nil
}

// term is one time of leading.
type term struct {
	ctx  context.Context
	lead func(context.Context) bool
	log  *slog.Logger
	end  context.CancelFunc
	// finished is closed when lead has returned; it guards handOff, lead's answer.
	finished chan struct{}
	handOff  bool

	mu sync.Mutex
	// leading is set when lead is called, stopped when ctx ended before: then lead is not called any more.
	leading, stopped bool
}

// started is called by the election in a goroutine of its own, with a context that ends when the Lease is lost.
func (t *term) started(held context.Context) {
	t.mu.Lock()
	stopped := t.stopped
	t.leading = !stopped
	t.mu.Unlock()
	if stopped {
		return
	}
	defer close(t.finished)
	defer t.end()
	work, cancel := context.WithCancel(held)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	t.log.Info("leading: this replica writes status and Events")
	t.handOff = t.lead(work)
	if held.Err() != nil && t.ctx.Err() == nil {
		t.log.Warn("the lease is lost: another replica writes status and Events")
	}
}

func (t *term) endUnlessLeading() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.leading {
		t.stopped = true
		t.end()
	}
}

// handedOff waits for lead to return, if it is called at all, and is its answer. An election ends when the Lease is lost,
// when lead has returned, or by endUnlessLeading.
func (t *term) handedOff() bool {
	t.mu.Lock()
	stopped := t.stopped
	t.mu.Unlock()
	if stopped {
		return false
	}
	<-t.finished
	return t.handOff
}
