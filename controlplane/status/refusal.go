package status

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/source"
)

const (
	// refusalsQueuedMax bounds the NACKs that wait to be told; more are counted and told of in the log alone.
	refusalsQueuedMax = 256
	// nackObjectsMax is on how many objects one NACK is told: an Envoy may refuse a table that 10,000 Ingresses are behind.
	nackObjectsMax = 20
	// standingMax bounds the refused resources of which it is told that they are accepted again.
	standingMax = 1000
	// acceptedRecheck is how often these are looked at without a publication.
	acceptedRecheck = 5 * time.Second
	// actionPublish is the action of Events of refusals.
	actionPublish = "Publish"
	// reasonRefused and reasonAccepted are their reasons.
	reasonRefused  = "ProxyRefused"
	reasonAccepted = "ProxyAccepted"
)

// refusals has every NACK told as Events on the objects behind it, and when what was refused is accepted. Each replica
// tells what its own proxies refuse, leader or not: nobody else hears of it. Equal refusals are one Event, whoever tells.
type refusals struct {
	proxies   Proxies
	cluster   string
	log       *slog.Logger
	published *feed
	events    *events
	queue     chan xds.NACK
	// standing are the objects told of, by refused resource; run's goroutine owns it.
	standing map[refused][]corev1.ObjectReference
}

// refused is a resource that a proxy refuses.
type refused struct{ typeURL, name string }

func newRefusals(o Options, log *slog.Logger, published *feed, events *events) *refusals {
	return &refusals{
		proxies: o.Proxies, cluster: o.Cluster, log: log, published: published, events: events,
		queue: make(chan xds.NACK, refusalsQueuedMax), standing: map[refused][]corev1.ObjectReference{},
	}
}

// put does not block: the stream of the proxy waits for it.
func (r *refusals) put(nack xds.NACK) {
	select {
	case r.queue <- nack:
	default:
		r.log.Warn("a refusal is told by no Event: too many at once", "type", nack.TypeURL, "resources", len(nack.Blamed))
	}
}

func (r *refusals) run(ctx context.Context) {
	for ctx.Err() == nil {
		p, changed := r.published.get()
		if p == nil {
			wait(ctx, changed, 0)
			continue
		}
		r.accepted(p.Snapshot, p.World)
		var recheck <-chan time.Time
		if len(r.standing) > 0 {
			recheck = time.After(acceptedRecheck)
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-recheck:
		case nack := <-r.queue:
			p, _ := r.published.get()
			r.tell(nack, p.World)
		}
	}
}

// tell has a NACK told on the objects behind it; those that the proxy names come first.
func (r *refusals) tell(nack xds.NACK, w source.World) {
	objects := behind(nack, r.cluster)
	wanted := map[objectKey]bool{}
	for _, key := range objects {
		wanted[key] = true
	}
	found := references(w, wanted)
	var regarding []corev1.ObjectReference
	for _, key := range objects {
		if ref, ok := found[key]; ok && len(regarding) < nackObjectsMax {
			regarding = append(regarding, ref)
		}
	}
	var list []event
	for _, ref := range regarding {
		list = append(list, event{regarding: ref, level: corev1.EventTypeWarning, reason: reasonRefused, action: actionPublish,
			note: refusalNote(nack, len(found))})
	}
	r.events.tell(first, list...)
	for _, name := range nack.Blamed {
		if len(r.standing) < standingMax {
			r.standing[refused{nack.TypeURL, name}] = regarding
		}
	}
}

// refusalNote has the proxy's own words. It names no proxy: the same refusal by many is one Event.
func refusalNote(nack xds.NACK, objects int) string {
	named := nack.Blamed
	if len(named) > 3 {
		named = append(slices.Clone(named[:3]), fmt.Sprintf("%d more", len(nack.Blamed)-3))
	}
	others := ""
	if objects > 1 {
		others = fmt.Sprintf(" %d objects are behind it.", objects)
	}
	note := fmt.Sprintf("a proxy refuses %s %s, and serves what it accepted before.%s Its words: ", shortType(nack.TypeURL), strings.Join(named, ", "), others)
	return shorten(note + nack.Words)
}

// behind are the objects behind a NACK, those first whose names are in the proxy's words.
func behind(nack xds.NACK, cluster string) []objectKey {
	var named, others []objectKey
	seen := map[objectKey]bool{}
	for _, o := range nack.Origins {
		key := objectOf(o)
		if o.Cluster != cluster || seen[key] {
			continue
		}
		seen[key] = true
		if mentioned(nack.Words, o) {
			named = append(named, key)
		} else {
			others = append(others, key)
		}
	}
	return append(named, others...)
}

func mentioned(words string, o diag.Origin) bool {
	return o.Namespace != "" && strings.Contains(words, o.Namespace+"/"+o.Name)
}

// accepted tells of what was refused and is accepted now. Of an object whose last good version is served in place of the
// refused one it tells nothing: that one is still refused.
func (r *refusals) accepted(snapshot *xds.Snapshot, w source.World) {
	if len(r.standing) == 0 {
		return
	}
	taken := r.taken(snapshot)
	for key, refusedThen := range r.standing {
		if _, exists := snapshot.Version(key.typeURL, key.name); !exists {
			delete(r.standing, key)
			continue
		}
		if !taken[key] {
			continue
		}
		delete(r.standing, key)
		var list []event
		for _, ref := range newer(refusedThen, w, r.cluster) {
			list = append(list, event{regarding: ref, level: corev1.EventTypeNormal, reason: reasonAccepted, action: actionPublish,
				note: fmt.Sprintf("the proxies accept %s %s now", shortType(key.typeURL), key.name)})
		}
		r.events.tell(usual, list...)
	}
}

// taken are the resources of which a proxy has accepted what is served now, and that none refuses.
func (r *refusals) taken(snapshot *xds.Snapshot) map[refused]bool {
	still, out := map[refused]bool{}, map[refused]bool{}
	for _, proxy := range r.proxies.Proxies() {
		for _, t := range proxy.Types {
			for _, v := range t.Refused {
				still[refused{t.TypeURL, v.Name}] = true
			}
			for _, v := range t.Accepted {
				if version, ok := snapshot.Version(t.TypeURL, v.Name); ok && version == v.Version {
					out[refused{t.TypeURL, v.Name}] = true
				}
			}
		}
	}
	for key := range still {
		delete(out, key)
	}
	return out
}

// newer are the objects that are served in no older version than when they were refused, as they are now.
func newer(then []corev1.ObjectReference, w source.World, cluster string) []corev1.ObjectReference {
	wanted := map[objectKey]bool{}
	for _, ref := range then {
		wanted[objectKey{cluster, ref.Kind, ref.Namespace, ref.Name}] = true
	}
	found := references(w, wanted)
	var out []corev1.ObjectReference
	for _, ref := range then {
		now, ok := found[objectKey{cluster, ref.Kind, ref.Namespace, ref.Name}]
		if !ok || now.UID != ref.UID {
			continue
		}
		order, err := resourceversion.CompareResourceVersion(now.ResourceVersion, ref.ResourceVersion)
		if err == nil && order >= 0 {
			out = append(out, now)
		}
	}
	return out
}

func shortType(typeURL string) string { return typeURL[strings.LastIndexByte(typeURL, '.')+1:] }
