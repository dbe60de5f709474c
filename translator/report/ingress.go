package report

import (
	"slices"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// Outcome is what becomes of an Ingress. The outcomes are in the order of what they cost its owner, the most costly first.
type Outcome int

const (
	// Closed is an Ingress all of whose routes answer 503.
	Closed Outcome = iota
	// WithoutRoutes is one that is served in principle, and of which there is no route: others have its hosts and paths, or
	// none of its rules can be used.
	WithoutRoutes
	// PartlyClosed is one of which some routes answer 503.
	PartlyClosed
	// Incomplete is one that is served without something that it asks for.
	Incomplete
	// Unjudged is one that refers to what may not be read by whoever asks.
	Unjudged
	// Approximated is one all of which is applied, some of it with a difference.
	Approximated
	// AsWritten is one that is applied as it is written.
	AsWritten
	// NotServed is one that was not asked for: by its class, or by its labels.
	NotServed

	outcomes = iota
)

// Outcomes are all outcomes, in their order.
func Outcomes() []Outcome {
	out := make([]Outcome, outcomes)
	for i := range out {
		out[i] = Outcome(i)
	}
	return out
}

// String is the outcome's name in JSON, for programs to rely on.
func (o Outcome) String() string {
	return [outcomes]string{
		"closed", "without-routes", "partly-closed", "incomplete", "unjudged", "approximated", "as-written", "not-served",
	}[o]
}

// MarshalText makes the name the JSON form.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// outcomeHeadings say what an outcome means.
var outcomeHeadings = [outcomes]string{
	"closed: all of their routes answer 503",
	"without a route: others have their hosts and paths, or no rule of theirs can be used",
	"partly closed: some of their routes answer 503",
	"served without something that they ask for",
	"not judged: they refer to what may not be read by whoever asks",
	"served, with differences that are known",
	"served as they are written",
	"not served: another class or other labels",
}

// Ingress is what becomes of an Ingress.
type Ingress struct {
	Origin  diag.Origin `json:"origin"`
	Outcome Outcome     `json:"outcome"`
	// Why says why it is not served, or why routes of it answer 503; empty where neither is so.
	Why string `json:"why,omitempty"`
	// Hosts are those of its rules, as they are written, each once.
	Hosts []string `json:"hosts,omitempty"`
	// Routes is how many routes it has at all entries, Closed how many of them answer 503.
	Routes int `json:"routes"`
	Closed int `json:"closed"`
	// Worst is the worst diagnostic about it, of severity error or warning.
	Worst *diag.D `json:"worst,omitempty"`

	annotations []Annotation
	diagnostics []diag.D
}

// routes are an Ingress's, counted, and the reasons of those that are closed.
type routes struct {
	all, closed int
	reasons     []*model.Closed
}

// routesOf counts the routes of each Ingress. One that is closed over plain HTTP because a certificate is asked for is as it
// should be; one that closes other spellings of a restricted path belongs to the route of that path.
func routesOf(g model.Gateway) map[model.ObjectKey]routes {
	out := map[model.ObjectKey]routes{}
	note := func(list []model.Route) {
		for _, r := range list {
			if closed, ok := r.Action.(*model.Closed); ok && closed.Code == diag.CodeOtherSpelling {
				continue
			}
			key := model.ObjectKey{Cluster: r.Object.Cluster, Namespace: r.Object.Namespace, Name: r.Object.Name}
			of, reasons := out[key], closings(r)
			of.all++
			if _, whole := r.Action.(*model.Closed); whole && len(reasons) > 0 {
				of.closed++
			}
			of.reasons = append(of.reasons, reasons...)
			out[key] = of
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

// closings are why a route, or a part of its requests, answers 503.
func closings(r model.Route) []*model.Closed {
	var out []*model.Closed
	switch action := r.Action.(type) {
	case *model.Closed:
		out = append(out, action)
	case *model.Forward:
		for _, t := range action.Targets {
			if t.Closed != nil {
				out = append(out, t.Closed)
			}
		}
	}
	return slices.DeleteFunc(out, func(c *model.Closed) bool { return c.Code == diag.CodePlainHTTP })
}

// judge is what Ingresses are judged by.
type judge struct {
	served      map[model.ObjectKey]bool
	routes      map[model.ObjectKey]routes
	annotations map[string][]Annotation
	diagnostics map[string][]diag.D
}

func (j judge) ingress(i source.Ingress) Ingress {
	object := i.Origin("").Object()
	key := model.ObjectKey{Cluster: i.Cluster, Namespace: i.Namespace, Name: i.Name}
	out := Ingress{Origin: i.Origin(""), annotations: j.annotations[object], diagnostics: j.diagnostics[object]}
	for _, rule := range i.Spec.Rules {
		if rule.Host != "" && !slices.Contains(out.Hosts, rule.Host) {
			out.Hosts = append(out.Hosts, rule.Host)
		}
	}
	if worst, ok := diag.Worst(out.diagnostics); ok && worst > diag.Info {
		at := slices.IndexFunc(out.diagnostics, func(d diag.D) bool { return d.Severity == worst })
		out.Worst = &out.diagnostics[at]
	}
	if !j.served[key] {
		out.Outcome = NotServed
		if at := slices.IndexFunc(out.diagnostics, func(d diag.D) bool { return d.Code == diag.CodeNotSelected }); at >= 0 {
			out.Why = out.diagnostics[at].Message
		}
		return out
	}
	routes := j.routes[key]
	out.Routes, out.Closed = routes.all, routes.closed
	out.Outcome, out.Why = outcome(out, routes.reasons)
	return out
}

// outcome says what becomes of an Ingress that was asked for, and why where routes of it are closed.
func outcome(i Ingress, reasons []*model.Closed) (Outcome, string) {
	known := slices.DeleteFunc(slices.Clone(reasons), func(c *model.Closed) bool { return c.Code == diag.CodeUnread })
	switch {
	case i.Routes == 0:
		why := ""
		if i.Worst != nil {
			why = i.Worst.Message
		}
		return WithoutRoutes, why
	case len(known) > 0 && i.Closed == i.Routes:
		return Closed, known[0].Reason
	case len(known) > 0:
		return PartlyClosed, known[0].Reason
	}
	out := AsWritten
	for _, a := range i.annotations {
		out = min(out, outcomeOf(a.State))
	}
	for _, d := range i.diagnostics {
		switch {
		case d.Code == diag.CodeUnread:
			out = min(out, Unjudged)
		// Whether pods run is a matter of the hour, and not of the Ingress; a warning about an annotation is in its state.
		case d.Severity == diag.Error, d.Severity == diag.Warning && d.Origin.Annotation == "" && d.Code != diag.CodeNoEndpoints:
			out = min(out, Incomplete)
		}
	}
	why := ""
	if len(reasons) > 0 {
		why = reasons[0].Reason
	}
	return out, why
}

// outcomeOf is what an annotation in a state makes of its Ingress at least.
func outcomeOf(s diag.State) Outcome {
	switch {
	case s == diag.StateUnjudged:
		return Unjudged
	case s < diag.StateWithoutEffect:
		return Incomplete
	case s == diag.StateApproximated:
		return Approximated
	}
	return AsWritten
}
