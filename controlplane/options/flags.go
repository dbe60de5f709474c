package options

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/translator/source"
)

// Flags are flags by name, each with its values as they would be given; those that take one have one.
type Flags map[string][]string

// Elsewhere is by what objects are chosen and translated in another process, as far as their manifests do not say it.
type Elsewhere struct {
	Flags Flags `json:"flags"`
	// IngressClasses are those of its cluster, sorted by name. Manifests of Ingresses seldom have them: they come with whoever
	// serves the class.
	IngressClasses []IngressClass `json:"ingressClasses"`
}

// IngressClass is what matters of one.
type IngressClass struct {
	Name       string `json:"name"`
	Controller string `json:"controller"`
	// Default says that Ingresses without a class are of this one.
	Default bool `json:"default,omitempty"`
}

// Elsewhere is how a world is served by the options, for other processes. Of a class that several clusters have, the first
// counts.
func (o Options) Elsewhere(w source.World) Elsewhere {
	out := Elsewhere{Flags: o.Flags(), IngressClasses: []IngressClass{}}
	for _, c := range w.IngressClasses {
		out.IngressClasses = append(out.IngressClasses, IngressClass{
			Name: c.Name, Controller: c.Spec.Controller, Default: c.Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true",
		})
	}
	slices.SortStableFunc(out.IngressClasses, func(a, b IngressClass) int { return cmp.Compare(a.Name, b.Name) })
	out.IngressClasses = slices.CompactFunc(out.IngressClasses, func(a, b IngressClass) bool { return a.Name == b.Name })
	return out
}

// World has the classes as objects.
func (e Elsewhere) World() source.World {
	var w source.World
	for _, c := range e.IngressClasses {
		o := &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: c.Name}, Spec: networkingv1.IngressClassSpec{Controller: c.Controller}}
		if c.Default {
			o.Annotations = map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"}
		}
		w.IngressClasses = append(w.IngressClasses, source.IngressClass{IngressClass: o})
	}
	return w
}

// machineFlags name files, which another machine does not have.
var machineFlags = []string{"tls-cert-dir", "upstream-ca"}

// Flags are the options as flags, the defaults included.
func (o Options) Flags() Flags {
	var own Options
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	own.Register(fs)
	own = o // which the flags point into
	out := Flags{}
	fs.VisitAll(func(f *pflag.Flag) {
		// A cluster has no --backend.
		if f.Name != "backend" || len(o.Backends) > 0 {
			out[f.Name] = values(f)
		}
	})
	return out
}

func values(f *pflag.Flag) []string {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return slices.Clone(list.GetSlice())
	}
	return []string{f.Value.String()}
}

// Usage says what each flag is, by name.
func Usage() map[string]string {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	new(Options).Register(fs)
	out := map[string]string{}
	fs.VisitAll(func(f *pflag.Flag) { out[f.Name] = f.Usage })
	return out
}

// Adopt sets every flag of a command line that was not given there to what it is elsewhere, but for those that name files.
// It gives those that are other than before, as they would be written. A flag that is not known here is an error: what it
// means would be left out.
func Adopt(fs *pflag.FlagSet, elsewhere Flags) ([]string, error) {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(elsewhere)) {
		f := fs.Lookup(name)
		switch {
		case f == nil:
			return nil, fmt.Errorf("it has --%s, which is not known here; is it another version of Postern?", name)
		case f.Changed || slices.Contains(machineFlags, name) || slices.Equal(values(f), elsewhere[name]):
			continue
		}
		if err := set(f, elsewhere[name]); err != nil {
			return nil, fmt.Errorf("it has --%s, which is not understood here: %w; is it another version of Postern?", name, err)
		}
		out = append(out, "--"+name+"="+strings.Join(values(f), ","))
	}
	return out, nil
}

func set(f *pflag.Flag, to []string) error {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return list.Replace(to)
	}
	if len(to) != 1 {
		return fmt.Errorf("%d values", len(to))
	}
	return f.Value.Set(to[0])
}
