package inspect

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator/diff"
)

// diffPage says what requests get otherwise at one revision than at another.
type diffPage struct {
	// From and To are 0 where there is no earlier revision to compare with.
	From xds.Revision `json:"from"`
	To   xds.Revision `json:"to"`
	// Revisions are those that are kept, the latest first.
	Revisions []revisionRow `json:"revisions"`
	// Classes are the first ones, Total is how many there are.
	Classes []classRow `json:"classes"`
	Total   int        `json:"total"`
	// Unseen are routes that are written otherwise, for which no request was found that shows it.
	Unseen []diff.Unseen `json:"unseen,omitempty"`
	Paging paging        `json:"paging"`
}

func (diffPage) Title() string { return "Diff" }

// revisionRow is a publication that is kept.
type revisionRow struct {
	Revision xds.Revision `json:"revision"`
	At       time.Time    `json:"at"`
}

// classRow is a class of requests that fare otherwise.
type classRow struct {
	Kind    diff.Kind `json:"kind"`
	Changed []string  `json:"changed"`
	Before  string    `json:"before"`
	After   string    `json:"after"`
	// Hosts are the first ones, HostCount is how many there are.
	Hosts         []diff.Host `json:"hosts"`
	HostCount     int         `json:"hostCount"`
	BeforeOrigins []place     `json:"beforeOrigins,omitempty"`
	AfterOrigins  []place     `json:"afterOrigins,omitempty"`
	Witness       *witnessRow `json:"witness,omitempty"`
}

// MoreHosts is how many hosts there are beside those that are listed.
func (c classRow) MoreHosts() int { return c.HostCount - len(c.Hosts) }

// witnessRow is a request that shows the difference.
type witnessRow struct {
	diff.Witness
	// URL is what is asked for, ExplainLink asks about it as things are now. It is empty where the request cannot be told in full.
	URL         string `json:"url"`
	ExplainLink string `json:"explainLink,omitempty"`
}

const (
	// diffHostsShown bounds the hosts of a class that a page lists, unseenShown the routes without a witness.
	diffHostsShown = 12
	unseenShown    = 50
	// diffsMax is how many comparisons are kept for each publication.
	diffsMax = 8
)

// diffs are comparisons that were asked for.
type diffs struct {
	mu   sync.Mutex
	made map[[2]xds.Revision]diff.Report // guarded by mu
}

// of compares two sides once, and by one asker at a time: it takes seconds where there are thousands of Ingresses.
func (d *diffs) of(from, to Moment) diff.Report {
	key := [2]xds.Revision{from.Revision, to.Revision}
	d.mu.Lock()
	defer d.mu.Unlock()
	if report, ok := d.made[key]; ok {
		return report
	}
	report := diff.Compare(diff.Side{Gateway: from.Gateway, Diagnostics: from.Diagnostics}, diff.Side{Gateway: to.Gateway, Diagnostics: to.Diagnostics})
	if d.made == nil || len(d.made) >= diffsMax {
		d.made = map[[2]xds.Revision]diff.Report{}
	}
	d.made[key] = report
	return report
}

// moments are the publications that can be compared, the latest first.
func (v View) moments() []Moment {
	out := slices.Clone(v.Earlier)
	slices.Reverse(out)
	now := Moment{Revision: v.Revision, At: v.At, Gateway: v.Result.Gateway, Diagnostics: v.Result.Diagnostics}
	return append([]Moment{now}, out...)
}

func diffData(v View, r *http.Request) (any, error) {
	moments := v.moments()
	p := diffPage{Revisions: []revisionRow{}, Classes: []classRow{}}
	for _, m := range moments {
		p.Revisions = append(p.Revisions, revisionRow{m.Revision, m.At})
	}
	if len(moments) < 2 && r.URL.Query().Get("from") == "" {
		p.To = v.Revision
		return p, nil
	}
	to, err := momentOf(moments, r.URL.Query().Get("to"), 0)
	if err != nil {
		return nil, err
	}
	from, err := momentOf(moments, r.URL.Query().Get("from"), 1)
	if err != nil {
		return nil, err
	}
	p.From, p.To = from.Revision, to.Revision
	lazy := v.lazy
	if lazy == nil {
		lazy = &lazyIndex{}
	}
	report := lazy.diffs.of(from, to)
	p.Total, p.Unseen = len(report.Classes), report.Unseen[:min(len(report.Unseen), unseenShown)]
	part, paging := cut(report.Classes, r)
	p.Paging = paging
	for _, c := range part {
		p.Classes = append(p.Classes, classRowOf(c))
	}
	return p, nil
}

// momentOf finds a revision by its number, or the one at a place where none is named.
func momentOf(moments []Moment, text string, otherwise int) (Moment, error) {
	if text == "" {
		return moments[otherwise], nil
	}
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return Moment{}, badRequest{fmt.Errorf("%q is not the number of a revision", text)}
	}
	i := slices.IndexFunc(moments, func(m Moment) bool { return uint64(m.Revision) == number })
	if i < 0 {
		return Moment{}, fmt.Errorf("revision %d is no longer kept, or never was; the page of differences without a query has those that are%w", number, silent{errNotFound})
	}
	return moments[i], nil
}

func classRowOf(c diff.Class) classRow {
	row := classRow{
		Kind: c.Kind, Changed: c.Changed, Before: c.Before, After: c.After, Hosts: c.Hosts[:min(len(c.Hosts), diffHostsShown)], HostCount: c.Count,
		BeforeOrigins: placesOf(c.BeforeOrigins), AfterOrigins: placesOf(c.AfterOrigins),
	}
	if w := c.Witness; w != nil {
		row.Witness = &witnessRow{Witness: *w, URL: w.Request.Method + " " + w.Request.URL}
		if !w.Hidden {
			row.Witness.ExplainLink = "explain?" + w.Request.Query().Encode()
		}
	}
	return row
}
