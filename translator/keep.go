package translator

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// keepRounds bounds how often it is looked whether the versions before are better, where one's fate hangs on another's.
// After that none is kept.
const keepRounds = 4

// Keeping is what Keep goes by.
type Keeping struct {
	// Before is the World that is served, as Kept has it; empty at first.
	Before source.World
	// Refusals are versions that proxies refuse.
	Refusals []Refusal
}

// Refusal is a version of an object that a proxy refuses.
type Refusal struct {
	Version Version
	// Before is the version to serve in its place, if there is one.
	Before Version
	// Words are the proxy's.
	Words string
	// LeftOut says that a proxy refuses even what answers 503 in the version's place.
	LeftOut bool
}

// Kept is what is served of a World.
type Kept struct {
	// World has the versions before in the place of some objects.
	World  source.World
	Result Result
}

// Keep translates a World, but that an update of an Ingress or a Service that brings an error leaves the version before in
// service, as does one that a proxy refuses. Where nothing is served yet it is Translate.
//
// The version before stays only where it has fewer errors in the World as it is now, and where it cannot admit anybody
// whom the update means to keep out: docs/design/last-good.md has the rule.
func Keep(w source.World, k Keeping, s Settings) Kept {
	keeper := keeper{now: versions(w), before: versions(k.Before), refusals: map[object]Refusal{}}
	w = keeper.refuse(w, k.Refusals)
	fresh := translate(w, s, keeper.except)
	kept := keeper.candidates(fresh)
	for range keepRounds {
		if len(kept) == 0 {
			break
		}
		out := Kept{World: replace(w, kept)}
		out.Result = translate(out.World, s, keeper.except)
		better := map[object]Version{}
		for o, v := range kept {
			if fewer(errorsOf(out.Result, o), errorsOf(fresh, o)) {
				better[o] = v
			}
		}
		if len(better) == len(kept) {
			out.Result = keeper.tell(out.Result, fresh, kept)
			return out
		}
		kept = better
	}
	return Kept{World: w, Result: fresh}
}

// keeper is one Keep.
type keeper struct {
	now, before map[object]Version
	// refusals are those that are of the versions of now.
	refusals map[object]Refusal
	all      []Refusal
	except   exceptions
}

// refuse has something else served in the place of versions that proxies refuse, and says what.
func (k *keeper) refuse(w source.World, refusals []Refusal) source.World {
	instead := map[object]Version{}
	k.all = refusals
	for _, r := range refusals {
		o := r.Version.object()
		now, exists := k.now[o]
		if !exists || !now.same(r.Version) {
			continue
		}
		k.refusals[o] = r
		effect := "the version before stays in service"
		switch {
		case r.LeftOut:
			effect = "it is left out"
			instead[o] = Version{}
		case r.Before.mayStandFor(now):
			instead[o] = r.Before
		default:
			effect = "its own paths answer 503"
			k.except.close(o, diag.CodeVersionRefused, now.origin())
		}
		k.except.told = append(k.except.told, diag.New(diag.CodeVersionRefused, now.origin(),
			"a proxy refuses what is made of this version: "+r.Words, effect+" until the object changes", "undo the update, and report this"))
	}
	return replace(w, instead)
}

// candidates are the versions before of objects whose update brings an error.
func (k *keeper) candidates(fresh Result) map[object]Version {
	out := map[object]Version{}
	for _, d := range fresh.Diagnostics {
		o := objectOf(d.Origin)
		now, exists := k.now[o]
		before, existed := k.before[o]
		_, refused := k.refusals[o]
		if d.Severity != diag.Error || !exists || !existed || refused || now.same(before) || !before.mayStandFor(now) {
			continue
		}
		if k.refusedOnce(before) || k.uncovers(before, now, fresh) {
			continue
		}
		out[o] = before
	}
	return out
}

func (k *keeper) refusedOnce(v Version) bool {
	return slices.ContainsFunc(k.all, func(r Refusal) bool { return r.Of(v) })
}

// uncovers says whether the version before has a path that its update gives up to another object which restricts it, or may:
// it would be open again.
func (k *keeper) uncovers(before, now Version, fresh Result) bool {
	if before.Ingress == nil {
		return false
	}
	still := pathsOf(now.Ingress)
	for at := range pathsOf(before.Ingress) {
		if !still[at] && restricted(fresh.Gateway, at.host, now.object()) {
			return true
		}
	}
	return false
}

// hostPath is a path of a rule as written.
type hostPath struct{ host, path string }

func pathsOf(ing *source.Ingress) map[hostPath]bool {
	out := map[hostPath]bool{}
	if ing.Spec.DefaultBackend != nil {
		out[hostPath{}] = true
	}
	for _, rule := range ing.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for _, p := range rule.HTTP.Paths {
			out[hostPath{strings.ToLower(rule.Host), p.Path}] = true
		}
	}
	return out
}

// restricted says whether access to any route of another object that a request for a host may come to is restricted.
func restricted(g model.Gateway, host string, but object) bool {
	limits := func(r model.Route) bool {
		if r.Object.Cluster == but.cluster && r.Object.Namespace == but.namespace && r.Object.Name == but.name {
			return false
		}
		_, closed := r.Action.(*model.Closed)
		return closed || len(r.Restricted) > 0 || r.Auth != nil
	}
	for _, t := range g.Tables {
		for _, h := range slices.Concat(t.Exact, t.Wildcard) {
			near := h.Host.Kind() != model.HostExact || host == "" || strings.HasPrefix(host, "*") || h.Host.Name() == host
			if near && slices.ContainsFunc(h.Routes, limits) {
				return true
			}
		}
		if slices.ContainsFunc(slices.Concat(t.Any, t.Default), limits) {
			return true
		}
	}
	return false
}

// tell has the result say of objects that are kept what is wrong with their updates, not what was with the version before.
func (k *keeper) tell(r, fresh Result, kept map[object]Version) Result {
	except := k.except
	except.silent = map[object]bool{}
	except.told = slices.Clone(except.told)
	for o := range kept {
		except.silent[o] = true
		except.told = append(except.told, diag.New(diag.CodeVersionKept, k.now[o].origin(),
			fmt.Sprintf("this version of the %s brings an error that the one before does not have", o.kind),
			"the version before stays in service", "correct what is wrong; an update is looked at at once"))
	}
	for _, d := range fresh.told {
		if !except.silent[objectOf(d.Origin)] {
			continue
		}
		if d.Severity == diag.Error {
			d.Effect = "the version before stays in service"
		}
		except.told = append(except.told, d)
	}
	r.told = except.tell(r.untold)
	r.exceptions = except
	return r.judge()
}

// fault is an error without its place, which is another in another version.
type fault struct {
	code    diag.Code
	message string
}

func errorsOf(r Result, o object) map[fault]bool {
	out := map[fault]bool{}
	for _, d := range r.Diagnostics {
		if d.Severity == diag.Error && objectOf(d.Origin) == o {
			out[fault{d.Code, d.Message}] = true
		}
	}
	return out
}

// fewer says whether some faults are among others and not all of them.
func fewer(some, others map[fault]bool) bool {
	for f := range some {
		if !others[f] {
			return false
		}
	}
	return len(some) < len(others)
}

// replace has other versions of some objects in a World, or none.
func replace(w source.World, instead map[object]Version) source.World {
	if len(instead) == 0 {
		return w
	}
	ingresses, services := w.Ingresses, w.Services
	w.Ingresses, w.Services = nil, nil
	for _, ing := range ingresses {
		if v, ok := instead[Version{Ingress: &ing}.object()]; !ok {
			w.Ingresses = append(w.Ingresses, ing)
		} else if v.Ingress != nil {
			w.Ingresses = append(w.Ingresses, *v.Ingress)
		}
	}
	for _, s := range services {
		if v, ok := instead[Version{Service: &s}.object()]; !ok {
			w.Services = append(w.Services, s)
		} else if v.Service != nil {
			w.Services = append(w.Services, *v.Service)
		}
	}
	return w
}

// Update is what an object was and is.
type Update struct{ Before, Now Version }

// Updates are those of the objects at some places, from one World to another; an object that is new has nothing before.
func Updates(before, now source.World, places []diag.Origin) []Update {
	old, current := versions(before), versions(now)
	var out []Update
	seen := map[object]bool{}
	for _, at := range places {
		o := objectOf(at)
		v, exists := current[o]
		if seen[o] || !exists || old[o].same(v) {
			continue
		}
		seen[o] = true
		out = append(out, Update{Before: old[o], Now: v})
	}
	return out
}

// Standing are the refusals of versions that are those of a World.
func Standing(w source.World, refusals []Refusal) []Refusal {
	if len(refusals) == 0 {
		return nil
	}
	now := versions(w)
	return slices.DeleteFunc(slices.Clone(refusals), func(r Refusal) bool { return !now[r.Version.object()].same(r.Version) })
}

// Of says whether the refusal is of a version.
func (r Refusal) Of(v Version) bool { return r.Version.object() == v.object() && r.Version.same(v) }
