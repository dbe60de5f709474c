// Package resolve makes a Gateway of claims: it orders them, settles conflicts, and looks up what they refer to.
//
// It is pure and total: a reference that leads nowhere closes its route, and never another's.
package resolve

import (
	"cmp"
	"slices"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// Input is all that resolve reads.
type Input struct {
	Claims []model.Claim
	TLS    []model.TLSClaim
	// World is asked for Services, endpoints, Nodes, Secrets, ConfigMaps and the answers of DNS only.
	World source.World
	// Services is what the dialects made of the annotations of Services.
	Services map[ServiceKey]model.ServiceTraits
	// Namespaces is the same of Namespaces.
	Namespaces map[NamespaceKey]model.NamespaceTraits
	Settings   Settings
}

// Settings are what resolve knows of the gateway.
type Settings struct {
	Entries []model.Entry
	Edge    model.Edge
	// ClusterDomain is the DNS suffix of the cluster's Services, without dots at its ends: cluster.local.
	ClusterDomain string
	// UpstreamSkipVerify accepts any certificate of a backend.
	UpstreamSkipVerify bool
	// ExternalNames says where ExternalName Services may lead.
	ExternalNames ExternalNames
	// Backends gives Services an address in place of their endpoints.
	Backends []BackendAddress
	// DefaultCertificate serves names without one of their own; nil leaves them without.
	DefaultCertificate *model.Certificate
	// DefaultTLSSecret names a Secret to take its place, where Name is not empty.
	DefaultTLSSecret ServiceKey
}

// NamespaceKey names a namespace of a cluster.
type NamespaceKey struct{ Cluster, Name string }

// ServiceKey names a Service, or another namespaced object, of a cluster.
type ServiceKey struct{ Cluster, Namespace, Name string }

// String is namespace/name.
func (k ServiceKey) String() string { return k.Namespace + "/" + k.Name }

// Resolved is what became of an Input.
type Resolved struct {
	Gateway model.Gateway
	// Diagnostics are all but those of the Endpoints.
	Diagnostics []diag.D
	Endpoints   Endpoints
	Absent      Absent
}

// Resolve makes the gateway. Its result depends on the set of the inputs, not on their order.
func Resolve(in Input) Resolved {
	claims := slices.Clone(in.Claims)
	slices.SortFunc(claims, compareClaims)
	in.Claims = claims
	looked := indexObjects(in.World)
	connections := settleConnections(in, claims, looked)
	backends := newBackendResolver(in, looked)
	routes := make([]model.Route, len(claims))
	for i, c := range claims {
		routes[i] = backends.route(c)
	}
	g := model.Gateway{Edge: in.Settings.Edge}
	ds := []diag.D{}
	var losses []loss
	for _, entry := range in.Settings.Entries {
		var own []ranked
		for i, c := range claims {
			if onEntry(c, entry) {
				own = append(own, ranked{claim: c, route: connections.onEntry(entry, c, routes[i])})
			}
		}
		table, more, lost := buildTable(entry, own)
		ds, losses = append(ds, more...), append(losses, lost...)
		if entry.TLS {
			table.Groups, table.Apart = connections.groups(table)
			g.ClientCAs = connections.clientCAs(table.Groups)
		}
		g.Tables = append(g.Tables, table)
	}
	ds = append(ds, in.Settings.tellLosses(losses)...)
	ds = append(ds, connections.diagnostics...)
	g.Backends, g.Assignments = backends.used(g.Tables)
	g.Bundles, g.ClientCertificates = backends.credentials.ofBackends(g.Backends)
	g.Users = backends.usersOf(g.Tables)
	g.OutsideNames = backends.outsideNames()
	more, endpoints := backends.apart()
	ds = append(ds, more...)
	ds = append(ds, backends.unusedAddresses()...)
	ds = append(ds, in.Settings.ExternalNames.entryDiagnostics(backends.names)...)
	certificates, more := resolveCertificates(in, looked)
	g.Certificates, g.Default = certificates.own, certificates.byDefault
	g.References = looked.references()
	return Resolved{Gateway: g, Diagnostics: append(ds, more...), Endpoints: endpoints, Absent: absentOf(backends, looked)}
}

// onEntry says whether a claim asks for an entry.
func onEntry(c model.Claim, e model.Entry) bool {
	return c.Entries == nil || slices.Contains(c.Entries, e.Name)
}

// compareClaims is the order among claims to the same host and path: the older object, then cluster, namespace,
// name, then the place within the object. An object without a creationTimestamp is younger than all that have one.
func compareClaims(a, b model.Claim) int {
	return cmp.Or(compareObjects(a.Object, b.Object), cmp.Compare(a.Index, b.Index))
}

func compareObjects(a, b model.ObjectID) int {
	if a.Created.IsZero() != b.Created.IsZero() {
		if a.Created.IsZero() {
			return 1
		}
		return -1
	}
	return cmp.Or(
		a.Created.Compare(b.Created),
		cmp.Compare(a.Cluster, b.Cluster),
		cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Name, b.Name),
	)
}
