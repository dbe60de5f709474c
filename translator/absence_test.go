package translator_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/source"
)

// askingIngress is an Ingress of a class, empty for none, whose rules ask for hosts, with further lines of metadata.
func askingIngress(name, class, metadata string, hosts ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: %s\n  namespace: ns\n%sspec:\n", name, metadata)
	if class != "" {
		fmt.Fprintf(&b, "  ingressClassName: %s\n", class)
	}
	b.WriteString("  rules:\n")
	for _, host := range hosts {
		b.WriteString("  - ")
		if host != "" {
			fmt.Fprintf(&b, "host: %q\n    ", host)
		}
		b.WriteString("http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}\n")
	}
	return b.String()
}

const webService = `---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: ns}, spec: {ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-1, namespace: ns, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, endpoints: [{addresses: [10.0.0.1]}], ports: [{port: 80}]}
`

func worldOf(t *testing.T, objects, settings string) (source.World, translator.Settings) {
	t.Helper()
	c, err := casetest.Parse(t, "absence", []byte("# A world.\n\n-- input.yaml --\n"+objects+webService+"-- settings.yaml --\n"+settings))
	if err != nil {
		t.Fatal(err)
	}
	return c.World(t)
}

func storyOf(t *testing.T, r translator.Result, url string) explain.Story {
	t.Helper()
	story, err := explain.Explain(r.Gateway, r.Diagnostics, explain.Request{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	return story
}

// TestAbsenceIsTold: where no route of the request's host matches, the story says what may be missing.
func TestAbsenceIsTold(t *testing.T) {
	const onlyOurs = "ingress-class: ours\n"
	httpsOnly := "  annotations: {kubernetes.io/ingress.class: ours, traefik.ingress.kubernetes.io/frontend-entry-points: https}\n"
	for _, tt := range []struct {
		name, objects, settings, url string
		// notes are parts of the notes in order; those are all of them that tell of it.
		notes    []string
		unserved int
	}{
		{"a class", askingIngress("a", "theirs", "", "a.test") + askingIngress("b", "ours", "", "b.test"), onlyOurs, "http://a.test/x",
			[]string{"Ingress ns/a spec.ingressClassName (input.yaml:8) asks for a.test and is not served: its class is theirs, --ingress-class is ours"}, 1},
		{"no class", askingIngress("a", "", "", "A.test") + askingIngress("b", "ours", "", "b.test"), onlyOurs, "http://a.test/x",
			[]string{"asks for a.test and is not served: it names no class, --ingress-class is ours"}, 1},
		{"a label", askingIngress("a", "", "", "a.test") + askingIngress("b", "", "  labels: {in: use}\n", "b.test"), "ingress-selector: in=use\n", "http://a.test/",
			[]string{"asks for a.test and is not served: its labels do not match --ingress-selector in=use"}, 1},
		{"a wildcard", askingIngress("a", "theirs", "", "*.a.test") + askingIngress("b", "ours", "", "b.test"), onlyOurs, "http://x.a.test/",
			[]string{"asks for *.a.test and is not served"}, 1},
		{"its own host before a wildcard and every host", askingIngress("a", "theirs", "", "") + askingIngress("b", "theirs", "", "*.test") +
			askingIngress("c", "theirs", "", "x.test") + askingIngress("d", "ours", "", "b.other"), onlyOurs, "http://x.test/",
			[]string{"Ingress ns/c", "Ingress ns/b", "asks for every host and is not served"}, 3},
		{"beside a route for every host", askingIngress("a", "theirs", "", "a.test", "") + askingIngress("b", "ours", "", ""), onlyOurs, "http://a.test/",
			[]string{"asks for a.test and is not served"}, 1},
		{"another host than a route for every host has", askingIngress("a", "theirs", "", "c.other", "") + askingIngress("b", "ours", "", ""), onlyOurs, "http://a.test/", nil, 0},
		{"beside its own route", askingIngress("a", "theirs", "", "a.test") + askingIngress("b", "ours", "", "a.test"), onlyOurs, "http://a.test/", nil, 0},
		{"another entry", askingIngress("a", "", httpsOnly, "a.test"), onlyOurs, "http://a.test/x?y",
			[]string{"a.test is on the entry https, where https://a.test:8443/x?y is answered, by Ingress ns/a spec.rules[0].http.paths[0]"}, 0},
		{"a misspelt host", askingIngress("a", "", "", "shop.test"), "", "https://shop.tset/", []string{"no rule names shop.tset; did you mean shop.test?"}, 0},
		{"no host that is near", askingIngress("a", "", "", "shop.test"), "", "http://other.example/", nil, 0},
		{"an address", askingIngress("a", "", "", "10.test"), "", "http://10.0.0.1/", nil, 0},
		{"nothing", "", "", "http://a.test/", []string{"no request is served at all: there is no Ingress"}, 0},
		{"nothing but others", askingIngress("a", "theirs", "", "b.other"), onlyOurs, "http://a.test/",
			[]string{"no request is served at all; of the Ingresses that class or labels leave out (1) the first is Ingress ns/a: its class is theirs"}, 0},
	} {
		w, s := worldOf(t, tt.objects, tt.settings)
		story := storyOf(t, translator.Translate(w, s), tt.url)
		told := slices.DeleteFunc(slices.Clone(story.Notes), func(n string) bool { return strings.Contains(n, "certificate") || strings.Contains(n, "port") })
		ok := len(told) == len(tt.notes) && len(story.Unserved) == tt.unserved
		for i := 0; ok && i < len(told); i++ {
			ok = strings.Contains(told[i], tt.notes[i])
		}
		count := 0
		for _, d := range story.Diagnostics {
			if d.Code == diag.CodeNotSelected {
				count++
			}
		}
		if !ok || count != tt.unserved {
			t.Errorf("%s: %d unserved, %d diagnostics, notes %q; want %d and %q", tt.name, len(story.Unserved), count, told, tt.unserved, tt.notes)
		}
	}
}

// TestAbsenceIsBounded: of many Ingresses that ask for a host some are told, and the number of the others.
func TestAbsenceIsBounded(t *testing.T) {
	var objects strings.Builder
	for i := range 30 {
		objects.WriteString(askingIngress(fmt.Sprintf("a%02d", i), "theirs", "", "a.test"))
	}
	w, s := worldOf(t, objects.String(), "ingress-class: ours\n")
	story := storyOf(t, translator.Translate(w, s), "http://a.test/")
	if len(story.Unserved) != 5 || len(story.Diagnostics) != 5 || !slices.Contains(story.Notes, "25 more of those that ask for it are not served") {
		t.Errorf("%d Ingresses, %d diagnostics, %q", len(story.Unserved), len(story.Diagnostics), story.Notes)
	}
}

// TestUnservedChangeNothing: Ingresses that are not served make no other resources and no other answers.
func TestUnservedChangeNothing(t *testing.T) {
	w, s := worldOf(t, askingIngress("b", "ours", "", "b.test", "*.c.test")+askingIngress("a", "theirs", "", "b.test", "a.test", ""), "ingress-class: ours\n")
	with := translator.Translate(w, s)
	w.Ingresses = slices.DeleteFunc(slices.Clone(w.Ingresses), func(i source.Ingress) bool { return i.Name == "a" })
	without := translator.Translate(w, s)
	if len(with.Gateway.Unserved) != 1 || !slices.Equal(with.Gateway.Unserved[0].Hosts, []string{"", "a.test", "b.test"}) {
		t.Fatalf("unserved are %+v", with.Gateway.Unserved)
	}
	if !reflect.DeepEqual(with.Resources, without.Resources) {
		t.Error("the resources are others")
	}
	for _, url := range []string{"http://b.test/", "http://a.test/", "http://x.c.test/"} {
		if a, b := storyOf(t, with, url), storyOf(t, without, url); !reflect.DeepEqual(a.Decision, b.Decision) {
			t.Errorf("%s: %+v, without the Ingress that is not served %+v", url, a.Decision, b.Decision)
		}
	}
}
