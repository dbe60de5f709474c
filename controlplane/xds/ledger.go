package xds

import (
	"cmp"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/postern-gateway/postern/translator/diag"
)

// nackWordsMax bounds, in bytes, what is kept of a proxy's words.
const nackWordsMax = 4096

// ProxyState is what one connected proxy has been sent and what it has made of it.
type ProxyState struct {
	// Node and Cluster are the proxy's own words (core.v3.Node id and cluster).
	Node      string    `json:"node"`
	Cluster   string    `json:"cluster,omitempty"`
	Connected time.Time `json:"connected"`
	// Address is where the stream comes from; empty on a unix socket.
	Address string `json:"address,omitempty"`
	// Authorizer is a data plane's authorizer, which has a stream of its own, and no listeners.
	Authorizer bool `json:"authorizer,omitempty"`
	// Revision is the newest one that the proxy has answered in full.
	Revision Revision `json:"revision"`
	// Types are in the order in which they are sent.
	Types []TypeState `json:"types"`
	// Client is what the proxy says of itself, shortened; nil where it says nothing. It must not be written to.
	Client *corev3.Node `json:"-"`

	stream uint64
}

// TypeState is one type of a ProxyState.
type TypeState struct {
	TypeURL string `json:"typeUrl"`
	// Wildcard means that the proxy is sent every resource of the type.
	Wildcard bool `json:"wildcard,omitempty"`
	// Subscribed are the names asked for, sorted.
	Subscribed []string `json:"subscribed,omitempty"`
	// Accepted are the versions that the proxy has ACKed, sorted by name.
	Accepted []NamedVersion `json:"accepted,omitempty"`
	// Pending are the names sent and not answered, or still to be sent, sorted.
	Pending []string `json:"pending,omitempty"`
	// Unsent are those of Pending that are still to be sent, sorted.
	Unsent []string `json:"unsent,omitempty"`
	// Refused are the versions that were in a refused response and have not been replaced since, sorted by name.
	Refused  []NamedVersion `json:"refused,omitempty"`
	LastNACK *NACK          `json:"lastNack,omitempty"`
}

// NamedVersion is a resource's name and version.
type NamedVersion struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// NACK is a proxy's refusal of a response.
type NACK struct {
	Time    time.Time `json:"time"`
	TypeURL string    `json:"typeUrl"`
	// Revision is the revision of which the response was made.
	Revision Revision `json:"revision"`
	// Words are the proxy's own (error_detail.message), shortened; key material is cut out.
	Words string `json:"words"`
	// Resources are the names in the refused response, sorted. An Envoy may have applied some of them.
	Resources []string `json:"resources"`
	// Blamed are those of Resources whose name occurs in Words, or all of them if none does.
	Blamed []string `json:"blamed"`
	// Origins are the objects behind Blamed, sorted.
	Origins []diag.Origin `json:"origins,omitempty"`
}

func newNACK(typeURL string, f *flight, words string, now time.Time) *NACK {
	n := &NACK{Time: now, TypeURL: typeURL, Revision: f.revision, Words: cleanWords(typeURL, words), Resources: sortedKeys(f.versions)}
	for _, name := range n.Resources {
		if mentions(words, name) {
			n.Blamed = append(n.Blamed, name)
		}
	}
	if len(n.Blamed) == 0 {
		n.Blamed = slices.Clone(n.Resources)
	}
	for _, name := range n.Blamed {
		n.Origins = append(n.Origins, f.snapshot.origins(typeURL, name)...)
	}
	slices.SortFunc(n.Origins, diag.Origin.Compare)
	n.Origins = slices.Compact(n.Origins)
	return n
}

// cleanWords shortens a proxy's words. Of a secret Envoy may quote the whole message, so what could be a key goes.
func cleanWords(typeURL, words string) string {
	if typeURL == resource.SecretType {
		for _, mark := range []string{"-----BEGIN", "inline_bytes", "inline_string"} {
			if i := strings.Index(words, mark); i >= 0 {
				words = words[:i] + "[redacted]"
			}
		}
	}
	if len(words) > nackWordsMax {
		words = strings.ToValidUTF8(words[:nackWordsMax], "") + "…"
	}
	return words
}

// mentions tells whether name stands in words by itself: http is not mentioned by https.
func mentions(words, name string) bool {
	for at := 0; ; {
		i := strings.Index(words[at:], name)
		if i < 0 {
			return false
		}
		begin, end := at+i, at+i+len(name)
		if (begin == 0 || !inName(words[begin-1])) && (end == len(words) || !inName(words[end]) || endsSentence(words[end:])) {
			return true
		}
		at = begin + 1
	}
}

func inName(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("-_./*:", c) >= 0
}

// endsSentence is true for a point or colon that belongs to the sentence and not to a name.
func endsSentence(rest string) bool {
	return (rest[0] == '.' || rest[0] == ':') && (len(rest) == 1 || !inName(rest[1]))
}

// types is the ledger of one stream; its caller holds the stream's lock.
func (s *state) types() []TypeState {
	var out []TypeState
	for _, sub := range s.ordered() {
		if !sub.asked {
			continue
		}
		t := TypeState{
			TypeURL: sub.typeURL, Wildcard: sub.wildcard, Subscribed: sortedKeys(sub.names),
			Accepted: named(sub.accepted), Refused: named(sub.refused), LastNACK: sub.lastNACK,
		}
		pending, unsent := map[string]struct{}{}, map[string]struct{}{}
		if sub.flight != nil {
			for name := range sub.flight.versions {
				pending[name] = struct{}{}
			}
			for _, name := range sub.flight.removed {
				pending[name] = struct{}{}
			}
		}
		for name := range sub.dirty {
			if s.snap != nil {
				if act, _ := sub.judge(s.snap, name); act == actNone {
					continue
				}
			}
			pending[name], unsent[name] = struct{}{}, struct{}{}
		}
		t.Pending, t.Unsent = sortedKeys(pending), sortedKeys(unsent)
		out = append(out, t)
	}
	return out
}

func named(versions map[string]string) []NamedVersion {
	out := make([]NamedVersion, 0, len(versions))
	for _, name := range sortedKeys(versions) {
		out = append(out, NamedVersion{Name: name, Version: versions[name]})
	}
	return out
}

func compareProxies(a, b ProxyState) int {
	return cmp.Or(cmp.Compare(a.Node, b.Node), a.Connected.Compare(b.Connected), cmp.Compare(a.stream, b.stream))
}
