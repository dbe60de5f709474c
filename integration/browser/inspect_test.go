package browser

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// sitemap are the inspection pages, by the name of their screenshots.
var sitemap = []struct{ name, path string }{
	{"overview", ""}, {"hosts", "hosts"}, {"host", "host?entry=https&name=shop.test"}, {"ingresses", "ingresses"}, {"ingress", "ingress?namespace=team-b&name=late"},
	{"ingress-mistaken", "ingress?namespace=team-b&name=mistaken"}, {"services", "services"}, {"service", "service?backend=shop%2Fimages%2F80"}, {"service-tls", "service?namespace=shop&name=admin"},
	{"certificates", "certificates"}, {"proxies", "proxies"}, {"resources", "resources"}, {"resources-clusters", "resources?type=clusters"}, {"resource", "resources?type=clusters&name=shop%2Fweb%2F80"},
	{"diagnostics", "diagnostics"}, {"diagnostic", "diagnostics?code=P4003"}, {"report", "report"}, {"report-file", "report.html"}, {"explain-form", "explain"}, {"explain", "explain?url=https%3A%2F%2Fshop.test%2Fimages%2Fa.png"},
	{"explain-cart", "explain?url=https%3A%2F%2Fshop.test%2Fcart&header=Accept%3A+text%2Fhtml"}, {"explain-error", "explain?url=shop.test"}, {"search", "search?q=shop"}, {"search-address", "search?q=10.0.0.9"}, {"diff", "diff"}, {"not-found", "nothing/here"},
}

// TestInspectionPages looks at the pages of a small gateway as people do.
func TestInspectionPages(t *testing.T) {
	browser := newBrowser(t)
	i := inspect(t, postern(t), fewIngresses(t))
	fail(t, i)
	t.Run("every page", func(t *testing.T) { everyPage(t, browser, i) })
	t.Run("by keyboard", func(t *testing.T) { byKeyboard(newTab(t, browser), i) })
	t.Run("search while typing", func(t *testing.T) { searchWhileTyping(newTab(t, browser), i) })
	t.Run("explain", func(t *testing.T) { explainForm(newTab(t, browser), i) })
	t.Run("without scripts", func(t *testing.T) { withoutScripts(newTab(t, browser), i) })
	t.Run("live", func(t *testing.T) { edited(newTab(t, browser), i) })
	t.Run("compared live", func(t *testing.T) { comparedLive(newTab(t, browser), i) })
	t.Run("gone", func(t *testing.T) { gone(newTab(t, browser), i) })
	t.Run("below a path", func(t *testing.T) { belowAPath(newTab(t, browser), i) })
	t.Run("in a frame", func(t *testing.T) { inAFrame(newTab(t, browser), i) })
}

// fail has the gateway find out that it does not trust a backend's certificate.
func fail(t *testing.T, i inspected) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+i.http+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "admin.shop.test"
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("a backend whose certificate nobody trusts: %d %v", answer.StatusCode, err)
	}
}

// looks are the windows that every page is seen in.
var looks = []struct {
	name, scheme  string
	width, height int64
}{
	{"light", "light", 1280, 900}, {"dark", "dark", 1280, 900}, {"phone", "light", 390, 844},
}

func everyPage(t *testing.T, browser context.Context, i inspected) {
	for _, look := range looks {
		t.Run(look.name, func(t *testing.T) {
			p := newTab(t, browser)
			p.scheme(look.scheme)
			p.size(look.width, look.height)
			for _, page := range sitemap {
				where := page.name + " " + look.name
				p.open(i.pages + page.path)
				p.fits(where)
				p.legible(where)
				p.shoot("few-" + page.name + "-" + look.name)
				switch page.name {
				case "explain-error", "not-found":
					p.forget() // The console tells of their status.
				default:
					p.quiet(where)
				}
			}
			certificate := "certificate " + look.name
			p.open(i.pages + "certificates?q=*.shop.test")
			p.follow(`#list td a[href^="certificate?"]`)
			p.wait(`document.querySelector("h1").textContent === "Certificate CN=shop.test" && document.body.innerText.includes("it is under *.shop.test")`)
			p.fits(certificate)
			p.legible(certificate)
			p.shoot("few-certificate-" + look.name)
			p.quiet(certificate)
			if dark := ask[string](p, `getComputedStyle(document.body).backgroundColor`) != "rgb(255, 255, 255)"; dark != (look.scheme == "dark") {
				t.Errorf("dark: %v", dark)
			}
		})
	}
	t.Logf("screenshots are in %s", screenshots(t))
}

// forget forgets the errors until now.
func (p *tab) forget() {
	p.at()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errors = nil
}

const focused = `(() => { const e = document.activeElement; return e.id || e.textContent.trim() || e.tagName })()`

// byKeyboard goes from the overview to a host and its route without a mouse. What has the focus is seen to have it.
func byKeyboard(p *tab, i inspected) {
	p.open(i.pages)
	p.press(kb.Tab)
	if got := ask[string](p, focused); got != "Skip to content" {
		p.t.Fatalf("the first stop is %q", got)
	}
	if left := ask[float64](p, `document.activeElement.getBoundingClientRect().left`); left < 0 {
		p.t.Error("the link to the content is not seen where it has the focus")
	}
	p.press(kb.Enter)
	p.wait(`document.activeElement.id === "content"`)
	reach(p, "shop.test")
	if outline := ask[string](p, `getComputedStyle(document.activeElement).outlineStyle + getComputedStyle(document.activeElement).outlineWidth`); outline != "solid3px" {
		p.t.Errorf("the focus is shown by %q", outline)
	}
	p.enter("")
	p.wait(`document.querySelector("h1")?.textContent === "shop.test"`)
	reach(p, "/cart/*")
	p.enter("")
	p.wait(`document.querySelector("h1")?.textContent === "Explain" && document.querySelector(".verdict strong") !== null`)
	p.quiet("by keyboard")
}

// reach goes on by Tab until something of this text has the focus.
func reach(p *tab, text string) {
	p.t.Helper()
	for range 150 {
		p.press(kb.Tab)
		if ask[string](p, focused) == text {
			return
		}
	}
	p.t.Fatalf("Tab does not reach %q", text)
}

func searchWhileTyping(p *tab, i inspected) {
	p.open(i.pages + "search")
	p.do(chromedp.Focus(chromedp.CSS("#filter")))
	p.press("admin.sh")
	p.wait(`[...document.querySelectorAll("#list a")].some(a => a.textContent === "admin.shop.test")`)
	p.wait(`location.search === "?q=admin.sh"`)
	if got := ask[string](p, focused); got != "filter" {
		p.t.Errorf("the focus is at %q while one types", got)
	}
	p.open(i.pages + "hosts")
	p.click(".filter input[type=checkbox]")
	p.wait(`![...document.querySelectorAll("#list td a")].some(a => a.textContent === "tls.shop.test") && document.querySelectorAll("#list tr").length > 2`)
	p.open(i.pages)
	p.do(chromedp.Focus(chromedp.CSS("#find")))
	p.enter("/cart")
	p.wait(`document.querySelector("h1")?.textContent === "Search" && [...document.querySelectorAll("#list a")].some(a => a.textContent === "shop.test /cart/*")`)
	p.quiet("search")
}

func explainForm(p *tab, i inspected) {
	p.open(i.pages + "explain")
	p.do(chromedp.Focus(chromedp.CSS("#url")))
	p.enter("https://shop.test/cart?a=b")
	p.wait(`document.querySelector(".verdict strong")?.textContent.startsWith("Goes to shop/web/80.")`)
	body := ask[string](p, `document.body.innerText`)
	if strings.Contains(body, "canary-value") || !strings.Contains(body, "X-Api-Key") {
		p.t.Error("of a header that an annotation sets, the name is told and no more")
	}
	p.follow(`#story .places a[href^="ingress?"]`)
	p.wait(`document.querySelector("h1").textContent === "Ingress shop/cart"`)
	p.open(i.pages + "explain?url=https://shop.test/cart&from=192.0.2.1")
	p.wait(`document.querySelector(".verdict strong")?.textContent.startsWith("The gateway answers 403")`)
	p.quiet("explain")
	p.open(i.pages + "explain?url=shop.test")
	p.wait(`document.querySelector("#error")?.textContent.includes("did you mean") && document.querySelector("#url").value === "shop.test"`)
}

func withoutScripts(p *tab, i inspected) {
	p.withoutScripts()
	p.open(i.pages)
	p.follow(`nav a[href$="hosts"]`)
	p.follow(`#list a[href="host?name=shop.test"]`)
	p.do(chromedp.SendKeys(chromedp.CSS("#find"), "late"))
	p.enter("")
	p.follow(`#list a[href^="ingress?"]`)
	var at string
	if at = p.at(); !strings.Contains(at, "ingress?name=late&namespace=team-b") {
		p.t.Errorf("the links lead to %s", at)
	}
	p.follow(`footer a[href^="./ingress?"]`)
	if p.at() != at {
		p.t.Errorf("Reload leads to %s", p.at())
	}
}

// edited is a page that is looked at while a file is edited.
func edited(p *tab, i inspected) {
	p.size(1280, 500)
	p.open(i.pages + "hosts")
	p.wait(`document.getElementById("live").textContent === "Live."`)
	p.do(chromedp.Focus(chromedp.CSS(`#list a[href="host?name=tls.shop.test"]`)))
	p.wait(`(() => { scrollTo(0, 120); return scrollY === 120 })()`)
	revision := ask[string](p, `document.body.dataset.revision`)
	i.write(p.t, "new.yaml", `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: new, namespace: shop}, spec: {rules: [{host: brand-new.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}}`)
	p.wait(`[...document.querySelectorAll("#list a")].some(a => a.textContent === "brand-new.test")`)
	if now := ask[string](p, `document.body.dataset.revision`); now == revision {
		p.t.Errorf("the revision is still %s", now)
	}
	if got := ask[string](p, focused); got != "tls.shop.test" {
		p.t.Errorf("the focus is at %q after the page has changed", got)
	}
	if y := ask[int](p, `scrollY`); y != 120 {
		p.t.Errorf("the page has scrolled to %d", y)
	}
	p.open(i.pages + "diff")
	p.wait(`document.querySelector(".change h2") !== null && document.body.innerText.includes("brand-new.test")`)
	p.shoot("few-diff-of-two-light")
	p.legible("diff")
	p.follow(`.change a[href^="explain?"]`)
	p.wait(`document.querySelector(".verdict strong")?.textContent.startsWith("Goes to shop/web/80.")`)
	p.quiet("live")
}

// comparedLive is a page of differences that is looked at while there are more. What was chosen stays, what was not follows.
func comparedLive(p *tab, i inspected) {
	i.write(p.t, "compared.yaml", ingressOf("compared"))
	p.open(i.pages + "diff")
	p.wait(`document.getElementById("live").textContent === "Live." && document.getElementById("list").innerText.includes("compared.test") && document.querySelectorAll("#from option").length >= 3`)
	oldest := ask[string](p, `(() => { const s = document.getElementById("from"); s.value = [...s.options].at(-1).value; return s.value })()`)
	latest := ask[string](p, `document.getElementById("to").value`)
	i.write(p.t, "more.yaml", ingressOf("more"))
	p.wait(`document.getElementById("list").innerText.includes("more.test")`)
	p.wait(fmt.Sprintf(`document.getElementById("to").value !== %q && document.getElementById("from").options[0].value === document.getElementById("to").value`, latest))
	if got := ask[string](p, `document.getElementById("from").value`); got != oldest {
		p.t.Errorf("revision %s was chosen, and is %s now", oldest, got)
	}
	p.follow(".filter button")
	p.wait(`["compared.test", "more.test"].every(host => document.getElementById("list").innerText.includes(host))`)
	p.quiet("compared live")
}

// gone is a host that goes while somebody looks at it, and comes back.
func gone(p *tab, i inspected) {
	i.write(p.t, "going.yaml", ingressOf("going"))
	p.open(i.pages + "hosts")
	p.wait(`[...document.querySelectorAll("#list a")].some(a => a.textContent === "going.test")`)
	p.open(i.pages + "host?name=going.test")
	p.wait(`document.getElementById("live").textContent === "Live." && document.querySelector("#content .status.healthy") !== null`)
	p.do(chromedp.Focus(chromedp.CSS("#content .routes a")))
	if err := os.Remove(filepath.Join(i.folder, "going.yaml")); err != nil {
		p.t.Fatal(err)
	}
	p.wait(`document.querySelector("h1")?.textContent === "Not Found" && document.querySelector("#content .status") === null && document.title.startsWith("Not Found")`)
	if got := ask[string](p, `document.activeElement.id`); got != "content" {
		p.t.Errorf("the focus is at %q after the page has gone", got)
	}
	p.shoot("few-gone-light")
	p.missed()
	p.forget()
	i.write(p.t, "going.yaml", ingressOf("going"))
	p.wait(`document.querySelector("h1")?.textContent === "going.test" && document.querySelector("#content .status.healthy") !== null`)
	p.quiet("gone")
}

// ingressOf leads from a host of that name to a backend that is well.
func ingressOf(name string) string {
	return fmt.Sprintf(`{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: %[1]s, namespace: shop}, spec: {rules: [{host: %[1]s.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}}`, name)
}

// belowAPath is the same behind the gateway itself, with a password.
func belowAPath(p *tab, i inspected) {
	entry := strings.Replace(i.url("http", "/postern/"), "http://", "http://reader:sesame@", 1)
	p.open(entry)
	p.wait(`document.querySelector("h1")?.textContent === "Overview" && document.getElementById("live").textContent === "Live."`)
	for _, page := range sitemap {
		// The file stands alone: it has no frame to look for.
		if page.name == "explain-error" || page.name == "not-found" || page.name == "report-file" {
			continue
		}
		p.open(i.url("http", "/postern/"+page.path))
		p.wait(`getComputedStyle(document.querySelector(".side")).borderRightStyle === "solid" && document.getElementById("live").textContent === "Live."`)
		if away := ask[[]string](p, `[...document.querySelectorAll("a[href]")].map(a => new URL(a.getAttribute("href"), location.href).href).filter(h => !h.startsWith(location.origin + "/postern/"))`); len(away) > 0 {
			p.t.Errorf("%s leads out of /postern: %q", page.name, away)
		}
	}
	p.open(i.url("http", "/postern/hosts"))
	i.write(p.t, "newer.yaml", `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: newer, namespace: shop}, spec: {rules: [{host: newer.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}}`)
	p.wait(`[...document.querySelectorAll("#list a")].some(a => a.textContent === "newer.test")`)
	p.quiet("below a path")
	p.open(i.url("http", "/postern/nothing/here"))
	p.follow(".brand")
	p.wait(`document.querySelector("h1")?.textContent === "Overview"`)
}

// inAFrame is a page of another origin that frames the overview, and asks for it by a script.
func inAFrame(p *tab, i inspected) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>other</title><p id="message">waiting</p><iframe src="%[1]s"></iframe>
<script>fetch("%[1]s").then(() => "read", () => "refused").then(word => { document.getElementById("message").textContent = word })</script>`, i.pages)
	}))
	defer other.Close()
	p.open(other.URL)
	p.says("refused")
	p.mu.Lock()
	defer p.mu.Unlock()
	given, refused := 0, 0
	for _, a := range p.answers {
		switch {
		case a.path == "/" && a.status == http.StatusOK:
			given++ // The page of the other origin itself.
		case a.path == "/" && a.status == http.StatusForbidden:
			refused++
		}
	}
	if given != 1 || refused == 0 {
		p.t.Errorf("%d pages were given, %d refused: %+v", given, refused, p.answers)
	}
}

// TestManyIngresses looks at the pages of five thousand Ingresses.
func TestManyIngresses(t *testing.T) {
	const pageBytesMax = 1 << 20
	browser := newBrowser(t)
	i := inspect(t, postern(t), manyIngresses())
	p := newTab(t, browser)
	p.size(1280, 900)
	for _, page := range []struct{ name, path string }{
		{"overview", ""}, {"hosts", "hosts"}, {"host", "host?entry=https&name=shared.example.com"}, {"ingresses", "ingresses"}, {"ingress", "ingress?namespace=team-0&name=app-0"},
		{"services", "services"}, {"service", "service?backend=team-0%2Fsvc-0%2F80"}, {"certificates", "certificates"}, {"proxies", "proxies"}, {"resources", "resources?type=clusters"},
		{"diagnostics", "diagnostics"}, {"report", "report"}, {"explain", "explain?url=https%3A%2F%2Fshared.example.com%2Fapp-4995%2Fx"}, {"search", "search?q=app-49"}, {"trouble", "ingresses?state=trouble"},
	} {
		began := time.Now()
		p.open(i.pages + page.path)
		took := time.Since(began)
		size := ask[int](p, `performance.getEntriesByType("navigation")[0].decodedBodySize`)
		t.Logf("%-12s %7d bytes, loaded in %s", page.name, size, took.Round(time.Millisecond))
		if size == 0 || size > pageBytesMax {
			t.Errorf("%s has %d bytes", page.name, size)
		}
		p.fits(page.name)
		p.shoot("many-" + page.name + "-light")
		p.quiet(page.name)
	}
	p.scheme("dark")
	p.open(i.pages + "host?entry=https&name=shared.example.com")
	p.legible("a host of a thousand routes")
	p.shoot("many-host-dark")
	p.wait(`document.getElementById("live").textContent === "Live."`)
	i.write(t, "new.yaml", `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: aaa, namespace: team-0}, spec: {rules: [{host: shared.example.com, http: {paths: [{path: /a/very/long/path/that/is/tried/first, pathType: Exact, backend: {service: {name: svc-0, port: {number: 80}}}}]}}]}}`)
	p.wait(`document.querySelector(".routes tbody .path").textContent.includes("tried/first")`)
}
