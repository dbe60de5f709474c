package inspect

import (
	"cmp"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// link is a page's address relative to all others, which are of one depth; pairs are names and values of its query. Empty
// values are left out.
func link(page string, pairs ...string) string {
	query := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			query.Set(pairs[i], pairs[i+1])
		}
	}
	if len(query) == 0 {
		return page
	}
	return page + "?" + query.Encode()
}

// place is where something comes from.
type place struct {
	diag.Origin
	// Link leads to the page of the object, empty where it has none.
	Link string `json:"link,omitempty"`
}

func placeOf(o diag.Origin) place { return place{o, linkOf(objectOf(o))} }

func placesOf(origins []diag.Origin) []place {
	var out []place
	for _, o := range origins {
		out = append(out, placeOf(o))
	}
	return out
}

// placeGroup is the places of one object.
type placeGroup struct {
	Object, Link string
	Places       []shortPlace
}

// shortPlace is a field, or an annotation without its prefix, with the file and line.
type shortPlace struct{ Short, Full, Position string }

// grouped are places by their objects, in the order in which these come first.
func grouped(places []place) []placeGroup {
	var out []placeGroup
	at := map[objectID]int{}
	for _, p := range places {
		of := objectOf(p.Origin)
		i, ok := at[of]
		if !ok {
			i = len(out)
			at[of] = i
			out = append(out, placeGroup{Object: p.Object(), Link: p.Link})
		}
		short := shortPlace{Short: p.Field, Full: p.Place(), Position: p.Position()}
		if p.Annotation != "" {
			short.Short = p.Annotation[strings.LastIndexByte(p.Annotation, '/')+1:]
		}
		out[i].Places = append(out[i].Places, short)
	}
	return out
}

// linkOf leads to the page of an object.
func linkOf(o objectID) string {
	switch o.Kind {
	case "Ingress":
		return link("ingress", "cluster", o.Cluster, "namespace", o.Namespace, "name", o.Name)
	case "Service":
		return link("service", "cluster", o.Cluster, "namespace", o.Namespace, "name", o.Name)
	default:
		return ""
	}
}

// diagnosticRow is a diagnostic as pages show it.
type diagnosticRow struct {
	Code     diag.Code     `json:"code"`
	Severity diag.Severity `json:"severity"`
	Origin   place         `json:"origin"`
	Others   []place       `json:"others,omitempty"`
	Message  string        `json:"message"`
	Effect   string        `json:"effect"`
	Fix      string        `json:"fix,omitempty"`
	// Link leads to what the code means.
	Link string `json:"link"`
}

func diagnosticRows(ds []diag.D) []diagnosticRow {
	out := []diagnosticRow{}
	for _, d := range ds {
		out = append(out, diagnosticRow{
			Code: d.Code, Severity: d.Severity, Origin: placeOf(d.Origin), Others: placesOf(d.Others),
			Message: d.Message, Effect: d.Effect, Fix: d.Fix, Link: link("diagnostics", "code", string(d.Code)),
		})
	}
	slices.SortStableFunc(out, func(a, b diagnosticRow) int { return cmp.Compare(b.Severity, a.Severity) })
	return out
}

// targetRow is where a route's requests go.
type targetRow struct {
	// Backend is empty where the target is closed.
	Backend string `json:"backend,omitempty"`
	Link    string `json:"link,omitempty"`
	// Share is empty where all requests go there.
	Share string `json:"share,omitempty"`
	// Host is what the backend sees as Host, empty where it is the client's.
	Host   string    `json:"host,omitempty"`
	Health condition `json:"health"`
}

// routeRow is a route as pages show it.
type routeRow struct {
	Entry string `json:"entry"`
	Host  string `json:"host"`
	// HostLink leads to the host, ExplainLink to what becomes of a request that the route takes, unless another does.
	HostLink    string `json:"hostLink"`
	ExplainLink string `json:"explainLink"`
	// Path is the match as explain writes it.
	Path     string      `json:"path"`
	Priority int         `json:"priority,omitempty"`
	Health   condition   `json:"health"`
	Policies []string    `json:"policies,omitempty"`
	Targets  []targetRow `json:"targets,omitempty"`
	// Closed is why the route answers 503, empty where it does not.
	Closed  string  `json:"closed,omitempty"`
	Origins []place `json:"origins"`
	// Losers are the claims to the same host and path that it beat.
	Losers      []place         `json:"losers,omitempty"`
	Diagnostics []diagnosticRow `json:"diagnostics,omitempty"`
}

func (v View) routeRow(at routeAt) routeRow {
	r := at.route()
	row := routeRow{
		Entry: at.of.entry, Host: at.of.name, HostLink: at.of.link(), ExplainLink: link("explain", "url", at.example()),
		Path: r.Path.String(), Priority: r.Priority, Health: v.routeHealth(r), Policies: policyWords(r),
		Origins: placesOf(r.Origins), Losers: placesOf(r.Losers),
	}
	if ds := v.index().about(r); len(ds) > 0 {
		row.Diagnostics = diagnosticRows(ds)
	}
	switch action := r.Action.(type) {
	case *model.Closed:
		row.Closed = action.Reason
	case *model.Forward:
		for _, t := range action.Targets {
			row.Targets = append(row.Targets, v.targetRow(t, action.Targets))
		}
	}
	return row
}

func (v View) targetRow(t model.Target, of []model.Target) targetRow {
	row := targetRow{Share: shareOf(t, of), Host: t.Host}
	if t.Closed != nil {
		row.Health = condition{}.and(stateFailing, "closed: "+t.Closed.Reason)
		return row
	}
	row.Backend, row.Link, row.Health = t.Backend, link("service", "backend", t.Backend), v.backendHealth(t.Backend)
	return row
}

func (v View) routeRows(routes []routeAt) []routeRow {
	out := []routeRow{}
	for _, at := range routes {
		out = append(out, v.routeRow(at))
	}
	return out
}

func (h hostID) link() string { return link("host", "entry", h.entry, "name", h.name) }

// example is a URL that the route's match takes.
func (r routeAt) example() string {
	scheme, usual := "http", "80"
	entry := r.of.table.Entry
	if entry.TLS {
		scheme, usual = "https", "443"
	}
	host := r.of.host.Name()
	switch r.of.host.Kind() {
	case model.HostWildcard:
		host = "any" + r.of.host.Suffix()
	case model.HostAny:
		host = "any.example"
	}
	if port := strconv.Itoa(int(entry.PublicPort)); port != usual && port != "0" {
		host = net.JoinHostPort(strings.Trim(host, "[]"), port)
	}
	return scheme + "://" + host + r.route().Path.Value
}

// pageMax is how many rows a page of a list has.
const pageMax = 100

// paging is a part of a list, and where the others are.
type paging struct {
	Page  int `json:"page"`
	Pages int `json:"pages"`
	// Total is of the whole list, First and Last are the places of the part in it, from 1.
	Total int    `json:"total"`
	First int    `json:"first"`
	Last  int    `json:"last"`
	Prev  string `json:"prev,omitempty"`
	Next  string `json:"next,omitempty"`
}

// cut is the part of a list that ?page= asks for: the nearest there is.
func cut[T any](items []T, r *http.Request) ([]T, paging) {
	p := pagingOf(len(items), r)
	return partOf(items, p), p
}

// partOf is the part of a list that stands on a page; a list that ends before has none.
func partOf[T any](items []T, p paging) []T {
	from := min((p.Page-1)*pageMax, len(items))
	return items[from:min(from+pageMax, len(items))]
}

// pagingOf is the page that is asked for of so many rows: the nearest there is.
func pagingOf(total int, r *http.Request) paging {
	asked, err := strconv.Atoi(r.URL.Query().Get("page"))
	if err != nil {
		asked = 1
	}
	p := paging{Total: total, Pages: max((total+pageMax-1)/pageMax, 1)}
	p.Page = min(max(asked, 1), p.Pages)
	to := func(page int) string {
		query := r.URL.Query()
		query.Set("page", strconv.Itoa(page))
		return strings.TrimPrefix(r.URL.Path, "/") + "?" + query.Encode()
	}
	if p.Page > 1 {
		p.Prev = to(p.Page - 1)
	}
	if p.Page < p.Pages {
		p.Next = to(p.Page + 1)
	}
	if total > 0 {
		p.First = (p.Page-1)*pageMax + 1
	}
	p.Last = min(p.Page*pageMax, total)
	return p
}

// filter is what a list is narrowed to.
type filter struct {
	// Text must occur in what the row is found by, whatever its case.
	Text string `json:"q,omitempty"`
	// State, where not empty, is "trouble" for what is not healthy; of Ingresses also "not-served".
	State string `json:"state,omitempty"`
}

const (
	stateTrouble   = "trouble"
	stateNotServed = "not-served"
)

func filterOf(r *http.Request) filter {
	return filter{Text: strings.TrimSpace(r.URL.Query().Get("q")), State: r.URL.Query().Get("state")}
}

func (f filter) admits(h condition, texts ...string) bool {
	if f.State == stateTrouble && h.State == stateOK {
		return false
	}
	return contains(f.Text, texts...)
}

func contains(part string, texts ...string) bool {
	part = strings.ToLower(part)
	return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(strings.ToLower(s), part) })
}
