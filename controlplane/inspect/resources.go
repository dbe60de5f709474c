package inspect

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/envoy"
	"github.com/postern-gateway/postern/translator/model"
)

// Resources is how much of each type is served: the JSON of /resources.
type Resources struct {
	Revision xds.Revision `json:"revision"`
	// At is when the revision was published.
	At    time.Time    `json:"at"`
	Types []TypeTotals `json:"types"`
}

// TypeTotals is one type of Resources. Certificates that handshakes ask for are counted among the secrets.
type TypeTotals struct {
	Type      string `json:"type"`
	Short     string `json:"short"`
	TypeURL   string `json:"typeUrl"`
	Resources int    `json:"resources"`
	Bytes     int    `json:"bytes"`
	// Refused counts the resources of which a proxy refuses the version that is served.
	Refused int `json:"refused"`
}

// ResourceList is every resource of one type: the JSON of /resources/TYPE.
type ResourceList struct {
	Revision  xds.Revision `json:"revision"`
	At        time.Time    `json:"at"`
	Type      string       `json:"type"`
	TypeURL   string       `json:"typeUrl"`
	Resources []Resource   `json:"resources"`
}

// Resource is one resource as it is served. Content and Secret are there where it is asked for by name: Secret is in the place
// of the content of secrets.
type Resource struct {
	Type    string `json:"type"`
	TypeURL string `json:"typeUrl"`
	Name    string `json:"name"`
	Version string `json:"version"`
	// Bytes is the size of the message.
	Bytes int `json:"bytes"`
	// Since is when this version was served first by this process, AgeSeconds how long ago that is.
	Since      time.Time `json:"since"`
	AgeSeconds float64   `json:"ageSeconds"`
	// OnDemand is a certificate that a proxy is sent when a handshake asks for it.
	OnDemand bool `json:"onDemand,omitempty"`
	// RefusedBy are the proxies that refuse this version, sorted.
	RefusedBy []string        `json:"refusedBy,omitempty"`
	Origins   []diag.Origin   `json:"origins"`
	Content   json.RawMessage `json:"content,omitempty"`
	Secret    *SecretFacts    `json:"secret,omitempty"`
}

// Resources counts what is served.
func (v View) Resources() Resources {
	out := Resources{Revision: v.Revision, At: v.At}
	refused := v.refusals()
	for _, k := range Kinds() {
		totals := TypeTotals{Type: k.Name, Short: k.Short, TypeURL: k.TypeURL}
		for _, l := range v.listed(k) {
			totals.Resources++
			totals.Bytes += l.Bytes
			if len(refused[resourceID{k.TypeURL, l.Name, l.Version}]) > 0 {
				totals.Refused++
			}
		}
		out.Types = append(out.Types, totals)
	}
	return out
}

// ResourceList lists a type, sorted by name.
func (v View) ResourceList(k Kind) ResourceList {
	out := ResourceList{Revision: v.Revision, At: v.At, Type: k.Name, TypeURL: k.TypeURL, Resources: []Resource{}}
	refused := v.refusals()
	for _, l := range v.listed(k) {
		out.Resources = append(out.Resources, v.resource(k, l, refused))
	}
	return out
}

// Resource is one resource with its content. The error is errNotFound.
func (v View) Resource(k Kind, name string) (Resource, error) {
	listed, ok := v.Snapshot.Lookup(k.TypeURL, name)
	if !ok {
		var names []string
		for _, l := range v.listed(k) {
			names = append(names, l.Name)
		}
		return Resource{}, fmt.Errorf("there is no %s %q among the %s%s%w", strings.TrimSuffix(k.Name, "s"), name, k.Name, nearestName(name, names), silent{errNotFound})
	}
	out := v.resource(k, listed, v.refusals())
	if secret, ok := listed.Message.(*tlsv3.Secret); ok {
		out.Secret = secretFacts(secret)
		return out, nil
	}
	content, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(shown(listed.Message))
	if err != nil {
		return Resource{}, fmt.Errorf("print %s %s: %w", k.Name, name, err)
	}
	out.Content = content
	return out, nil
}

// silent is an error that others are found by, and that adds no words of its own.
type silent struct{ error }

func (silent) Error() string   { return "" }
func (s silent) Unwrap() error { return s.error }

func (v View) resource(k Kind, l xds.Listed, refused map[resourceID][]string) Resource {
	out := Resource{
		Type: k.Name, TypeURL: k.TypeURL, Name: l.Name, Version: l.Version, Bytes: l.Bytes, Origins: l.Origins,
		RefusedBy: refused[resourceID{k.TypeURL, l.Name, l.Version}],
		OnDemand:  k.TypeURL == envoy.TypeSecret && envoy.IsServerName(l.Name),
	}
	if out.Origins == nil {
		out.Origins = []diag.Origin{}
	}
	// A name that a handshake asks for may be covered by a certificate of another.
	since, ok := v.ages.of(k.TypeURL, l.Name)
	if !ok {
		since = v.At
	}
	out.Since, out.AgeSeconds = since, max(0, v.Now.Sub(since).Seconds())
	return out
}

// listed are the resources of a type, and among the secrets the certificates that handshakes ask for, by the names that they are
// for.
func (v View) listed(k Kind) []xds.Listed {
	out := v.Snapshot.List(k.TypeURL)
	if k.TypeURL != envoy.TypeSecret {
		return out
	}
	add := func(name string, c model.Certificate) {
		if l, ok := v.Snapshot.Lookup(k.TypeURL, name); ok {
			l.Origins = c.Origins
			out = append(out, l)
		}
	}
	for _, c := range v.Result.Gateway.Certificates {
		add(c.Host.String(), c)
	}
	if c := v.Result.Gateway.Default; c != nil {
		add(envoy.DefaultSecretName, *c)
	}
	slices.SortFunc(out, func(a, b xds.Listed) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// resourceID is a version of a resource.
type resourceID struct{ typeURL, name, version string }

// refusals are the proxies that refuse a version, sorted as the proxies are.
func (v View) refusals() map[resourceID][]string {
	out := map[resourceID][]string{}
	for _, p := range v.proxies() {
		for _, t := range p.Types {
			for _, r := range t.Refused {
				id := resourceID{t.TypeURL, r.Name, r.Version}
				out[id] = append(out[id], p.Node)
			}
		}
	}
	return out
}

func serveResources(v View, _ *http.Request) (any, error) { return v.Resources(), nil }

func serveResourceList(v View, r *http.Request) (any, error) {
	k, err := ParseKind(r.PathValue("type"))
	if err != nil {
		return nil, fmt.Errorf("%w%w", err, silent{errNotFound})
	}
	return v.ResourceList(k), nil
}

func serveResource(v View, r *http.Request) (any, error) {
	k, err := ParseKind(r.PathValue("type"))
	if err != nil {
		return nil, fmt.Errorf("%w%w", err, silent{errNotFound})
	}
	return v.Resource(k, r.PathValue("name"))
}
