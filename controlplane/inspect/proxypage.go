package inspect

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postern-gateway/postern/controlplane/xds"
)

// proxyRow is a proxy that is connected.
type proxyRow struct {
	Node    string `json:"node"`
	Cluster string `json:"cluster,omitempty"`
	// Replica is the one of the control plane that it is connected to, where that is another one.
	Replica string `json:"replica,omitempty"`
	// Authorizer is a data plane's authorizer, which answers no requests of clients.
	Authorizer bool         `json:"authorizer,omitempty"`
	Link       string       `json:"link"`
	Connected  time.Time    `json:"connected"`
	Revision   xds.Revision `json:"revision"`
	// Behind is how many revisions have been published since the one that it has answered in full.
	Behind int       `json:"behind"`
	Health condition `json:"health"`
}

func (v View) proxyRow(p Proxy) proxyRow {
	row := proxyRow{
		Node: p.Node, Cluster: p.Cluster, Replica: p.Replica, Authorizer: p.Authorizer, Link: link("proxy", "node", p.Node), Connected: p.Connected,
		Revision: p.Revision, Behind: int(p.Behind),
	}
	pending := 0
	for _, t := range p.Types {
		pending += t.PendingCount
		if len(t.Refused) > 0 {
			row.Health = row.Health.and(stateFailing, fmt.Sprintf("refuses %s", plural(len(t.Refused), strings.ToLower(typeName(t.TypeURL)))))
		}
	}
	if why, silent := v.Silent[p.Node]; silent {
		row.Health = row.Health.and(stateDegraded, "does not say which backends fail, so no page has what it sees: "+why)
	}
	switch {
	case row.Behind > 0 && p.Revision == 0:
		row.Health = row.Health.and(stateDegraded, "has answered no revision in full yet")
	case row.Behind > 0:
		row.Health = row.Health.and(stateDegraded, plural(row.Behind, "revision")+" behind")
	case pending > 0:
		row.Health = row.Health.and(stateDegraded, plural(pending, "resource")+" not answered yet")
	}
	return row
}

// typeName is the last word of a type URL, for people.
func typeName(url string) string {
	name := url[strings.LastIndexByte(url, '.')+1:]
	switch name {
	case "RouteConfiguration":
		return "Route table"
	case "ClusterLoadAssignment":
		return "Assignment"
	default:
		return name
	}
}

func (v View) proxyRows() []proxyRow {
	out := []proxyRow{}
	for _, p := range v.proxies() {
		out = append(out, v.proxyRow(p))
	}
	return out
}

// answering leaves authorizers out, which answer no requests of clients.
func answering(rows []proxyRow) []proxyRow {
	return slices.DeleteFunc(slices.Clone(rows), func(p proxyRow) bool { return p.Authorizer })
}

// proxiesPage lists the proxies.
type proxiesPage struct {
	Proxies []proxyRow `json:"proxies"`
	Paging  paging     `json:"paging"`
	// None says that none of them answers requests.
	None bool `json:"none,omitempty"`
	// Silent are the replicas of the control plane that say nothing of theirs.
	Silent []problem `json:"silent,omitempty"`
}

func (proxiesPage) Title() string { return "Proxies" }

func proxiesView(v View, r *http.Request) (any, error) {
	rows := v.proxyRows()
	part, paging := cut(rows, r)
	return proxiesPage{part, paging, len(answering(rows)) == 0, v.silentReplicas()}, nil
}

// silentReplicas are those of the control plane whose proxies are not known.
func (v View) silentReplicas() []problem {
	var out []problem
	for _, o := range v.Others {
		if o.Error != "" {
			out = append(out, problem{stateDegraded, "Replica " + o.Name, []string{"its proxies are not known: " + o.Error}, "proxies"})
		}
	}
	return out
}

// typeRow is what a proxy has made of one type of resource.
type typeRow struct {
	Name    string `json:"name"`
	TypeURL string `json:"typeUrl"`
	// All says that the proxy asks for every resource of the type; else Subscribed is how many it asks for.
	All        bool      `json:"all"`
	Subscribed int       `json:"subscribed"`
	Accepted   int       `json:"accepted"`
	Health     condition `json:"health"`
	// Pending and Refused are the first names.
	Pending      []string `json:"pending,omitempty"`
	PendingCount int      `json:"pendingCount"`
	Refused      []string `json:"refused,omitempty"`
	RefusedCount int      `json:"refusedCount"`
	NACK         *nackRow `json:"nack,omitempty"`
}

// nackRow is the last refusal of a type.
type nackRow struct {
	Time     time.Time    `json:"time"`
	Revision xds.Revision `json:"revision"`
	// Words are the proxy's own.
	Words  string   `json:"words"`
	Blamed []string `json:"blamed"`
	// Origins are the objects behind Blamed.
	Origins []place `json:"origins,omitempty"`
	// Over says that all that was refused has been replaced since.
	Over bool `json:"over"`
}

// namesShown bounds the names of a type's resources that a page lists.
const namesShown = 20

func (v View) typeRow(t ProxyType) typeRow {
	row := typeRow{
		Name: typeName(t.TypeURL), TypeURL: t.TypeURL, All: t.Wildcard, Subscribed: t.SubscribedCount, Accepted: t.AcceptedCount,
		Pending: t.Pending[:min(len(t.Pending), namesShown)], PendingCount: t.PendingCount, RefusedCount: len(t.Refused),
	}
	for _, n := range t.Refused[:min(len(t.Refused), namesShown)] {
		row.Refused = append(row.Refused, n.Name)
	}
	if len(t.Refused) > 0 {
		row.Health = row.Health.and(stateFailing, plural(len(t.Refused), "resource")+" refused")
	}
	if t.PendingCount > 0 {
		row.Health = row.Health.and(stateDegraded, plural(t.PendingCount, "resource")+" not answered yet")
	}
	if n := t.LastNACK; n != nil {
		row.NACK = &nackRow{
			Time: n.Time, Revision: n.Revision, Words: n.Words, Blamed: n.Blamed[:min(len(n.Blamed), namesShown)],
			Origins: placesOf(n.Origins[:min(len(n.Origins), namesShown)]), Over: len(t.Refused) == 0,
		}
	}
	return row
}

// proxyPage is a proxy; more than one connection may have its name.
type proxyPage struct {
	Node        string        `json:"node"`
	Connections []proxyDetail `json:"connections"`
}

// proxyDetail is one connection of a proxy.
type proxyDetail struct {
	proxyRow
	Types []typeRow `json:"types"`
}

func (p proxyPage) Title() string { return "Proxy " + p.Node }

func proxyData(v View, r *http.Request) (any, error) {
	p := proxyPage{Node: r.URL.Query().Get("node")}
	for _, state := range v.proxies() {
		if state.Node != p.Node {
			continue
		}
		d := proxyDetail{proxyRow: v.proxyRow(state)}
		for _, t := range state.Types {
			d.Types = append(d.Types, v.typeRow(t))
		}
		p.Connections = append(p.Connections, d)
	}
	if len(p.Connections) == 0 {
		return nil, fmt.Errorf("no proxy %s is connected, or no longer%w", p.Node, silent{errNotFound})
	}
	slices.SortStableFunc(p.Connections, func(a, b proxyDetail) int { return b.Connected.Compare(a.Connected) })
	return p, nil
}
