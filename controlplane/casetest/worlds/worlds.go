// Package worlds draws configurations that somebody could have written, and requests near them, for the laws that hold
// of every world: a few Ingresses of a few teams, crowded on few hosts and paths so that they meet, of every dialect.
//
// A world is a case without expectations (package casetest), so whatever a law finds can be written down as one. The
// same seed draws the same world, whatever the machine.
//
// What is drawn is a table of features, features.go: what Postern learns next is one more line there.
package worlds

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/postern-gateway/postern/controlplane/casetest"
)

// Settings are flags and their values, as a case's settings.yaml holds them.
type Settings map[string][]string

// World is a drawn configuration.
type World struct {
	Seed      uint64
	Settings  Settings
	Ingresses []*networkingv1.Ingress
	// Services are those that the Ingresses refer to, with what these refer to in turn.
	Services []*corev1.Service
	// Others are objects of other kinds.
	Others []Object
	// hosts and paths are what the Ingresses chose from.
	hosts, paths []string
}

// Object is an object as text; in a Secret's, {{cert …}} and {{key …}} are what they are in cases.
type Object struct{ Name, Manifest string }

// drawer draws for one purpose.
type drawer struct{ *rand.Rand }

// newDrawer gives each purpose draws of its own, so that a feature which is added changes nothing that others draw.
func newDrawer(seed uint64, purpose string) drawer {
	h := fnv.New64a()
	_, _ = h.Write([]byte(purpose))
	return drawer{rand.New(rand.NewPCG(seed, h.Sum64()))}
}

// oneIn is true once in n times.
func (d drawer) oneIn(n int) bool { return d.IntN(n) == 0 }

func pick[T any](d drawer, from []T) T { return from[d.IntN(len(from))] }

// some are n different ones, or all where there are fewer.
func some[T any](d drawer, from []T, n int) []T {
	out := slices.Clone(from)
	d.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out[:min(n, len(out))]
}

// The sizes of a world.
const (
	ingressesMin, ingressesMax = 2, 7
	rulesMax, pathsMax         = 3, 3
	hostsPerWorld              = 5
	pathsPerWorld              = 8
)

// Draw draws a world. Settings are given, because a data plane is asked of many worlds by the same listeners.
func Draw(seed uint64, s Settings) World {
	d := newDrawer(seed, "world")
	w := World{Seed: seed, Settings: s, hosts: some(d, hosts, hostsPerWorld), paths: some(d, paths, pathsPerWorld)}
	for i := range ingressesMin + d.IntN(ingressesMax-ingressesMin+1) {
		w.Ingresses = append(w.Ingresses, w.ingress(d, i))
	}
	w.addServices()
	for _, f := range features {
		d := newDrawer(seed, f.name)
		// Each world lacks some features, or every world would be like every other.
		if d.oneIn(absentOneIn) {
			continue
		}
		if f.world != nil {
			f.world(d, &w)
		}
		for _, ing := range w.Ingresses {
			if f.ingress != nil && !d.oneIn(plainOneIn) {
				f.ingress(d, ing)
			}
		}
		for _, s := range w.Services {
			if f.service != nil {
				f.service(d, s)
			}
		}
	}
	return w
}

// DrawSettings draws the settings of some worlds.
func DrawSettings(seed uint64) Settings {
	s := Settings{}
	for _, f := range features {
		if f.settings != nil {
			f.settings(newDrawer(seed, "settings of "+f.name), s)
		}
	}
	return s
}

// created are creationTimestamps; zero is none, as in files.
var created = []metav1.Time{
	{}, {}, metav1.NewTime(time.Date(2021, 3, 1, 12, 0, 0, 0, time.UTC)), metav1.NewTime(time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)),
}

func (w *World) ingress(d drawer, number int) *networkingv1.Ingress {
	ing := &networkingv1.Ingress{
		TypeMeta: metav1.TypeMeta{APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "Ingress"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pick(d, namespaces), Name: fmt.Sprintf("i%d", number), CreationTimestamp: pick(d, created), Annotations: map[string]string{},
		},
	}
	for range 1 + d.IntN(rulesMax) {
		rule := networkingv1.IngressRule{Host: pick(d, w.hosts)}
		if !d.oneIn(12) {
			rule.HTTP = &networkingv1.HTTPIngressRuleValue{}
			for range 1 + d.IntN(pathsMax) {
				rule.HTTP.Paths = append(rule.HTTP.Paths, w.path(d))
			}
		}
		ing.Spec.Rules = append(ing.Spec.Rules, rule)
	}
	if d.oneIn(4) {
		ing.Spec.DefaultBackend = backend(d)
	}
	if d.oneIn(20) && ing.Spec.DefaultBackend != nil {
		ing.Spec.Rules = nil
	}
	return ing
}

func (w *World) path(d drawer) networkingv1.HTTPIngressPath {
	out := networkingv1.HTTPIngressPath{Path: pick(d, w.paths), Backend: *backend(d)}
	if kind := pick(d, pathTypes); kind != "" {
		out.PathType = &kind
	}
	return out
}

// Without is the world without one of its Ingresses and what only that one referred to.
func (w World) Without(ingress int) World {
	w.Ingresses = slices.Delete(slices.Clone(w.Ingresses), ingress, ingress+1)
	referred := World{Ingresses: w.Ingresses}
	referred.addServices()
	w.Services = slices.DeleteFunc(slices.Clone(w.Services), func(s *corev1.Service) bool { return !referred.has(s.Namespace, s.Name) })
	text := string(w.Settings.yaml())
	for _, ing := range w.Ingresses {
		text += manifest(ing)
	}
	w.Others = slices.DeleteFunc(slices.Clone(w.Others), func(o Object) bool { return !strings.Contains(text, o.Name) })
	return w
}

func (w World) has(namespace, service string) bool {
	return slices.ContainsFunc(w.Services, func(s *corev1.Service) bool { return s.Namespace == namespace && s.Name == service })
}

// Case is the world as a case, with a comment and probes as it holds them.
func (w World) Case(comment, probes string) []byte {
	a := &txtar.Archive{Comment: []byte(comment + "\n\n")}
	a.Files = append(a.Files, txtar.File{Name: "input.yaml", Data: []byte(strings.Join(w.manifests(), "---\n"))})
	if len(w.Settings) > 0 {
		a.Files = append(a.Files, txtar.File{Name: "settings.yaml", Data: w.Settings.yaml()})
	}
	if text := w.backends(); text != "" {
		a.Files = append(a.Files, txtar.File{Name: "backends.txt", Data: []byte(text)})
	}
	a.Files = append(a.Files, txtar.File{Name: "probes.txt", Data: []byte(probes)})
	return txtar.Format(a)
}

func (s Settings) yaml() []byte {
	flat := map[string]any{}
	for flag, values := range s {
		flat[flag] = values
		if len(values) == 1 {
			flat[flag] = values[0]
		}
	}
	return must(yaml.Marshal(flat))
}

func (w World) manifests() []string {
	var out []string
	for _, ing := range w.Ingresses {
		out = append(out, manifest(ing))
	}
	for _, s := range w.Services {
		out = append(out, manifest(s))
		if text := endpoints(s); text != "" {
			out = append(out, text)
		}
	}
	for _, o := range w.Others {
		out = append(out, o.Manifest)
	}
	return out
}

// manifest is an object as YAML, without what is empty.
func manifest(object any) string {
	var fields map[string]any
	if err := json.Unmarshal(must(json.Marshal(object)), &fields); err != nil {
		panic(err)
	}
	delete(fields, "status")
	dropEmpty(fields)
	return string(must(yaml.Marshal(fields)))
}

// dropEmpty takes out what Kubernetes' types write of fields that are not set.
func dropEmpty(value any) {
	switch value := value.(type) {
	case map[string]any:
		for field, v := range value {
			if v == nil || field == "targetPort" && v == float64(0) {
				delete(value, field)
			}
			dropEmpty(v)
		}
	case []any:
		for _, v := range value {
			dropEmpty(v)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // Our own objects can be written.
	}
	return v
}

// Text is the settings on one line, for reports.
func (s Settings) Text() string {
	var out []string
	for _, flag := range slices.Sorted(maps.Keys(s)) {
		out = append(out, "--"+flag+"="+strings.Join(s[flag], ","))
	}
	return strings.Join(out, " ")
}

// Probes draws n requests near the world.
func (w World) Probes(n int) []casetest.Probe {
	d := newDrawer(w.Seed, "requests")
	out := make([]casetest.Probe, n)
	for i := range out {
		out[i] = w.probe(d)
		for _, f := range features {
			if f.request != nil {
				f.request(newDrawer(w.Seed*1_000_003+uint64(i), "requests of "+f.name), w, &out[i])
			}
		}
		out[i].Line = out[i].Text()
		out[i].Position = fmt.Sprintf("seed %d, request %d", w.Seed, i)
	}
	return out
}
