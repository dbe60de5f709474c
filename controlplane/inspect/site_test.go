package inspect

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/dataplane/failing"
	"github.com/postern-gateway/postern/translator/diag"
)

// pageBytesMax is how long no page may be.
const pageBytesMax = 1 << 20

// site is all pages of one View.
type site struct {
	t       testing.TB
	handler http.Handler
}

func siteOf(t testing.TB, v View) site {
	return site{t, newInspector().pagesOf(func(*http.Request) (View, bool) { return v, true })}
}

func (s site) get(address string) (int, http.Header, string) {
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, address, nil))
	return w.Code, w.Header(), w.Body.String()
}

// page is a page that has to be there, as its elements.
func (s site) page(address string) *html.Node {
	s.t.Helper()
	status, header, body := s.get(address)
	if status != http.StatusOK || !strings.HasPrefix(header.Get("Content-Type"), "text/html") {
		s.t.Fatalf("%s: %d %s\n%.0s", address, status, header.Get("Content-Type"), body)
	}
	node, err := html.Parse(strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	return node
}

// crawl calls visit for every page that a link leads to, from the overview on.
func (s site) crawl(visit func(address string, page *html.Node)) int {
	s.t.Helper()
	waiting, seen := []string{"/"}, map[string]bool{"/": true}
	for len(waiting) > 0 {
		address := waiting[0]
		waiting = waiting[1:]
		page := s.page(address)
		visit(address, page)
		base, err := url.Parse("http://gateway" + address)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, a := range elements(page, "a") {
			to, err := base.Parse(attribute(a, "href"))
			if err != nil {
				s.t.Errorf("%s: link %q: %v", address, attribute(a, "href"), err)
				continue
			}
			if to.Host != "gateway" {
				s.t.Errorf("%s leads away, to %s", address, to)
			}
			next := to.RequestURI()
			if !seen[next] && to.Query().Get("format") == "" && to.Path != reportFilePath {
				seen[next] = true
				waiting = append(waiting, next)
			}
		}
	}
	return len(seen)
}

func elements(n *html.Node, names ...string) []*html.Node {
	var out []*html.Node
	for e := range n.Descendants() {
		if e.Type == html.ElementNode && (len(names) == 0 || slices.Contains(names, e.Data)) {
			out = append(out, e)
		}
	}
	return out
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for e := range n.Descendants() {
		if e.Type == html.TextNode {
			b.WriteString(e.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// TestPagesAreSound crawls all of a gateway with one of everything: each link leads to a page, each page is one, and nothing in
// it would need an exception from the Content-Security-Policy.
func TestPagesAreSound(t *testing.T) {
	v := shopView(t)
	before := viewOf(t, strings.ReplaceAll(shopText(t), "path: /team-b", "path: /team-c"))
	v.Earlier = []Moment{{Revision: 6, At: testTime, Gateway: before.Result.Gateway}}
	visited := map[string]int{}
	n := siteOf(t, v).crawl(func(address string, page *html.Node) {
		checkPage(t, address, page)
		path, _, _ := strings.Cut(address, "?")
		visited[path]++
	})
	for _, p := range pages() {
		if p.template != "" && visited[strings.TrimSuffix(p.pattern, "{$}")] == 0 && p.pattern != "/search" {
			t.Errorf("no link leads to %s", p.pattern)
		}
	}
	t.Logf("%d pages: %v", n, visited)
}

func checkPage(t *testing.T, address string, page *html.Node) {
	t.Helper()
	fault := func(format string, args ...any) { t.Errorf(address+": "+format, args...) }
	if lang := attribute(elements(page, "html")[0], "lang"); lang != "en" {
		fault("its language is %q", lang)
	}
	if titles := elements(elements(page, "head")[0], "title"); len(titles) != 1 || textOf(titles[0]) == "· Postern" {
		fault("its title is %v", titles)
	}
	if h1 := elements(page, "h1"); len(h1) != 1 || textOf(h1[0]) == "" {
		fault("%d h1", len(h1))
	}
	labels, ids := map[string]bool{}, map[string]bool{}
	for _, e := range elements(page) {
		if of := attribute(e, "for"); e.Data == "label" && of != "" {
			labels[of] = true
		}
		if id := attribute(e, "id"); id != "" {
			if ids[id] {
				fault("two elements have the id %s", id)
			}
			ids[id] = true
		}
	}
	for _, e := range elements(page) {
		for _, a := range e.Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				fault("%s has %s", e.Data, a.Key)
			}
			if a.Key == "aria-labelledby" || a.Key == "aria-describedby" {
				for _, id := range strings.Fields(a.Val) {
					if !ids[id] {
						fault("%s names #%s, which is not there", a.Key, id)
					}
				}
			}
		}
		switch e.Data {
		case "style", "iframe", "object", "embed", "img", "base":
			fault("it has %s", e.Data)
		case "script":
			if attribute(e, "src") == "" || e.FirstChild != nil {
				fault("an inline script")
			}
		case "input", "select", "textarea":
			inLabel := e.Parent.Data == "label"
			if attribute(e, "type") != "hidden" && !labels[attribute(e, "id")] && !inLabel {
				fault("%s %s has no label", e.Data, attribute(e, "name"))
			}
		}
	}
}

// TestEveryPageIsJSON: what pages show is there for programs, at the address that they name, by the query or by Accept.
func TestEveryPageIsJSON(t *testing.T) {
	s := siteOf(t, shopView(t))
	s.crawl(func(address string, page *html.Node) {
		if strings.HasPrefix(address, "/explain") && !strings.Contains(address, "url=") {
			return // There is no JSON of an empty form.
		}
		if !slices.ContainsFunc(elements(page, "a"), func(a *html.Node) bool { return textOf(a) == "As JSON" }) {
			t.Errorf("%s: no link to its JSON", address)
			return
		}
		base, _ := url.Parse("http://gateway" + address)
		for _, a := range elements(page, "a") {
			if textOf(a) != "As JSON" {
				continue
			}
			to, err := base.Parse(attribute(a, "href"))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(to.EscapedPath(), "%2F") {
				t.Errorf("%s has escaped slashes in its path, which gateways refuse", to)
			}
			status, header, body := s.get(to.RequestURI())
			if status != http.StatusOK || header.Get("Content-Type") != "application/json" || !json.Valid([]byte(body)) {
				t.Errorf("%s: %d %s %.200s", to, status, header.Get("Content-Type"), body)
			}
		}
	})
	r := httptest.NewRequest(http.MethodGet, "/hosts", nil)
	r.Header.Set("Accept", "application/json")
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	var hosts struct{ Hosts []struct{ Name string } }
	if err := json.Unmarshal(w.Body.Bytes(), &hosts); err != nil || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%v %s", err, w.Body)
	}
	if !slices.ContainsFunc(hosts.Hosts, func(h struct{ Name string }) bool { return h.Name == "admin.shop.test" }) {
		t.Errorf("the hosts are %+v", hosts.Hosts)
	}
}

// TestNoSecretIsShown: the values of headers, the hashes of users and the keys of certificates stand in no page, and in no JSON
// that a page leads to.
func TestNoSecretIsShown(t *testing.T) {
	v := shopView(t)
	s := siteOf(t, v)
	secrets := []string{"canary-header-value", "canary00", "BxBBwEmXNjhrwdlJSJAAH1", "PRIVATE KEY"}
	for _, secret := range v.World.Secrets {
		if key := secret.Data["tls.key"]; len(key) > 0 {
			secrets = append(secrets, strings.Split(string(key), "\n")[1])
		}
	}
	check := func(address string) {
		_, _, body := s.get(address)
		for _, secret := range secrets {
			if strings.Contains(body, secret) {
				t.Errorf("%s holds %q", address, secret)
			}
		}
	}
	s.crawl(func(address string, page *html.Node) {
		check(address)
		if strings.HasPrefix(address, "/explain") {
			return // Its JSON is explain's own, with all that the backend sees.
		}
		for _, a := range elements(page, "a") {
			if href := attribute(a, "href"); strings.Contains(href, "format=json") {
				check("/" + strings.TrimPrefix(href, "./"))
			}
		}
	})
	check("/explain?url=" + url.QueryEscape("http://shop.test/cart/x"))
	// It is there to be found.
	if r := v.index().routesOf[objectID{"Ingress", "", "shop", "cart"}][0].route().RequestHeaders; !strings.Contains(fmt.Sprint(r), "canary-header-value") {
		t.Error("the canary is not in the model")
	}
}

// TestHostileWords: whatever objects, proxies and askers call things is text.
func TestHostileWords(t *testing.T) {
	const evil = `"'><script>alert(1)</script><img src=x onerror=alert(2)>`
	v := shopView(t)
	v.Proxies[1].Node, v.Proxies[1].Types[0].LastNACK.Words = evil, evil
	v.Proxies[1].Types[0].Pending = []string{evil}
	v.Version = evil
	v.Failing = map[string]failing.Failure{"shop/web/80": {Reason: evil, Last: testTime}}
	ds := slices.Clone(v.Result.Diagnostics)
	ds[0].Message, ds[0].Effect, ds[0].Fix = evil, evil, evil
	ds[0].Origin.Name, ds[0].Origin.Annotation, ds[0].Origin.File = evil, evil, evil
	ds[0].Others = []diag.Origin{{Kind: evil, Name: evil, Field: evil}}
	v.Result.Diagnostics = ds
	annotations := slices.Clone(v.Result.Annotations)
	annotations[0].Origin.Annotation, annotations[0].Note = evil, evil
	v.Result.Annotations = annotations
	tables := slices.Clone(v.Result.Gateway.Tables)
	for i := range tables {
		tables[i].Exact = slices.Clone(tables[i].Exact)
		for j := range tables[i].Exact {
			routes := slices.Clone(tables[i].Exact[j].Routes)
			for k := range routes {
				routes[k].Path.Value = "/" + evil
			}
			tables[i].Exact[j].Routes = routes
		}
	}
	v.Result.Gateway.Tables = tables
	s := siteOf(t, v)
	addresses := []string{"/proxy?node=" + url.QueryEscape(evil)}
	for _, page := range []string{"search", "hosts", "ingresses", "services", "certificates", "diagnostics", "report", "resources"} {
		addresses = append(addresses, "/"+page, "/"+page+"?q="+url.QueryEscape(evil)+"&state="+url.QueryEscape(evil)+"&kind="+url.QueryEscape(evil))
	}
	for _, h := range v.index().hosts {
		addresses = append(addresses, "/"+h.link())
	}
	for _, of := range v.index().served {
		addresses = append(addresses, "/"+linkOf(of))
	}
	for name := range v.index().backends {
		addresses = append(addresses, "/"+link("service", "backend", name))
	}
	for _, address := range append(addresses, "/", "/proxies", "/explain?url=https://shop.test/&from="+url.QueryEscape(evil)) {
		checkWords(t, s, address)
	}
	for _, page := range []string{"host?name=", "ingress?name=", "certificate?id=", "service?backend=", "proxy?node=", "diff?from=", "resources?type=", "diagnostics?code=", "a/b/"} {
		checkWords(t, s, "/"+page+url.QueryEscape(evil))
	}
}

// checkWords checks that a page has no element but its own, whatever its status is.
func checkWords(t *testing.T, s site, address string) {
	t.Helper()
	_, header, body := s.get(address)
	if !strings.HasPrefix(header.Get("Content-Type"), "text/html") {
		t.Errorf("%s: %s", address, header.Get("Content-Type"))
	}
	node, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	checkPage(t, address, node)
	if scripts := elements(node, "script"); len(scripts) != 1 {
		t.Errorf("%s: %d scripts", address, len(scripts))
	}
}

// TestPagesFail: what is not there, or not yet, is told by a page, from which links lead back whatever its address is.
func TestPagesFail(t *testing.T) {
	s := siteOf(t, shopView(t))
	for address, want := range map[string]int{
		"/nothing": 404, "/a/b/nothing": 404, "/host?name=nobody.test": 404, "/host": 400, "/host?entry=http": 400, "/ingress?namespace=shop&name=nobody": 404, "/certificate": 400, "/certificate?id=none": 404, "/service?backend=a/b/1": 404,
		"/service?namespace=a&name=b": 404, "/proxy?node=nobody": 404, "/diagnostics?code=P0000": 404, "/diff?from=3": 404, "/diff?from=x&to=y": 400,
		"/resources?type=nothing": 404, "/resources?type=clusters&name=nothing": 404, "/explain?url=x": 400,
	} {
		status, _, body := s.get(address)
		if status != want {
			t.Errorf("%s: %d, want %d", address, status, want)
		}
		node, err := html.Parse(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		checkPage(t, address, node)
		base, _ := url.Parse("http://gateway" + address)
		if home, _ := base.Parse(attribute(elements(node, "a")[1], "href")); home.Path != "/" {
			t.Errorf("%s: the overview is at %s", address, home)
		}
	}
	before := newInspector()
	w := httptest.NewRecorder()
	before.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/hosts", nil))
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "has not published anything yet") {
		t.Errorf("before the first publication: %d %s", w.Code, w.Body)
	}
}

// TestWebPageDocument: docs/operate/web-page.md has every page.
func TestWebPageDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/operate/web-page.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages() {
		address := strings.TrimSuffix(p.pattern, "{$}")
		if p.template != "" && !strings.Contains(string(text), "`"+address+"`") && !strings.Contains(string(text), "`"+address+"?") {
			t.Errorf("it does not tell of %s", address)
		}
	}
}

// TestRoot: links lead to the pages from any depth.
func TestRoot(t *testing.T) {
	for path, want := range map[string]string{"/": "./", "/hosts": "./", "/a/b": "../", "/a/b/": "../../", "": "./"} {
		if got := rootOf(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

// TestPageSizes: at 5,000 Ingresses, a thousand of them on one host, no page is longer than 1 MiB, nor where none is served.
func TestPageSizes(t *testing.T) {
	v := viewOf(t, many(5000))
	v.Proxies = []xds.ProxyState{{Node: "edge", Revision: 7}}
	began := time.Now()
	v.index()
	t.Logf("index of %d routes: %s", v.index().routes, time.Since(began))
	certificate := "/" + v.index().certificates[0].link()
	checkSizes(t, siteOf(t, v), []string{
		"/", "/hosts", "/hosts?state=trouble", "/host?entry=https&name=shared.example.com", "/host?entry=https&name=shared.example.com&page=10", "/ingresses", "/ingresses?state=trouble",
		"/ingress?namespace=team-1&name=app-1", "/services", "/service?backend=team-5%2Fsvc-5%2F80", "/certificates", certificate, certificate + "&page=30",
		"/proxies", "/diagnostics", "/report", "/report?page=50", "/report?format=json&page=2", "/resources?type=clusters", "/search?q=app", "/search?q=app&kind=hosts", "/search?q=10.0.",
		"/search?q=10.0.&kind=endpoints", "/search?q=%2Fapp-9&kind=paths", "/explain?url=" + url.QueryEscape("https://shared.example.com/app-999"), "/resources?type=routes&name=http",
	})
	none := viewOf(t, strings.Replace(many(5000), "{}", "ingress-class: mistaken", 1))
	if n := len(none.index().unserved); n != 5000 {
		t.Fatalf("%d are not served", n)
	}
	checkSizes(t, siteOf(t, none), []string{"/", "/ingresses", "/ingresses?state=not-served&page=7", "/search?q=app", "/search?q=app&kind=ingresses"})
}

func checkSizes(t *testing.T, s site, addresses []string) {
	t.Helper()
	for _, address := range addresses {
		began := time.Now()
		status, _, body := s.get(address)
		t.Logf("%-70s %7d bytes in %s", address, len(body), time.Since(began).Round(time.Millisecond/10))
		if status != http.StatusOK || len(body) > pageBytesMax {
			t.Errorf("%s: %d, %d bytes", address, status, len(body))
		}
		if rows := len(regexp.MustCompile(`<tr>`).FindAllString(body, -1)); rows > 3*pageMax {
			t.Errorf("%s: %d rows", address, rows)
		}
	}
}
