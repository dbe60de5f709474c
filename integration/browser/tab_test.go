package browser

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// needChromium is the path of Chromium: CHROMIUM, or one in PATH. Without one the test is skipped, but fails in CI.
func needChromium(t *testing.T) string {
	t.Helper()
	names := []string{"chromium", "chromium-browser", "google-chrome"}
	if named := os.Getenv("CHROMIUM"); named != "" {
		names = []string{named}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const fix = "no Chromium: install it (Debian: apt-get install -y chromium), or name it in CHROMIUM"
	if os.Getenv("CI") == "true" {
		t.Fatal(fix)
	}
	t.Skip(fix)
	return ""
}

// newBrowser starts a headless Chromium, which asks nobody but this machine and takes any certificate.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(needChromium(t)), chromedp.IgnoreCertErrors, chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.*"))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return ctx
}

// A tab is a page of a browser session of its own, with all that came in it.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu      sync.Mutex
	answers []answer // guarded by mu
	errors  []string // of the console, uncaught ones too; guarded by mu
}

// answer is one that the page got, redirects left out.
type answer struct {
	path, mime string
	status     int64
}

func newTab(t *testing.T, browser context.Context) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	ctx, late := context.WithTimeout(ctx, 2*patience)
	p := &tab{t: t, ctx: ctx}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("answers: %+v\nerrors: %q", p.answers, p.errors)
		}
		late()
		cancel()
	})
	if err := chromedp.Listen(ctx, p.hear); err != nil {
		t.Fatal(err)
	}
	return p
}

// hear notes an event.
func (p *tab) hear(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventResponseReceived:
		u, err := url.Parse(e.Response.URL)
		if err != nil {
			p.errors = append(p.errors, err.Error())
			return
		}
		p.answers = append(p.answers, answer{u.Path, e.Response.MimeType, e.Response.Status})
	case *network.EventLoadingFailed:
		p.errors = append(p.errors, fmt.Sprintf("%s: %s %s", e.Type, e.ErrorText, e.BlockedReason))
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			p.errors = append(p.errors, e.Entry.Text)
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError {
			p.errors = append(p.errors, "console.error")
		}
	case *runtime.EventExceptionThrown:
		p.errors = append(p.errors, e.ExceptionDetails.Text)
	}
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// open goes to a URL and returns when the page has loaded.
func (p *tab) open(url string) {
	p.t.Helper()
	p.do(chromedp.Navigate(url))
}

// click clicks on what a CSS selector finds.
func (p *tab) click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector)))
}

// follow clicks on a link that a CSS selector finds, and returns when the page that it leads to has loaded.
func (p *tab) follow(selector string) {
	p.t.Helper()
	if _, err := chromedp.RunResponse(p.ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
		p.t.Fatal(err)
	}
}

// wait waits until a JavaScript expression is true.
func (p *tab) wait(expression string) {
	p.t.Helper()
	poll := chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(patience))
	_, err := chromedp.Run(p.ctx, poll)
	for tries := 0; tries < 5 && err != nil && leaving(err); tries++ {
		_, err = chromedp.Run(p.ctx, poll)
	}
	if err != nil {
		said, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string](`document.getElementById("message")?.textContent ?? document.body.innerText`))
		p.t.Fatalf("%s: %v; the page says %q", expression, err, said)
	}
}

// leaving is an error of a page that was just being left.
func leaving(err error) bool {
	return strings.Contains(err.Error(), "Cannot find context") || strings.Contains(err.Error(), "target navigated")
}

// says waits until the page's message begins with a text.
func (p *tab) says(text string) {
	p.t.Helper()
	p.wait(fmt.Sprintf(`document.getElementById("message")?.textContent.startsWith(%q)`, text))
}

// at is where the page is.
func (p *tab) at() string {
	p.t.Helper()
	url, err := chromedp.Run(p.ctx, chromedp.Location())
	if err != nil {
		p.t.Fatal(err)
	}
	return url
}

// missed waits until the console has told of a 404.
func (p *tab) missed() {
	p.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		p.mu.Lock()
		said := strings.Join(p.errors, "\n")
		p.mu.Unlock()
		if strings.Contains(said, "404") {
			return
		}
		p.at() // its answer comes behind the events until then
	}
	p.t.Error("no error tells of a 404")
}

// sound checks that every answer was a 200, that each of these paths was asked for and has its type, and that there was
// no error.
func (p *tab) sound(types map[string]string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := map[string]bool{}
	for _, a := range p.answers {
		seen[a.path] = true
		if want, ok := types[a.path]; a.status != 200 || ok && a.mime != want {
			p.t.Errorf("%s: %d %s, want 200 %s", a.path, a.status, a.mime, want)
		}
	}
	for path := range types {
		if !seen[path] {
			p.t.Errorf("%s was not asked for", path)
		}
	}
	for _, e := range p.errors {
		p.t.Errorf("error: %s", e)
	}
}
