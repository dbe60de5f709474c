package status

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	networkingac "k8s.io/client-go/applyconfigurations/networking/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/client-go/util/workqueue"

	"github.com/postern-gateway/postern/translator/model"
)

const (
	// statusWritesPerSecond and statusWritesBurst bound the writes of status: 10,000 Ingresses take some 200 s, while
	// their translation and all else that asks the API server go on.
	statusWritesPerSecond = 50
	statusWritesBurst     = 100
	// statusWorkers is the number of writes at one time.
	statusWorkers = 4
	// retryDelayMin and retryDelayMax bound the wait before what failed is tried again.
	retryDelayMin = 100 * time.Millisecond
	retryDelayMax = time.Minute
	// removalWait is how long an Ingress must not have been served before its address is removed: a new leader may know of
	// an Ingress later than the leader before it did.
	removalWait = 5 * time.Second
	// contestWindow is how soon another writer's change counts as a contest over the address; then it is written again
	// after contestDelayMin, doubled each time up to contestDelayMax, so that two controllers do not write in a circle.
	contestWindow   = 10 * time.Minute
	contestDelayMin = time.Second
	contestDelayMax = 5 * time.Minute
	// managerBytesMax is the API's bound of a field manager's name.
	managerBytesMax = 128
)

// manager is the field manager of what is written: one for each group of replicas, so that of two gateways in a cluster
// each knows its own addresses (Kubernetes: Server-Side Apply, field management).
func manager(o Options) string {
	name := "postern-status." + o.LeaseNamespace + "." + o.LeaseName
	if len(name) > managerBytesMax {
		name = name[:managerBytesMax-17] + "." + shortHash(name)
	}
	return name
}

// writer writes the addresses of Ingresses while this replica leads.
type writer struct {
	client     kubernetes.Interface
	log        *slog.Logger
	cluster    string
	manager    string
	wait       time.Duration
	acceptance *acceptance
	publisher  *publisher
	limiter    flowcontrol.RateLimiter
	queue      workqueue.TypedRateLimitingInterface[types.NamespacedName]
	stores     []cache.Store

	mu sync.Mutex
	// served is of the newest publication, nil before the first.
	served map[types.NamespacedName]bool
	// unserved says since when an Ingress that has our address is not served; contests has what was written last.
	unserved map[types.NamespacedName]time.Time
	contests map[types.NamespacedName]contest
}

// contest is how often one address was written to one Ingress in contestWindow.
type contest struct {
	addresses []address
	last      time.Time
	writes    int
}

// writeAddresses keeps the status of Ingresses at what is served, until ctx ends. What was written stays then.
func (s *Status) writeAddresses(ctx context.Context) {
	w := &writer{
		client: s.client, log: s.log, cluster: s.options.Cluster, manager: manager(s.options), acceptance: s.acceptance,
		wait: removalWait, publisher: newPublisher(s.fixed),
		limiter: flowcontrol.NewTokenBucketRateLimiter(statusWritesPerSecond, statusWritesBurst),
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](retryDelayMin, retryDelayMax)),
		unserved: map[types.NamespacedName]time.Time{}, contests: map[types.NamespacedName]contest{},
	}
	var group sync.WaitGroup
	defer group.Wait()
	if s.options.PublishService.Name != "" {
		group.Go(func() { s.followService(ctx, w.publisher) })
	}
	synced, stopped := w.watch(ctx, s.options.Namespaces)
	defer stopped()
	defer w.queue.ShutDown()
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return
	}
	for range statusWorkers {
		group.Go(func() { w.work(ctx) })
	}
	for ctx.Err() == nil {
		accepted := w.acceptance.watch()
		_, readdressed := w.publisher.get()
		p, published := s.published.get()
		if p != nil {
			w.scan(p.Result.Served)
		}
		select {
		case <-ctx.Done():
		case <-accepted:
		case <-readdressed:
		case <-published:
		}
	}
}

// watch starts informers of the Ingresses that keep of each its status and who wrote it.
func (w *writer) watch(ctx context.Context, namespaces []string) (synced []cache.InformerSynced, stopped func()) {
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	changed := func(object any) {
		if ingress, ok := object.(*networkingv1.Ingress); ok {
			w.queue.Add(keyOf(ingress))
		}
	}
	var factories []informers.SharedInformerFactory
	for _, namespace := range namespaces {
		factory := informers.NewSharedInformerFactoryWithOptions(w.client, 0, informers.WithNamespace(namespace),
			informers.WithTransform(func(object any) (any, error) {
				if ingress, ok := object.(*networkingv1.Ingress); ok {
					return statusOnly(ingress, w.manager), nil
				}
				return object, nil
			}))
		informer := factory.Networking().V1().Ingresses().Informer()
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: changed, UpdateFunc: func(_, now any) { changed(now) }, DeleteFunc: w.forget,
		})
		if err != nil {
			panic("status: an informer that was never started takes no handler: " + err.Error())
		}
		w.stores = append(w.stores, informer.GetStore())
		synced = append(synced, informer.HasSynced)
		factory.StartWithContext(ctx)
		factories = append(factories, factory)
	}
	return synced, func() {
		for _, f := range factories {
			f.Shutdown()
		}
	}
}

func keyOf(i *networkingv1.Ingress) types.NamespacedName {
	return types.NamespacedName{Namespace: i.Namespace, Name: i.Name}
}

// statusOnly drops what the writer does not read: 10,000 Ingresses take a few megabytes.
func statusOnly(i *networkingv1.Ingress, manager string) *networkingv1.Ingress {
	out := &networkingv1.Ingress{Status: i.Status}
	out.Namespace, out.Name, out.UID, out.ResourceVersion = i.Namespace, i.Name, i.UID, i.ResourceVersion
	for _, m := range i.ManagedFields {
		if m.Manager == manager && m.Subresource == "status" {
			out.ManagedFields = append(out.ManagedFields, m)
		}
	}
	return out
}

// owned tells whether the addresses in an Ingress's status are what this manager applied, and nobody else has changed them.
func owned(i *networkingv1.Ingress) bool {
	return slices.ContainsFunc(i.ManagedFields, func(m metav1.ManagedFieldsEntry) bool {
		return m.FieldsV1 != nil && strings.Contains(m.FieldsV1.GetRawString(), `"f:ingress"`)
	})
}

func (w *writer) forget(object any) {
	if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	ingress, ok := object.(*networkingv1.Ingress)
	if !ok {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.unserved, keyOf(ingress))
	delete(w.contests, keyOf(ingress))
}

// scan takes in what is served now and has every Ingress looked at whose status may have to change.
func (w *writer) scan(served []model.ObjectKey) {
	set := make(map[types.NamespacedName]bool, len(served))
	for _, key := range served {
		if key.Cluster == w.cluster {
			set[types.NamespacedName{Namespace: key.Namespace, Name: key.Name}] = true
		}
	}
	w.mu.Lock()
	w.served = set
	w.mu.Unlock()
	for _, store := range w.stores {
		for _, object := range store.List() {
			if ingress, ok := object.(*networkingv1.Ingress); ok && w.decide(ingress).act != actNone {
				w.queue.Add(keyOf(ingress))
			}
		}
	}
}

func (w *writer) work(ctx context.Context) {
	for {
		key, shutdown := w.queue.Get()
		if shutdown {
			return
		}
		if err := w.look(ctx, key); err == nil {
			w.queue.Forget(key)
		} else if ctx.Err() == nil {
			if !apierrors.IsConflict(err) {
				w.log.Warn("status not written; it is tried again", "ingress", key.String(), "error", err)
			}
			w.queue.AddRateLimited(key)
		}
		w.queue.Done(key)
	}
}

func (w *writer) find(key types.NamespacedName) *networkingv1.Ingress {
	for _, store := range w.stores {
		if object, exists, err := store.GetByKey(key.String()); err == nil && exists {
			if ingress, ok := object.(*networkingv1.Ingress); ok {
				return ingress
			}
		}
	}
	return nil
}

// look brings one Ingress's status to where it should be.
func (w *writer) look(ctx context.Context, key types.NamespacedName) error {
	ingress := w.find(key)
	if ingress == nil {
		return nil
	}
	d := w.decide(ingress)
	if d.act == actNone {
		w.mu.Lock()
		delete(w.unserved, key)
		w.mu.Unlock()
		return nil
	}
	if delay := w.delay(key, d); delay > 0 {
		w.queue.AddAfter(key, delay)
		return nil
	}
	if err := w.limiter.Wait(ctx); err != nil {
		return fmt.Errorf("wait for a turn: %w", err)
	}
	return w.apply(ctx, ingress, d)
}

type act int

const (
	actNone act = iota
	actWrite
	actRemove
)

type decision struct {
	act act
	// addresses are those to write.
	addresses []address
}

// decide says what an Ingress's status lacks. It is a pure function of what is known.
func (w *writer) decide(ingress *networkingv1.Ingress) decision {
	key := keyOf(ingress)
	w.mu.Lock()
	known, served := w.served != nil, w.served[key]
	w.mu.Unlock()
	has := ingressAddresses(ingress)
	switch {
	case !known:
		return decision{}
	case !served && len(has) > 0 && owned(ingress):
		return decision{act: actRemove}
	case !served || !w.acceptance.ready(model.ObjectKey{Cluster: w.cluster, Namespace: key.Namespace, Name: key.Name}):
		return decision{}
	}
	want, _ := w.publisher.get()
	if len(want) == 0 || slices.Equal(want, has) {
		return decision{}
	}
	return decision{act: actWrite, addresses: want}
}

// delay is how long to wait before doing what was decided.
func (w *writer) delay(key types.NamespacedName, d decision) time.Duration {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if d.act == actRemove {
		since, ok := w.unserved[key]
		if !ok {
			since = now
			w.unserved[key] = now
		}
		return w.wait - now.Sub(since)
	}
	delete(w.unserved, key)
	c, ok := w.contests[key]
	if !ok || !slices.Equal(c.addresses, d.addresses) || now.Sub(c.last) > contestWindow {
		return 0
	}
	return min(contestDelayMin<<min(c.writes-1, 20), contestDelayMax) - now.Sub(c.last)
}

// apply writes or removes addresses by Server-Side Apply. Removing is applying a status without addresses: the API server
// then drops the field if nobody else owns it.
func (w *writer) apply(ctx context.Context, ingress *networkingv1.Ingress, d decision) error {
	balancer := networkingac.IngressLoadBalancerStatus()
	for _, a := range d.addresses {
		element := networkingac.IngressLoadBalancerIngress()
		if a.ip != "" {
			element = element.WithIP(a.ip)
		} else {
			element = element.WithHostname(a.hostname)
		}
		balancer = balancer.WithIngress(element)
	}
	status := networkingac.IngressStatus()
	if d.act == actWrite {
		status = status.WithLoadBalancer(balancer)
	}
	key := keyOf(ingress)
	// With the UID, an Ingress that was made anew meanwhile is a conflict, and looked at again.
	config := networkingac.Ingress(key.Name, key.Namespace).WithUID(ingress.UID).WithStatus(status)
	_, err := w.client.NetworkingV1().Ingresses(key.Namespace).ApplyStatus(ctx, config,
		metav1.ApplyOptions{FieldManager: w.manager, Force: true})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("apply the status of %s: %w", key, err)
	}
	w.note(key, d)
	return nil
}

// note remembers what was written, and tells of a contest over it.
func (w *writer) note(key types.NamespacedName, d decision) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.unserved, key)
	if d.act == actRemove {
		delete(w.contests, key)
		w.log.Info("address removed: the Ingress is not served any more", "ingress", key.String())
		return
	}
	c, now := w.contests[key], time.Now()
	if !slices.Equal(c.addresses, d.addresses) || now.Sub(c.last) > contestWindow {
		c = contest{addresses: d.addresses}
	}
	c.writes++
	c.last = now
	w.contests[key] = c
	if c.writes > 2 {
		w.log.Warn("someone else keeps changing the address of an Ingress that is served here", "ingress", key.String(), "writes", c.writes)
	}
}
