// Package xds is Postern's aggregated delta xDS server: it serves one snapshot of resources to every proxy, in an order
// that never breaks a request, and keeps account of what each proxy has accepted or refused.
//
// The server is our own because three things are needed that go-control-plane's delta server does not give: the state
// belongs to a stream and not to a node, a refusal (error_detail) is read and kept, and types wait for each other's ACKs.
package xds

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/postern-gateway/postern/translator/diag"
)

const (
	// versionBytes is how much of a SHA-256 makes a version: 16 bytes, 32 hex digits.
	versionBytes = 16
)

// Resource is one xDS resource and the objects that it comes from.
type Resource struct {
	// TypeURL is one of the type URLs of go-control-plane's pkg/resource/v3.
	TypeURL string
	// Name is the name that proxies subscribe to; it equals the message's own.
	Name    string
	Message proto.Message
	// Origins are named when a proxy refuses the resource.
	Origins []diag.Origin
}

// OnDemand answers a proxy that asks for a Secret which is not among the resources, and says which places are behind it;
// nil is no such secret.
type OnDemand func(name string) (secret proto.Message, origins []diag.Origin)

// Snapshot is everything that is served at one moment. It is immutable, and shared by all streams.
type Snapshot struct {
	types map[string]*typeSet
	// clusterSecrets are the names of the secrets that clusters name.
	clusterSecrets map[string]struct{}
	onDemand       OnDemand
}

type typeSet struct {
	// names are sorted, versions in their order.
	names    []string
	versions []string
	byName   map[string]*entry
	// digest is equal for equal names and versions.
	digest string
}

// entry is one resource as it goes on the wire: marshalled once, then shared by all streams.
type entry struct {
	resource Resource
	version  string
	wire     *discoveryv3.Resource
	// refs are what a proxy will ask for by name when it has accepted this one: the assignment of an EDS cluster and the
	// secrets of a cluster, the route configurations of a listener and the CAs of its clients.
	refs []resourceName
}

// resourceName is a resource by its type and name.
type resourceName struct{ typeURL, name string }

// NewSnapshot marshals the resources and gives each its version, the truncated SHA-256 of its deterministic bytes.
//
// onDemand, which may be nil, answers a proxy that asks for a Secret which is not among the resources; on TLS listeners
// that is the SNI as the client spelt it, so any string at all. It returns nil where there is no such secret. One
// message may be returned for many names, since the name asked for is written into what is sent, and should be returned
// again by later snapshots, since a message is marshalled and hashed once as long as it lives. It is called by many
// goroutines, at each Publish once for every name that a proxy holds.
//
// No message may be changed once it was given.
//
// An error means that the resources contradict themselves: no name, two of one name, a message of another type or name.
func NewSnapshot(resources []Resource, onDemand OnDemand) (*Snapshot, error) {
	var none *Snapshot
	return none.Next(resources, onDemand)
}

// Next is NewSnapshot, but that a resource whose message is the very one of s, which may be nil, is not marshalled again,
// and a type of which all are is taken over whole.
func (s *Snapshot) Next(resources []Resource, onDemand OnDemand) (*Snapshot, error) {
	next := &Snapshot{types: map[string]*typeSet{}, clusterSecrets: map[string]struct{}{}, onDemand: onDemand}
	byType := map[string][]Resource{}
	for _, r := range resources {
		byType[r.TypeURL] = append(byType[r.TypeURL], r)
	}
	for typeURL, own := range byType {
		set, err := s.set(typeURL).next(own)
		if err != nil {
			return nil, err
		}
		next.types[typeURL] = set
	}
	for _, e := range next.set(resource.ClusterType).byName {
		for _, ref := range e.refs {
			if ref.typeURL == resource.SecretType {
				next.clusterSecrets[ref.name] = struct{}{}
			}
		}
	}
	return next, nil
}

// next is the set of a type's resources, with what is left of the set before.
func (t *typeSet) next(resources []Resource) (*typeSet, error) {
	set := &typeSet{byName: make(map[string]*entry, len(resources)), names: make([]string, 0, len(resources))}
	fresh := len(resources) != len(t.names)
	for _, r := range resources {
		if set.byName[r.Name] != nil {
			return nil, fmt.Errorf("%s %q is in the snapshot twice", shortType(r.TypeURL), r.Name)
		}
		e, err := t.byName[r.Name].next(r)
		if err != nil {
			return nil, err
		}
		fresh = fresh || e != t.byName[r.Name]
		set.byName[r.Name] = e
		set.names = append(set.names, r.Name)
	}
	if !fresh {
		return t, nil
	}
	slices.Sort(set.names)
	h := sha256.New()
	for _, name := range set.names {
		version := set.byName[name].version
		set.versions = append(set.versions, version)
		fmt.Fprintf(h, "%d:%s=%s\n", len(name), name, version)
	}
	set.digest = hex.EncodeToString(h.Sum(nil))
	return set, nil
}

// next is the entry of a resource: e, which may be nil, where that has the same message and origins.
func (e *entry) next(r Resource) (*entry, error) {
	if e == nil || r.Message == nil || e.resource.Message != r.Message || e.resource.TypeURL != r.TypeURL {
		return newEntry(r)
	}
	if slices.Equal(e.resource.Origins, r.Origins) {
		return e, nil
	}
	moved := *e
	moved.resource = r
	return &moved, nil
}

func newEntry(r Resource) (*entry, error) {
	if r.Message == nil {
		return nil, fmt.Errorf("%s %q has no message", shortType(r.TypeURL), r.Name)
	}
	if own := resource.APITypePrefix + string(r.Message.ProtoReflect().Descriptor().FullName()); own != r.TypeURL {
		return nil, fmt.Errorf("%s %q holds a %s", shortType(r.TypeURL), r.Name, shortType(own))
	}
	if r.Name == "" {
		return nil, fmt.Errorf("a %s has no name", shortType(r.TypeURL))
	}
	if own, named := ownName(r.Message); named && own != r.Name {
		return nil, fmt.Errorf("%s %q calls itself %q", shortType(r.TypeURL), r.Name, own)
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(r.Message)
	if err != nil {
		return nil, fmt.Errorf("marshal %s %q: %w", shortType(r.TypeURL), r.Name, err)
	}
	e := &entry{resource: r, version: versionOf(body)}
	e.wire = newWire(r.TypeURL, r.Name, e.version, body)
	switch m := r.Message.(type) {
	case *clusterv3.Cluster:
		if e.refs, err = clusterRefs(m); err != nil {
			return nil, err
		}
	case *listenerv3.Listener:
		if e.refs, err = listenerRefs(m); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func newWire(typeURL, name, version string, body []byte) *discoveryv3.Resource {
	return &discoveryv3.Resource{Name: name, Version: version, Resource: &anypb.Any{TypeUrl: typeURL, Value: body}}
}

func versionOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:versionBytes])
}

func ownName(m proto.Message) (string, bool) {
	switch m := m.(type) {
	case *endpointv3.ClusterLoadAssignment:
		return m.GetClusterName(), true
	case interface{ GetName() string }:
		return m.GetName(), true
	}
	return "", false
}

// shortType is the last word of a type URL: Cluster.
func shortType(typeURL string) string {
	return typeURL[strings.LastIndexByte(typeURL, '.')+1:]
}

// Types are the type URLs that have resources, sorted.
func (s *Snapshot) Types() []string {
	out := make([]string, 0, len(s.types))
	for typeURL := range s.types {
		out = append(out, typeURL)
	}
	slices.Sort(out)
	return out
}

// Resources are the resources of a type, sorted by name; on-demand secrets are not among them.
func (s *Snapshot) Resources(typeURL string) []Resource {
	set := s.types[typeURL]
	if set == nil {
		return nil
	}
	out := make([]Resource, 0, len(set.names))
	for _, name := range set.names {
		out = append(out, set.byName[name].resource)
	}
	return out
}

// Version is the version under which a resource, on-demand ones included, is served; false where there is none.
func (s *Snapshot) Version(typeURL, name string) (string, bool) {
	found := s.find(typeURL, name)
	return found.version, found.exists()
}

// served is a resource under the name that it was asked for. Its zero value is none.
type served struct {
	version string
	entry   *entry
	// form and name are of an on-demand secret.
	form *secretForm
	name string
}

func (s served) exists() bool { return s.version != "" }

func (s served) wire() *discoveryv3.Resource {
	if s.entry != nil {
		return s.entry.wire
	}
	return s.form.wire(s.name)
}

func (s *Snapshot) find(typeURL, name string) served {
	if e := s.static(typeURL, name); e != nil {
		return served{version: e.version, entry: e}
	}
	if typeURL != resource.SecretType || s.onDemand == nil {
		return served{}
	}
	m, _ := s.onDemand(name)
	if m == nil {
		return served{}
	}
	secret, ok := m.(*tlsv3.Secret)
	if !ok {
		panic(fmt.Sprintf("xds: onDemand(%q) returned a %T, not a Secret", name, m))
	}
	if secret == nil {
		return served{}
	}
	form := secretForms.get(secret)
	return served{version: form.version, form: form, name: name}
}

// origins are the places behind a resource or an on-demand secret.
func (s *Snapshot) origins(typeURL, name string) []diag.Origin {
	if e := s.static(typeURL, name); e != nil {
		return e.resource.Origins
	}
	if typeURL != resource.SecretType || s.onDemand == nil {
		return nil
	}
	_, origins := s.onDemand(name)
	return origins
}

func (s *Snapshot) static(typeURL, name string) *entry {
	if set := s.types[typeURL]; set != nil {
		return set.byName[name]
	}
	return nil
}

// changed calls do for each name of a type that two snapshots do not serve alike, on-demand secrets left out; before may
// be nil. It walks two sorted lists, since most often one of ten thousand resources has changed.
func changed(before, now *Snapshot, typeURL string, do func(name string)) {
	a, b := before.set(typeURL), now.set(typeURL)
	if a.digest == b.digest {
		return
	}
	for i, j := 0, 0; i < len(a.names) || j < len(b.names); {
		switch {
		case j == len(b.names) || i < len(a.names) && a.names[i] < b.names[j]:
			do(a.names[i])
			i++
		case i == len(a.names) || b.names[j] < a.names[i]:
			do(b.names[j])
			j++
		default:
			if a.versions[i] != b.versions[j] {
				do(a.names[i])
			}
			i, j = i+1, j+1
		}
	}
}

// set is empty where there is no snapshot or no resource of the type.
func (s *Snapshot) set(typeURL string) *typeSet {
	if s != nil && s.types[typeURL] != nil {
		return s.types[typeURL]
	}
	return &typeSet{}
}

// secretsOf are the versions of the secrets that a resource refers to, empty where it refers to none.
func (s *Snapshot) secretsOf(typeURL, name string) string {
	e := s.static(typeURL, name)
	if e == nil {
		return ""
	}
	var out strings.Builder
	for _, ref := range e.refs {
		if ref.typeURL != resource.SecretType {
			continue
		}
		version := gone
		if secret := s.static(ref.typeURL, ref.name); secret != nil {
			version = secret.version
		}
		fmt.Fprintf(&out, "%q=%s ", ref.name, version)
	}
	return out.String()
}
