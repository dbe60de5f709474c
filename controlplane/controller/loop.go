package controller

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

const (
	// settleWaitMax is how long a change waits for the proxies to answer the revision before: changes that come while
	// they work are one, and one that hangs holds up nobody for longer.
	settleWaitMax = time.Second
	// endpointsGap is how long endpoints wait after those before, where the proxies have not answered these.
	endpointsGap = 20 * time.Millisecond
	// lookupWaitMax is how long a change waits for the Secrets, ConfigMaps and addresses that it is the first to name:
	// served at once, its routes would be closed for a moment. Before the first snapshot the Source is waited for as long
	// as it takes.
	lookupWaitMax = 2 * time.Second
	// lookupPoll is how often it is looked whether they are there, where nobody says so.
	lookupPoll = 50 * time.Millisecond
	// lookupRounds bounds how often what was found leads to further references before a snapshot is made all the same.
	lookupRounds = 4
)

// loop translates and publishes. All of it belongs to one goroutine.
type loop struct {
	c        *Controller
	settings translator.Settings
	names    []source.ResolvedName
	// first is closed with the first publication.
	first chan struct{}

	// pending is what has changed since the last publication.
	pending Change
	changed bool
	// endpoints says that EndpointSlices may have.
	endpoints bool
	// holdUntil is when what is still being looked up is waited for no longer; zero where nothing is.
	holdUntil time.Time
	// unanswered says that nothing but answers of DNS is waited for.
	unanswered bool
	wanted     model.References

	// last is what is served; its Revision is 0 before the first.
	last Publication
	// configuration is the revision of the last publication that was not of endpoints only, until settleBy or an answer
	// of all proxies, which sets settled.
	configuration xds.Revision
	settled       bool
	settleBy      time.Time
	// endpointsAfter is when endpoints may be published again.
	endpointsAfter time.Time
	// accepted is the newest publication that all proxies have accepted; its Revision is 0 before the first.
	accepted Publication
	// refusals are what proxies refuse, until it changes; origin is what the Source said last.
	refusals []translator.Refusal
	origin   source.World
	// stepped is the configuration for the refusal of which something was last taken out of service.
	stepped xds.Revision
	// rolledBack says that the last accepted publication is served in place of one that is refused whatever is left out.
	rolledBack bool
	// watching ends the goroutine that waits for the proxies.
	watching context.CancelFunc
	watchers sync.WaitGroup
}

func newLoop(c *Controller, first chan struct{}) *loop {
	return &loop{
		c: c, settings: c.config.Settings, first: first, watching: func() {},
		changed: true, pending: Change{At: time.Now()},
	}
}

func (l *loop) run(ctx context.Context) {
	defer l.watchers.Wait()
	defer func() { l.watching() }()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		l.c.setBusy(time.Now())
		timer.Reset(l.step(ctx))
		l.c.setBusy(time.Time{})
		select {
		case <-ctx.Done():
			return
		case change := <-l.c.config.Source.Changes():
			l.note(change)
		case <-l.c.inbox.wake:
			l.read(l.c.inbox.take())
		case <-timer.C:
		}
	}
}

// idle is when the loop looks around though nothing happened.
const idle = time.Hour

// note adds a change to those that are pending.
func (l *loop) note(c Change) {
	l.endpoints = true
	if !l.changed {
		l.changed, l.pending = true, c
		return
	}
	l.pending.EndpointsOnly = l.pending.EndpointsOnly && c.EndpointsOnly
	if c.At.Before(l.pending.At) {
		l.pending.At = c.At
	}
}

func (l *loop) read(m mail) {
	if m.names != nil {
		l.names, l.unanswered = m.names, false
		l.note(Change{At: time.Now()})
	}
	if m.certificate != nil {
		l.settings.Resolve.DefaultCertificate = m.certificate
		l.note(Change{At: time.Now()})
	}
	for _, nack := range m.refusals {
		// What is older may be overcome; if it is not, it stands when all have answered.
		if nack.Revision >= l.configuration {
			l.quarantine(nack)
		}
	}
	if m.settled == l.configuration && l.configuration > 0 {
		l.settled = true
		l.judge()
	}
}

// step does what is due and says how long there is nothing to do.
func (l *loop) step(ctx context.Context) time.Duration {
	if !l.changed {
		return idle
	}
	now := time.Now()
	if l.last.Revision == 0 || !l.pending.EndpointsOnly && (l.settled || !now.Before(l.settleBy)) {
		return l.configure(ctx, now)
	}
	wait := idle
	if !l.pending.EndpointsOnly {
		wait = time.Until(l.settleBy)
	}
	if !l.endpoints {
		return wait
	}
	if now.Before(l.endpointsAfter) {
		return min(wait, time.Until(l.endpointsAfter))
	}
	l.move()
	return wait
}

// configure translates everything and publishes it, unless what it refers to is not known yet.
func (l *loop) configure(ctx context.Context, now time.Time) time.Duration {
	if l.unanswered && now.Before(l.holdUntil) {
		return time.Until(l.holdUntil)
	}
	var next Publication
	for round := 1; ; round++ {
		world, complete := l.c.config.Source.World()
		if !complete && l.hold(now, errStarting) {
			return lookupPoll
		}
		world.Names = l.names
		err := l.guarded("translate", func() error {
			next = l.translate(world)
			return nil
		})
		if err != nil {
			return idle
		}
		known := l.want(next.Result.Gateway.References)
		l.c.config.Names.Want(next.Result.Gateway.OutsideNames)
		if !known && round < lookupRounds {
			continue
		}
		if unanswered(next.Result.Gateway) && l.holdBounded(now) {
			l.unanswered = true
			return time.Until(l.holdUntil)
		}
		break
	}
	next.Took = time.Since(now)
	if l.publish(ctx, next) != nil {
		return idle
	}
	return 0
}

// hold says whether to wait for the Source.
func (l *loop) hold(now time.Time, why error) bool {
	if l.last.Revision == 0 {
		l.c.setReady(why)
		return true
	}
	return l.holdBounded(now)
}

func (l *loop) holdBounded(now time.Time) bool {
	if l.holdUntil.IsZero() {
		l.holdUntil = now.Add(lookupWaitMax)
	}
	return now.Before(l.holdUntil)
}

// want tells the Source what is referred to and is false where that may not be known yet.
func (l *loop) want(references model.References) bool {
	if reflect.DeepEqual(references, l.wanted) {
		return true
	}
	known := within(references.Secrets, l.wanted.Secrets) && within(references.ConfigMaps, l.wanted.ConfigMaps)
	l.wanted = references
	l.c.config.Source.Want(references)
	return known
}

// within says whether all of some keys are among others.
func within(some, others []model.ObjectKey) bool {
	among := map[model.ObjectKey]bool{}
	for _, k := range others {
		among[k] = true
	}
	return !slices.ContainsFunc(some, func(k model.ObjectKey) bool { return !among[k] })
}

// unanswered says whether DNS has not been asked yet for a name that is wanted.
func unanswered(g model.Gateway) bool {
	return slices.ContainsFunc(g.Assignments, func(a model.Assignment) bool { return a.Outside != nil && !a.Outside.Asked })
}

// translate makes the next publication of a world.
func (l *loop) translate(world source.World) Publication {
	if l.c.config.Own != nil {
		own, err := l.c.config.Own()
		if err != nil {
			// The last ones count.
			l.c.log.Warn("names outside of the cluster", "error", err)
		} else {
			l.settings.Resolve.ExternalNames.Own = own
		}
	}
	l.origin = world
	kept := translator.Keep(world, translator.Keeping{Before: l.last.World, Refusals: l.refusals}, l.settings)
	return Publication{World: kept.World, Result: kept.Result, Began: l.pending.At}
}

// move publishes the endpoints of now with the configuration of before.
func (l *loop) move() {
	began := time.Now()
	l.endpoints, l.endpointsAfter = false, began.Add(endpointsGap)
	next := l.last
	now, _ := l.c.config.Source.World()
	next.World.EndpointSlices = now.EndpointSlices
	err := l.guarded("translate endpoints", func() error {
		next.Result = translator.WithEndpoints(l.last.Result, next.World, l.settings)
		return nil
	})
	if err != nil {
		return
	}
	if l.pending.EndpointsOnly {
		l.changed = false
	}
	if next.Result.Same(l.last.Result) {
		l.last = next
		return
	}
	next.EndpointsOnly, next.Began, next.Took = true, l.pending.At, time.Since(began)
	l.send(next)
}

// publish serves a publication that is not of endpoints only.
func (l *loop) publish(ctx context.Context, next Publication) error {
	if err := l.send(next); err != nil {
		return err
	}
	l.refusals, l.rolledBack = translator.Standing(l.origin, l.refusals), false
	l.changed, l.endpoints, l.holdUntil, l.unanswered = false, false, time.Time{}, false
	l.configuration, l.settled, l.settleBy = l.last.Revision, false, time.Now().Add(settleWaitMax)
	l.watch(ctx, l.last.Revision)
	l.c.setReady(nil)
	if l.configuration == 1 {
		close(l.first)
	}
	return nil
}

// send makes the snapshot, serves it, and tells the observers. What was served before stays, should that fail.
func (l *loop) send(next Publication) error {
	began := time.Now()
	return l.guarded("publish", func() error {
		snapshot, err := Snapshot(l.last.Snapshot, next.Result)
		if err != nil {
			return err
		}
		if !next.EndpointsOnly {
			for _, err := range snapshot.Check() {
				l.c.log.Error("a fault of Postern's own, please report it", "error", err)
			}
		}
		next.Took += time.Since(began)
		next.Snapshot = snapshot
		next.Revision = l.c.server.Publish(snapshot)
		l.last = next
		for _, o := range l.c.observers {
			o.Published(next)
		}
		return nil
	})
}

// watch has the loop told when all proxies have answered a revision, and again when the first one comes that has.
func (l *loop) watch(ctx context.Context, revision xds.Revision) {
	l.watching()
	ctx, l.watching = context.WithCancel(ctx)
	server := l.c.server
	l.watchers.Go(func() {
		for connected := false; !connected && server.Wait(ctx, revision) == nil; {
			_, connected = server.Standing()
			l.c.inbox.put(func(m *mail) { m.settled = revision })
			if !connected && server.WaitConnected(ctx, 1) != nil {
				return
			}
		}
	})
}

// errFault is a fault of ours that was logged.
var errFault = errors.New("a fault of Postern's own, see the log")

// guarded does what no object, however wrong, can make fail. Should it all the same, what is served stays, and the next
// change is another try.
func (l *loop) guarded(what string, do func() error) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%v", fault)
			l.c.log.Error("a fault of Postern's own, please report it; what was served before stays", "in", what, "error", err, "stack", string(debug.Stack()))
		} else if err != nil {
			l.c.log.Error("a fault of Postern's own, please report it; what was served before stays", "in", what, "error", err)
		}
		if err != nil {
			l.changed, err = false, errFault
			if l.last.Revision == 0 {
				l.c.setReady(err)
			}
		}
	}()
	return do()
}
