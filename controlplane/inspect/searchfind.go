package inspect

import (
	"cmp"
	"net/netip"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

func findHosts(v View, text string) []found {
	var out []found
	at := map[string]int{}
	for _, h := range v.index().hosts {
		if !contains(text, h.name) {
			continue
		}
		if i, ok := at[h.name]; ok {
			// The entries of a host mostly fare alike; its page has them all.
			out[i].About += ", " + h.entry + " " + plural(len(h.routes), "route")
			continue
		}
		at[h.name] = len(out)
		out = append(out, found{hit{Name: h.name, Link: link("host", "name", h.name), About: h.entry + " " + plural(len(h.routes), "route")}, func() condition { return v.hostHealth(h) }})
	}
	return out
}

// findPaths finds routes by their path, or by host and path as a URL has them.
func findPaths(v View, text string) []found {
	text = strings.ToLower(strings.TrimPrefix(strings.TrimPrefix(text, "https://"), "http://"))
	var out []found
	if !strings.Contains(text, "/") {
		text = "/" + text // Hosts are found as such.
	}
	for _, h := range v.index().hosts {
		for i, r := range h.routes {
			if contains(text, h.name+r.Path.Value) && !contains(text, h.name) {
				at := routeAt{h, i}
				about := h.entry
				if len(r.Origins) > 0 {
					about += ", " + r.Origins[0].Object()
				}
				out = append(out, found{hit{Name: h.name + " " + r.Path.String(), Link: link("explain", "url", at.example()), About: about}, func() condition { return v.routeHealth(r) }})
			}
		}
	}
	return out
}

func findIngresses(v View, text string) []found {
	var out []found
	for _, of := range v.index().served {
		if contains(text, nameOf(of)) {
			out = append(out, found{hit{Name: nameOf(of), Link: linkOf(of), About: plural(len(v.index().routesOf[of]), "route")}, func() condition { return v.ingressHealth(of) }})
		}
	}
	for _, of := range v.index().unserved {
		if contains(text, append([]string{nameOf(of.objectID)}, of.hosts...)...) {
			about := "not served: " + of.why
			if len(of.hosts) > 0 {
				about = listed(of.hosts, func(host string) string { return host }) + ", " + about
			}
			out = append(out, found{hit{Name: nameOf(of.objectID), Link: linkOf(of.objectID), About: about, Look: notServedLook}, nil})
		}
	}
	return out
}

func findServices(v View, text string) []found {
	var out []found
	for _, b := range v.backendRows() {
		if contains(text, b.Name, b.Outside) {
			out = append(out, found{hit{Name: b.Name, Link: b.Link, About: plural(b.Taking, "endpoint")}, func() condition { return b.Health }})
		}
	}
	return out
}

func findCertificates(v View, text string) []found {
	var out []found
	for _, c := range v.certificateRows() {
		if contains(text, c.of.texts()...) {
			out = append(out, found{hit{Name: cmp.Or(c.Subject, c.ID), Link: c.Link, About: "ends " + c.Ends}, func() condition { return c.Health }})
		}
	}
	return out
}

// findEndpoints finds the endpoints of backends by address, pod and node.
func findEndpoints(v View, text string) []found {
	x := v.index()
	var out []found
	backends := v.Result.Gateway.Backends
	for i := range backends {
		b := &backends[i]
		if b.Name == model.ClosedBackend {
			continue
		}
		for _, e := range endpointRows(x.assignments[b.Assignment], x) {
			address := e.Address.String()
			if len(e.Ports) > 0 {
				address = netip.AddrPortFrom(e.Address, e.Ports[0]).String()
			}
			if !contains(text, address, e.Pod, e.Node) {
				continue
			}
			about := b.Name
			if e.Pod != "" {
				about += ", pod " + e.Pod
			}
			if e.Node != "" {
				about += ", node " + e.Node
			}
			out = append(out, found{hit{Name: address, Link: link("service", "backend", b.Name), About: about, Look: look{Words: e.Words()}.as(e.State())}, nil})
		}
	}
	return out
}

func findProxies(v View, text string) []found {
	var out []found
	for _, p := range v.proxyRows() {
		if contains(text, p.Node, p.Cluster, p.Replica) {
			about := cmp.Or(p.Cluster, "proxy")
			if p.Authorizer {
				about = "authorizer of a data plane"
			}
			out = append(out, found{hit{Name: p.Node, Link: p.Link, About: about}, func() condition { return p.Health }})
		}
	}
	return out
}

// findDiagnostics finds codes by how they begin, those too that nothing is told by now.
func findDiagnostics(v View, text string) []found {
	counts := map[diag.Code]int{}
	for _, d := range v.Result.Diagnostics {
		counts[d.Code]++
	}
	var out []found
	for _, c := range diag.Codes() {
		if !strings.HasPrefix(string(c.Code), strings.ToUpper(text)) {
			continue
		}
		at := look{Words: c.Severity.String()}
		switch c.Severity {
		case diag.Error:
			at = at.as(stateFailing)
		case diag.Warning:
			at = at.as(stateDegraded)
		default:
			at = at.quiet()
		}
		out = append(out, found{hit{Name: string(c.Code), Link: link("diagnostics", "code", string(c.Code)), About: c.Title + ": " + plural(counts[c.Code], "diagnostic"), Look: at}, nil})
	}
	return out
}
