package static

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	authzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// File is a bootstrap of this package as YAML that `envoy -c` takes. A comment at its top says what it is and what it is
// not. It holds private keys: see Keys.
func File(b *bootstrapv3.Bootstrap) ([]byte, error) {
	b = proto.CloneOf(b)
	repeated := takeRepeated(b)
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("write the bootstrap: %w", err)
	}
	// JSON is YAML; read as such, its fields keep their order.
	var tree yaml.Node
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("write the bootstrap as YAML: %w", err)
	}
	spread(&tree)
	for _, chain := range repeated {
		chain.putBack(&tree)
	}
	var out bytes.Buffer
	out.WriteString(comment(b))
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&tree); err != nil {
		return nil, fmt.Errorf("write the bootstrap as YAML: %w", err)
	}
	return out.Bytes(), nil
}

// spread writes a tree as people do: one field a line, and text of several lines as such.
func spread(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "\n") {
		n.Style = yaml.LiteralStyle
	}
	// Envoy reads YAML 1.1, in which these words are no strings.
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" && slices.Contains(oldBooleans, strings.ToLower(n.Value)) {
		n.Style = yaml.DoubleQuotedStyle
	}
	for _, child := range n.Content {
		spread(child)
	}
}

var oldBooleans = []string{"y", "n", "yes", "no", "on", "off", "true", "false"}

// repeatedChain is a filter chain whose filters are those of an earlier one of its listener. In the file they are an
// alias: a file with a copy of all routes for each certificate could not be read any more.
type repeatedChain struct{ listener, chain, first int }

// takeRepeated takes the filters out of chains that repeat others'.
func takeRepeated(b *bootstrapv3.Bootstrap) []repeatedChain {
	var out []repeatedChain
	for i, l := range b.GetStaticResources().GetListeners() {
		first := map[string]int{}
		for j, chain := range l.GetFilterChains() {
			key := filtersKey(chain)
			if k, again := first[key]; again {
				out = append(out, repeatedChain{listener: i, chain: j, first: k})
				chain.Filters = nil
				continue
			}
			first[key] = j
		}
	}
	return out
}

// filtersKey is equal for chains with equal filters; those are packed, and packing is deterministic.
func filtersKey(chain *listenerv3.FilterChain) string {
	var key strings.Builder
	for _, f := range chain.GetFilters() {
		fmt.Fprintf(&key, "%q %q", f.GetName(), f.GetTypedConfig().GetValue())
	}
	return key.String()
}

func (c repeatedChain) putBack(tree *yaml.Node) {
	chains := field(field(field(tree.Content[0], "static_resources"), "listeners").Content[c.listener], "filter_chains").Content
	original := field(chains[c.first], "filters")
	original.Anchor = fmt.Sprintf("filters-%d-%d", c.listener, c.first)
	chains[c.chain].Content = append(chains[c.chain].Content,
		&yaml.Node{Kind: yaml.ScalarNode, Value: "filters"},
		&yaml.Node{Kind: yaml.AliasNode, Value: original.Anchor, Alias: original})
}

// field is the value of a field that is there.
func field(n *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	panic("static: the bootstrap has no " + name)
}

// title is what a file begins with.
const title = "Envoy's whole configuration, made by postern translate -o bootstrap."

// comment is what whoever opens the file must know.
func comment(b *bootstrapv3.Bootstrap) string {
	lines := []string{
		title + " Run it by: envoy -c FILE",
		"It changes only when it is made anew, with Envoy started again: edits of manifests, of endpoints and of",
		"certificates are not followed. There is no admin interface.",
	}
	if keys := Keys(b); keys > 0 {
		lines = append(lines, "",
			fmt.Sprintf("IT HOLDS PRIVATE KEYS (%d): let nobody else read it.", keys),
			"Over xDS, certificates are served on demand. Here each has a filter chain of its own, with all routes of its",
			"entry; the SNI decides between them, and TLS sessions can be resumed.",
			fmt.Sprintf("The first certificate to end does so on %s.", firstEnd(b).UTC().Format(time.DateOnly)))
	}
	var out strings.Builder
	for _, l := range lines {
		out.WriteString(strings.TrimRight("# "+l, " ") + "\n")
	}
	return out.String()
}

// Keys is how many private keys a bootstrap holds.
func Keys(b *bootstrapv3.Bootstrap) int {
	n := 0
	for _, s := range b.GetStaticResources().GetSecrets() {
		if s.GetTlsCertificate().GetPrivateKey() != nil {
			n++
		}
	}
	return n
}

// Authorizing is how many routes of a bootstrap, each listener's counted, ask an authorizer, which a file by itself has none
// of: they answer 503.
func Authorizing(b *bootstrapv3.Bootstrap) int {
	n := 0
	Edit(b, func(m proto.Message) {
		r, _ := m.(*routev3.Route)
		for _, filter := range r.GetTypedPerFilterConfig() {
			if filter.MessageIs(&authzv3.ExtAuthzPerRoute{}) || filter.MessageIs(&extprocv3.ExtProcPerRoute{}) {
				n++
				return
			}
		}
	})
	return n
}

// firstEnd is when the first certificate is no longer valid.
func firstEnd(b *bootstrapv3.Bootstrap) time.Time {
	var first time.Time
	for _, s := range b.GetStaticResources().GetSecrets() {
		block, _ := pem.Decode([]byte(s.GetTlsCertificate().GetCertificateChain().GetInlineString()))
		if block == nil {
			continue
		}
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err == nil && (first.IsZero() || leaf.NotAfter.Before(first)) {
			first = leaf.NotAfter
		}
	}
	return first
}
