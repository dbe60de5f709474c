// Package browser opens the example in a real browser, through the binary that is released.
package browser

import (
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
	"go.uber.org/goleak"

	"github.com/postern-gateway/postern/controlplane/casetest/live"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// more are Ingresses beside the example's: its two apps once more, with rewrite-base the other way round, and on both
// entries.
const more = `
apiVersion: extensions/v1beta1
kind: Ingress
metadata:
  name: monocular-as-it-is
  annotations: {traefik.ingress.kubernetes.io/rule-type: PathPrefixStrip}
  labels: {app: traefik}
spec: {rules: [{http: {paths: [{path: /as-it-is, backend: {serviceName: monocular, servicePort: 80}}]}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: dashboard-with-a-base
  annotations: {postern.dev/strip-prefix: "true", postern.dev/rewrite-base: "true", postern.dev/backend-protocol: https}
  labels: {app: traefik}
spec: {rules: [{http: {paths: [{path: /based, pathType: Prefix, backend: {service: {name: kubernetes-dashboard, port: {number: 443}}}}]}}]}
`

func TestUnderAPath(t *testing.T) {
	browser := newBrowser(t)
	binary, app := postern(t), newApp(t, more)
	for _, dataPlane := range []string{"go", "envoy"} {
		t.Run(dataPlane, func(t *testing.T) {
			if dataPlane == "envoy" {
				live.NeedEnvoy(t)
			}
			g := app.serve(t, binary, dataPlane)
			for _, scheme := range []string{"http", "https"} {
				for _, path := range []string{"/k8s", "/k8s/"} {
					t.Run("dashboard "+scheme+" "+path, func(t *testing.T) { dashboard(newTab(t, browser), g, scheme, path) })
				}
				t.Run("catalog "+scheme, func(t *testing.T) { catalog(newTab(t, browser), g.url(scheme, "/catalog")) })
				t.Run("catalog as it is "+scheme, func(t *testing.T) { broken(newTab(t, browser), g.url(scheme, "/as-it-is/")) })
			}
			g = app.serve(t, binary, dataPlane, "--slash-redirect=false")
			t.Run("no slash", func(t *testing.T) { broken(newTab(t, browser), g.url("https", "/k8s")) })
			t.Run("no slash, a base inserted", func(t *testing.T) { based(newTab(t, browser), g.url("https", "/based")) })
			t.Run("login over http", func(t *testing.T) { forgotten(newTab(t, browser), g.url("http", "/based")) })
		})
	}
}

// dashboardTypes are the files of the dashboard below a prefix.
func dashboardTypes(prefix string) map[string]string {
	return map[string]string{
		prefix + "/style.css": "text/css", prefix + "/app.js": "text/javascript", prefix + "/assets/logo.svg": "image/svg+xml",
		prefix + "/api/v1/login/status": "application/json",
	}
}

// dashboard signs in, and still is signed in after the page is loaded anew. Whatever the scheme and with or without the
// slash, the page comes to stand at https and with the slash.
func dashboard(p *tab, g gateway, scheme, path string) {
	p.open(g.url(scheme, path))
	p.says("Not signed in.")
	if got, want := p.at(), g.url("https", "/k8s/"); got != want {
		p.t.Errorf("the page is at %s, want %s", got, want)
	}
	signIn(p)
	for _, link := range []string{"old", "absolute"} { // each is a redirect by the app, which knows nothing of /k8s
		p.follow("a[href=" + link + "]")
		if got, want := p.at(), g.url("https", "/k8s/"); got != want {
			p.t.Errorf("%s leads to %s, want %s", link, got, want)
		}
		p.says("Signed in.")
	}
	p.wait(`document.cookie.includes("lang=en") && document.cookie.includes("jweToken=")`)
	types := dashboardTypes("/k8s")
	types["/k8s/"] = "text/html"
	p.sound(types)
	p.open(g.url("https", "/traefik/"))
	p.wait(`document.cookie === ""`) // what the dashboard has set is not another app's
}

func signIn(p *tab) {
	p.click("#login button[type=submit]")
	p.says("Signed in.")
	p.do(chromedp.Reload())
	p.says("Signed in.")
	p.wait(`document.querySelectorAll("#namespaces li").length === 3`)
}

// catalog is a page that says <base href="/">, where it is put under the prefix: it finds its files from everywhere.
func catalog(p *tab, url string) {
	p.open(url)
	p.says("All charts:")
	p.follow("#charts li:last-child a")
	p.says("The chart redis.")
	if got, want := p.at(), url+"/chart/redis"; got != want {
		p.t.Errorf("the page is at %s, want %s", got, want)
	}
	p.do(chromedp.Reload())
	p.says("The chart redis.")
	p.sound(map[string]string{
		"/catalog/": "text/html", "/catalog/chart/redis": "text/html", "/catalog/style.css": "text/css",
		"/catalog/app.js": "text/javascript", "/catalog/api/charts": "application/json",
	})
}

// broken is a page whose addresses leave the prefix: its files are not found.
func broken(p *tab, url string) {
	p.open(url)
	p.says("The script has not run")
	p.missed()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(p.answers, answer{"/style.css", "text/plain", 404}) || !slices.Contains(p.answers, answer{"/app.js", "text/plain", 404}) {
		p.t.Error("/style.css and /app.js are not 404")
	}
}

// based is the dashboard at the prefix itself, without a slash: a base makes up for it.
func based(p *tab, url string) {
	p.open(url)
	p.says("Not signed in.")
	if got := p.at(); got != url {
		p.t.Errorf("the page is at %s, want %s", got, url)
	}
	signIn(p)
	types := dashboardTypes("/based")
	types["/based"] = "text/html"
	p.sound(types)
}

// forgotten is the dashboard over plain http, where no redirect leads away from it: it keeps no login.
func forgotten(p *tab, url string) {
	p.open(url)
	p.says("Not signed in.")
	p.click("#login button[type=submit]")
	p.says("The token is right, but")
	p.do(chromedp.Reload())
	p.says("Not signed in.")
}
