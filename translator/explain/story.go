package explain

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
)

// Story is what happens to a request, in the order in which it happens.
type Story struct {
	Request string     `json:"request"`
	From    netip.Addr `json:"from"`
	// Entry is empty where no entry of the URL's scheme is open.
	Entry   string `json:"entry,omitempty"`
	Address string `json:"address,omitempty"`
	// Certificate is nil without TLS.
	Certificate *CertificateChoice `json:"certificate,omitempty"`
	// Connection is nil where the host that the client names has no TLS settings of its own.
	Connection *Connection `json:"connection,omitempty"`
	// Path is the path as it is matched: normalised, without the query.
	Path string `json:"path,omitempty"`
	// Hosts are the tables of routes that were asked, in order.
	Hosts []HostTable `json:"hosts,omitempty"`
	// Candidates are the routes that were tried, in order, and those after the matching one that would match too.
	Candidates []Candidate `json:"candidates,omitempty"`
	Decision   Decision    `json:"decision"`
	// Policies are all that the route asks for beyond its backend, in the order in which a request meets them.
	Policies []Policy `json:"policies,omitempty"`
	// Origins are the places behind the answer, Losers the claims that the route beat.
	Origins model.Origins `json:"origins,omitempty"`
	Losers  []Loser       `json:"losers,omitempty"`
	// Unserved are Ingresses that ask for the request's host and are not served, where no route of that host matches: some,
	// where there are many.
	Unserved    []Unserved `json:"unserved,omitempty"`
	Notes       []string   `json:"notes,omitempty"`
	Diagnostics []diag.D   `json:"diagnostics,omitempty"`
}

// Connection is what a handshake asks of the client because of the host that it names.
type Connection struct {
	// ServerName is the SNI.
	ServerName string           `json:"serverName"`
	MinVersion model.TLSVersion `json:"minVersion"`
	// ClientCA is the Secret, as NAMESPACE/NAME, to which the client's certificate must chain, empty where none is asked for.
	ClientCA string        `json:"clientCA,omitempty"`
	Origins  model.Origins `json:"origins,omitempty"`
}

func (c Connection) text() string {
	text := fmt.Sprintf("by the name %s: TLS %s or later", c.ServerName, c.MinVersion)
	if c.ClientCA != "" {
		text += ", and a client certificate that chains to Secret " + c.ClientCA
	}
	return text
}

// HostTable is the routes of one host, and why they are asked or not there.
type HostTable struct {
	// Host is the host as the model writes it; "default backend" for the routes of those.
	Host   string `json:"host"`
	Why    string `json:"why"`
	Routes int    `json:"routes"`
}

// text is the table, and why it is asked where that matters.
func (h HostTable) text() string {
	if h.Routes == 0 {
		return h.Host + ": no route"
	}
	return fmt.Sprintf("%s: %s (%s)", h.Host, plural(h.Routes, "route"), h.Why)
}

// Outcome is what became of a candidate or of a policy.
type Outcome string

// The outcomes of a candidate.
const (
	Matched Outcome = "matched"
	Lost    Outcome = "lost"
	// Later is a route that would match but comes after the one that did.
	Later Outcome = "later"
)

// Candidate is a route that was tried.
type Candidate struct {
	Host    string      `json:"host"`
	Path    string      `json:"path"`
	Outcome Outcome     `json:"outcome"`
	Reason  string      `json:"reason"`
	Origin  diag.Origin `json:"origin"`
}

// Decision is the answer: of the gateway itself, where Status is not 0, else of the backend.
type Decision struct {
	// Status is 0 where the backend answers, and where nobody does: then Backend is empty too.
	Status   int    `json:"status,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Location string `json:"location,omitempty"`
	// Backend is the name of the model's Backend, Assignment that of its endpoints.
	Backend    string             `json:"backend,omitempty"`
	Assignment string             `json:"assignment,omitempty"`
	Protocol   model.Protocol     `json:"protocol,omitempty"`
	TLS        *model.UpstreamTLS `json:"tls,omitempty"`
	// Endpoints are those that requests go to, EndpointHealth all that the backend has.
	Endpoints      []string   `json:"endpoints,omitempty"`
	EndpointHealth []Endpoint `json:"endpointHealth,omitempty"`
	// Outside is the name outside of the cluster whose addresses the endpoints are. Where there are none, and Status is 0,
	// nobody has looked them up.
	Outside string `json:"outside,omitempty"`
	// Host, Path (with the query) and Headers are what the backend sees. Headers that belong to a connection, and what
	// a proxy adds of its own, such as X-Request-Id, are left out.
	Host    string      `json:"host,omitempty"`
	Path    string      `json:"path,omitempty"`
	Headers http.Header `json:"headers,omitempty"`
	// annotated are the names of headers whose values stand in annotations, annotatedResponse those of Response; ownPath says
	// that Path does, whole that all is written for all that: see Whole.
	annotated, annotatedResponse []string
	ownPath, whole               bool
	// Ask is a server that is asked before all this, nil for none.
	Ask *Ask `json:"ask,omitempty"`
	// Response are the headers that the answer gets, in place of a backend's own; one without a value is taken off.
	Response http.Header `json:"response,omitempty"`
	// Prefix is what Location and cookie paths of the response are put under: see RewriteLocation.
	Prefix string `json:"prefix,omitempty"`
	// RewritesBase says that the base element of the backend's pages is put under Prefix: see LoosenPage.
	RewritesBase bool `json:"rewritesBase,omitempty"`
	// Affinity is how the client is kept at one endpoint: see SessionCookie. Endpoints is the one that its cookie names,
	// where it names one.
	Affinity *model.Affinity `json:"affinity,omitempty"`
	// ErrorPages take the place of answers with certain statuses; of several the first counts. See PageFor.
	ErrorPages []ErrorPage `json:"errorPages,omitempty"`
	// Shares are the decisions of which each request gets one, where the route has several backends. Status and Backend
	// say nothing then.
	Shares []Share `json:"shares,omitempty"`
}

// with is the decision with headers that the route puts on the answer, whichever share it is of; own are the names of those
// whose values stand in annotations. What the decision says itself, a challenge, stands.
func (d Decision) with(response http.Header, own []string) Decision {
	all := http.Header{}
	maps.Copy(all, response)
	maps.Copy(all, d.Response)
	d.Response, d.annotatedResponse, d.Shares = all, own, slices.Clone(d.Shares)
	for i := range d.Shares {
		d.Shares[i].Decision.Response, d.Shares[i].Decision.annotatedResponse = all, own
	}
	return d
}

// Share is one of several decisions, and its part of the requests.
type Share struct {
	// Weight is a part of the sum Of.
	Weight   uint32   `json:"weight"`
	Of       uint32   `json:"of"`
	Decision Decision `json:"decision"`
}
