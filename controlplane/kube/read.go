package kube

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/pager"

	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// Reader reads the objects of a cluster once, as a person asks for them, whose rights may be narrower than those of the
// control plane.
type Reader struct {
	Client kubernetes.Interface
	// Namespace is the one whose objects are read where those of all may not be; without it, all must be.
	Namespace string
	// Nodes has Nodes read, too: see Options.
	Nodes bool
}

// Reading is what a cluster was when it was read, and what of it is not known.
type Reading struct {
	World source.World
	// Namespace is the only one whose objects were read, since those of all may not be; empty where all were.
	Namespace string
	// Denied are the kinds that may not be listed, beside Ingresses and Services: sorted, each once.
	Denied []Denial
	// looked are the Secrets and ConfigMaps that were asked for.
	looked map[lookupKey]bool
}

// Denial is a kind that may not be listed, and why.
type Denial struct {
	Kind string
	// Why is what the API server said.
	Why string
}

// Read lists what routing needs as a whole. Ingresses and Services must be listed, in all namespaces or in the one that is
// named; of other kinds that may not be listed it goes on without. Secrets and ConfigMaps come by Look.
func (r Reader) Read(ctx context.Context) (Reading, error) {
	out, err := r.readNeeded(ctx, "")
	if apierrors.IsForbidden(err) && r.Namespace != "" {
		out, err = r.readNeeded(ctx, r.Namespace)
		out.Namespace = r.Namespace
	}
	if err != nil {
		return Reading{}, err
	}
	return out, r.readOthers(ctx, &out)
}

// readNeeded lists the kinds without which nothing can be said.
func (r Reader) readNeeded(ctx context.Context, namespace string) (Reading, error) {
	ingresses, err := listOnce(ctx, ingresses(source.Place{}), scope{namespace: namespace}, requests(r.Client, r.Client.NetworkingV1().Ingresses(namespace)))
	if err != nil {
		return Reading{}, err
	}
	services, err := listOnce(ctx, services(source.Place{}), scope{namespace: namespace}, requests(r.Client, r.Client.CoreV1().Services(namespace)))
	if err != nil {
		return Reading{}, err
	}
	return Reading{World: source.World{Ingresses: ingresses, Services: services}, looked: map[lookupKey]bool{}}, nil
}

// readOthers lists the kinds that may be missing.
func (r Reader) readOthers(ctx context.Context, out *Reading) error {
	in, c := scope{namespace: out.Namespace}, r.Client
	var err error
	w := &out.World
	w.EndpointSlices, err = listIfAllowed(ctx, out, endpointSlices(source.Place{}), in, requests(c, c.DiscoveryV1().EndpointSlices(out.Namespace)))
	if err != nil {
		return err
	}
	w.IngressClasses, err = listIfAllowed(ctx, out, ingressClasses(source.Place{}), scope{}, requests(c, c.NetworkingV1().IngressClasses()))
	if err != nil {
		return err
	}
	w.Namespaces, err = listIfAllowed(ctx, out, namespaces(source.Place{}), scope{name: out.Namespace}, requests(c, c.CoreV1().Namespaces()))
	if err != nil || !r.Nodes {
		return err
	}
	w.Nodes, err = listIfAllowed(ctx, out, nodes(source.Place{}), scope{}, requests(c, c.CoreV1().Nodes()))
	return err
}

// EndpointsDenied says whether nothing is known of endpoints.
func (r Reading) EndpointsDenied() bool {
	return slices.ContainsFunc(r.Denied, func(d Denial) bool { return d.Kind == endpointSlices(source.Place{}).name })
}

// listIfAllowed lists a kind, and notes where it may not be listed.
func listIfAllowed[T named](ctx context.Context, out *Reading, k *kind[T], in scope, from requester) ([]T, error) {
	objects, err := listOnce(ctx, k, in, from)
	if !apierrors.IsForbidden(err) {
		return objects, err
	}
	out.Denied = append(out.Denied, Denial{Kind: k.name, Why: words(err)})
	return nil, nil
}

// listOnce lists the objects of a kind, in pages, as a watch would keep them.
func listOnce[T named](ctx context.Context, k *kind[T], in scope, from requester) ([]T, error) {
	var all []T
	o := metav1.ListOptions{}
	in.narrow(&o)
	err := pager.New(from.list).EachListItem(ctx, o, func(object runtime.Object) error {
		k.trim(object)
		if wrapped, ok := k.wrap(object); ok && in.holds(wrapped) {
			all = append(all, wrapped)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", in.plural(k.name), err)
	}
	slices.SortFunc(all, func(a, b T) int { return compareNames(a, b) })
	return all, nil
}

// plural is the scope of a list as people know it.
func (s scope) plural(kind string) string {
	name := kind + "s"
	if kind[len(kind)-1] == 's' {
		name = kind + "es"
	}
	if s.namespace == "" {
		return name
	}
	return name + " of namespace " + s.namespace
}

// Look reads the Secrets and ConfigMaps that are referred to and that were not read before, each by itself, and says whether
// there were any. Those that may not be read are the World's Unread.
func (r Reader) Look(ctx context.Context, before Reading, refer model.References) (after Reading, more bool, err error) {
	keys := before.unknown(refer)
	if len(keys) == 0 {
		return before, false, nil
	}
	var mu sync.Mutex // guards after
	after = before
	after.looked = maps.Clone(before.looked)
	after.World.Secrets, after.World.ConfigMaps = slices.Clip(before.World.Secrets), slices.Clip(before.World.ConfigMaps)
	after.World.Unread = slices.Clip(before.World.Unread)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lookupsMax)
	for _, key := range keys {
		after.looked[key] = true
		group.Go(func() error {
			found, err := r.get(ctx, key)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case apierrors.IsForbidden(err):
				after.World.Unread = append(after.World.Unread, source.Unread{Kind: key.kind, Namespace: key.namespace, Name: key.name})
				return nil
			case apierrors.IsNotFound(err):
				return nil
			case err != nil:
				return fmt.Errorf("get %s: %w", key.of(key.kind), err)
			}
			after.World.Secrets = append(after.World.Secrets, found.Secrets...)
			after.World.ConfigMaps = append(after.World.ConfigMaps, found.ConfigMaps...)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return Reading{}, false, err
	}
	slices.SortFunc(after.World.Unread, func(a, b source.Unread) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return after, true, nil
}

// unknown are the objects that are referred to and were not asked for yet.
func (r Reading) unknown(refer model.References) []lookupKey {
	var out []lookupKey
	add := func(kind string, keys []model.ObjectKey) {
		for _, k := range keys {
			key := lookupKey{kind, scope{k.Namespace, k.Name}}
			if !r.looked[key] && possible(key.scope) {
				out = append(out, key)
			}
		}
	}
	add(model.KindSecret, refer.Secrets)
	add(model.KindConfigMap, refer.ConfigMaps)
	return out
}

// get reads one object.
func (r Reader) get(ctx context.Context, key lookupKey) (source.World, error) {
	if key.kind == model.KindSecret {
		k := secrets(source.Place{})
		o, err := r.Client.CoreV1().Secrets(key.namespace).Get(ctx, key.name, metav1.GetOptions{})
		if err != nil {
			return source.World{}, err
		}
		k.trim(o)
		wrapped, _ := k.wrap(o)
		return source.World{Secrets: []source.Secret{wrapped}}, nil
	}
	k := configMaps(source.Place{})
	o, err := r.Client.CoreV1().ConfigMaps(key.namespace).Get(ctx, key.name, metav1.GetOptions{})
	if err != nil {
		return source.World{}, err
	}
	k.trim(o)
	wrapped, _ := k.wrap(o)
	return source.World{ConfigMaps: []source.ConfigMap{wrapped}}, nil
}
