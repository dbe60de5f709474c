package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/controlplane/files"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/report"
	"github.com/postern-gateway/postern/translator/resolve"
	"github.com/postern-gateway/postern/translator/source"
)

// manifests translates those of a side, and tells on standard error what of what they refer to is not among them. Known are
// the Services of the other side.
func (d *differ) manifests(c *cobra.Command, arg string, w source.World, known []source.Service, s translator.Settings) translated {
	if d.ignoreEndpoints {
		w = translator.WithStandIns(w, s, known)
	}
	result := translator.Translate(w, s)
	tell(c.ErrOrStderr(), absences(arg, w, result))
	for i, b := range result.Gateway.Backends {
		result.Gateway.Backends[i].Origins = slices.DeleteFunc(slices.Clone(b.Origins), isMadeUp)
	}
	return translated{world: w, result: result}
}

// isMadeUp says whether a place among manifests is that of a stand-in, which is written nowhere.
func isMadeUp(o diag.Origin) bool { return o.Kind == "Service" && o.File == "" }

// absences are sentences on what manifests refer to and do not have. Where neither side has it, both do the same for want of
// it, and what else differs is hidden.
func absences(arg string, w source.World, r translator.Result) []string {
	if arg == files.StdinPath {
		arg = "standard input"
	}
	var out []string
	if names := absentServices(w, r); len(names) > 0 {
		what := ""
		if n := withoutService(r.Gateway); n > 0 {
			what = fmt.Sprintf("; for want of them %s 503", report.Count(n, "path answers", "paths answer"))
		}
		out = append(out, fmt.Sprintf("%s: Services that are not among the manifests: %s%s. --ignore-endpoints takes them as there.", arg, someOf(names), what))
	}
	if len(r.Absent.Objects) > 0 {
		var names []string
		for _, o := range r.Absent.Objects {
			names = append(names, o.Kind+" "+o.Key.String())
		}
		out = append(out, fmt.Sprintf("%s: not among the manifests: %s. What needs them is compared as it is without them: closed by 503, or under the default certificate; --apply cluster has those of the cluster.",
			arg, someOf(names)))
	}
	return out
}

// absentServices are the Services that are not there, rather than without a port.
func absentServices(w source.World, r translator.Result) []string {
	var names []string
	for _, p := range r.Absent.Ports {
		if !slices.ContainsFunc(w.Services, func(s source.Service) bool { return s.Namespace == p.Service.Namespace && s.Name == p.Service.Name }) {
			names = append(names, p.Service.String())
		}
	}
	return slices.Compact(names)
}

// someOf names the first of many.
func someOf(names []string) string {
	if len(names) > namesMax {
		names = append(slices.Clone(names[:namesMax]), fmt.Sprintf("%d others", len(names)-namesMax))
	}
	return strings.Join(names, ", ")
}

// withoutService counts the places whose requests, or a share of them, are answered 503 for want of a Service.
func withoutService(g model.Gateway) int {
	places := map[diag.Origin]bool{}
	note := func(c *model.Closed) {
		if c != nil && (c.Code == diag.CodeNoService || c.Code == diag.CodeExternalTarget) && strings.HasPrefix(c.Reason, "there is no Service") {
			places[c.Origin] = true
		}
	}
	for _, t := range g.Tables {
		for _, h := range slices.Concat(t.Exact, t.Wildcard, []model.HostRoutes{{Routes: t.Any}, {Routes: t.Default}}) {
			for _, r := range h.Routes {
				switch action := r.Action.(type) {
				case *model.Closed:
					note(action)
				case *model.Forward:
					for _, target := range action.Targets {
						note(target.Closed)
					}
				}
			}
		}
	}
	return len(places)
}

// servicesOf are the Services that a model knows, as far as it tells of them: by their ports, and where they lead.
func servicesOf(g model.Gateway) []source.Service {
	found := map[resolve.ServiceKey]*corev1.Service{}
	var order []resolve.ServiceKey
	add := func(name string) *corev1.Service {
		parts := strings.SplitN(name, "/", 4)
		if len(parts) < 3 {
			return &corev1.Service{}
		}
		key := resolve.ServiceKey{Namespace: parts[0], Name: parts[1]}
		if found[key] == nil {
			found[key] = &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
			order = append(order, key)
		}
		port := corev1.ServicePort{Name: parts[2]}
		if number, err := strconv.ParseInt(parts[2], 10, 32); err == nil {
			port = corev1.ServicePort{Port: int32(number)}
		}
		if !slices.Contains(found[key].Spec.Ports, port) {
			found[key].Spec.Ports = append(found[key].Spec.Ports, port)
		}
		return found[key]
	}
	for _, a := range g.Assignments {
		if s := add(a.Name); a.Outside != nil {
			s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeExternalName, a.Outside.Name
		}
	}
	for _, b := range g.Backends {
		s := add(b.Name)
		if parts := strings.Split(b.Assignment, "/"); len(parts) == 3 && (parts[0] != s.Namespace || parts[1] != s.Name) {
			s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeExternalName, parts[1]+"."+parts[0]+".svc"
		}
	}
	var out []source.Service
	for _, key := range order {
		out = append(out, source.Service{Service: found[key]})
	}
	return out
}
