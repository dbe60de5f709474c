package model

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
)

// Gateway is what the gateway does: fully resolved, sorted, ready to be rendered or asked.
type Gateway struct {
	Edge Edge
	// Tables has one table for each open entry, in the order of the entries.
	Tables      []Table
	Backends    []Backend
	Assignments []Assignment
	// OutsideNames are the names outside of the cluster whose addresses are wanted, sorted.
	OutsideNames []string
	// Bundles and ClientCertificates are those that backends name, sorted by name.
	Bundles            []Bundle
	ClientCertificates []ClientCertificate
	// Users are those that routes ask for, sorted by name.
	Users        []Users
	Certificates []Certificate
	// ClientCAs are those that TLS groups name, sorted by name.
	ClientCAs []ClientCA
	// Default is the certificate of names that have none of their own, nil where there is no HTTPS entry.
	Default *Certificate
	// References are the Secrets and ConfigMaps that were looked up.
	References References
	// Unserved are the Ingresses that are not served, sorted by cluster, namespace and name. Nothing is rendered of them.
	Unserved []Unserved
}

// Unserved is an Ingress that asks for hosts and is not served, by its class or its labels.
type Unserved struct {
	// Hosts are those of its rules as they are written, sorted, each once; empty is every host, of a rule that names none or of a
	// default backend.
	Hosts []string
	// Reason says why it is not served, Origin is the place that has it so.
	Reason string
	Origin diag.Origin
}

// Edge is what settings say of the whole gateway.
type Edge struct {
	// HTTPSPublicPort is the port that redirects to HTTPS name, left out of URLs when 443.
	HTTPSPublicPort uint16
	// HTTPSEnforced has every route of an entry without TLS redirect to HTTPS, but for those of ACME challenges.
	HTTPSEnforced bool
	// TrustedProxies are the peers whose X-Forwarded headers are believed.
	TrustedProxies []netip.Prefix
	// AllowedClients are the clients, as trusted proxies tell them (else the peers), that may use the gateway; none is
	// everyone.
	AllowedClients []netip.Prefix
	// AccessLog is how requests are written down.
	AccessLog AccessLog
	// SlashRedirect has GET and HEAD of a stripped prefix redirected to its directory form.
	SlashRedirect bool
	// UpstreamTrust is the PEM bundle that backends' certificates must chain to, where no annotation names another.
	UpstreamTrust []byte
	// EscapedSlashes is what becomes of a path with an escaped slash or backslash.
	EscapedSlashes EscapedSlashes
	// TLSMinVersion is the lowest version of TLS that any client may speak; empty is 1.2.
	TLSMinVersion TLSVersion
}

// EscapedSlashes is what becomes of a path with an escaped slash or backslash (%2f, %5c): Envoy's
// path_with_escaped_slashes_action.
type EscapedSlashes int

const (
	// SlashesRedirect answers by a redirect to the path with the slashes decoded.
	SlashesRedirect EscapedSlashes = iota
	// SlashesForward decodes the slashes and goes on.
	SlashesForward
	// SlashesReject answers 400.
	SlashesReject
	// SlashesKeep lets the path reach the backend as it is. A closed route is closed to such spellings of its path too.
	SlashesKeep
)

var slashesWords = []string{"redirect", "forward", "reject", "keep"}

// String is the word for a value.
func (e EscapedSlashes) String() string { return slashesWords[e] }

// ParseEscapedSlashes reads a word; the error lists them.
func ParseEscapedSlashes(word string) (EscapedSlashes, error) {
	i := slices.Index(slashesWords, word)
	if i < 0 {
		return 0, fmt.Errorf("write one of %s", strings.Join(slashesWords, ", "))
	}
	return EscapedSlashes(i), nil
}

// Table is the routes of one entry. A request tries its exact host, then the wildcard with exactly one label more,
// then Any, then Default; the first route that matches wins (docs/design/precedence.md).
type Table struct {
	Entry Entry
	// Exact and Wildcard are sorted by host.
	Exact, Wildcard []HostRoutes
	// Any holds the routes of rules without a host, Default those of default backends.
	Any, Default []Route
	// Groups are the hosts with TLS settings of their own, by settings and sorted by name. Apart are the exact hosts
	// without any that a wildcard with settings covers: to them the wildcard's settings do not apply, and its routes are
	// not for them. Both are empty without TLS.
	Groups []TLSGroup
	Apart  []Host
}

// HostRoutes is one host's own routes in the order in which they are tried.
type HostRoutes struct {
	Host   Host
	Routes []Route
}

// Route is one match and what it does.
type Route struct {
	Path   PathMatch
	Action Action
	// RoutePolicies hold where the action is a Forward.
	RoutePolicies
	// ErrorPages are in the order in which they are tried; none where the action is not a Forward.
	ErrorPages []ErrorPage
	// HTTPSRedirect, on an entry without TLS, answers whatever did not come over HTTPS. Beside a Closed it is nil, but for
	// a route that is closed only where no client certificate can be asked for.
	HTTPSRedirect *HTTPSRedirect
	// HSTS, on an entry with TLS, is on every answer.
	HSTS    *HSTS
	Origins Origins
	// Losers are the origins of claims to the same host and path that this one beat, LostBy the rules by which each of them
	// lost.
	Losers []diag.Origin
	LostBy []ConflictRule
	// Object ranks the route among its host's; Priority and Weight are Traefik's (0 where the host has none).
	Object   ObjectID
	Priority int
	Weight   int
	// RuleLength is as in Claim.
	RuleLength int
}

// ConflictRule is the rule by which one of two claims to one host and path lost.
type ConflictRule string

// The rules, in the order in which they are asked (docs/design/precedence.md).
const (
	// LostByWeight is by Traefik's priority, or the length of the rule in its place.
	LostByWeight ConflictRule = "weight"
	// LostByStandIn is that it stands in for a path that cannot be matched.
	LostByStandIn ConflictRule = "stand-in"
	// LostByAge is that its object is younger; without a creationTimestamp it is younger than any with one.
	LostByAge ConflictRule = "age"
	// LostByName is that its object comes later by cluster, namespace and name, neither being older.
	LostByName ConflictRule = "name"
	// LostByPlace is that it comes later in one object.
	LostByPlace ConflictRule = "place"
)

// conflictRules are all of them.
var conflictRules = []ConflictRule{LostByWeight, LostByStandIn, LostByAge, LostByName, LostByPlace}

// Action is what a matched route does: *Forward or *Closed.
type Action interface{ action() }

func (*Forward) action() {}
func (*Closed) action()  {}

// Forward sends the request to a backend.
type Forward struct {
	// Targets share the requests by weight. There is one at least, and one is the usual case. No two have one backend,
	// but for closed ones.
	Targets []Target
	Strip   *Strip
	// ReplacePath is the path that the backend sees whatever was asked, empty for none; ReplacePathOrigin is the annotation.
	ReplacePath       string
	ReplacePathOrigin diag.Origin
	// Buffering is the strictest of what the targets' Services ask for.
	Buffering Buffering
	// InFlight are the limits of the targets' Services.
	InFlight InFlightLimits
}

// Target is a backend with its part of a route's requests.
type Target struct {
	// Backend is the name of a Backend.
	Backend string
	// Host is what the backend sees as Host, empty where it is the client's.
	Host string
	// Weight is above 0; what counts is its part of the sum over the route's targets.
	Weight uint32
	// Closed is why requests for this target answer 503, nil where they need not. Its backend is ClosedBackend then. A
	// route all of whose targets are closed is Closed itself.
	Closed *Closed
	// Affinity is nil where any endpoint may take the request. No two targets of a route have one cookie.
	Affinity *Affinity
	// Origin is the path that names the backend.
	Origin diag.Origin
	// Because are the annotations that shaped the way to the backend.
	Because TargetOrigins
}

// TargetOrigins are the annotations, of an Ingress or a Service, that shape the way to one target, empty where none does.
type TargetOrigins struct {
	Host, Protocol, Balancing diag.Origin
	TLS, Affinity             Origins
}

// ClosedBackend names the Backend, without endpoints, of targets that cannot be served. No Service's has this name.
const ClosedBackend = "closed"

// Backend is a Service port and how it is spoken to; an Envoy cluster.
type Backend struct {
	// Name is NS/SERVICE/PORT, with /https or /h2c behind it, and behind that what tells apart the ways of one Service
	// port to be spoken to over TLS.
	Name     string
	Protocol Protocol
	TLS      *UpstreamTLS
	// Assignment is the name of the endpoints.
	Assignment string
	// LeastRequest has requests go to the endpoint, of two that are drawn, with fewer in flight; else they take turns.
	LeastRequest bool
	// Breaker is nil where endpoints are asked whatever they answered.
	Breaker *Breaker
	Origins Origins
}

// Assignment is the endpoints of a Service port.
type Assignment struct {
	// Name is NS/SERVICE/PORT of the Service that has the endpoints, or of the ExternalName that leads out of the cluster.
	Name      string
	Endpoints []netip.AddrPort
	// Known are all endpoints that the EndpointSlices, or Endpoints, of a Service port have, sorted by address: those above, and
	// those that take no requests. Nothing is rendered of it.
	Known []Endpoint
	// Outside is the name outside of the cluster whose addresses the endpoints are, nil for a Service's.
	Outside *OutsideName
	Origins Origins
}

// Endpoint is an endpoint of a Service port as its EndpointSlice tells of it.
type Endpoint struct {
	Address netip.AddrPort
	// Ready, Serving and Terminating are its conditions, what is not said having the value that discovery/v1 gives it.
	Ready, Serving, Terminating bool
	// Origin is its place in the EndpointSlice.
	Origin diag.Origin
}

// OutsideName is a DNS name outside of the cluster.
type OutsideName struct {
	Name string
	// Asked says that DNS was asked for its addresses.
	Asked bool
}

// Certificate is a key pair and the names it is served for.
type Certificate struct {
	// Host is the name it is served for: exact or wildcard; zero for the default certificate.
	Host    Host
	Chain   []byte
	Key     Sensitive
	Origins Origins
}

// Leaf is the first certificate of the chain, nil where there is none that parses.
func (c Certificate) Leaf() *x509.Certificate {
	block, _ := pem.Decode(c.Chain)
	if block == nil {
		return nil
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil // Translation has told of it.
	}
	return leaf
}

// Sensitive is bytes that must never be printed.
type Sensitive []byte

// String hides the bytes.
func (Sensitive) String() string { return Redacted }

// GoString hides the bytes from %#v.
func (Sensitive) GoString() string { return Redacted }

// MarshalText hides the bytes from JSON.
func (Sensitive) MarshalText() ([]byte, error) { return []byte(Redacted), nil }
