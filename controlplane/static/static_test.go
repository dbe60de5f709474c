package static_test

import (
	"slices"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/files"
	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/controlplane/static"
	"github.com/postern-gateway/postern/translator"
)

const cases = "../../translator/testdata"

func eachCase(t *testing.T, test func(t *testing.T, r translator.Result)) {
	for _, c := range casetest.Load(t, cases) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			results, err := c.Translate()
			if err != nil {
				t.Fatal(err)
			}
			test(t, results[0])
		})
	}
}

// TestNothingIsDiscovered: no part of a bootstrap refers to a control plane.
func TestNothingIsDiscovered(t *testing.T) {
	eachCase(t, func(t *testing.T, r translator.Result) {
		listeners, routes := 0, 0
		static.Edit(static.Bootstrap(r), func(m proto.Message) {
			switch m := m.(type) {
			case *corev3.ConfigSource:
				t.Errorf("something is still to be discovered: %s", m)
			case *listenerv3.Listener:
				listeners++
			case *routev3.RouteConfiguration:
				routes++
			}
		})
		if listeners == 0 || routes < listeners {
			t.Errorf("%d listeners with %d route configurations", listeners, routes)
		}
	})
}

// TestSecretsAreThere: whatever names a secret has it in the file; where there is none, as without any CA, the backend is
// not reached at all.
func TestSecretsAreThere(t *testing.T) {
	closed := 0
	for _, c := range casetest.Load(t, cases) {
		w, settings := c.World(t)
		for _, trust := range [][]byte{settings.Resolve.Edge.UpstreamTrust, nil} {
			settings.Resolve.Edge.UpstreamTrust = trust
			b := static.Bootstrap(translator.Translate(w, settings))
			names := map[string]bool{}
			for _, s := range b.GetStaticResources().GetSecrets() {
				names[s.GetName()] = true
			}
			static.Edit(b, func(m proto.Message) {
				if sds, ok := m.(*tlsv3.SdsSecretConfig); ok && !names[sds.GetName()] {
					t.Errorf("%s: there is no secret %s", c.Name, sds.GetName())
				}
			})
			for _, cluster := range b.GetStaticResources().GetClusters() {
				if strings.HasSuffix(cluster.GetName(), "/https") && cluster.GetTransportSocket() == nil {
					closed++
					if trust != nil || len(cluster.GetLoadAssignment().GetEndpoints()) > 0 {
						t.Errorf("%s: %s is spoken to without TLS", c.Name, cluster.GetName())
					}
				}
			}
		}
	}
	if closed == 0 {
		t.Error("no case has a backend that is verified")
	}
}

// TestResultStays: rendering changes nothing of what it renders.
func TestResultStays(t *testing.T) {
	eachCase(t, func(t *testing.T, r translator.Result) {
		before := make([]proto.Message, len(r.Resources))
		for i, res := range r.Resources {
			before[i] = proto.Clone(res.Message)
		}
		static.Bootstrap(r)
		for i, res := range r.Resources {
			if !proto.Equal(res.Message, before[i]) {
				t.Errorf("%s has changed", res.Name)
			}
		}
	})
}

// TestFile: the text is the bootstrap, whatever stands there only once.
func TestFile(t *testing.T) {
	eachCase(t, func(t *testing.T, r translator.Result) {
		want := static.Bootstrap(r)
		text, err := static.File(want)
		if err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(parse(t, text), want) {
			t.Errorf("the file does not say what the bootstrap does:\n%s", text)
		}
	})
}

func parse(t *testing.T, text []byte) *bootstrapv3.Bootstrap {
	t.Helper()
	asJSON, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	b := &bootstrapv3.Bootstrap{}
	if err := protojson.Unmarshal(asJSON, b); err != nil {
		t.Fatal(err)
	}
	return b
}

const secrets = `
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: a}, spec: {tls: [{hosts: [b.test, a.test, "*.a.test"], secretName: one}, {hosts: [c.test], secretName: two}]}}
---
{apiVersion: v1, kind: Secret, metadata: {name: one}, stringData: {tls.crt: CRT1, tls.key: KEY1}}
---
{apiVersion: v1, kind: Secret, metadata: {name: two}, stringData: {tls.crt: CRT2, tls.key: KEY2}}
`

// TestChains: each certificate has one chain, whatever the number of its hosts, and its routes stand in the file once.
func TestChains(t *testing.T) {
	one, two := casetest.NewPair("a.test", casetest.SignedByCA), casetest.NewPair("c.test", casetest.SignedByCA)
	quoted := func(b []byte) string { return `"` + strings.ReplaceAll(string(b), "\n", `\n`) + `"` }
	w, err := files.Decode("x.yaml", []byte(strings.NewReplacer(
		"CRT1", quoted(one.Certificate), "KEY1", quoted(one.Key), "CRT2", quoted(two.Certificate), "KEY2", quoted(two.Key)).Replace(secrets)))
	if err != nil {
		t.Fatal(err)
	}
	var o options.Options
	o.Register(pflag.NewFlagSet("test", pflag.ContinueOnError))
	settings, err := o.Settings()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := options.EnsureCertificate(&settings); err != nil {
		t.Fatal(err)
	}
	b := static.Bootstrap(translator.Translate(w, settings))
	var names []string
	for _, l := range b.GetStaticResources().GetListeners() {
		for _, chain := range l.GetFilterChains() {
			names = append(names, l.GetName()+" "+chain.GetName())
		}
	}
	if want := []string{"http untrusted", "https untrusted", "https untrusted a.test", "https untrusted c.test"}; !slices.Equal(names, want) {
		t.Errorf("the chains are %q, want %q", names, want)
	}
	if keys := static.Keys(b); keys != 3 {
		t.Errorf("%d private keys, want 3", keys)
	}
	text, err := static.File(b)
	if err != nil {
		t.Fatal(err)
	}
	for part, want := range map[string]int{"route_config:": 2, "filters: *": 2, "BEGIN PRIVATE KEY": 3, "\n# IT HOLDS PRIVATE KEYS (3)": 1} {
		if got := strings.Count(string(text), part); got != want {
			t.Errorf("the file has %q %d times, want %d", part, got, want)
		}
	}
}
