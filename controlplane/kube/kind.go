package kube

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// named is what objects of all kinds have.
type named interface {
	GetNamespace() string
	GetName() string
}

// kind is the known objects of a kind, sorted by namespace and name. The Source's lock guards it.
type kind[T named] struct {
	// name is the kind as people know it, expected an object of it for the reflector.
	name     string
	expected any
	// endpoints says that a change of it is one of endpoints only.
	endpoints bool
	// trim takes off what nobody reads; it writes to an object that is not yet known to anybody else.
	trim func(any)
	wrap func(any) (T, bool)
	// same says that translation would not tell two versions of an object apart.
	same func(a, b T) bool

	objects []T
	// lent says that objects has been handed out: it is copied before it is written to again.
	lent bool
}

// pointer is a pointer to an object of a kind.
type pointer[E any] interface {
	*E
	metav1.Object
}

// newKind has an object trimmed, and compared without unread, which blanks what is kept but not translated.
func newKind[E any, O pointer[E], T named](k kind[T], trim, unread func(O), of func(T) O) *kind[T] {
	k.expected = O(new(E))
	k.trim = func(object any) {
		o, ok := object.(O)
		if !ok {
			return
		}
		trimMeta(o)
		trim(o)
	}
	k.same = func(a, b T) bool {
		x, y := *of(a), *of(b)
		for _, o := range []O{&x, &y} {
			o.SetResourceVersion("")
			o.SetGeneration(0)
			unread(o)
		}
		return reflect.DeepEqual(x, y)
	}
	return &k
}

// all are the objects as they are now. The slice is written to no more.
func (k *kind[T]) all() []T {
	k.lent = true
	return slices.Clip(k.objects)
}

func compareNames(a, b named) int {
	return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
}

func (k *kind[T]) find(object named) (int, bool) {
	return slices.BinarySearchFunc(k.objects, object, func(o T, want named) int { return compareNames(o, want) })
}

// put keeps an object and says whether the translation of it may be another.
func (k *kind[T]) put(object T) bool {
	i, exists := k.find(object)
	k.own()
	if exists {
		other := !k.same(k.objects[i], object)
		k.objects[i] = object
		return other
	}
	k.objects = slices.Insert(k.objects, i, object)
	return true
}

// remove forgets an object and says whether there was one.
func (k *kind[T]) remove(object named) bool {
	i, exists := k.find(object)
	if exists {
		k.own()
		k.objects = slices.Delete(k.objects, i, i+1)
	}
	return exists
}

// replace has the objects of a scope be exactly these, and says whether the translation of them may be another.
func (k *kind[T]) replace(in scope, objects []T) bool {
	if in.name != "" {
		if len(objects) == 0 {
			return k.remove(in)
		}
		return k.put(objects[0])
	}
	out := make([]T, 0, len(k.objects)+len(objects))
	before, changed := 0, false
	for _, o := range k.objects {
		if in.holds(o) {
			before++
		} else {
			out = append(out, o)
		}
	}
	for _, o := range objects {
		i, exists := k.find(o)
		changed = changed || !exists || !k.same(k.objects[i], o)
	}
	out = append(out, objects...)
	slices.SortFunc(out, func(a, b T) int { return compareNames(a, b) })
	k.objects, k.lent = out, false
	return changed || before != len(objects)
}

func (k *kind[T]) own() {
	if k.lent {
		k.objects, k.lent = slices.Clone(k.objects), false
	}
}

// scope is what a watch covers: everything, a namespace, or one object by its name.
type scope struct{ namespace, name string }

func (s scope) holds(o named) bool {
	return (s.namespace == "" || s.namespace == o.GetNamespace()) && (s.name == "" || s.name == o.GetName())
}

// GetNamespace and GetName make the scope of one object a name for it.
func (s scope) GetNamespace() string { return s.namespace }

// GetName is the name of the one object.
func (s scope) GetName() string { return s.name }

// of is the scope behind the name of a kind: of all namespaces it is nothing.
func (s scope) of(kind string) string {
	switch {
	case s == scope{}:
		return kind
	case s.name == "":
		return fmt.Sprintf("%s of namespace %s", kind, s.namespace)
	case s.namespace == "":
		return kind + " " + s.name
	}
	return fmt.Sprintf("%s %s/%s", kind, s.namespace, s.name)
}
