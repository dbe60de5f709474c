// Package model is the gateway between the dialects and Envoy: what objects ask for (Claim) and, resolved against
// each other and against the Services, what the gateway does (Gateway).
//
// It knows neither Kubernetes' types nor Envoy's: stdlib and diag only.
package model

import (
	"net/netip"
	"time"

	"github.com/postern-gateway/postern/translator/diag"
)

// Origins are the places that a node of the model comes from: the first is the primary one.
type Origins []diag.Origin

// Entry is a port of the gateway, by Traefik's name for it: "http" or "https".
type Entry struct {
	Name string
	TLS  bool
	// Address is what the data plane listens on.
	Address netip.AddrPort
	// PublicPort is the port that clients come to; backends read it in X-Forwarded-Port.
	PublicPort uint16
}

// ObjectID names the object that a claim comes from and gives its rank among claims that ask for the same thing.
type ObjectID struct {
	Cluster, Namespace, Name string
	// Created is zero where the object has no creationTimestamp; such an object is younger than all that have one.
	Created time.Time
}

// Rank is the place of a claim among its host's: rules come before default backends.
type Rank int

const (
	// RankRule is a claim of a rule.
	RankRule Rank = iota
	// RankDefault is a claim of a default backend; it is tried after every rule of every host.
	RankDefault
)

// Protocol is how a backend is spoken to.
type Protocol string

const (
	// ProtocolFromService leaves the choice to the Service: its port's appProtocol, else plain HTTP.
	ProtocolFromService Protocol = ""
	// ProtocolFromPort is Traefik 1.7's inference: https where the Service port is 443 or its name begins with
	// https (provider/kubernetes/kubernetes.go, getServers), else as ProtocolFromService.
	ProtocolFromPort Protocol = "port"
	// ProtocolHTTP is HTTP/1.1.
	ProtocolHTTP Protocol = "http"
	// ProtocolHTTPS is HTTP/1.1 over TLS.
	ProtocolHTTPS Protocol = "https"
	// ProtocolH2C is HTTP/2 without TLS.
	ProtocolH2C Protocol = "h2c"
)

// PortRef is a Service port as an Ingress names it: by number, or by name where Name is not empty.
type PortRef struct {
	Number int32
	Name   string
}

// BackendRef is a Service port before it is looked up.
type BackendRef struct {
	Namespace, Service string
	Port               PortRef
	// Weight is its part of the claim's requests, among the weights of all its backends.
	Weight uint32
	// Closed is why the reference is unusable in itself, nil where it can be looked up.
	Closed *Closed
	Origin diag.Origin
}

// Strip asks that a path prefix be taken off before the backend sees the request.
type Strip struct {
	// Prefix begins with / and has no / at its end.
	Prefix string
	// RewriteBase has the base element of the backend's pages put under the prefix. It is not set beside an exact path.
	RewriteBase bool
	// Origin is the annotation that strips, BaseOrigin the one that has the base rewritten.
	Origin, BaseOrigin diag.Origin
}

// Policies are what a claim asks for beyond its backend.
type Policies struct {
	RoutePolicies
	HTTPSRedirect *HTTPSRedirect
	// Strip is nil where the path goes to the backend as it came.
	Strip *Strip
	// ReplacePath is the path that the backend sees whatever was asked, empty for none; ReplacePathOrigin is the annotation.
	ReplacePath       string
	ReplacePathOrigin diag.Origin
	// ReplaceHost asks that the backend see its own name in place of the client's Host.
	ReplaceHost bool
	Protocol    Protocol
	// ReplaceHostOrigin and ProtocolOrigin are the annotations that say so, zero where none does.
	ReplaceHostOrigin, ProtocolOrigin diag.Origin
	// UpstreamTLS counts where the backend is spoken to over TLS.
	UpstreamTLS UpstreamTLSClaim
	// Connection holds for every TLS connection to the claim's host.
	Connection Connection
	// ErrorPages are in the order in which they are tried.
	ErrorPages []ErrorPageClaim
	// HSTS, where not nil, is on every answer that the claim gives over TLS.
	HSTS *HSTS
}

// Claim is what one object asks for; references are still symbolic.
type Claim struct {
	Object ObjectID
	// Index is the place among the claims of the object, from 0.
	Index int
	// Entries are the names of the entries asked for; nil means all that are open, an empty list none.
	Entries []string
	Host    Host
	Path    PathMatch
	// StandIn marks a Closed claim to something near a path that cannot be matched itself. It never wins over a claim
	// that means the same path.
	StandIn bool
	Rank    Rank
	// Priority is Traefik's priority annotation, 0 where absent.
	Priority int
	// RuleLength is the length of the rule string that Traefik 1.7 would have built of host and path.
	RuleLength int
	// PoolName is the name of the backend that Traefik 1.7 would have made of the path; names of cookies come from it.
	PoolName string
	// Backends share the requests by weight. There is one at least, and one is the usual case.
	Backends []BackendRef
	Policies Policies
	// HostAnnotation is the annotation by which the object's dialect has Host replaced; messages name it.
	HostAnnotation string
	// Closed, where not nil, has the route answer 503 in place of its backends, because something that restricts
	// access could not be applied or the path cannot be matched.
	Closed *Closed
	// Origins begins with the paths, one for each backend, or the default backend; annotations that shaped the claim
	// follow.
	Origins Origins
}

// ServiceTraits are what a Service's annotations say of every route to it; resolve applies them.
type ServiceTraits struct {
	// Diagnostics are told only of a Service that something refers to; so is what became of its annotations.
	Diagnostics []diag.D
	Annotated   []diag.Annotation
	Closed      *Closed
	// Protocol is how the Service is spoken to where the Ingress does not say; ProtocolFromService for its port's word.
	// ProtocolOrigin is the annotation.
	Protocol       Protocol
	ProtocolOrigin diag.Origin
	// UpstreamTLS counts, key by key, where the Ingress does not say.
	UpstreamTLS UpstreamTLSClaim
	// ExternalNameFrom are the other namespaces whose ExternalNames may lead to the Service.
	ExternalNameFrom []string
	ServicePolicies
}

// NamespaceTraits are what a Namespace's annotations say.
type NamespaceTraits struct {
	Diagnostics []diag.D
	// Annotated is what became of each annotation that is Postern's own.
	Annotated []diag.Annotation
	// Closed has the routes of the namespace's Ingresses answer 503.
	Closed *Closed
	// ExternalNameFrom are the other namespaces whose ExternalNames may lead to any Service of this one.
	ExternalNameFrom []string
}

// Closed is why a route answers 503.
type Closed struct {
	// Reason is one short sentence for explain.
	Reason string
	// Code is the diagnostic that tells the user.
	Code   diag.Code
	Origin diag.Origin
}

// TLSClaim asks that hosts be served with the certificate of a Secret.
type TLSClaim struct {
	Object     ObjectID
	Hosts      []Host
	SecretName string
	Origin     diag.Origin
}
