package up

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-gateway/postern/controlplane/files"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// servedMax is how many routes of an entry are listed at the start, skippedMax how many skipped objects.
const (
	servedMax  = 40
	skippedMax = 10
)

// report tells the operator what is served and what changes.
type report struct {
	teller
	// told are the diagnostics that were told and still stand, under diagnosed.
	diagnosed sync.Mutex
	told      map[string]bool
}

func (r *report) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.tell(event{Kind: eventNote, Message: text, text: text})
}

// diagnostics tells of warnings and errors that were not there before, and of those that are gone. Remarks are told as
// JSON only; as text they are listed at the start.
func (r *report) diagnostics(ds []diag.D) {
	r.diagnosed.Lock()
	defer r.diagnosed.Unlock()
	now := map[string]bool{}
	for _, d := range ds {
		if d.Severity == diag.Info && r.output != OutputJSON {
			continue
		}
		text := d.String()
		if !r.told[text] && !now[text] {
			r.tell(event{Kind: eventDiagnostic, Diagnostic: &d, text: text, alarming: true})
		}
		now[text] = true
	}
	solved := 0
	for text := range r.told {
		if !now[text] {
			solved++
		}
	}
	if solved > 0 {
		r.tell(event{Kind: eventSolved, Solved: solved, alarming: true,
			text: fmt.Sprintf("solved or changed: %d of the diagnostics above", solved)})
	}
	r.told = now
}

// upstreamFailure tells which backend failed, why, and where a certificate is the reason, the ways out.
func (r *report) upstreamFailure(cluster, reason string) {
	e := event{Kind: eventBackendFailed, Backend: cluster, Reason: reason, alarming: true}
	e.text = fmt.Sprintf("backend %s failed: %s", cluster, reason)
	if cluster == model.ClosedBackend {
		e.text = "requests of a path that several backends share answer 503: one of them cannot be served, as told above"
	}
	if strings.Contains(cluster+"/", "/https/") {
		e.Fix = tlsFix(reason)
	}
	if e.Fix != "" {
		e.text += "\n    fix: " + e.Fix
	}
	r.tell(e)
}

// maybeDemandsClient says whether a data plane's words for a failure are the backend's alert certificate_required (RFC
// 8446, 6.2), or what Envoy says of it: the client's handshake has ended by then, so the connection just ends.
func maybeDemandsClient(reason string) bool {
	return strings.Contains(reason, "certificate required") || strings.Contains(reason, "connection termination")
}

// tlsFix is what to do about a backend over TLS that failed for a reason; empty where the reason does not tell.
func tlsFix(reason string) string {
	switch {
	case maybeDemandsClient(reason):
		return "if it wants to be shown a client certificate, name its Secret by the annotation postern.dev/upstream-client-secret"
	case aboutTrust(reason):
		return "give the CA of its certificate by --upstream-ca FILE or the annotation postern.dev/upstream-ca-secret, or accept any " +
			"certificate by --upstream-insecure-skip-verify or the annotation postern.dev/upstream-insecure-skip-verify"
	}
	return ""
}

// aboutTrust says whether a data plane's words for a failure are about the backend's certificate, or about the CAs that
// it is held against.
func aboutTrust(reason string) bool {
	lower := strings.ToLower(reason)
	return slices.ContainsFunc([]string{"certificate", "verif", "tls error", "sds", "authorit"}, func(word string) bool {
		return strings.Contains(lower, word)
	})
}

// served lists the entries and their routes.
func (r *report) served(result translator.Result, dataPlane string) {
	e := event{Kind: eventServing, DataPlane: dataPlane}
	for _, t := range result.Gateway.Tables {
		e.Entries = append(e.Entries, servedEntry{
			Entry: t.Entry.Name, URL: t.Entry.Name + "://" + t.Entry.Address.String(), Routes: servedRoutes(t),
		})
	}
	e.text = servingText(e) + skippedText(result.Diagnostics) + "edits of the files are live at once; Ctrl-C ends"
	r.tell(e)
}

func servingText(e event) string {
	var b strings.Builder
	fmt.Fprintf(&b, "serving (data plane: %s)\n", e.DataPlane)
	left := 0
	for _, entry := range e.Entries {
		fmt.Fprintf(&b, "  %s\n", entry.URL)
		if len(entry.Routes) == 0 {
			b.WriteString("    nothing: no Ingress asks for it; every request gets 404\n")
		}
		shown := min(len(entry.Routes), servedMax)
		left += len(entry.Routes) - shown
		for _, route := range entry.Routes[:shown] {
			fmt.Fprintf(&b, "    %s\n", route)
		}
	}
	if left > 0 {
		fmt.Fprintf(&b, "    and %d more: postern explain says where a URL goes\n", left)
	}
	return b.String()
}

// skippedText lists what was read and is not served: kinds without a part in routing, Ingresses that were not selected.
func skippedText(ds []diag.D) string {
	var b strings.Builder
	count := 0
	for _, d := range ds {
		if d.Severity != diag.Info || d.Code != diag.CodeUnknownKind && d.Code != diag.CodeNotSelected {
			continue
		}
		if count++; count <= skippedMax {
			fmt.Fprintf(&b, "  skipped: %s %s: %s\n", d.Origin.Position(), d.Origin.Object(), d.Message)
		}
	}
	if count > skippedMax {
		fmt.Fprintf(&b, "  and %d more (postern lint names them)\n", count-skippedMax)
	}
	return b.String()
}

func servedRoutes(t model.Table) []servedRoute {
	out := []servedRoute{}
	add := func(as servedRoute, routes []model.Route) {
		for _, route := range routes {
			as.Path, as.HTTPSRedirect = route.Path.String(), route.HTTPSRedirect != nil
			as.Targets = servedTargets(route.Action)
			out = append(out, as)
		}
	}
	for _, h := range slices.Concat(t.Exact, t.Wildcard) {
		add(servedRoute{Host: h.Host.String()}, h.Routes)
	}
	add(servedRoute{Host: "*"}, t.Any)
	add(servedRoute{Host: "*", Default: true}, t.Default)
	return out
}

func servedTargets(action model.Action) []servedTarget {
	var out []servedTarget
	switch action := action.(type) {
	case *model.Closed:
		out = append(out, servedTarget{Closed: action.Reason})
	case *model.Forward:
		for _, t := range action.Targets {
			if t.Closed != nil {
				out = append(out, servedTarget{Closed: t.Closed.Reason})
				continue
			}
			out = append(out, servedTarget{Backend: t.Backend})
		}
	}
	return out
}

// live tells that a change is served.
func (r *report) live(change string, after time.Duration) {
	e := event{Kind: eventLive, Change: change, Milliseconds: after.Milliseconds()}
	e.text = fmt.Sprintf("%s is live after %d ms", change, e.Milliseconds)
	r.tell(e)
}

// notLive tells that a change is not served, for a reason or because the data plane refuses resources.
func (r *report) notLive(change, reason string, refused []string) {
	text := change + " is not live: " + reason
	if len(refused) > 0 {
		text += "\n  " + strings.Join(refused, "\n  ")
	}
	r.tell(event{Kind: eventNotLive, Change: change, Reason: reason, Refused: refused, text: text})
}

// refused tells of resources that the data plane refuses from the start.
func (r *report) refused(resources []string) {
	if len(resources) > 0 {
		r.tell(event{Kind: eventRefused, Refused: resources, text: "the data plane refuses a part of it:\n  " + strings.Join(resources, "\n  ")})
	}
}

// describe names the files of an edit; empty where all of them keep what they held, so that nothing goes live.
func describe(c files.Change) string {
	kept := map[string]bool{}
	for _, d := range c.World.Diagnostics {
		if d.Code == diag.CodeFileKept {
			kept[d.Origin.File] = true
		}
	}
	var live []string
	for _, file := range c.Files {
		if !kept[file] {
			live = append(live, file)
		}
	}
	switch len(live) {
	case 0:
		return ""
	case 1:
		return "the edit of " + live[0]
	default:
		return fmt.Sprintf("the edit of %d files", len(live))
	}
}
