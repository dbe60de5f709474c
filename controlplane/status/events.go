package status

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/flowcontrol"
)

const (
	// eventWritesPerSecond and eventWritesBurst bound the writes of Events: those of a NACK, at most nackObjectsMax, are out
	// within a second.
	eventWritesPerSecond = 20
	eventWritesBurst     = 50
	// eventsQueuedMax bounds the Events that wait; what does not fit is counted, and told by a later publication.
	eventsQueuedMax = 10000
	// eventRenewAfter is how long after it was told last a thing that still stands is told again: before the API server
	// forgets the Event (kube-apiserver --event-ttl, 1 h).
	eventRenewAfter = 45 * time.Minute
	// eventRepeatMin is how long a thing that comes and goes is not told again.
	eventRepeatMin = 5 * time.Minute
	// eventsPerObjectMax is how many Events an object gets in eventRepeatMin.
	eventsPerObjectMax = 25
	// eventTriesMax is how often an Event is tried that the API server does not take.
	eventTriesMax = 5
	// noteBytesMax is the API's bound of an Event's note.
	noteBytesMax = 1024
	// eventNameMax leaves room for the hash in an Event's name of at most 253 bytes.
	eventNameMax = 200
)

// event is one thing to tell of an object. Equal events are one Event of the API, counted.
type event struct {
	regarding corev1.ObjectReference
	// level is corev1.EventTypeWarning or EventTypeNormal.
	level  string
	reason string
	// action is what Postern did: Translate, Publish.
	action string
	note   string
}

// name is equal for equal events, of whichever replica: the second one to tell finds the first one's Event.
func (e event) name() string {
	object := e.regarding.Name
	if len(object) > eventNameMax {
		object = object[:eventNameMax]
	}
	r := e.regarding
	return strings.TrimRight(object, ".-") + "." +
		shortHash(r.Kind, r.Namespace, r.Name, string(r.UID), e.level, e.reason, e.action, e.note)
}

func shortHash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// namespace is that of the Event: for an object of the cluster it is default (events.k8s.io/v1).
func (e event) namespace() string {
	if e.regarding.Namespace == "" {
		return metav1.NamespaceDefault
	}
	return e.regarding.Namespace
}

// eventSource is who tells.
type eventSource struct{ controller, instance string }

// events writes Events, few at a time and each thing once. It is code of our own since the recorders of client-go lose what
// matters here: tools/events counts a second problem of one reason as the first one's repetition, whose note stays, and
// tools/record drops what does not fit its queue, and its caller, who must not repeat himself, does not learn of it.
type events struct {
	client  kubernetes.Interface
	log     *slog.Logger
	source  eventSource
	limiter flowcontrol.RateLimiter

	mu sync.Mutex
	// urgent goes before queued; wake has room for one.
	urgent, queued []queuedEvent
	wake           chan struct{}
	// told says when each event was queued or told last, by name; budgets are by object.
	told    map[string]time.Time
	budgets map[string]*budget
	dropped int
}

type queuedEvent struct {
	event
	name  string
	tries int
}

// budget is how many Events an object had since a time.
type budget struct {
	since time.Time
	spent int
}

func newEvents(client kubernetes.Interface, log *slog.Logger, source eventSource) *events {
	return &events{
		client: client, log: log, source: source,
		limiter: flowcontrol.NewTokenBucketRateLimiter(eventWritesPerSecond, eventWritesBurst),
		wake:    make(chan struct{}, 1), told: map[string]time.Time{}, budgets: map[string]*budget{},
	}
}

// urgency says in which queue an event waits.
type urgency int

const (
	usual urgency = iota
	first
)

// tell queues events that were not told lately. It does not block.
func (q *events) tell(how urgency, list ...event) {
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.prune(now)
	for _, e := range list {
		name := e.name()
		if at, ok := q.told[name]; ok && now.Sub(at) < eventRepeatMin {
			continue
		}
		if len(q.urgent)+len(q.queued) >= eventsQueuedMax || !q.spend(e, now) {
			q.dropped++
			continue
		}
		q.told[name] = now
		if how == first {
			q.urgent = append(q.urgent, queuedEvent{event: e, name: name})
		} else {
			q.queued = append(q.queued, queuedEvent{event: e, name: name})
		}
	}
	q.poke()
}

// fresh tells whether something that stands need not be told yet.
func (q *events) fresh(e event) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	at, ok := q.told[e.name()]
	return ok && time.Since(at) < eventRenewAfter
}

// spend is called with mu held.
func (q *events) spend(e event, now time.Time) bool {
	object := e.regarding.Kind + " " + e.regarding.Namespace + "/" + e.regarding.Name
	b := q.budgets[object]
	if b == nil || now.Sub(b.since) >= eventRepeatMin {
		b = &budget{since: now}
		q.budgets[object] = b
	}
	b.spent++
	return b.spent <= eventsPerObjectMax
}

// prune forgets what no longer matters once there is much of it. It is called with mu held.
func (q *events) prune(now time.Time) {
	if len(q.told) > 2*eventsQueuedMax {
		for name, at := range q.told {
			if now.Sub(at) >= eventRepeatMin {
				delete(q.told, name)
			}
		}
	}
	if len(q.budgets) > eventsQueuedMax {
		for object, b := range q.budgets {
			if now.Sub(b.since) >= eventRepeatMin {
				delete(q.budgets, object)
			}
		}
	}
}

func (q *events) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *events) next() (queuedEvent, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.dropped > 0 {
		q.log.Warn("Events not written: too many at once", "events", q.dropped)
		q.dropped = 0
	}
	for _, list := range []*[]queuedEvent{&q.urgent, &q.queued} {
		if len(*list) > 0 {
			e := (*list)[0]
			*list = (*list)[1:]
			return e, true
		}
	}
	return queuedEvent{}, false
}

// run writes what is queued until ctx ends.
func (q *events) run(ctx context.Context) {
	for {
		e, ok := q.next()
		if !ok {
			select {
			case <-ctx.Done():
				return
			case <-q.wake:
			}
			continue
		}
		if q.limiter.Wait(ctx) != nil {
			return
		}
		if err := q.write(ctx, e); err != nil && ctx.Err() == nil {
			q.again(e, err)
		}
	}
}

// again puts an event at the end of the queue, or gives it up: then it counts as not told.
func (q *events) again(e queuedEvent, err error) {
	e.tries++
	q.mu.Lock()
	defer q.mu.Unlock()
	if e.tries < eventTriesMax && !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) && len(q.queued) < eventsQueuedMax {
		q.queued = append(q.queued, e)
		return
	}
	q.log.Warn("Event not written", "object", e.regarding.Kind+" "+e.regarding.Namespace+"/"+e.regarding.Name,
		"reason", e.reason, "error", err)
	if !apierrors.IsInvalid(err) {
		delete(q.told, e.name)
	}
}

// write creates the Event or, where there is one, counts one more.
func (q *events) write(ctx context.Context, e queuedEvent) error {
	now := metav1.NowMicro()
	client := q.client.EventsV1().Events(e.namespace())
	_, err := client.Create(ctx, &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: e.namespace(), Name: e.name},
		EventTime:           now,
		ReportingController: q.source.controller, ReportingInstance: q.source.instance,
		Action: e.action, Reason: e.reason, Regarding: e.regarding, Note: e.note, Type: e.level,
	}, metav1.CreateOptions{})
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) || apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil || !apierrors.IsAlreadyExists(err) {
		return err
	}
	existing, err := client.Get(ctx, e.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	count, last := int32(1), existing.EventTime
	if existing.Series != nil {
		count, last = existing.Series.Count, existing.Series.LastObservedTime
	}
	// After a restart, or with a new leader, what stands was told a moment ago.
	if now.Sub(last.Time) < eventRepeatMin {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"series": eventsv1.EventSeries{Count: count + 1, LastObservedTime: now}})
	if err != nil {
		return err
	}
	_, err = client.Patch(ctx, e.name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// shorten cuts a note to what the API takes.
func shorten(note string) string {
	if len(note) <= noteBytesMax {
		return note
	}
	return strings.ToValidUTF8(note[:noteBytesMax-len("…")], "") + "…"
}
