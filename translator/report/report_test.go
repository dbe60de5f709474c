package report_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/postern-gateway/postern/controlplane/files"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/report"
	"github.com/postern-gateway/postern/translator/resolve"
	"github.com/postern-gateway/postern/translator/source"
)

// settings are of both entries, and of class traefik.
func settings() translator.Settings {
	return translator.Settings{
		Selection: translator.Selection{Class: "traefik"},
		Resolve:   resolve.Settings{ClusterDomain: "cluster.local", Entries: []model.Entry{{Name: "http", PublicPort: 80}}, Edge: model.Edge{SlashRedirect: true}},
	}
}

// read makes the report's input of manifests.
func read(t testing.TB, manifests string) report.Input {
	t.Helper()
	state, err := files.Read([]string{files.StdinPath}, files.Options{Stdin: strings.NewReader(manifests)})
	if err != nil {
		t.Fatal(err)
	}
	return input(state.World())
}

func input(w source.World) report.Input {
	return report.Input{World: w, Result: translator.Translate(w, settings())}
}

func page(t testing.TB, in report.Input, p report.Page) string {
	t.Helper()
	var out bytes.Buffer
	if err := report.Make(in).HTML(&out, p); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// service is what the Ingresses of these tests lead to.
const service = "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: [{port: 80}]}}\n"

// ingress is an Ingress of shop with annotations beside its class.
func ingress(name, annotations string) string {
	return fmt.Sprintf("---\n{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: %[1]s, namespace: shop, annotations: {kubernetes.io/ingress.class: traefik, %[2]s}}, "+
		"spec: {rules: [{host: %[1]s.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}}\n", name, annotations)
}

// TestOutcomes: each outcome is that of an Ingress, with the reason where one is due.
func TestOutcomes(t *testing.T) {
	elsewhere := strings.ReplaceAll(ingress("elsewhere", ""), "ingress.class: traefik", "ingress.class: nginx")
	late := strings.ReplaceAll(ingress("without-routes", ""), "host: without-routes.test", "host: as-written.test")
	half := strings.ReplaceAll(ingress("half", ""), "paths: [", "paths: [{path: /x, pathType: Prefix, backend: {service: {name: none, port: {number: 80}}}}, ")
	restricted := strings.ReplaceAll(ingress("restricted", "'ingress.kubernetes.io/whitelist-source-range': 10.0.0.0/8"), "path: /,", "path: /x,")
	in := read(t, service+restricted+ingress("as-written", "")+ingress("approximated", "'traefik.ingress.kubernetes.io/rule-type': PathPrefixStrip")+
		ingress("incomplete", "'traefik.ingress.kubernetes.io/priorty': '3'")+ingress("closed", "'ingress.kubernetes.io/auth-type': basic, 'ingress.kubernetes.io/auth-secret': none")+
		elsewhere+late+half)
	r := report.Make(in)
	for _, want := range []struct {
		name    string
		outcome report.Outcome
		why     string
	}{
		{"approximated", report.Approximated, ""},
		{"as-written", report.AsWritten, ""},
		{"closed", report.Closed, "there is no Secret shop/none"},
		{"elsewhere", report.NotServed, "its class is nginx"},
		{"half", report.PartlyClosed, "there is no Service shop/none"},
		{"incomplete", report.Incomplete, ""},
		{"restricted", report.Approximated, ""},
		{"without-routes", report.WithoutRoutes, "as-written"},
	} {
		i := slices.IndexFunc(r.Ingresses, func(i report.Ingress) bool { return i.Origin.Name == want.name })
		if i < 0 {
			t.Errorf("%s is missing", want.name)
			continue
		}
		if got := r.Ingresses[i]; got.Outcome != want.outcome || !strings.Contains(got.Why, want.why) || want.why == "" && got.Why != "" {
			t.Errorf("%s: %s, %q; want %s, %q", want.name, got.Outcome, got.Why, want.outcome, want.why)
		}
	}
	if r.Summary.Ingresses != 7 || r.Summary.NotServed != 1 || len(r.Ingresses) != 8 {
		t.Errorf("the sums are %+v", r.Summary)
	}
	for _, a := range r.Annotations {
		if a.State == diag.StateUnknown && !strings.Contains(a.Fix+a.Note, "priority") {
			t.Errorf("nothing is said of what to do about %s: %+v", a.Origin, a)
		}
	}
}

// TestUnjudged: what may not be read is neither wrong nor right.
func TestUnjudged(t *testing.T) {
	in := read(t, service+ingress("a", "'ingress.kubernetes.io/auth-type': basic, 'ingress.kubernetes.io/auth-secret': users"))
	in.World.Unread = []source.Unread{{Kind: model.KindSecret, Namespace: "shop", Name: "users"}}
	r := report.Make(input(in.World))
	if i := r.Ingresses[0]; i.Outcome != report.Unjudged || i.Worst != nil && i.Worst.Severity == diag.Error || !strings.Contains(i.Why, "may not be read") {
		t.Errorf("%s, %q, %v", i.Outcome, i.Why, i.Worst)
	}
	if r.Summary.States[diag.StateUnjudged].Annotations != 1 || r.Summary.States[diag.StateCloses].Annotations != 0 {
		t.Errorf("the states are %v", r.Summary.States)
	}
}

// TestNamespace: another's Ingress is not told of, and still beats.
func TestNamespace(t *testing.T) {
	other := strings.ReplaceAll(strings.ReplaceAll(service+ingress("as", ""), "namespace: shop", "namespace: another"), "host: as.test", "host: b.test")
	in := read(t, service+ingress("b", "")+"---\n"+other)
	in.Namespace = "shop"
	r := report.Make(in)
	if len(r.Ingresses) != 1 || r.Ingresses[0].Outcome != report.WithoutRoutes || r.Summary.Annotations != 1 {
		t.Errorf("the report is %+v", r)
	}
	if text := page(t, in, report.Page{}); strings.Contains(text, "Namespace another") {
		t.Error("the page tells of another namespace")
	}
}

// TestPage: the page is as it was. UPDATE=1 writes it anew; look at it in a browser then.
func TestPage(t *testing.T) {
	manifests, err := os.ReadFile("../../docs/examples/migration/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	in := read(t, string(manifests))
	in.Caveats = []string{"You may not read Secret shop/other: what refers to it is not judged (P1005)."}
	got := page(t, in, report.Page{Title: "Shop", Place: "docs/examples/migration"})
	golden := filepath.Join("testdata", "page.html")
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || got != string(want) {
		t.Errorf("the page is another than %s (%v); UPDATE=1 go test writes it anew", golden, err)
	}
	if again := page(t, in, report.Page{Title: "Shop", Place: "docs/examples/migration"}); again != got {
		t.Error("the same report gives another page")
	}
}

// TestPageIsAlone: nothing is loaded, nothing runs, and what links lead to is on the page.
func TestPageIsAlone(t *testing.T) {
	manifests, err := os.ReadFile("../../docs/examples/migration/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	ids, links, policed := map[string]bool{}, []string{}, false
	walk(t, page(t, read(t, string(manifests)), report.Page{}), func(n *html.Node) {
		switch n.Data {
		case "script", "link", "img", "iframe", "object", "embed", "base", "form":
			t.Errorf("the page has an element %s", n.Data)
		case "style":
			sum := sha256.Sum256([]byte(n.FirstChild.Data))
			if !strings.Contains(report.Policy, "style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"';") {
				t.Errorf("its policy %s is not for its style", report.Policy)
			}
		case "meta":
			policed = policed || slices.Contains(n.Attr, html.Attribute{Key: "content", Val: report.Policy})
		}
		for _, a := range n.Attr {
			switch {
			case a.Key == "id" && ids[a.Val]:
				t.Errorf("id %s stands twice", a.Val)
			case a.Key == "id":
				ids[a.Val] = true
			case a.Key == "href":
				links = append(links, a.Val)
			case a.Key == "src", a.Key == "style", strings.HasPrefix(a.Key, "on"):
				t.Errorf("an element %s has %s", n.Data, a.Key)
			}
		}
		if n.Data == "th" && !slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "scope" }) {
			t.Error("a heading of a table does not say of what")
		}
	})
	if !policed {
		t.Error("the page has no policy")
	}
	for _, link := range links {
		if id, ok := strings.CutPrefix(link, "#"); !ok || !ids[id] {
			t.Errorf("a link leads to %s, which is not on the page", link)
		}
	}
	if len(links) < 10 {
		t.Errorf("the page has %d links", len(links))
	}
}

// TestHostileNames: whatever stands in an object, or is given as a title, is text on the page.
func TestHostileNames(t *testing.T) {
	const hostile = `</style></title><script>alert(1)</script><img src=x onerror=alert(1)>" onload="x" javascript:x {{.}} \u003c`
	in := read(t, service+ingress("a", "'traefik.ingress.kubernetes.io/priority': '3'"))
	w := in.World
	i := w.Ingresses[0].DeepCopy()
	i.Name, i.Namespace, i.Spec.Rules[0].Host = hostile, hostile, hostile
	for _, key := range []string{"traefik.ingress.kubernetes.io/" + hostile, "haproxy.org/" + hostile, hostile} {
		i.Annotations[key] = hostile
	}
	i.Annotations["traefik.ingress.kubernetes.io/priority"] = hostile
	i.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name = hostile
	hostileIngress := w.Ingresses[0]
	hostileIngress.Ingress, hostileIngress.File = i, hostile
	w.Ingresses = append(w.Ingresses, hostileIngress)
	made := input(w)
	made.Caveats = []string{hostile}
	text := page(t, made, report.Page{Title: hostile, Place: hostile})
	if !strings.Contains(text, "&lt;script&gt;alert(1)") {
		t.Fatal("the page does not show the names: the test shows nothing")
	}
	walk(t, text, func(n *html.Node) {
		if n.Data == "script" || n.Data == "img" {
			t.Errorf("a name becomes an element %s", n.Data)
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || strings.Contains(a.Val, "alert") {
				t.Errorf("a name becomes an attribute: %s=%q", a.Key, a.Val)
			}
		}
	})
}

// pageBytesMax bounds the page of 5,000 Ingresses that differ in all that they say.
const pageBytesMax = 12 << 20

// TestPageSize: 5,000 Ingresses that say the same take little more than their names, and those that all differ a bounded page.
func TestPageSize(t *testing.T) {
	const ingresses = 5000
	w := read(t, service+ingress("a", "'traefik.ingress.kubernetes.io/rule-type': PathPrefixStrip, 'ingress.kubernetes.io/ssl-redirect': 'true', 'traefik.ingress.kubernetes.io/priorty': '1'")).World
	of := func(change func(n int, i *source.Ingress)) source.World {
		out := w
		out.Ingresses = nil
		for n := range ingresses {
			i := w.Ingresses[0]
			i.Ingress = i.DeepCopy()
			i.Name = fmt.Sprintf("shop-%d", n)
			i.Spec.Rules[0].Host = fmt.Sprintf("shop-%d.test", n)
			change(n, &i)
			out.Ingresses = append(out.Ingresses, i)
		}
		return out
	}
	alike := len(page(t, input(of(func(int, *source.Ingress) {})), report.Page{}))
	differ := len(page(t, input(of(func(n int, i *source.Ingress) {
		i.Annotations["ingress.kubernetes.io/auth-type"], i.Annotations["ingress.kubernetes.io/auth-secret"] = "basic", fmt.Sprintf("users-%d", n)
	})), report.Page{}))
	t.Logf("%d Ingresses: %d KB alike, %d KB where all differ", ingresses, alike>>10, differ>>10)
	if alike > pageBytesMax/4 || differ > pageBytesMax {
		t.Errorf("the page has %d bytes where all are alike, and %d where all differ; want %d and %d at most", alike, differ, pageBytesMax/4, pageBytesMax)
	}
}

// TestJSON: what is documented stays, and values stay out.
func TestJSON(t *testing.T) {
	in := read(t, service+ingress("a", "'ingress.kubernetes.io/custom-request-headers': 'X:canary-credential'"))
	text, err := json.Marshal(report.Make(in))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "canary-credential") || strings.Contains(page(t, in, report.Page{}), "canary-credential") {
		t.Error("a value is shown")
	}
	for _, want := range []string{`"summary":{"ingresses":1,"notServed":0,"annotations":2`, `"outcomes":{"approximated":`, `"origin":{"kind":"Ingress"`, `"state":"applied"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("there is no %s in %s", want, text)
		}
	}
}

// walk visits all elements of a page.
func walk(t *testing.T, text string, visit func(*html.Node)) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			visit(n)
		}
	}
}
