package dataplane_test

import (
	"net/url"
	"os"
	"strings"
	"testing"
)

// TestPaths sends the targets of match/testdata/paths.txt as bytes, to whichever data planes there are.
func TestPaths(t *testing.T) {
	text, err := os.ReadFile("match/testdata/paths.txt")
	if err != nil {
		t.Fatal(err)
	}
	configure := func(t *testing.T, c *controlPlane, p *plane) {
		b := backend(t)
		c.set(clusterOf("echo"), assignment("echo", b.Listener.Addr()), listener(t, "http", p.http),
			routes("http", host("*", forward(prefix("/"), "echo"))))
	}
	onEach(t, configure, func(t *testing.T, c *controlPlane, p *plane) {
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			f := append(strings.Fields(line), "")
			verdict, target, want := f[0], f[1], f[2]
			a := parse(t, raw(t, p.http, "GET "+target+" HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n"), "GET")
			if _, err := url.PathUnescape(strings.SplitN(target, "?", 2)[0]); err != nil {
				// net/http refuses a broken escape before any handler. Envoy lets it pass, but this backend is net/http.
				if p.name == "go" && a.status != 400 {
					t.Errorf("%s: status %d, want 400", target, a.status)
				}
				continue
			}
			switch verdict {
			case "pass":
				checkAnswer(t, target, a, 200, "GET "+want+" HTTP/1.1")
			case "redirect":
				checkAnswer(t, target, a, 307, "Location: "+want+"|307")
			default:
				if a.status != 400 { // what net/http refuses by itself has a body of its own
					t.Errorf("%s: status %d, want 400", target, a.status)
				}
			}
		}
	})
}
