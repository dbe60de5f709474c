// Package kube watches the objects of a cluster and keeps them as a source.World: the kinds that routing needs as a whole,
// Secrets and ConfigMaps one by one, and only those that are referred to.
package kube

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// Options say what is watched.
type Options struct {
	Client kubernetes.Interface
	// Cluster is the name that objects carry as their place, empty where there is one cluster only.
	Cluster string
	// Namespaces are those whose objects are watched; without any, all are.
	Namespaces []string
	// Nodes has Nodes watched. They are read for one thing: no ExternalName to a host outside of the cluster may have the
	// address of a node (docs/operate/external-names.md), so without such hosts nobody need be allowed to list them.
	Nodes bool
	// OnFailure, which may be nil, is told the kind of each list or watch that failed. It must not block.
	OnFailure func(kind string)
	Log       *slog.Logger
}

// Source is the objects of a cluster. It is a controller.Source.
type Source struct {
	options Options
	changes chan controller.Change

	// lock guards everything below, the kinds, and what each watch tells of itself.
	lock       sync.Mutex
	ingresses  *kind[source.Ingress]
	services   *kind[source.Service]
	endpoints  *kind[source.EndpointSlice]
	classes    *kind[source.IngressClass]
	namespaces *kind[source.Namespace]
	nodes      *kind[source.Node]
	secrets    *kind[source.Secret]
	configMaps *kind[source.ConfigMap]
	// whole are the watches of whole kinds; they are all started by Run and end with it.
	whole []*watch
	// lookups are the watches of what is referred to.
	lookups lookups
	faults  faults
	// start runs a watch until its context ends; nil before Run and once it ends.
	start func(*watch)
}

var _ controller.Source = (*Source)(nil)

// New makes a source that is empty until Run.
func New(o Options) *Source {
	s := &Source{options: o, changes: make(chan controller.Change, 1), faults: faults{log: o.Log, words: map[fault]int{}}}
	place := source.Place{Cluster: o.Cluster}
	s.ingresses = ingresses(place)
	s.services = services(place)
	s.endpoints = endpointSlices(place)
	s.classes = ingressClasses(place)
	s.namespaces = namespaces(place)
	s.nodes = nodes(place)
	s.secrets = secrets(place)
	s.configMaps = configMaps(place)
	s.lookups = newLookups()
	s.watchWhole()
	return s
}

// watchWhole makes the watches of whole kinds, of the namespaces that are asked for.
func (s *Source) watchWhole() {
	inNamespaces := []scope{{}}
	named := []scope{{}}
	if only := slices.Compact(slices.Sorted(slices.Values(s.options.Namespaces))); len(only) > 0 {
		inNamespaces, named = nil, nil
		for _, namespace := range only {
			inNamespaces = append(inNamespaces, scope{namespace: namespace})
			named = append(named, scope{name: namespace})
		}
	}
	c := s.options.Client
	for _, in := range inNamespaces {
		s.whole = append(s.whole,
			newWatch(s, s.ingresses, in, requests(c, c.NetworkingV1().Ingresses(in.namespace))),
			newWatch(s, s.services, in, requests(c, c.CoreV1().Services(in.namespace))),
			newWatch(s, s.endpoints, in, requests(c, c.DiscoveryV1().EndpointSlices(in.namespace))))
	}
	for _, in := range named {
		s.whole = append(s.whole, newWatch(s, s.namespaces, in, requests(c, c.CoreV1().Namespaces())))
	}
	s.whole = append(s.whole, newWatch(s, s.classes, scope{}, requests(c, c.NetworkingV1().IngressClasses())))
	if s.options.Nodes {
		s.whole = append(s.whole, newWatch(s, s.nodes, scope{}, requests(c, c.CoreV1().Nodes())))
	}
}

// Run watches until ctx ends. It returns once every watch has ended.
func (s *Source) Run(ctx context.Context) error {
	var running sync.WaitGroup
	s.lock.Lock()
	s.start = func(w *watch) {
		watching, cancel := context.WithCancel(ctx)
		w.stop = cancel
		running.Go(func() {
			defer cancel()
			s.run(watching, w)
		})
	}
	for _, w := range s.whole {
		s.start(w)
	}
	s.lookups.each(func(w *watch) {
		if w.answer == unanswered {
			s.start(w)
		}
	})
	s.lock.Unlock()
	<-ctx.Done()
	s.lock.Lock()
	s.start = nil
	s.lock.Unlock()
	running.Wait()
	return nil
}

// Want has the Secrets and ConfigMaps watched that are named, and others forgotten.
func (s *Source) Want(r model.References) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if !s.lookups.want(s, r) && s.complete() {
		// The world has been translated with all that it refers to.
		s.lookups.settled = true
	}
}

// World is every object as it is known now.
func (s *Source) World() (source.World, bool) {
	s.lock.Lock()
	defer s.lock.Unlock()
	return source.World{
		Ingresses: s.ingresses.all(), Services: s.services.all(), EndpointSlices: s.endpoints.all(),
		IngressClasses: s.classes.all(), Namespaces: s.namespaces.all(), Nodes: s.nodes.all(),
		Secrets: s.secrets.all(), ConfigMaps: s.configMaps.all(),
	}, s.complete()
}

// complete is asked for with the lock held.
func (s *Source) complete() bool { return s.listed() && s.lookups.complete() }

func (s *Source) listed() bool {
	return !slices.ContainsFunc(s.whole, func(w *watch) bool { return w.answer != found })
}

// Changes has one value at most, which stands for all that came since the one before was received.
func (s *Source) Changes() <-chan controller.Change { return s.changes }

// tell says that the world is another. It is called with the lock held: nobody else sends.
func (s *Source) tell(endpointsOnly bool) {
	c := controller.Change{EndpointsOnly: endpointsOnly, At: time.Now()}
	select {
	case before := <-s.changes:
		c = controller.Change{EndpointsOnly: endpointsOnly && before.EndpointsOnly, At: before.At}
	default:
	}
	s.changes <- c
}
