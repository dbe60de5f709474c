package up

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

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

// report writes what the operator reads.
type report struct {
	// mu guards the writers and what was told.
	mu       sync.Mutex
	out, err io.Writer
	told     map[string]bool
}

func (r *report) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, format+"\n", args...)
}

// diagnostics prints warnings and errors that were not there before, and tells of those that are gone.
func (r *report) diagnostics(ds []diag.D) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := map[string]bool{}
	for _, d := range ds {
		if d.Severity == diag.Info {
			continue
		}
		text := d.String()
		if !r.told[text] && !now[text] {
			fmt.Fprintln(r.err, text)
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
		fmt.Fprintf(r.err, "solved or changed: %d of the diagnostics above\n", solved)
	}
	r.told = now
}

// upstreamFailure tells which backend failed, why, and where its certificate is the reason, the two ways out.
func (r *report) upstreamFailure(cluster, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if cluster == model.ClosedBackend {
		fmt.Fprintf(r.err, "requests of a path that several backends share answer 503: one of them cannot be served, as told above\n")
		return
	}
	fmt.Fprintf(r.err, "backend %s failed: %s\n", cluster, reason)
	if strings.HasSuffix(cluster, "/https") && aboutTrust(reason) {
		fmt.Fprintf(r.err, "    fix: give the CA of its certificate by --upstream-ca FILE, or accept any certificate by --upstream-insecure-skip-verify\n")
	}
}

// aboutTrust says whether a data plane's words for a failure are about the backend's certificate, or about the CAs that
// it is held against.
func aboutTrust(reason string) bool {
	lower := strings.ToLower(reason)
	return slices.ContainsFunc([]string{"certificate", "verif", "tls_error", "sds", "authorit"}, func(word string) bool {
		return strings.Contains(lower, word)
	})
}

// served lists the entries and their routes.
func (r *report) served(result translator.Result, dataPlane string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, "serving (data plane: %s)\n", dataPlane)
	left := 0
	for _, t := range result.Gateway.Tables {
		fmt.Fprintf(r.out, "  %s://%s\n", t.Entry.Name, t.Entry.Address)
		lines := routeLines(t)
		if len(lines) == 0 {
			lines = []string{"nothing: no Ingress asks for it; every request gets 404"}
		}
		if len(lines) > servedMax {
			left += len(lines) - servedMax
			lines = lines[:servedMax]
		}
		for _, line := range lines {
			fmt.Fprintf(r.out, "    %s\n", line)
		}
	}
	if left > 0 {
		fmt.Fprintf(r.out, "    and %d more: postern explain says where a URL goes\n", left)
	}
	r.skipped(result.Diagnostics)
	fmt.Fprintln(r.out, "edits of the files are live at once; Ctrl-C ends")
}

// skipped lists what was read and is not served: kinds without a part in routing, Ingresses that were not selected.
func (r *report) skipped(ds []diag.D) {
	count := 0
	for _, d := range ds {
		if d.Severity != diag.Info {
			continue
		}
		if count++; count <= skippedMax {
			fmt.Fprintf(r.out, "  skipped: %s %s: %s\n", d.Origin.Position(), d.Origin.Object(), d.Message)
		}
	}
	if count > skippedMax {
		fmt.Fprintf(r.out, "  and %d more (postern lint names them)\n", count-skippedMax)
	}
}

func routeLines(t model.Table) []string {
	var out []string
	add := func(host string, routes []model.Route) {
		for _, route := range routes {
			out = append(out, host+" "+route.Path.String()+" → "+actionText(route))
		}
	}
	for _, h := range slices.Concat(t.Exact, t.Wildcard) {
		add(h.Host.String(), h.Routes)
	}
	add("*", t.Any)
	add("* (default)", t.Default)
	return out
}

func actionText(r model.Route) string {
	text := ""
	switch a := r.Action.(type) {
	case *model.Closed:
		return "503: " + a.Reason
	case *model.Forward:
		text = strings.Join(targetNames(a.Targets), " or ")
	}
	if r.HTTPSRedirect != nil {
		text = "redirect to https, then " + text
	}
	return text
}

// targetNames are the backends that a route's requests go to; one that is closed answers 503 in its place.
func targetNames(targets []model.Target) []string {
	var out []string
	for _, t := range targets {
		name := t.Backend
		if t.Closed != nil {
			name = "503 (" + t.Closed.Reason + ")"
		}
		out = append(out, name)
	}
	return out
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
