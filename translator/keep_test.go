package translator_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/files"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/dialect/native"
	"github.com/postern-gateway/postern/translator/dialect/nginx"
	"github.com/postern-gateway/postern/translator/dialect/traefik"
	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/mutate"
	"github.com/postern-gateway/postern/translator/source"
)

// keptBase is what every step of these tests has.
const keptBase = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.0.0.1]}]
---
apiVersion: v1
kind: Secret
metadata: {name: users, namespace: shop}
stringData: {auth: "a:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="}
`

// shopIngress has one path of a.test, and annotations of the traefik dialect.
func shopIngress(name, path string, annotations ...string) string {
	for i, a := range annotations {
		annotations[i] = "traefik.ingress.kubernetes.io/" + a
	}
	return fmt.Sprintf(`
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %s, namespace: shop, annotations: {%s}}
spec: {rules: [{host: a.test, http: {paths: [{path: %s, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}
`, name, strings.Join(annotations, ", "), path)
}

func manifests(t *testing.T, text string) source.World {
	t.Helper()
	state, err := files.Read([]string{files.StdinPath}, files.Options{Stdin: strings.NewReader(text)})
	if err != nil {
		t.Fatal(err)
	}
	return state.World()
}

// keptStep is a state of the objects, and what is served of it.
type keptStep struct {
	name string
	// objects are beside keptBase, or are all where they have a Service of their own.
	objects string
	// open are paths of a.test that are served, closed ones answer 503, missing ones 404.
	open, closed, missing []string
	// codes are those of errors, each once.
	codes []diag.Code
}

const broken = "/b//c"

var keptCases = []struct {
	name  string
	steps []keptStep
}{
	{"a broken update leaves the version before", []keptStep{
		{name: "first", objects: shopIngress("a", "/a"), open: []string{"/a"}},
		{name: "broken", objects: shopIngress("a", broken), open: []string{"/a"}, missing: []string{"/b/c"}, codes: []diag.Code{"P2010", "P4002"}},
		{name: "broken otherwise", objects: shopIngress("a", "/b/../c"), open: []string{"/a"}, codes: []diag.Code{"P2010", "P4002"}},
		{name: "repaired", objects: shopIngress("a", "/b"), open: []string{"/b"}, missing: []string{"/a"}},
		{name: "deleted", missing: []string{"/a", "/b"}},
	}},
	{"a broken first version closes its own paths only", []keptStep{
		{name: "first", objects: shopIngress("a", broken) + shopIngress("b", "/d"), open: []string{"/d"}, closed: []string{"/b/c"}, missing: []string{"/x"}, codes: []diag.Code{"P4002"}},
		{name: "repaired", objects: shopIngress("a", "/b") + shopIngress("b", "/d"), open: []string{"/b", "/d"}},
	}},
	{"a deleted object is gone, and one of its name is another", []keptStep{
		{name: "first", objects: shopIngress("a", "/a"), open: []string{"/a"}},
		{name: "deleted", missing: []string{"/a"}},
		{name: "anew, and broken", objects: shopIngress("a", broken), closed: []string{"/b/c"}, missing: []string{"/a"}, codes: []diag.Code{"P4002"}},
	}},
	{"a value without effect", []keptStep{
		{name: "first", objects: shopIngress("a", "/a"), open: []string{"/a"}},
		{name: "broken", objects: shopIngress("a", "/new", "priority: high"), open: []string{"/a"}, missing: []string{"/new"}, codes: []diag.Code{"P2010", "P3004"}},
	}},
	{"a restriction that cannot be applied closes", []keptStep{
		{name: "first", objects: shopIngress("a", "/a"), open: []string{"/a"}},
		{name: "a broken list", objects: shopIngress("a", "/a", "whitelist-source-range: nonsense"), closed: []string{"/a"}, codes: []diag.Code{"P3004"}},
		{name: "missing users", objects: shopIngress("a", "/a", "auth-type: basic", "auth-secret: nobody"), closed: []string{"/a"}, codes: []diag.Code{"P5030"}},
		{name: "a misspelt key", objects: shopIngress("a", "/a", "whitelist-source-rang: 10.0.0.0/8"), closed: []string{"/a"}, codes: []diag.Code{"P3001"}},
		{name: "repaired", objects: shopIngress("a", "/a"), open: []string{"/a"}},
	}},
	{"an update that restricts is not held back by another error", []keptStep{
		{name: "first", objects: shopIngress("a", "/a"), open: []string{"/a"}},
		{name: "restricted and broken", objects: shopIngress("a", broken, "auth-type: basic", "auth-secret: users"), closed: []string{"/b/c"}, missing: []string{"/a"}, codes: []diag.Code{"P4002"}},
	}},
	{"a restriction that stays", []keptStep{
		{name: "first", objects: shopIngress("a", "/a", "whitelist-source-range: 127.0.0.0/8"), open: []string{"/a"}},
		{name: "broken", objects: shopIngress("a", broken, "whitelist-source-range: 127.0.0.0/8"), open: []string{"/a"}, codes: []diag.Code{"P2010", "P4002"}},
		{name: "narrower and broken", objects: shopIngress("a", broken, "whitelist-source-range: 127.0.0.2/32"), closed: []string{"/b/c"}, missing: []string{"/a"}, codes: []diag.Code{"P4002"}},
	}},
	{"a path that is given up to an Ingress that restricts it", []keptStep{
		{name: "first", objects: shopIngress("a", "/a"), open: []string{"/a"}},
		{name: "given up", objects: shopIngress("a", broken) + shopIngress("z", "/", "auth-type: basic", "auth-secret: nobody"),
			closed: []string{"/a", "/b/c"}, codes: []diag.Code{"P4002", "P5030"}},
	}},
	{"what the world lacks is not the update's fault", []keptStep{
		{name: "first", objects: shopIngress("a", "/a"), open: []string{"/a"}},
		{name: "without the Service", objects: serviceless + shopIngress("a", "/a"), closed: []string{"/a"}, codes: []diag.Code{"P5001"}},
		{name: "an update meanwhile", objects: serviceless + shopIngress("a", "/b"), closed: []string{"/b"}, missing: []string{"/a"}, codes: []diag.Code{"P5001"}},
	}},
	{"a Service", []keptStep{
		{name: "first", objects: shopIngress("a", "/a"), open: []string{"/a"}},
		{name: "refused", objects: externalWeb + shopIngress("a", "/a"), open: []string{"/a"}, codes: []diag.Code{"P2010", "P5015"}},
	}},
}

// TestKeep: what is served of updates, one after the other.
func TestKeep(t *testing.T) {
	for _, c := range keptCases {
		t.Run(c.name, func(t *testing.T) {
			var before source.World
			for _, step := range c.steps {
				text := keptBase + step.objects
				if strings.Contains(step.objects, "kind: Service") {
					text = step.objects
				}
				kept := translator.Keep(manifests(t, text), translator.Keeping{Before: before}, keepSettings(t))
				before = kept.World
				step.check(t, kept.Result)
			}
		})
	}
}

const (
	serviceless = `
apiVersion: v1
kind: Service
metadata: {name: other, namespace: shop}
spec: {ports: [{port: 80}]}
`
	externalWeb = `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.0.0.1]}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: ExternalName, externalName: localhost, ports: [{port: 80}]}
`
)

func keepSettings(t *testing.T) translator.Settings {
	t.Helper()
	c, err := casetest.Parse(t, "keep", []byte("Settings.\n-- input.yaml --\n-- settings.yaml --\nhttps: \"\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, s := c.World(t)
	return s
}

func (s keptStep) check(t *testing.T, r translator.Result) {
	t.Helper()
	for want, paths := range map[string][]string{"open": s.open, "closed": s.closed, "missing": s.missing} {
		for _, path := range paths {
			story, err := explain.Explain(r.Gateway, r.Diagnostics, explain.Request{Method: "GET", URL: "http://a.test:8080" + path, From: netip.MustParseAddr("127.0.0.1")})
			if err != nil {
				t.Fatal(err)
			}
			got := map[int]string{0: "open", 503: "closed", 404: "missing"}[story.Decision.Status]
			if got != want {
				t.Errorf("%s: %s is %q (%d), want it %s\n%s", s.name, path, got, story.Decision.Status, want, explain.Print(r.Gateway))
			}
		}
	}
	var codes []diag.Code
	for _, d := range r.Diagnostics {
		if d.Severity == diag.Error && !slices.Contains(codes, d.Code) {
			codes = append(codes, d.Code)
		}
	}
	slices.Sort(codes)
	if !slices.Equal(codes, s.codes) {
		t.Errorf("%s: errors %v, want %v: %v", s.name, codes, s.codes, r.Diagnostics)
	}
}

// TestKeepIsTranslate: where nothing has changed, and where nothing is served yet, nothing is kept; and whatever an update
// is like, what it says that closes its routes is served.
func TestKeepIsTranslate(t *testing.T) {
	eachCase(t, func(t *testing.T, w source.World, s translator.Settings) {
		want := fingerprint(t, translator.Translate(w, s))
		for _, before := range []source.World{{}, w} {
			if got := fingerprint(t, translator.Keep(w, translator.Keeping{Before: before}, s).Result); !bytes.Equal(got, want) {
				t.Fatal("another result than Translate's")
			}
		}
		for seed := range uint64(mutantsPerCase / 10) {
			mutant := mutate.World(w, seed)
			kept := translator.Keep(mutant, translator.Keeping{Before: w}, s)
			still := closing(kept.Result)
			for object := range closing(translator.Translate(mutant, s)) {
				if !still[object] {
					t.Errorf("seed %d: %s closes its routes, and the version before opens them", seed, object)
				}
			}
			again := translator.Keep(mutant, translator.Keeping{Before: kept.World}, s)
			if !bytes.Equal(fingerprint(t, again.Result), fingerprint(t, kept.Result)) {
				t.Errorf("seed %d: another look gives another result", seed)
			}
		}
	})
}

// closing are the Ingresses that have an annotation because of which routes answer 503, but for those that shape requests,
// as a rewrite that cannot be applied does: there the version before is the better answer.
func closing(r translator.Result) map[string]bool {
	out := map[string]bool{}
	for _, a := range r.Annotations {
		shapes := false
		for _, table := range []*dialect.Table{traefik.Table, nginx.Table, native.Table} {
			entry, known := table.Find(a.Key, dialect.OnIngress)
			shapes = shapes || a.Dialect == table.Name && known && !entry.Restricts && !entry.Protects
		}
		if a.State == diag.StateCloses && a.Origin.Kind == "Ingress" && !shapes {
			out[a.Origin.Object()] = true
		}
	}
	return out
}

// TestKeepRefused: what is served in the place of a version that a proxy refuses, which Postern finds nothing wrong with.
func TestKeepRefused(t *testing.T) {
	good, bad := shopIngress("a", "/a"), shopIngress("a", "/b")
	const refused = diag.Code("P2011")
	for _, c := range []struct {
		name        string
		before, now string
		leftOut     bool
		want        keptStep
	}{
		{"an update", good, bad, false, keptStep{open: []string{"/a"}, missing: []string{"/b"}, codes: []diag.Code{refused}}},
		{"a first version", "", bad, false, keptStep{closed: []string{"/b"}, missing: []string{"/a"}, codes: []diag.Code{refused}}},
		{"an update that restricts", good, shopIngress("a", "/b", "whitelist-source-range: 10.0.0.0/8"), false,
			keptStep{closed: []string{"/b"}, missing: []string{"/a"}, codes: []diag.Code{refused}}},
		{"a 503 that is refused too", "", bad, true, keptStep{missing: []string{"/a", "/b"}, codes: []diag.Code{refused}}},
	} {
		other := shopIngress("other", "/other")
		before, now := manifests(t, keptBase+c.before+other), manifests(t, keptBase+c.now+other)
		refusal := translator.Refusal{Version: ingressVersion(now, "a"), Before: ingressVersion(before, "a"), Words: "no", LeftOut: c.leftOut}
		keeping := translator.Keeping{Before: before, Refusals: []translator.Refusal{refusal}}
		c.want.name, c.want.open = c.name, append(c.want.open, "/other")
		kept := translator.Keep(now, keeping, keepSettings(t))
		c.want.check(t, kept.Result)
		// Endpoints come by the short path, and a version that is not the refused one is served.
		c.want.check(t, translator.WithEndpoints(kept.Result, kept.World, keepSettings(t)))
		keeping.Before = kept.World
		next := translator.Keep(manifests(t, keptBase+shopIngress("a", "/c")+other), keeping, keepSettings(t))
		keptStep{name: c.name + ", repaired", open: []string{"/c", "/other"}, missing: []string{"/a", "/b"}}.check(t, next.Result)
		broken := translator.Keep(manifests(t, keptBase+shopIngress("a", "/c//d")+other), keeping, keepSettings(t))
		if served := ingressVersion(broken.World, "a"); c.before == "" && served.Ingress != nil && served.Ingress.Ingress == refusal.Version.Ingress.Ingress {
			t.Errorf("%s: the refused version serves in the place of a broken one", c.name)
		}
	}
}

func ingressVersion(w source.World, name string) translator.Version {
	for i := range w.Ingresses {
		if w.Ingresses[i].Name == name {
			return translator.Version{Ingress: &w.Ingresses[i]}
		}
	}
	return translator.Version{}
}
