package translator_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/mutate"
	"github.com/postern-gateway/postern/translator/source"
)

// TestReferences: a world from which every Secret and ConfigMap was taken that is not among the references gives the same
// result, so that nothing else need be watched. In the worlds as they were written, each of the references counts.
func TestReferences(t *testing.T) {
	var told codes
	t.Run("cases", func(t *testing.T) {
		eachCase(t, func(t *testing.T, w source.World, s translator.Settings) {
			worlds := []source.World{w}
			for seed := range uint64(mutantsPerCase / 5) {
				worlds = append(worlds, mutate.World(w, seed))
			}
			for i, w := range worlds {
				w = withBystanders(w)
				result := translator.Translate(w, s)
				r := result.Gateway.References
				checkSorted(t, r.Secrets)
				checkSorted(t, r.ConfigMaps)
				if !sameResult(t, result, translator.Translate(referredOnly(w, r), s)) {
					t.Errorf("world %d: without what is not referred to (all but %v), the result is another", i, r)
				}
				if i == 0 {
					eachMissing(w, r, func(what string, without source.World) {
						missing := translator.Translate(without, s)
						if sameResult(t, result, missing) {
							t.Errorf("nothing is noticed of the absence of %s, which is referred to", what)
						}
						told.add(missing.Diagnostics)
					})
				}
			}
		})
	})
	for _, code := range []diag.Code{diag.CodeNoSecret, diag.CodeUsersUnusable, diag.CodeUpstreamMissing, diag.CodeNoClientCA} {
		if !told.seen[code] {
			t.Errorf("no case has a reference whose absence is told by %s", code)
		}
	}
	if told.configMaps == 0 {
		t.Error("no case refers to a ConfigMap")
	}
}

// codes are those that absent objects were told by. The lock is for cases that run at once.
type codes struct {
	lock       sync.Mutex
	seen       map[diag.Code]bool
	configMaps int
}

func (c *codes) add(ds []diag.D) {
	c.lock.Lock()
	defer c.lock.Unlock()
	for _, d := range ds {
		if c.seen == nil {
			c.seen = map[diag.Code]bool{}
		}
		c.seen[d.Code] = true
		if d.Code == diag.CodeUpstreamMissing && bytes.Contains([]byte(d.Message), []byte("no ConfigMap")) {
			c.configMaps++
		}
	}
}

// withBystanders adds, in each namespace of an Ingress, objects that nothing refers to.
func withBystanders(w source.World) source.World {
	out := source.Merge(w)
	for _, ing := range w.Ingresses {
		meta := metav1.ObjectMeta{Namespace: ing.Namespace, Name: "bystander-of-the-law"}
		place := source.Place{Cluster: ing.Cluster}
		out.Secrets = append(out.Secrets, source.Secret{Place: place, Secret: &corev1.Secret{ObjectMeta: meta, Type: "helm.sh/release.v1"}})
		out.ConfigMaps = append(out.ConfigMaps, source.ConfigMap{Place: place, ConfigMap: &corev1.ConfigMap{ObjectMeta: meta}})
	}
	return out
}

func referredOnly(w source.World, r model.References) source.World {
	w.Secrets = slices.DeleteFunc(slices.Clone(w.Secrets), func(s source.Secret) bool { return !slices.Contains(r.Secrets, secretKey(s)) })
	w.ConfigMaps = slices.DeleteFunc(slices.Clone(w.ConfigMaps), func(m source.ConfigMap) bool {
		return !slices.Contains(r.ConfigMaps, configMapKey(m))
	})
	return w
}

// eachMissing gives the worlds that lack one object that is there and referred to.
func eachMissing(w source.World, r model.References, try func(what string, without source.World)) {
	for _, key := range r.Secrets {
		without := w
		without.Secrets = slices.DeleteFunc(slices.Clone(w.Secrets), func(s source.Secret) bool { return secretKey(s) == key })
		if len(without.Secrets) < len(w.Secrets) {
			try(fmt.Sprintf("Secret %s/%s", key.Namespace, key.Name), without)
		}
	}
	for _, key := range r.ConfigMaps {
		without := w
		without.ConfigMaps = slices.DeleteFunc(slices.Clone(w.ConfigMaps), func(m source.ConfigMap) bool { return configMapKey(m) == key })
		if len(without.ConfigMaps) < len(w.ConfigMaps) {
			try(fmt.Sprintf("ConfigMap %s/%s", key.Namespace, key.Name), without)
		}
	}
}

func secretKey(s source.Secret) model.ObjectKey {
	return model.ObjectKey{Cluster: s.Cluster, Namespace: s.Namespace, Name: s.Name}
}

func configMapKey(m source.ConfigMap) model.ObjectKey {
	return model.ObjectKey{Cluster: m.Cluster, Namespace: m.Namespace, Name: m.Name}
}

func checkSorted(t *testing.T, keys []model.ObjectKey) {
	t.Helper()
	for i := 1; i < len(keys); i++ {
		a, b := keys[i-1], keys[i]
		if !slices.IsSorted([]string{a.Cluster, b.Cluster}) || a.Cluster == b.Cluster && a.Namespace+"\x00"+a.Name >= b.Namespace+"\x00"+b.Name {
			t.Errorf("%v stands before %v", a, b)
		}
	}
}

// sameResult compares the bytes, and the gateway with its certificates, which are no resources, but not its references.
func sameResult(t *testing.T, a, b translator.Result) bool {
	t.Helper()
	b.Gateway.References = a.Gateway.References
	return bytes.Equal(fingerprint(t, a), fingerprint(t, b)) && reflect.DeepEqual(a.Gateway, b.Gateway)
}
