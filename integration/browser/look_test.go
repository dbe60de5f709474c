package browser

import (
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

var quietLog = log.New(io.Discard, "", 0)

// screenshots is the folder of SCREENSHOTS, or one below the temporary folder. It is not removed: people look at it.
func screenshots(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		folder = filepath.Join(os.TempDir(), "postern-screenshots")
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}

// shoot keeps a picture of the whole page.
func (p *tab) shoot(name string) {
	p.t.Helper()
	picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(screenshots(p.t), name+".png"), picture, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// scheme has pages in light or dark.
func (p *tab) scheme(scheme string) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	if err != nil {
		p.t.Fatal(err)
	}
}

// size is that of the window, in CSS pixels.
func (p *tab) size(width, height int64) {
	p.t.Helper()
	p.do(chromedp.EmulateViewport(width, height))
}

func (p *tab) withoutScripts() {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		p.t.Fatal(err)
	}
}

// press presses keys of chromedp's kb.
func (p *tab) press(keys string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(keys))
}

// enter writes a text, presses Enter, and returns when the page that this leads to has loaded.
func (p *tab) enter(text string) {
	p.t.Helper()
	if _, err := chromedp.RunResponse(p.ctx, chromedp.KeyEvent(text+kb.Enter)); err != nil {
		p.t.Fatal(err)
	}
}

// ask is the value of a JavaScript expression.
func ask[T any](p *tab, expression string) T {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// quiet checks that the console and the network tell of no error. That a page which is left no longer listens is none.
func (p *tab) quiet(where string) {
	p.t.Helper()
	p.at() // Its answer comes behind the events until then.
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.errors {
		if !strings.Contains(e, "net::ERR_ABORTED") {
			p.t.Errorf("%s: %s", where, e)
		}
	}
	p.errors = nil
}

// contrast lists the texts whose colour stands out by less than 4.5 to 1 from what is behind them (WCAG 2.2, 1.4.3).
const contrast = `(() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const read = (color) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => {
    const part = (v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      if (e instanceof SVGElement && e.tagName !== "svg") {
        const rect = e.tagName === "text" ? e.parentElement.querySelector("rect") : null;
        if (rect) return read(getComputedStyle(rect).fill);
        continue;
      }
      const color = read(getComputedStyle(e).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255];
  };
  const bad = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || element.closest("script, title, desc, .skip, datalist, option") || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const [a, b] = [luminance(read(element instanceof SVGElement ? style.fill : style.color)), luminance(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.add(element.tagName + "." + element.className + " " + ratio.toFixed(2) + ": " + node.textContent.trim().slice(0, 40));
  }
  return [...bad];
})()`

// legible checks a page's contrast.
func (p *tab) legible(where string) {
	p.t.Helper()
	for _, text := range ask[[]string](p, contrast) {
		p.t.Errorf("%s: contrast of %s", where, text)
	}
}

// fits checks that a page is no wider than its window.
func (p *tab) fits(where string) {
	p.t.Helper()
	if wide := ask[int](p, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide > 0 {
		p.t.Errorf("%s is %d pixels too wide: %s", where, wide, fmt.Sprint(ask[[]string](p,
			`[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll")).slice(0, 5).map(e => e.tagName + "." + e.className + " " + e.textContent.trim().slice(0, 40))`)))
	}
}
