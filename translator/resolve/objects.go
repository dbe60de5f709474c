package resolve

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/postern-gateway/postern/translator/diag"
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
	// unread are those of which it is not known whether they exist.
	unread map[source.Unread]bool
	// absent are those that were looked for and would be known of, were they there.
	absent map[AbsentObject]bool
}

func indexObjects(w source.World) *objects {
	o := &objects{
		secrets: map[ServiceKey]source.Secret{}, configMaps: map[ServiceKey]source.ConfigMap{},
		askedSecrets: map[ServiceKey]bool{}, askedConfigMaps: map[ServiceKey]bool{},
		unread: map[source.Unread]bool{}, absent: map[AbsentObject]bool{},
	}
	for _, u := range w.Unread {
		o.unread[u] = true
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

// absence is an object of model.KindSecret or KindConfigMap that was not found.
type absence struct {
	kind string
	key  ServiceKey
}

// told is a diagnostic about it, given without words. Where the object may not be read it is another one, since it may well
// be there.
func (o *objects) told(of absence, d diag.D) diag.D {
	if o.unread[source.Unread{Kind: of.kind, Cluster: of.key.Cluster, Namespace: of.key.Namespace, Name: of.key.Name}] {
		return diag.New(diag.CodeUnread, d.Origin, fmt.Sprintf("%s %s may not be read by whoever asks", of.kind, of.key),
			"whether it is there, and can be used, is not known", "ask as somebody who may read it")
	}
	o.absent[AbsentObject{of.kind, of.key}] = true
	d.Message = fmt.Sprintf("there is no %s %s", of.kind, of.key)
	if d.Fix == "" {
		d.Fix = "create it, or correct the name"
	}
	return d
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
