package model

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// whole says what of a Gateway that was read does not hold together, so that whoever asks it need not.
func (g Gateway) whole() error {
	w := wholeness{gateway: g, backends: map[string]bool{}, assignments: map[string]bool{}}
	for _, a := range g.Assignments {
		w.assignments[a.Name] = true
	}
	for _, b := range g.Backends {
		w.backends[b.Name] = true
		if !w.assignments[b.Assignment] {
			return fmt.Errorf("backend %q has no endpoints' list %q", b.Name, b.Assignment)
		}
	}
	for _, t := range g.Tables {
		if err := w.table(t); err != nil {
			return fmt.Errorf("entry %s: %w", t.Entry.Name, err)
		}
	}
	return nil
}

type wholeness struct {
	gateway               Gateway
	backends, assignments map[string]bool
}

func (w wholeness) table(t Table) error {
	for _, h := range slices.Concat(t.Exact, t.Wildcard, []HostRoutes{{Host: AnyHost, Routes: t.Any}, {Host: AnyHost, Routes: t.Default}}) {
		for _, r := range h.Routes {
			if err := w.route(r); err != nil {
				return fmt.Errorf("host %s, path %s: %w", h.Host, r.Path, err)
			}
		}
	}
	for _, group := range t.Groups {
		if group.ClientCA != "" && !slices.ContainsFunc(w.gateway.ClientCAs, func(ca ClientCA) bool { return ca.Name == group.ClientCA }) {
			return fmt.Errorf("there is no client CA %q", group.ClientCA)
		}
	}
	return nil
}

func (w wholeness) route(r Route) error {
	if a := r.Auth; a != nil {
		switch {
		case a.Kind == AuthForward && a.Forward == nil:
			return fmt.Errorf("auth has no server")
		case a.Kind == AuthForward && !w.backends[a.Forward.Backend]:
			return fmt.Errorf("there is no backend %q", a.Forward.Backend)
		case a.Kind != AuthForward && !slices.ContainsFunc(w.gateway.Users, func(u Users) bool { return u.Name == a.UsersName() }):
			return fmt.Errorf("there are no users %q", a.UsersName())
		}
	}
	for _, rule := range r.LostBy {
		if !slices.Contains(conflictRules, rule) {
			return fmt.Errorf("a claim lost by an unknown rule %q", rule)
		}
	}
	for _, p := range r.ErrorPages {
		if !w.backends[p.Backend] {
			return fmt.Errorf("there is no backend %q", p.Backend)
		}
	}
	if err := patterns(r); err != nil {
		return err
	}
	switch action := r.Action.(type) {
	case nil:
		return fmt.Errorf("it does nothing")
	case *Forward:
		return w.forward(r, action)
	default:
		return nil
	}
}

func (w wholeness) forward(r Route, f *Forward) error {
	if len(f.Targets) == 0 {
		return fmt.Errorf("it has no target")
	}
	for _, t := range f.Targets {
		if t.Closed == nil && !w.backends[t.Backend] {
			return fmt.Errorf("there is no backend %q", t.Backend)
		}
	}
	for _, limit := range f.InFlight.Limits {
		if len(limit.Origins) == 0 {
			return fmt.Errorf("a limit comes from nowhere")
		}
	}
	if f.Strip != nil && !strings.HasPrefix(r.Path.Value, f.Strip.Prefix) {
		return fmt.Errorf("%q cannot be stripped", f.Strip.Prefix)
	}
	return nil
}

// patterns says what is wrong with the regular expressions of a route.
func patterns(r Route) error {
	check := func(pattern string, with Substitution) error {
		compiled, err := regexp.Compile(pattern)
		if err != nil {
			return fmt.Errorf("pattern %q: %w", pattern, err)
		}
		for _, part := range with {
			if part.Group < 0 || part.Group > compiled.NumSubexp() {
				return fmt.Errorf("pattern %q has no group %d", pattern, part.Group)
			}
		}
		return nil
	}
	if u := r.URLRedirect; u != nil {
		if err := check(u.Pattern, u.With); err != nil {
			return err
		}
	}
	if change, ok := r.Rewrite.(*ReplaceRegex); ok {
		return check(change.Pattern, change.With)
	}
	return nil
}
