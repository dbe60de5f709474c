package inspect

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// hostRow is a host with its entries.
type hostRow struct {
	Name    string         `json:"name"`
	Link    string         `json:"link"`
	Entries []hostEntryRow `json:"entries"`
	Health  condition      `json:"health"`
	// Ingresses are how many objects its routes come from, Namespaces whose.
	Ingresses  int      `json:"ingresses"`
	Namespaces []string `json:"namespaces"`
	of         []*hostRoutes
}

// hostEntryRow is a host on one entry.
type hostEntryRow struct {
	Entry  string `json:"entry"`
	Link   string `json:"link"`
	Routes int    `json:"routes"`
}

// hostRows are all hosts, each once, in the order of the tables.
func (v View) hostRows() []hostRow {
	out := slices.Clone(v.index().hostRows)
	for i := range out {
		for _, h := range out[i].of {
			found := v.hostHealth(h)
			for _, reason := range found.Reasons {
				out[i].Health = out[i].Health.and(found.State, reason)
			}
		}
	}
	return out
}

// makeHostRows makes the rows without their health, which changes with every failure.
func (x *index) makeHostRows() {
	at := map[string]int{}
	objects := map[string]map[objectID]bool{}
	for _, h := range x.hosts {
		i, ok := at[h.name]
		if !ok {
			i = len(x.hostRows)
			at[h.name], objects[h.name] = i, map[objectID]bool{}
			x.hostRows = append(x.hostRows, hostRow{Name: h.name, Link: link("host", "name", h.name), Namespaces: []string{}})
		}
		row := &x.hostRows[i]
		row.of = append(row.of, h)
		row.Entries = append(row.Entries, hostEntryRow{h.entry, h.link(), len(h.routes)})
		for _, r := range h.routes {
			objects[h.name][objectID{"Ingress", r.Object.Cluster, r.Object.Namespace, r.Object.Name}] = true
			if !slices.Contains(row.Namespaces, r.Object.Namespace) {
				row.Namespaces = append(row.Namespaces, r.Object.Namespace)
			}
		}
	}
	for i := range x.hostRows {
		x.hostRows[i].Ingresses = len(objects[x.hostRows[i].Name])
		slices.Sort(x.hostRows[i].Namespaces)
	}
}

// hostsPage lists the hosts.
type hostsPage struct {
	Filter filter    `json:"filter"`
	Hosts  []hostRow `json:"hosts"`
	Paging paging    `json:"paging"`
}

func (hostsPage) Title() string { return "Hosts" }

func hostsData(v View, r *http.Request) (any, error) {
	f := filterOf(r)
	rows := slices.DeleteFunc(v.hostRows(), func(h hostRow) bool { return !f.admits(h.Health, h.Name) })
	part, paging := cut(rows, r)
	return hostsPage{f, part, paging}, nil
}

// hostPage is a host of one entry.
type hostPage struct {
	Entry string `json:"entry"`
	Name  string `json:"name"`
	// Address is what the entry listens on.
	Address string `json:"address"`
	// Why says when its routes are asked.
	Why     string         `json:"why"`
	Health  condition      `json:"health"`
	Entries []hostEntryRow `json:"entries"`
	// Certificate is what a handshake for the host is served with, nil without TLS.
	Certificate *certificateRow `json:"certificate,omitempty"`
	TLS         *hostTLS        `json:"tls,omitempty"`
	Routes      []routeRow      `json:"routes"`
	Paging      paging          `json:"paging"`
	Picture     picture         `json:"-"`
	Diagnostics []diagnosticRow `json:"diagnostics"`
}

func (p hostPage) Title() string { return p.Name }

// hostTLS is what a connection to the host must show.
type hostTLS struct {
	MinVersion model.TLSVersion `json:"minVersion"`
	// ClientCA is the Secret that a client's certificate must chain to, empty where none is asked for.
	ClientCA string  `json:"clientCA,omitempty"`
	Origins  []place `json:"origins,omitempty"`
}

func hostData(v View, r *http.Request) (any, error) {
	x := v.index()
	if r.URL.Query().Get("name") == "" {
		return nil, badRequest{errors.New("no host is named: add ?name=, and entry=http or entry=https where it matters; the list of hosts leads to all of them")}
	}
	id := hostID{r.URL.Query().Get("entry"), r.URL.Query().Get("name")}
	var entries []hostEntryRow
	var found *hostRoutes
	for _, h := range x.hosts {
		if h.name != id.name {
			continue
		}
		entries = append(entries, hostEntryRow{h.entry, h.link(), len(h.routes)})
		// Without an entry it is the last one's: https, where most of the traffic is.
		if id.entry == "" || id.entry == h.entry {
			found = h
		}
	}
	if found == nil {
		return nil, fmt.Errorf("no route names the host %s%s, or no longer; what is asked of it goes to its wildcard, to rules without a host, or to a default backend, where there are such%w",
			id.name, onEntry(id.entry), silent{errNotFound})
	}
	places := make([]routeAt, len(found.routes))
	for i := range places {
		places[i] = routeAt{found, i}
	}
	part, paging := cut(places, r)
	p := hostPage{
		Entry: found.entry, Name: found.name, Address: found.table.Entry.Address.String(), Why: whyAsked(found),
		Health: v.hostHealth(found), Entries: entries, Routes: v.routeRows(part), Paging: paging,
	}
	if found.table.Entry.TLS {
		p.Certificate, p.TLS = v.certificateFor(found.host), tlsOf(found)
	}
	p.Picture = v.picture(found, p.Routes)
	p.Diagnostics = collected(p.Routes)
	return p, nil
}

func onEntry(name string) string {
	if name == "" {
		return ""
	}
	return " on the entry " + name
}

// collected are the diagnostics of routes, each once, the worst first.
func collected(routes []routeRow) []diagnosticRow {
	type key struct {
		code    diag.Code
		origin  diag.Origin
		message string
	}
	seen := map[key]bool{}
	out := []diagnosticRow{}
	for _, r := range routes {
		for _, d := range r.Diagnostics {
			k := key{d.Code, d.Origin.Origin, d.Message}
			if !seen[k] {
				seen[k] = true
				out = append(out, d)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b diagnosticRow) int { return cmp.Compare(b.Severity, a.Severity) })
	return out
}

func whyAsked(h *hostRoutes) string {
	switch {
	case h.name == defaultHost:
		return "tried last, when no rule of any host matches"
	case h.host.Kind() == model.HostAny:
		return "tried for every host, after its own rules"
	case h.host.Kind() == model.HostWildcard:
		return "tried for every host with one label in place of the star, after its own rules"
	default:
		return "tried first for requests to this host"
	}
}

func tlsOf(h *hostRoutes) *hostTLS {
	for _, g := range h.table.Groups {
		if slices.Contains(g.Hosts, h.host) {
			return &hostTLS{g.MinVersion, g.ClientCA, placesOf(g.Origins)}
		}
	}
	return nil
}
