package resolve

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// Absent is what was looked for in a World that does not have it, sorted.
type Absent struct {
	Ports   []AbsentPort
	Objects []AbsentObject
}

// AbsentPort is a Service port that is referred to: there is no such Service, or it has no such port.
type AbsentPort struct {
	Service ServiceKey
	Port    model.PortRef
}

// AbsentObject is a Secret or a ConfigMap.
type AbsentObject struct {
	// Kind is model.KindSecret or model.KindConfigMap.
	Kind string
	Key  ServiceKey
}

func absentOf(r *backendResolver, looked *objects) Absent {
	return Absent{
		Ports: slices.SortedFunc(maps.Keys(r.absent), func(a, b AbsentPort) int {
			return cmp.Or(compareKeys(a.Service, b.Service), cmp.Compare(a.Port.Number, b.Port.Number), cmp.Compare(a.Port.Name, b.Port.Name))
		}),
		Objects: slices.SortedFunc(maps.Keys(looked.absent), func(a, b AbsentObject) int {
			return cmp.Or(cmp.Compare(a.Kind, b.Kind), compareKeys(a.Key, b.Key))
		}),
	}
}

func compareKeys(a, b ServiceKey) int {
	return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// usualPort is what stands for the port of a Service that is asked for by its name alone.
const usualPort = 80

// absentErrorBackend notes the Service of an error page, where the words may name one. A text with dots or slashes names
// a rule.
func (r *backendResolver) absentErrorBackend(key ServiceKey, asked string) {
	if len(validation.IsDNS1035Label(key.Name)) > 0 {
		return
	}
	port := model.PortRef{Name: asked}
	if number, err := strconv.ParseInt(asked, 10, 32); err == nil {
		port = model.PortRef{Number: int32(number)}
	}
	if asked == "" {
		port = model.PortRef{Number: usualPort}
	}
	r.absent[AbsentPort{key, port}] = true
}

// isNamespace says whether the namespace of a key is one of an Ingress, rather than the end of a public name.
func (r *backendResolver) isNamespace(key ServiceKey) bool {
	return r.namespaces[NamespaceKey{key.Cluster, key.Namespace}]
}

// HasPort says whether a Service has a port that is asked for.
func HasPort(s source.Service, port model.PortRef) bool {
	_, has := findPort(s, port)
	return has
}
