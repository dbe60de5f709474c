package translator

import (
	"maps"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/dialect/native"
	"github.com/postern-gateway/postern/translator/dialect/nginx"
	"github.com/postern-gateway/postern/translator/dialect/traefik"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/resolve"
	"github.com/postern-gateway/postern/translator/source"
)

// Version is an Ingress or a Service as it was at some moment; the zero Version is none.
type Version struct {
	Ingress *source.Ingress
	Service *source.Service
}

// object names an object, whatever its version.
type object struct{ kind, cluster, namespace, name string }

func objectOf(o diag.Origin) object { return object{o.Kind, o.Cluster, o.Namespace, o.Name} }

// versions are the objects of a World that have versions.
func versions(w source.World) map[object]Version {
	out := make(map[object]Version, len(w.Ingresses)+len(w.Services))
	for i := range w.Ingresses {
		v := Version{Ingress: &w.Ingresses[i]}
		out[v.object()] = v
	}
	for i := range w.Services {
		v := Version{Service: &w.Services[i]}
		out[v.object()] = v
	}
	return out
}

func (v Version) exists() bool { return v.Ingress != nil || v.Service != nil }

func (v Version) origin() diag.Origin {
	if v.Ingress != nil {
		return v.Ingress.Origin("")
	}
	return v.Service.Origin("")
}

func (v Version) object() object { return objectOf(v.origin()) }

func (v Version) meta() *metav1.ObjectMeta {
	if v.Ingress != nil {
		return &v.Ingress.ObjectMeta
	}
	return &v.Service.ObjectMeta
}

// same says whether two versions of an object say the same. A status, a field manager or a resourceVersion makes no
// version: what is written to a status must not have anything served anew.
func (v Version) same(o Version) bool {
	if v.exists() != o.exists() || (v.Ingress != nil) != (o.Ingress != nil) {
		return false
	}
	if !v.exists() || v.meta() == o.meta() {
		return true
	}
	a, b := v.meta(), o.meta()
	if !reborn(a, b) && maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations) {
		if v.Ingress != nil {
			return reflect.DeepEqual(v.Ingress.Spec, o.Ingress.Spec)
		}
		return reflect.DeepEqual(v.Service.Spec, o.Service.Spec)
	}
	return false
}

// reborn says whether an object was deleted and made again.
func reborn(a, b *metav1.ObjectMeta) bool {
	return a.UID != b.UID || !a.CreationTimestamp.Equal(&b.CreationTimestamp)
}

// mayStandFor says whether a version may be served in the place of an update of it: whatever the update says about who may
// use its routes, or about how its backends are verified, the version says too, in the same words.
func (v Version) mayStandFor(update Version) bool {
	if !v.exists() || reborn(v.meta(), update.meta()) {
		return false
	}
	tables := []*dialect.Table{traefik.Table, nginx.Table, native.Table}
	own := dialect.Restrictions(v.meta().Annotations, tables...)
	for key, value := range dialect.Restrictions(update.meta().Annotations, tables...) {
		if said, ok := own[key]; !ok || said != value {
			return false
		}
	}
	return true
}

// exceptions are how a translation differs from that of its World alone.
type exceptions struct {
	// closed are the objects whose routes answer 503.
	closed map[object]*model.Closed
	// silent are the objects of which nothing is told but told.
	silent map[object]bool
	told   []diag.D
}

func (e *exceptions) close(o object, code diag.Code, at diag.Origin) {
	if e.closed == nil {
		e.closed = map[object]*model.Closed{}
	}
	e.closed[o] = &model.Closed{Reason: "a proxy refuses what is made of it", Code: code, Origin: at}
}

// closeClaims closes what an Ingress asks for, where it is among the closed. What it asks of connections stays, for that
// is every route's of the host.
func (e exceptions) closeClaims(ing source.Ingress, r dialect.Reading) dialect.Reading {
	closed := e.closed[objectOf(ing.Origin(""))]
	if closed == nil {
		return r
	}
	for i := range r.Claims {
		r.Claims[i].Closed = closed
		r.Claims[i].Policies = model.Policies{Connection: r.Claims[i].Policies.Connection}
	}
	return r
}

func (e exceptions) closeServices(traits map[resolve.ServiceKey]model.ServiceTraits) map[resolve.ServiceKey]model.ServiceTraits {
	for o, closed := range e.closed {
		if o.kind == string(dialect.OnService) {
			traits[resolve.ServiceKey{Cluster: o.cluster, Namespace: o.namespace, Name: o.name}] = model.ServiceTraits{Closed: closed}
		}
	}
	return traits
}

// tell is what is told in the place of diagnostics.
func (e exceptions) tell(ds []diag.D) []diag.D {
	var out []diag.D
	for _, d := range ds {
		if !e.silent[objectOf(d.Origin)] {
			out = append(out, d)
		}
	}
	return append(out, e.told...)
}
