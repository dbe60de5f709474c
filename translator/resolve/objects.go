package resolve

import (
	"cmp"
	"slices"

	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// objects are the Secrets and ConfigMaps of a world. Whoever looks one up asks here, and what was asked for is remembered:
// whoever watches a cluster need watch nothing else.
type objects struct {
	secrets    map[ServiceKey]source.Secret
	configMaps map[ServiceKey]source.ConfigMap
	// askedSecrets and askedConfigMaps hold what was asked for, whether or not it exists.
	askedSecrets, askedConfigMaps map[ServiceKey]bool
}

func indexObjects(w source.World) *objects {
	o := &objects{
		secrets: map[ServiceKey]source.Secret{}, configMaps: map[ServiceKey]source.ConfigMap{},
		askedSecrets: map[ServiceKey]bool{}, askedConfigMaps: map[ServiceKey]bool{},
	}
	for _, s := range w.Secrets {
		o.secrets[ServiceKey{s.Cluster, s.Namespace, s.Name}] = s
	}
	for _, m := range w.ConfigMaps {
		o.configMaps[ServiceKey{m.Cluster, m.Namespace, m.Name}] = m
	}
	return o
}

func (o *objects) secret(key ServiceKey) (source.Secret, bool) {
	o.askedSecrets[key] = true
	s, exists := o.secrets[key]
	return s, exists
}

func (o *objects) configMap(key ServiceKey) (source.ConfigMap, bool) {
	o.askedConfigMaps[key] = true
	m, exists := o.configMaps[key]
	return m, exists
}

// references are all that was asked for.
func (o *objects) references() model.References {
	return model.References{Secrets: sortedKeys(o.askedSecrets), ConfigMaps: sortedKeys(o.askedConfigMaps)}
}

func sortedKeys(asked map[ServiceKey]bool) []model.ObjectKey {
	var out []model.ObjectKey
	for key := range asked {
		out = append(out, model.ObjectKey(key))
	}
	slices.SortFunc(out, func(a, b model.ObjectKey) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return out
}
