package inspect

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/postern-gateway/postern/controlplane/xds"
)

// Proxies are those that are connected: the JSON of /proxies.
type Proxies struct {
	Revision xds.Revision `json:"revision"`
	At       time.Time    `json:"at"`
	// Proxies have one for each stream, sorted by node and then by age. The names of what they have are left out.
	Proxies []Proxy `json:"proxies"`
	// Replicas are those of the control plane beside the one that answers; Proxies has those that are connected to them too.
	Replicas []ReplicaState `json:"replicas,omitempty"`
}

// ReplicaState is what becomes of asking another replica.
type ReplicaState struct {
	Name    string `json:"name"`
	Proxies int    `json:"proxies"`
	// Error is why it says nothing, so that its proxies are not known here.
	Error string `json:"error,omitempty"`
}

// ProxyStreams is one node: the JSON of /proxies/NODE. A node has several streams where it makes its connection anew, or where
// two proxies have one name.
type ProxyStreams struct {
	Revision xds.Revision `json:"revision"`
	At       time.Time    `json:"at"`
	Node     string       `json:"node"`
	Streams  []Proxy      `json:"streams"`
}

// Proxy is one stream of a proxy.
type Proxy struct {
	Node    string `json:"node"`
	Cluster string `json:"cluster,omitempty"`
	// Replica is the one of the control plane that it is connected to, where that is another one than answers. Revision, Behind
	// and times are that one's.
	Replica string `json:"replica,omitempty"`
	at      string // where that one answers
	// Agent is the software that it says it is.
	Agent string `json:"agent,omitempty"`
	// Authorizer is a data plane's authorizer, which has a stream of its own, and no listeners.
	Authorizer bool      `json:"authorizer,omitempty"`
	Connected  time.Time `json:"connected"`
	// Revision is the newest that it has answered in full, Behind how many have been published since, and BehindSeconds since
	// when the first of these waits for it.
	Revision      xds.Revision `json:"revision"`
	Behind        uint64       `json:"behind"`
	BehindSeconds float64      `json:"behindSeconds"`
	Types         []ProxyType  `json:"types"`
}

// ProxyType is what a proxy has of one type.
type ProxyType struct {
	Type    string `json:"type"`
	TypeURL string `json:"typeUrl"`
	// Wildcard means that it is sent every resource of the type.
	Wildcard bool `json:"wildcard,omitempty"`
	// SubscribedCount and so on count what stands in the lists, which are there where one node is asked for.
	SubscribedCount int                `json:"subscribedCount"`
	AcceptedCount   int                `json:"acceptedCount"`
	PendingCount    int                `json:"pendingCount"`
	Subscribed      []string           `json:"subscribed,omitempty"`
	Accepted        []xds.NamedVersion `json:"accepted,omitempty"`
	// Pending are sent and not answered, or still to be sent.
	Pending []string `json:"pending,omitempty"`
	// Refused are the versions that it has refused and that were not replaced since, LastNACK its last words of refusal.
	Refused  []xds.NamedVersion `json:"refused,omitempty"`
	LastNACK *xds.NACK          `json:"lastNack,omitempty"`
}

// ownProxies are those that are connected to this replica.
func (v View) ownProxies() []Proxy {
	out := make([]Proxy, 0, len(v.Proxies))
	for _, p := range v.Proxies {
		out = append(out, v.proxy(p))
	}
	return out
}

// proxies are those of all replicas, sorted by node and then by age.
func (v View) proxies() []Proxy {
	out := v.ownProxies()
	for _, o := range v.Others {
		out = append(out, o.Proxies...)
	}
	slices.SortStableFunc(out, func(a, b Proxy) int { return cmp.Or(cmp.Compare(a.Node, b.Node), a.Connected.Compare(b.Connected)) })
	return out
}

// short leaves names out: all of what it subscribes to and has accepted, and of what is pending all but the first.
func (p *Proxy) short(pending int) {
	for i := range p.Types {
		t := &p.Types[i]
		t.Subscribed, t.Accepted, t.Pending = nil, nil, t.Pending[:min(len(t.Pending), pending)]
	}
}

// ProxyList is every proxy, in short.
func (v View) ProxyList() Proxies {
	out := Proxies{Revision: v.Revision, At: v.At, Proxies: v.proxies()}
	for i := range out.Proxies {
		out.Proxies[i].Types = slices.Clone(out.Proxies[i].Types)
		out.Proxies[i].short(0)
	}
	for _, o := range v.Others {
		out.Replicas = append(out.Replicas, ReplicaState{Name: o.Name, Proxies: len(o.Proxies), Error: o.Error})
	}
	return out
}

// ProxyStreams is one node with all that it has. The error is errNotFound, or unanswered where another replica knows it.
func (v View) ProxyStreams(node string) (ProxyStreams, error) {
	out := ProxyStreams{Revision: v.Revision, At: v.At, Node: node}
	var nodes, asked []string
	for _, p := range v.proxies() {
		nodes = append(nodes, p.Node)
		switch {
		case p.Node != node || slices.Contains(asked, p.at):
		case p.at == "":
			out.Streams = append(out.Streams, p)
		default:
			asked = append(asked, p.at)
			streams, err := v.asking.streams(p)
			if err != nil {
				return out, err
			}
			out.Streams = append(out.Streams, streams...)
		}
	}
	if len(out.Streams) == 0 {
		return out, fmt.Errorf("no proxy %q is connected%s%w", node, nearestName(node, nodes), silent{errNotFound})
	}
	return out, nil
}

func (v View) proxy(p xds.ProxyState) Proxy {
	out := Proxy{
		Node: p.Node, Cluster: p.Cluster, Agent: p.Client.GetUserAgentName(), Authorizer: p.Authorizer, Connected: p.Connected,
		Revision: p.Revision, Types: []ProxyType{},
	}
	if p.Revision < v.Revision {
		out.Behind = uint64(v.Revision - p.Revision)
		since := v.ages.published(p.Revision + 1)
		if p.Connected.After(since) {
			since = p.Connected
		}
		out.BehindSeconds = max(0, v.Now.Sub(since).Seconds())
	}
	for _, t := range p.Types {
		k := kindOf(t.TypeURL)
		out.Types = append(out.Types, ProxyType{
			Type: k.Name, TypeURL: k.TypeURL, Wildcard: t.Wildcard,
			SubscribedCount: len(t.Subscribed), AcceptedCount: len(t.Accepted), PendingCount: len(t.Pending),
			Subscribed: t.Subscribed, Accepted: t.Accepted, Pending: t.Pending, Refused: t.Refused, LastNACK: t.LastNACK,
		})
	}
	return out
}

func serveProxies(v View, _ *http.Request) (any, error) { return v.ProxyList(), nil }

func serveProxy(v View, r *http.Request) (any, error) { return v.ProxyStreams(r.PathValue("node")) }
