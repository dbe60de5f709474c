package kube

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/watchlist"
	"k8s.io/utils/clock"
)

const (
	// retryDelayMin and retryDelayMax bound the wait before a list that failed is tried again; after retryDelayReset
	// without a failure it begins anew. They are client-go's own.
	retryDelayMin   = 800 * time.Millisecond
	retryDelayMax   = 30 * time.Second
	retryDelayReset = 2 * time.Minute
	retrySteps      = 8
	// watchTimeoutMin is how long one watch is asked for at least, and at most twice that. A dead connection is found by
	// HTTP/2's pings, so that a watch need not end for it; each end is a request for each Secret.
	watchTimeoutMin = 30 * time.Minute
)

// answer is what the API server said of what a watch covers.
type answer int

const (
	// unanswered: nothing has come yet.
	unanswered answer = iota
	// found: everything in the scope is known, be it that there is nothing.
	found
	// refused: it may not be listed.
	refused
	// late: the API server has been asked for lookupWaitMax, in vain.
	late
)

// watch is one list and watch of a kind, with a store of its own. The Source's lock guards answer and all that follows.
type watch struct {
	source *Source
	kind   string
	scope  scope
	store  cache.TransformingStore
	// expected is an object of the kind.
	expected any
	requests requester

	answer answer
	// fault is what keeps it from being up to date, its zero value where nothing does.
	fault fault
	// stop ends it; nil before it is started.
	stop context.CancelFunc
	// lookup is what it is beside, where it is of one object that is referred to; nil where it is of a whole kind.
	lookup *lookup
}

func newWatch[T named](s *Source, k *kind[T], in scope, r requester) *watch {
	w := &watch{source: s, kind: k.name, scope: in, expected: k.expected, requests: r}
	w.store = &store[T]{watch: w, kind: k}
	return w
}

// run lists and watches until ctx ends, by client-go's reflector, which keeps the store up to date through ended watches and
// versions that are gone. It does what the reflector's own Run does, but for the log of every attempt.
func (s *Source) run(ctx context.Context, w *watch) {
	reflector := cache.NewReflectorWithOptions(&listerWatcher{w}, w.expected, w.store, cache.ReflectorOptions{
		Name: w.scope.of(w.kind), MinWatchTimeout: watchTimeoutMin,
	})
	if w.lookup != nil {
		if !s.lookups.enter(ctx, s, w) {
			return
		}
		defer w.lookup.leave()
		patience := time.AfterFunc(lookupWaitMax, func() { s.overdue(w) })
		defer patience.Stop()
	}
	backoff := wait.Backoff{Duration: retryDelayMin, Cap: retryDelayMax, Steps: retrySteps, Factor: 2, Jitter: 1}
	_ = backoff.DelayWithReset(clock.RealClock{}, retryDelayReset).Until(ctx, true, true, func(ctx context.Context) (bool, error) {
		if err := reflector.ListAndWatchWithContext(ctx); err != nil && ctx.Err() == nil {
			s.failed(w, err)
		}
		return false, nil
	})
}

// store is where a reflector puts what a watch covers.
type store[T named] struct {
	watch *watch
	kind  *kind[T]
}

// Transformer has objects trimmed as they come.
func (s *store[T]) Transformer() cache.TransformFunc {
	return func(object any) (any, error) {
		s.kind.trim(object)
		return object, nil
	}
}

// Add keeps a new object.
func (s *store[T]) Add(object any) error {
	s.kind.trim(object)
	o, ok := s.kind.wrap(object)
	if !ok || !s.watch.scope.holds(o) {
		return nil
	}
	src := s.watch.source
	src.lock.Lock()
	defer src.lock.Unlock()
	if s.watch.forgotten() {
		return nil
	}
	if s.kind.put(o) {
		src.tell(s.kind.endpoints)
	}
	return nil
}

// Update keeps a new version of an object.
func (s *store[T]) Update(object any) error { return s.Add(object) }

// Delete forgets an object.
func (s *store[T]) Delete(object any) error {
	o, ok := s.kind.wrap(object)
	if !ok || !s.watch.scope.holds(o) {
		return nil
	}
	src := s.watch.source
	src.lock.Lock()
	defer src.lock.Unlock()
	if !s.watch.forgotten() && s.kind.remove(o) {
		src.tell(s.kind.endpoints)
	}
	return nil
}

// Replace has what the watch covers be exactly these objects.
func (s *store[T]) Replace(objects []any, _ string) error {
	kept := make([]T, 0, len(objects))
	for _, object := range objects {
		s.kind.trim(object)
		if o, ok := s.kind.wrap(object); ok && s.watch.scope.holds(o) {
			kept = append(kept, o)
		}
	}
	src := s.watch.source
	src.lock.Lock()
	defer src.lock.Unlock()
	if s.watch.forgotten() {
		return nil
	}
	changed := s.kind.replace(s.watch.scope, kept)
	first := s.watch.answer != found
	src.succeeded(s.watch)
	s.watch.answered(found)
	if changed || first {
		src.tell(s.kind.endpoints && !first)
	}
	return nil
}

// Resync has nothing to do.
func (s *store[T]) Resync() error { return nil }

// forgotten says that what the watch covers is not wanted any more, so that what still comes is not kept. It is called with
// the lock held.
func (w *watch) forgotten() bool { return w.lookup != nil && w.lookup.forgotten }

// answered notes what is known of it, with the lock held.
func (w *watch) answered(a answer) {
	if w.lookup != nil {
		w.source.lookups.count(w, a)
	}
	w.answer = a
}

// requester are the two requests that a watch makes, of objects of a kind in all namespaces or one.
type requester struct {
	list  func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch func(context.Context, metav1.ListOptions) (apiwatch.Interface, error)
	// client is asked whether it can stream a list.
	client any
}

// lister is a client of a kind; L is the type of its lists.
type lister[L runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (apiwatch.Interface, error)
}

func requests[L runtime.Object](client any, of lister[L]) requester {
	return requester{
		client: client, watch: of.Watch,
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return of.List(ctx, o)
		},
	}
}

// listerWatcher makes a watch's requests for the reflector, which hides most errors of theirs, and notes them.
type listerWatcher struct{ *watch }

// IsWatchListSemanticsUnSupported tells the reflector of clients that cannot stream a list, as those of tests.
func (l *listerWatcher) IsWatchListSemanticsUnSupported() bool {
	return watchlist.DoesClientNotSupportWatchListSemantics(l.requests.client)
}

// List is as ListWithContext.
func (l *listerWatcher) List(o metav1.ListOptions) (runtime.Object, error) {
	return l.ListWithContext(context.Background(), o)
}

// Watch is as WatchWithContext.
func (l *listerWatcher) Watch(o metav1.ListOptions) (apiwatch.Interface, error) {
	return l.WatchWithContext(context.Background(), o)
}

// ListWithContext lists what the watch covers.
func (l *listerWatcher) ListWithContext(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	l.scope.narrow(&o)
	out, err := l.requests.list(ctx, o)
	if err != nil && ctx.Err() == nil {
		l.source.failed(l.watch, err)
	}
	return out, err
}

// WatchWithContext watches what the watch covers.
func (l *listerWatcher) WatchWithContext(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
	l.scope.narrow(&o)
	o.Watch = true
	out, err := l.requests.watch(ctx, o)
	switch {
	case err == nil && o.SendInitialEvents == nil:
		l.source.lock.Lock()
		l.source.succeeded(l.watch)
		l.source.lock.Unlock()
	case err != nil && ctx.Err() == nil && !(o.SendInitialEvents != nil && listFollows(err)):
		l.source.failed(l.watch, err)
	}
	return out, err
}

// listFollows says that the reflector asks for a plain list where a streamed one was refused so: by an API server that cannot
// stream one, or by one that refuses the list in other words. Other errors it tries again by itself.
func listFollows(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err)
}

// narrow has a request cover one object only. The field selector stands for the name where access is decided, too: a role
// that names the object (resourceNames) is enough.
func (s scope) narrow(o *metav1.ListOptions) {
	if s.name != "" {
		o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, s.name).String()
	}
}
