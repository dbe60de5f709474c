package inspect

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/report"
)

// unservedIngress is an Ingress that was not asked for.
type unservedIngress struct {
	objectID
	// why says what chose it out, hosts are those of its rules.
	why   string
	hosts []string
}

// unservedOf are the Ingresses that are not served, sorted.
func unservedOf(r report.Report) []unservedIngress {
	var out []unservedIngress
	for _, i := range r.Ingresses {
		if i.Outcome == report.NotServed {
			out = append(out, unservedIngress{objectOf(i.Origin), i.Why, i.Hosts})
		}
	}
	slices.SortFunc(out, func(a, b unservedIngress) int { return a.compare(b.objectID) })
	return out
}

// notServedLook is how pages say that an Ingress was not asked for; nothing is wrong with it.
var notServedLook = look{Words: "not served"}.quiet()

// ingressRow is an Ingress, served or not.
type ingressRow struct {
	Cluster   string    `json:"cluster,omitempty"`
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	Link      string    `json:"link"`
	Hosts     []string  `json:"hosts"`
	HostCount int       `json:"hostCount"`
	Routes    int       `json:"routes"`
	Health    condition `json:"health"`
	// Served is false for an Ingress that was not chosen, Why says what chose it out. Its hosts are those of its rules.
	Served bool   `json:"served"`
	Why    string `json:"why,omitempty"`
	// Errors and Warnings count its diagnostics.
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`
	// Lost counts its claims that another beat.
	Lost int `json:"lost"`
}

// Object is how the Ingress is named in text.
func (i ingressRow) Object() string { return nameOf(objectID{"", i.Cluster, i.Namespace, i.Name}) }

func nameOf(o objectID) string {
	name := o.Name
	if o.Namespace != "" {
		name = o.Namespace + "/" + name
	}
	if o.Cluster != "" {
		name = o.Cluster + ":" + name
	}
	return name
}

// Look says to people that the Ingress is not served.
func (i ingressRow) Look() look { return notServedLook }

// ingressHostsMax bounds the hosts that a row names.
const ingressHostsMax = 3

func (v View) ingressRow(of objectID) ingressRow {
	x := v.index()
	row := ingressRow{
		Cluster: of.Cluster, Namespace: of.Namespace, Name: of.Name, Link: linkOf(of), Hosts: []string{},
		Routes: len(x.routesOf[of]), Lost: len(x.losses[of]), Health: v.ingressHealth(of), Served: true,
	}
	hosts := map[string]bool{}
	for _, at := range x.routesOf[of] {
		hosts[at.of.name] = true
	}
	names := slices.Sorted(maps.Keys(hosts))
	row.HostCount, row.Hosts = len(names), names[:min(len(names), ingressHostsMax)]
	row.count(x.told[of])
	return row
}

// unservedRow is the row of one that is not served. It has no health: nobody asks it anything.
func (v View) unservedRow(of unservedIngress) ingressRow {
	row := ingressRow{
		Cluster: of.Cluster, Namespace: of.Namespace, Name: of.Name, Link: linkOf(of.objectID), Why: of.why,
		Hosts: append([]string{}, of.hosts[:min(len(of.hosts), ingressHostsMax)]...), HostCount: len(of.hosts),
	}
	row.count(v.index().told[of.objectID])
	return row
}

// rowOf is the row of an Ingress that was read.
func (v View) rowOf(of objectID) ingressRow {
	unserved := v.index().unserved
	if i, ok := slices.BinarySearchFunc(unserved, of, func(u unservedIngress, of objectID) int { return u.compare(of) }); ok {
		return v.unservedRow(unserved[i])
	}
	return v.ingressRow(of)
}

func (i *ingressRow) count(ds []diag.D) {
	for _, d := range ds {
		switch d.Severity {
		case diag.Error:
			i.Errors++
		case diag.Warning:
			i.Warnings++
		}
	}
}

// ingressHealth is how the requests of an Ingress fare. One that lost all that it asks for is failing.
func (v View) ingressHealth(of objectID) condition {
	x := v.index()
	var h condition
	for _, at := range x.routesOf[of] {
		route := v.routeHealth(at.route())
		for _, reason := range route.Reasons {
			h = h.and(route.State, reason)
		}
	}
	errors := 0
	for _, d := range x.told[of] {
		if d.Severity == diag.Error {
			errors++
		}
	}
	if errors > 0 {
		h = h.and(stateDegraded, plural(errors, "error")+" in what it asks for")
	}
	if len(x.routesOf[of]) == 0 {
		h = h.and(stateFailing, "it has no route")
	}
	return h
}

// ingressesPage lists the Ingresses that were read, those that are served before others.
type ingressesPage struct {
	Filter    filter       `json:"filter"`
	Ingresses []ingressRow `json:"ingresses"`
	Paging    paging       `json:"paging"`
}

func (ingressesPage) Title() string { return "Ingresses" }

func ingressesData(v View, r *http.Request) (any, error) {
	f := filterOf(r)
	var found []func() ingressRow
	for _, of := range v.index().served {
		if f.State != stateNotServed && contains(f.Text, nameOf(of)) && (f.State != stateTrouble || v.ingressHealth(of).State != stateOK) {
			found = append(found, func() ingressRow { return v.ingressRow(of) })
		}
	}
	for _, of := range v.index().unserved {
		if (f.State == "" || f.State == stateNotServed) && contains(f.Text, nameOf(of.objectID)) {
			found = append(found, func() ingressRow { return v.unservedRow(of) })
		}
	}
	part, paging := cut(found, r)
	p := ingressesPage{Filter: f, Ingresses: []ingressRow{}, Paging: paging}
	for _, row := range part {
		p.Ingresses = append(p.Ingresses, row())
	}
	return p, nil
}

// annotationRow is an annotation as pages show it. Its value is left out: it may hold a credential.
type annotationRow struct {
	Annotation string      `json:"annotation"`
	Dialect    string      `json:"dialect,omitempty"`
	State      diag.State  `json:"state"`
	Note       string      `json:"note,omitempty"`
	Codes      []diag.Code `json:"codes,omitempty"`
	Position   string      `json:"position,omitempty"`
	// Fix is what to do, or to use in its place; empty where nothing is to be done.
	Fix string `json:"fix,omitempty"`
}

// Look says the state to people.
func (a annotationRow) Look() look {
	switch l := (look{Words: report.Words(a.State)}); a.State {
	case diag.StateApplied:
		return l.as(stateOK)
	case diag.StateApproximated:
		return l.near()
	case diag.StateOtherTool:
		return l.quiet()
	case diag.StateCloses, diag.StateBadValue:
		return l.as(stateFailing)
	default:
		return l.as(stateDegraded)
	}
}

// look is a state or an outcome as people see it: words, a sign for those who skim, and the style of a condition, or none
// where nothing is wrong.
type look struct{ Class, Mark, Words string }

func (l look) as(s state) look { return look{s.String(), s.Mark(), l.Words} }
func (l look) near() look      { return look{"", "≈", l.Words} }
func (l look) quiet() look     { return look{"", "–", l.Words} }

func lookOfOutcome(o report.Outcome) look {
	switch l := (look{Words: o.Words()}); o {
	case report.AsWritten:
		return l.as(stateOK)
	case report.Approximated:
		return l.near()
	case report.NotServed:
		return l.quiet()
	case report.Incomplete, report.Unjudged:
		return l.as(stateDegraded)
	default:
		return l.as(stateFailing)
	}
}

func annotationRows(of []report.Annotation) []annotationRow {
	out := []annotationRow{}
	for _, a := range of {
		out = append(out, annotationRowOf(a))
	}
	slices.SortStableFunc(out, func(a, b annotationRow) int { return cmp.Compare(a.State, b.State) })
	return out
}

func annotationRowOf(a report.Annotation) annotationRow {
	return annotationRow{a.Origin.Annotation, a.Dialect, a.State, a.Note, a.Codes, a.Origin.Position(), a.Fix}
}

// conflictRow is a claim to a host and path that another beat.
type conflictRow struct {
	Entry string `json:"entry"`
	Host  string `json:"host"`
	Path  string `json:"path"`
	// Winner is the first origin of the route that is served, Loser the claim that is not.
	Winner   place  `json:"winner"`
	Loser    place  `json:"loser"`
	HostLink string `json:"hostLink"`
}

// ingressPage is an Ingress.
type ingressPage struct {
	ingressRow
	// Position is the file and line, empty in a cluster.
	Position    string          `json:"position,omitempty"`
	Class       string          `json:"class,omitempty"`
	RouteRows   []routeRow      `json:"routeRows"`
	Paging      paging          `json:"paging"`
	Annotations []annotationRow `json:"annotations"`
	Diagnostics []diagnosticRow `json:"diagnostics"`
	Won         []conflictRow   `json:"won,omitempty"`
	LostRows    []conflictRow   `json:"lostRows,omitempty"`
}

func (p ingressPage) Title() string { return "Ingress " + p.Object() }

func ingressData(v View, r *http.Request) (any, error) {
	query := r.URL.Query()
	of := objectID{"Ingress", query.Get("cluster"), query.Get("namespace"), query.Get("name")}
	x := v.index()
	ing, known := x.ingresses[of]
	if !known {
		return nil, fmt.Errorf("the gateway has read no Ingress %s; it may be in another namespace, or gone%w", nameOf(of), silent{errNotFound})
	}
	p := ingressPage{
		ingressRow: v.rowOf(of), Position: ing.Place.Origin("Ingress", of.Namespace, of.Name, "").Position(),
		Annotations: annotationRows(x.annotations[of]), Diagnostics: diagnosticRows(slices.Concat(x.told[of], x.mentioned[of])),
	}
	if ing.Spec.IngressClassName != nil {
		p.Class = *ing.Spec.IngressClassName
	}
	part, paging := cut(x.routesOf[of], r)
	p.RouteRows, p.Paging = v.routeRows(part), paging
	for _, at := range part {
		for _, o := range at.route().Losers {
			p.Won = append(p.Won, conflictOf(loss{o, at}))
		}
	}
	for _, l := range x.losses[of][:min(len(x.losses[of]), pageMax)] {
		p.LostRows = append(p.LostRows, conflictOf(l))
	}
	return p, nil
}

func conflictOf(l loss) conflictRow {
	row := conflictRow{
		Entry: l.winner.of.entry, Host: l.winner.of.name, Path: l.winner.route().Path.String(), Loser: placeOf(l.origin), HostLink: l.winner.of.link(),
	}
	if origins := l.winner.route().Origins; len(origins) > 0 {
		row.Winner = placeOf(origins[0])
	}
	return row
}

// diagnosticsPage lists all diagnostics, or those of a severity or a code.
type diagnosticsPage struct {
	Filter   filter `json:"filter"`
	Severity string `json:"severity,omitempty"`
	Code     string `json:"code,omitempty"`
	// Meaning is what the registry says of the code, nil without one.
	Meaning     *meaning        `json:"meaning,omitempty"`
	Diagnostics []diagnosticRow `json:"diagnostics"`
	Paging      paging          `json:"paging"`
}

// meaning is what a code means.
type meaning struct {
	Title string `json:"title"`
	Text  string `json:"text"`
}

func (p diagnosticsPage) Title() string { return strings.TrimSpace("Diagnostics " + p.Code) }

func diagnosticsData(v View, r *http.Request) (any, error) {
	p := diagnosticsPage{Filter: filterOf(r), Severity: r.URL.Query().Get("severity"), Code: r.URL.Query().Get("code")}
	if p.Code != "" {
		i := slices.IndexFunc(diag.Codes(), func(c diag.Page) bool { return string(c.Code) == p.Code })
		if i < 0 {
			return nil, fmt.Errorf("no diagnostic has the code %s; codes are as P4003%w", p.Code, silent{errNotFound})
		}
		p.Meaning = &meaning{diag.Codes()[i].Title, diag.Codes()[i].Text}
	}
	var found []diag.D
	for _, d := range v.Result.Diagnostics {
		if (p.Severity == "" || d.Severity.String() == p.Severity) && (p.Code == "" || string(d.Code) == p.Code) &&
			contains(p.Filter.Text, d.Origin.String(), d.Message, string(d.Code)) {
			found = append(found, d)
		}
	}
	slices.SortStableFunc(found, func(a, b diag.D) int { return cmp.Compare(b.Severity, a.Severity) })
	part, paging := cut(found, r)
	p.Diagnostics, p.Paging = diagnosticRows(part), paging
	return p, nil
}
