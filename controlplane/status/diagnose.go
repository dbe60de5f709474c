package status

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/postern-gateway/postern/controlplane/controller"
	"github.com/postern-gateway/postern/translator/diag"
)

const (
	// diagnosticsEvery is the least time between two looks at the diagnostics of publications.
	diagnosticsEvery = time.Second
	// diagnosticsRenewEvery is how often what stands is looked at without a publication.
	diagnosticsRenewEvery = time.Minute
	// diagnosticsPerObjectMax is how many diagnostics of one object are Events of their own, the worst first.
	diagnosticsPerObjectMax = 10
	// actionTranslate is the action of Events of diagnostics.
	actionTranslate = "Translate"
	// reasonMore is the reason of the Event that stands for the diagnostics beyond diagnosticsPerObjectMax.
	reasonMore = "MoreDiagnostics"
)

// tellDiagnostics has every diagnostic of severity warning or above told as an Event on its object, until ctx ends.
func tellDiagnostics(ctx context.Context, published *feed, events *events, o Options) {
	for ctx.Err() == nil {
		p, changed := published.get()
		if p != nil {
			var due []event
			for _, e := range diagnosticEvents(*p, o.Cluster) {
				if !events.fresh(e) {
					due = append(due, e)
				}
			}
			events.tell(usual, due...)
		}
		wait(ctx, changed, diagnosticsRenewEvery)
		wait(ctx, nil, diagnosticsEvery)
	}
}

// diagnosticEvents are the Events of a publication, in the order of its diagnostics.
func diagnosticEvents(p controller.Publication, cluster string) []event {
	var order []objectKey
	byObject := map[objectKey][]diag.D{}
	wanted := map[objectKey]bool{}
	for _, d := range p.Result.Diagnostics {
		if d.Severity < diag.Warning || d.Origin.Cluster != cluster {
			continue
		}
		key := objectOf(d.Origin)
		if !wanted[key] {
			wanted[key] = true
			order = append(order, key)
		}
		byObject[key] = append(byObject[key], d)
	}
	found := references(p.World, wanted)
	var out []event
	for _, key := range order {
		regarding, ok := found[key]
		if !ok {
			continue
		}
		ds := byObject[key]
		slices.SortStableFunc(ds, func(a, b diag.D) int { return int(b.Severity) - int(a.Severity) })
		for i, d := range ds {
			e := event{regarding: regarding, level: corev1.EventTypeWarning, reason: d.Code.Reason(), action: actionTranslate, note: note(d)}
			if i == diagnosticsPerObjectMax {
				e.reason = reasonMore
				e.note = fmt.Sprintf("%d more: postern lint -f FILE prints all of them", len(ds)-i)
			}
			out = append(out, e)
			if i == diagnosticsPerObjectMax {
				break
			}
		}
	}
	return out
}

// note is a diagnostic in the words of an Event: code, place, what is wrong, what happens, what to do.
func note(d diag.D) string {
	var b strings.Builder
	b.WriteString(string(d.Code))
	if place := d.Origin.Place(); place != "" {
		b.WriteString(" " + place)
	}
	b.WriteString(": " + d.Message)
	for _, o := range d.Others {
		b.WriteString(" (see " + o.String() + ")")
	}
	b.WriteString("; effect: " + d.Effect)
	if d.Fix != "" {
		b.WriteString("; fix: " + d.Fix)
	}
	return shorten(b.String())
}
