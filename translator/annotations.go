package translator

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/dialect/native"
	"github.com/postern-gateway/postern/translator/dialect/nginx"
	"github.com/postern-gateway/postern/translator/dialect/traefik"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/resolve"
)

// judged is what became of annotations in the end, sorted by place: as they were read, then as all that was said of
// them since, and as the routes that are closed because of them. A route is closed, too, because of what may not be read, and
// may well be open to who may.
func judged(read []diag.Annotation, ds []diag.D, g model.Gateway) []diag.Annotation {
	at := map[diag.Origin]int{}
	out := slices.SortedFunc(slices.Values(read), func(a, b diag.Annotation) int {
		return cmp.Or(a.Origin.Compare(b.Origin), cmp.Compare(a.Dialect, b.Dialect))
	})
	for i, a := range out {
		at[a.Origin] = i
	}
	for _, d := range ds {
		if i, ok := at[d.Origin]; ok {
			out[i] = out[i].Told(d)
		}
	}
	for _, closed := range closings(g) {
		if i, ok := at[closed.Origin]; ok && closed.Code != diag.CodeUnread {
			out[i] = out[i].Worse(diag.StateCloses, closed.Reason)
		}
	}
	return out
}

// closings are why routes are closed, or parts of their requests. What keeps other spellings of a restricted path closed, or
// plain HTTP where a certificate is asked for, is none of them: the annotation that restricts is applied.
func closings(g model.Gateway) []*model.Closed {
	var out []*model.Closed
	note := func(routes []model.Route) {
		for _, r := range routes {
			switch action := r.Action.(type) {
			case *model.Closed:
				if action.Code != diag.CodeOtherSpelling && action.Code != diag.CodePlainHTTP {
					out = append(out, action)
				}
			case *model.Forward:
				for _, t := range action.Targets {
					if t.Closed != nil {
						out = append(out, t.Closed)
					}
				}
			}
		}
	}
	for _, t := range g.Tables {
		for _, h := range slices.Concat(t.Exact, t.Wildcard) {
			note(h.Routes)
		}
		note(t.Any)
		note(t.Default)
	}
	return out
}

// annotated is an object whose annotations its dialects have read.
type annotated struct {
	keys map[string]string
	at   func(key string) diag.Origin
	read []diag.Annotation
}

// rest is what became of the annotations that no dialect has read: they are another controller's, another tool's, or
// stand on a kind of object on which their dialect has none.
func (o annotated) rest() []diag.Annotation {
	known := map[string]bool{}
	for _, a := range o.read {
		known[a.Origin.Annotation] = true
	}
	var out []diag.Annotation
	for _, key := range slices.Sorted(maps.Keys(o.keys)) {
		if known[key] {
			continue
		}
		a := diag.Annotation{Origin: o.at(key), State: diag.StateOtherTool}
		if controller, ok := dialect.OtherController(key); ok {
			a.State, a.Note = diag.StateOtherController, "it belongs to "+controller
		}
		for _, t := range []*dialect.Table{traefik.Table, nginx.Table, native.Table} {
			if t.Speaks(map[string]string{key: ""}) {
				a.Dialect, a.State = t.Name, diag.StateUnknown
				a.Note = fmt.Sprintf("the %s dialect has no annotations on a %s", t.Name, a.Origin.Kind)
			}
		}
		out = append(out, a)
	}
	return out
}

// serviceAnnotations is what became of the annotations of the Services that are referred to.
func serviceAnnotations(in resolve.Input, g model.Gateway) []diag.Annotation {
	used := map[resolve.ServiceKey]bool{}
	for _, c := range in.Claims {
		for _, b := range c.Backends {
			used[resolve.ServiceKey{Cluster: c.Object.Cluster, Namespace: b.Namespace, Name: b.Service}] = true
		}
	}
	// An ExternalName's target has the endpoints, or closes the route.
	note := func(o diag.Origin) {
		if o.Kind == string(dialect.OnService) {
			used[resolve.ServiceKey{Cluster: o.Cluster, Namespace: o.Namespace, Name: o.Name}] = true
		}
	}
	for _, a := range g.Assignments {
		note(a.Origins[0])
	}
	for _, closed := range closings(g) {
		note(closed.Origin)
	}
	var out []diag.Annotation
	for _, s := range in.World.Services {
		key := resolve.ServiceKey{Cluster: s.Cluster, Namespace: s.Namespace, Name: s.Name}
		if used[key] {
			read := in.Services[key].Annotated
			out = append(out, read...)
			out = append(out, annotated{s.Annotations, s.AnnotationOrigin, read}.rest()...)
		}
	}
	return out
}
