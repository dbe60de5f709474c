package static

import (
	"regexp"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	inputsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/postern-gateway/postern/translator/envoy"
	"github.com/postern-gateway/postern/translator/model"
)

// Over xDS a handshake asks for its certificate by SNI. A file cannot be asked, so each filter chain that would ask is
// there once for each certificate, and the listener's matcher chooses between them as the control plane would answer:
// the exact name, the wildcard one label up, the default certificate. Envoy's own server_names would not do, since its
// *.x takes any number of labels.

// secretPrefix begins the names of certificates' secrets; no other secret's name does.
const secretPrefix = "certificate/"

// certificate is a key pair as a secret of the file.
type certificate struct {
	secret *tlsv3.Secret
	// name stands behind the name of a chain, empty for the default certificate.
	name  string
	hosts []model.Host
}

// certificatesOf are the key pairs of a gateway, the default one first; hosts of one key pair share it, because every
// chain holds all routes.
func certificatesOf(g model.Gateway) []certificate {
	if g.Default == nil {
		return nil
	}
	var out []certificate
	known := map[[2]string]int{}
	for _, c := range append([]model.Certificate{*g.Default}, g.Certificates...) {
		pair := [2]string{string(c.Chain), string(c.Key)}
		i, again := known[pair]
		if !again {
			i = len(out)
			known[pair] = i
			secret := envoy.CertificateSecret(c)
			secret.Name = secretPrefix + envoy.DefaultSecretName
			if i > 0 {
				secret.Name = secretPrefix + c.Host.Name()
			}
			out = append(out, certificate{secret: secret, name: c.Host.Name()})
		}
		if c.Host != (model.Host{}) {
			out[i].hosts = append(out[i].hosts, c.Host)
		}
	}
	return out
}

// expandChains gives a listener a chain for each certificate in the place of one that asks for certificates.
func (b *builder) expandChains(l *listenerv3.Listener) {
	var chains []*listenerv3.FilterChain
	expanded := map[string]bool{}
	for _, chain := range l.GetFilterChains() {
		tls := onDemand(chain)
		if tls == nil {
			chains = append(chains, chain)
			continue
		}
		expanded[chain.GetName()] = true
		for _, c := range b.certificates {
			chains = append(chains, withCertificate(chain, tls, c))
		}
	}
	l.FilterChains = chains
	if len(expanded) == 0 {
		return
	}
	Edit(l.GetFilterChainMatcher(), func(m proto.Message) {
		if to, ok := m.(*xdsmatcherv3.Matcher_OnMatch); ok && expanded[chainName(to)] {
			b.chooseBySNI(to)
		}
	})
}

// onDemand is the TLS context of a chain that asks for its certificate by SNI, nil for other chains.
func onDemand(chain *listenerv3.FilterChain) *tlsv3.DownstreamTlsContext {
	tls := &tlsv3.DownstreamTlsContext{}
	packed := chain.GetTransportSocket().GetTypedConfig()
	if !packed.MessageIs(tls) {
		return nil
	}
	if err := packed.UnmarshalTo(tls); err != nil {
		panic("static: " + err.Error())
	}
	if tls.GetCommonTlsContext().GetCustomTlsCertificateSelector() == nil {
		return nil
	}
	return tls
}

// withCertificate is a chain with one certificate. Sessions can be resumed then: it is the selector that forbids it.
func withCertificate(chain *listenerv3.FilterChain, tls *tlsv3.DownstreamTlsContext, c certificate) *listenerv3.FilterChain {
	chain, tls = proto.CloneOf(chain), proto.CloneOf(tls)
	chain.Name = chainFor(chain.GetName(), c)
	tls.CommonTlsContext.CustomTlsCertificateSelector = nil
	tls.CommonTlsContext.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{{Name: c.secret.GetName()}}
	tls.SessionTicketKeysType, tls.DisableStatefulSessionResumption = nil, false
	chain.GetTransportSocket().ConfigType = &corev3.TransportSocket_TypedConfig{TypedConfig: packed(tls)}
	return chain
}

// chainFor is the name of a chain's copy for a certificate.
func chainFor(chain string, c certificate) string {
	if c.name == "" {
		return chain
	}
	return chain + " " + c.name
}

// chainName is the chain that a match leads to, empty where it leads to another matcher.
func chainName(to *xdsmatcherv3.Matcher_OnMatch) string {
	name := &wrapperspb.StringValue{}
	if action := to.GetAction().GetTypedConfig(); !action.MessageIs(name) || action.UnmarshalTo(name) != nil {
		return ""
	}
	return name.GetValue()
}

// chooseBySNI has a match that leads to a chain lead to the copy of it that has the certificate of the SNI. Envoy gives
// the SNI to matchers in lower case.
func (b *builder) chooseBySNI(to *xdsmatcherv3.Matcher_OnMatch) {
	chain := chainName(to)
	exact := map[string]*xdsmatcherv3.Matcher_OnMatch{}
	wildcards := &xdsmatcherv3.Matcher_MatcherList{}
	for _, c := range b.certificates {
		for _, host := range c.hosts {
			if host.Kind() == model.HostExact {
				exact[host.Name()] = toChain(chainFor(chain, c))
			} else {
				wildcards.Matchers = append(wildcards.Matchers, byWildcard(host, toChain(chainFor(chain, c))))
			}
		}
	}
	next := toChain(chain)
	if len(wildcards.Matchers) > 0 {
		next = toMatcher(&xdsmatcherv3.Matcher{
			MatcherType: &xdsmatcherv3.Matcher_MatcherList_{MatcherList: wildcards}, OnNoMatch: next,
		})
	}
	if len(exact) > 0 {
		next = toMatcher(&xdsmatcherv3.Matcher{
			MatcherType: &xdsmatcherv3.Matcher_MatcherTree_{MatcherTree: &xdsmatcherv3.Matcher_MatcherTree{
				Input: sni(), TreeType: &xdsmatcherv3.Matcher_MatcherTree_ExactMatchMap{ExactMatchMap: &xdsmatcherv3.Matcher_MatcherTree_MatchMap{Map: exact}},
			}},
			OnNoMatch: next,
		})
	}
	to.OnMatch = next.GetOnMatch()
}

// byWildcard matches names with one label in the place of the star.
func byWildcard(host model.Host, to *xdsmatcherv3.Matcher_OnMatch) *xdsmatcherv3.Matcher_MatcherList_FieldMatcher {
	return &xdsmatcherv3.Matcher_MatcherList_FieldMatcher{OnMatch: to, Predicate: &xdsmatcherv3.Matcher_MatcherList_Predicate{
		MatchType: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_{
			SinglePredicate: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate{
				Input: sni(),
				Matcher: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{ValueMatch: &xdsmatcherv3.StringMatcher{
					MatchPattern: &xdsmatcherv3.StringMatcher_SafeRegex{SafeRegex: &xdsmatcherv3.RegexMatcher{
						EngineType: &xdsmatcherv3.RegexMatcher_GoogleRe2{GoogleRe2: &xdsmatcherv3.RegexMatcher_GoogleRE2{}},
						Regex:      `[^.]+` + regexp.QuoteMeta(host.Suffix()),
					}},
				}},
			},
		},
	}}
}

func sni() *xdscorev3.TypedExtensionConfig {
	return &xdscorev3.TypedExtensionConfig{Name: "sni", TypedConfig: packed(&inputsv3.ServerNameInput{})}
}

func toChain(name string) *xdsmatcherv3.Matcher_OnMatch {
	return &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Action{
		Action: &xdscorev3.TypedExtensionConfig{Name: "chain", TypedConfig: packed(wrapperspb.String(name))},
	}}
}

func toMatcher(m *xdsmatcherv3.Matcher) *xdsmatcherv3.Matcher_OnMatch {
	return &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Matcher{Matcher: m}}
}

func packed(m proto.Message) *anypb.Any {
	a := &anypb.Any{}
	pack(a, m)
	return a
}
