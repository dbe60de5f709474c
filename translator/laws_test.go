package translator_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/dialect/native"
	"github.com/postern-gateway/postern/translator/dialect/traefik"
	"github.com/postern-gateway/postern/translator/envoy"
	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/mutate"
	"github.com/postern-gateway/postern/translator/resolve"
	"github.com/postern-gateway/postern/translator/source"
)

// shufflesPerCase and mutantsPerCase size the laws: thousands of translations, seconds of time.
const (
	shufflesPerCase = 5
	mutantsPerCase  = 50
)

// eachCase runs a law on the world and settings of every case.
func eachCase(t *testing.T, law func(t *testing.T, w source.World, s translator.Settings)) {
	t.Helper()
	for _, c := range casetest.Load(t, "testdata") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			world, settings := c.World(t)
			law(t, world, settings)
		})
	}
}

// TestShuffledInput: the result is a function of the set of objects, not of their order.
func TestShuffledInput(t *testing.T) {
	eachCase(t, func(t *testing.T, w source.World, s translator.Settings) {
		want := fingerprint(t, translator.Translate(w, s))
		for seed := range uint64(shufflesPerCase) {
			if got := fingerprint(t, translator.Translate(shuffled(w, seed), s)); !bytes.Equal(got, want) {
				t.Fatalf("another order gives another result (seed %d)", seed)
			}
		}
	})
}

func shuffled(w source.World, seed uint64) source.World {
	r := rand.New(rand.NewPCG(seed, 1))
	out := source.Merge(w)
	fields := reflect.ValueOf(&out).Elem()
	for i := range fields.NumField() {
		field := fields.Field(i)
		r.Shuffle(field.Len(), reflect.Swapper(field.Interface()))
	}
	return out
}

// fingerprint is every byte of a result: resources, origins, diagnostics.
func fingerprint(t *testing.T, r translator.Result) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, resource := range r.Resources {
		body, err := proto.MarshalOptions{Deterministic: true}.Marshal(resource.Message)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, resource.TypeURL, resource.Name, resource.Origins)
		b.Write(body)
	}
	for _, d := range r.Diagnostics {
		fmt.Fprintln(&b, d)
	}
	for _, a := range r.Annotations {
		fmt.Fprintln(&b, a)
	}
	return b.Bytes()
}

// TestOrigins: every resource says where it comes from; those that an object asked for, down to its field.
func TestOrigins(t *testing.T) {
	eachCase(t, func(t *testing.T, w source.World, s translator.Settings) {
		result := translator.Translate(w, s)
		for _, r := range result.Resources {
			if len(r.Origins) == 0 {
				t.Errorf("%s %s has no origin", r.TypeURL, r.Name)
			}
			for _, o := range r.Origins {
				if o.Name == "" || o.Kind != "flag" && o.Place() == "" {
					t.Errorf("%s %s has an origin without name or field: %s", r.TypeURL, r.Name, o)
				}
			}
		}
		for _, table := range result.Gateway.Tables {
			for _, route := range routesOf(table) {
				if route.Origins[0].Field == "" {
					t.Errorf("%s has no field as its origin: %v", route.Path, route.Origins)
				}
			}
		}
	})
}

func routesOf(t model.Table) []model.Route {
	routes := slices.Concat(t.Any, t.Default)
	for _, host := range slices.Concat(t.Exact, t.Wildcard) {
		routes = append(routes, host.Routes...)
	}
	return routes
}

// TestNeverPanics: whatever the world, there is a result, and it has an origin and a fix for what it complains of.
func TestNeverPanics(t *testing.T) {
	eachCase(t, func(t *testing.T, w source.World, s translator.Settings) {
		for seed := range uint64(mutantsPerCase) {
			mutant := mutate.World(w, seed)
			result := translator.Translate(mutant, s)
			for _, d := range result.Diagnostics {
				if d.Message == "" || d.Effect == "" || d.Origin.Name == "" {
					t.Fatalf("seed %d: a diagnostic without message, effect or place: %+v", seed, d)
				}
			}
		}
	})
}

// TestMutantsShare: the laws do meet routes with several backends, open and closed ones.
func TestMutantsShare(t *testing.T) {
	open, closed := 0, 0
	for _, c := range casetest.Load(t, "testdata") {
		world, settings := c.World(t)
		for seed := range uint64(mutantsPerCase / 5) {
			for _, table := range translator.Translate(mutate.World(world, seed), settings).Gateway.Tables {
				for _, route := range routesOf(table) {
					f, ok := route.Action.(*model.Forward)
					switch {
					case !ok || len(f.Targets) < 2:
					case slices.ContainsFunc(f.Targets, func(t model.Target) bool { return t.Closed != nil }):
						closed++
					default:
						open++
					}
				}
			}
		}
	}
	if open == 0 || closed == 0 {
		t.Errorf("of the routes with several backends %d are open and %d partly closed; there must be some of both", open, closed)
	}
	t.Logf("%d routes with several backends are open, %d partly closed", open, closed)
}

// TestListenersDependOnSettingsOnly: a listener is made of the flags and of the TLS settings of hosts, and of nothing
// else that objects say. Where no host has settings, it is that of an empty world.
func TestListenersDependOnSettingsOnly(t *testing.T) {
	seen := atomic.Bool{}
	t.Run("cases", func(t *testing.T) {
		eachCase(t, func(t *testing.T, w source.World, s translator.Settings) {
			empty := listeners(t, translator.Translate(source.World{}, s).Resources)
			worlds := []source.World{w}
			for seed := range uint64(mutantsPerCase / 5) {
				worlds = append(worlds, mutate.World(w, seed))
			}
			for i, w := range worlds {
				result := translator.Translate(w, s)
				settings, grouped := settingsOnly(result.Gateway)
				got := listeners(t, result.Resources)
				if !bytes.Equal(got, listeners(t, envoy.Render(settings))) {
					t.Errorf("world %d: the listeners differ from those of equal TLS settings", i)
				}
				if !grouped && !bytes.Equal(got, empty) {
					t.Errorf("world %d: the listeners differ from those of an empty world", i)
				}
				if grouped {
					seen.Store(true)
				}
			}
		})
	})
	if !seen.Load() {
		t.Error("no case has a host with TLS settings")
	}
}

// settingsOnly is a gateway that has of the given one the flags and the TLS settings of hosts, and whether there are any.
func settingsOnly(g model.Gateway) (model.Gateway, bool) {
	out, grouped := model.Gateway{Edge: g.Edge}, false
	for _, t := range g.Tables {
		bare := model.Table{Entry: t.Entry, Apart: t.Apart}
		for _, group := range t.Groups {
			grouped = true
			bare.Groups = append(bare.Groups, model.TLSGroup{
				Name: group.Name, MinVersion: group.MinVersion, ClientCA: group.ClientCA, Hosts: group.Hosts,
			})
		}
		out.Tables = append(out.Tables, bare)
	}
	return out, grouped
}

func listeners(t *testing.T, resources []envoy.Resource) []byte {
	t.Helper()
	var out []byte
	for _, resource := range resources {
		if resource.TypeURL == envoy.TypeListener {
			body, err := proto.MarshalOptions{Deterministic: true}.Marshal(resource.Message)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, body...)
		}
	}
	if len(out) == 0 {
		t.Fatal("no listener")
	}
	return out
}

// TestEveryCodeHasACase: a code that no case shows is a promise that nobody keeps. What only a running watcher or a
// whole folder of files can show is shown by the tests of controlplane/files, what takes two versions of an object by
// those of Keep.
func TestEveryCodeHasACase(t *testing.T) {
	elsewhere := map[diag.Code]string{
		diag.CodeFileKept: "../controlplane/files/watch_test.go",
		diag.CodeUnread:   "unread_test.go",
		// A case cannot say what a proxy refuses: nothing that we emit is known to be refused by any.
		diag.CodeVersionRefused: "keep_test.go",
	}
	shown := map[string]bool{}
	for _, c := range casetest.Load(t, "testdata") {
		for _, line := range strings.Split(c.Golden("diagnostics.txt")+c.Golden("diagnostics2.txt")+c.Golden("routes.txt"), "\n") {
			for _, word := range strings.Fields(line) {
				shown[strings.TrimSuffix(word, ":")] = true
			}
		}
	}
	for _, info := range diag.Codes() {
		page := filepath.Join("..", "docs", "diagnostics", string(info.Code)+".md")
		if _, err := os.Stat(page); err != nil {
			t.Errorf("%s has no page: %v", info.Code, err)
		}
		if file, ok := elsewhere[info.Code]; ok {
			if text, err := os.ReadFile(file); err != nil || !bytes.Contains(text, []byte(info.Code)) {
				t.Errorf("%s is not shown by %s", info.Code, file)
			}
			continue
		}
		if !shown[string(info.Code)] {
			t.Errorf("no case shows %s (%s)", info.Code, info.Title)
		}
	}
}

// TestEveryAnnotationHasACase: docs take an annotation's example from the case that its entry names, and docgen fails where
// it does not stand there. What a dialect only lists has neither.
func TestEveryAnnotationHasACase(t *testing.T) {
	for _, table := range []*dialect.Table{traefik.Table, native.Table} {
		for _, a := range table.Annotations {
			if a.Support != dialect.NotYet && (a.Family == "" || a.Case == "") {
				t.Errorf("%s %s on %s: no family, or no case", table.Name, a.Key, a.On)
			}
		}
	}
}

// TestSecretsAreRedacted: a private key is in no diagnostic, no print of the model and no resource that is not a
// certificate's own secret.
func TestSecretsAreRedacted(t *testing.T) {
	const canary = "canary-private-key"
	world := source.World{Secrets: []source.Secret{{Secret: &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "broken"},
		Data:       map[string][]byte{corev1.TLSCertKey: []byte(canary), corev1.TLSPrivateKeyKey: []byte(canary)},
	}}}, Ingresses: []source.Ingress{{Ingress: &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", Annotations: map[string]string{
			"postern.dev/backend-protocol": "https", "postern.dev/upstream-client-secret": "broken",
		}},
		Spec: networkingv1.IngressSpec{
			TLS: []networkingv1.IngressTLS{{Hosts: []string{"a.test"}, SecretName: "broken"}},
			DefaultBackend: &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
				Name: "web", Port: networkingv1.ServiceBackendPort{Number: 443},
			}},
		},
	}}}, Services: []source.Service{{Service: &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 443}}},
	}}}}
	settings := translator.Settings{Resolve: resolve.Settings{
		Entries:            []model.Entry{{Name: "https", TLS: true, Address: netip.MustParseAddrPort("127.0.0.1:8443")}},
		DefaultCertificate: &model.Certificate{Key: model.Sensitive(canary)},
	}}
	result := translator.Translate(world, settings)
	for _, code := range []diag.Code{diag.CodeBadCertificate, diag.CodeUpstreamBroken} {
		if !slices.ContainsFunc(result.Diagnostics, func(d diag.D) bool { return d.Code == code }) {
			t.Errorf("a broken certificate is not diagnosed by %s", code)
		}
	}
	result.Gateway.ClientCertificates = []model.ClientCertificate{{Name: "default/web", Key: model.Sensitive(canary)}}
	text := fmt.Sprintf("%v %+v %#v %s", result.Diagnostics, result.Gateway, result.Gateway, explain.Print(result.Gateway))
	asJSON, err := json.Marshal(result.Gateway)
	if err != nil {
		t.Fatal(err)
	}
	for _, told := range []string{text, string(asJSON), string(fingerprint(t, result))} {
		if strings.Contains(told, canary) {
			t.Errorf("a private key is printed: %s", told)
		}
	}
}
